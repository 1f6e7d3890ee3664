# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) with disks chosen: they are compared with what the VMs have."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from tests.integration.guest_rig import warnings
from tests.integration.protection import by_name, done_well, listed, only, protect, run, sent
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices, Request

WRITE, VM_READ = "protectedItems/write", "Microsoft.Compute/virtualMachines/read"
ONE_VM = r"Microsoft\.Compute/virtualMachines/{}$"
VMS = r"Microsoft\.Compute/virtualMachines$"
COMPUTE = r"Microsoft\.Compute/"
ALWAYS = 1000
EVERY_STATE = ("protected", "stopped", "absent", "undeleted")


def vm_lists(azure: RecoveryServices) -> List[Request]:
    """Return the lists of VMs that Compute was asked for."""
    return [one for one in sent(azure, VM_READ) if one.path.endswith("/virtualMachines")]


# --- LUNs that a VM does not have ----------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_a_lun_to_include_that_the_vm_does_not_have(
    recovery_services: RecoveryServices, known: bool, check: bool
) -> None:
    azure = recovery_services
    if known:
        done_well(azure, "db01", "web01")
    for luns, has in (([7], "LUNs 0, 1"), ([0, 7], "LUNs 0, 1")):
        done = protect(azure, "db01", include_disk_luns=luns, check=check)
        failure = only(done)["failure"]
        assert done.failed and not done["changed"] and failure["name"] == "LunNotFound"
        assert "VM db01 has no data disk with LUN 7" in failure["message"]
        assert has in failure["message"] and failure["vm"] == only(done)["id"]
        assert "exclude_all_data_disks" in failure["recommended_action"]
    none = only(protect(azure, "web01", include_disk_luns=[0], check=check))["failure"]
    assert none["name"] == "LunNotFound" and "has no data disks" in none["message"]
    assert azure.writes() == []


def test_one_vm_without_the_lun_leaves_the_others(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done = protect(azure, "db01", "web01", include_disk_luns=[1])
    assert done.failed and by_name(done)["web01"]["failure"]["name"] == "LunNotFound"
    assert by_name(done)["db01"]["include_disk_luns"] == [1]
    assert list(listed(azure)) == ["db01"] and len(sent(azure, WRITE)) == 1


def test_a_disk_that_was_detached_meanwhile(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", include_disk_luns=[0, 1])
    assert not protect(azure, "db01", include_disk_luns=[1, 0])["changed"]
    azure.change(set_vm={"vm": "db01", "luns": [0]})
    azure.forget_requests()
    done = protect(azure, "db01", include_disk_luns=[0, 1])
    assert only(done)["failure"]["name"] == "LunNotFound" and azure.writes() == []
    assert not protect(azure, "db01").failed, "the task names no disks"


def test_a_disk_that_is_being_detached(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    disks = [{"lun": 0, "toBeDetached": False}, {"lun": 1, "toBeDetached": True}]
    body = {"properties": {"storageProfile": {"dataDisks": disks}}}
    azure.fault(path=ONE_VM.format("db01"), status=200, body=body)
    failure = only(protect(azure, "db01", include_disk_luns=[0, 1]))["failure"]
    assert failure["name"] == "LunNotFound" and "LUN 1" in failure["message"]


def test_a_lun_to_leave_out_that_a_vm_does_not_have(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    for _run in range(2):
        done = protect(azure, "db01", "web01", exclude_disk_luns=[1])
        assert not done.failed
        assert warnings(done) == [
            "exclude_disk_luns: found no data disk with LUN 1 to exclude on web01."
        ]
    assert not done["changed"]
    assert not warnings(protect(azure, "db01", "db02", exclude_disk_luns=[1]))


# --- disks that cannot be read -------------------------------------------------------------------

_NO_LIST: Any = {"properties": {"storageProfile": {"dataDisks": {"lun": 0}}}}
UNSAID: List[Any] = [
    {},
    {"properties": None},
    {"properties": {}},
    {"properties": {"storageProfile": {}}},
    {"properties": {"storageProfile": {"dataDisks": None}}},
    _NO_LIST,
    {"properties": {"storageProfile": {"dataDisks": [{}]}}},
    {"properties": {"storageProfile": {"dataDisks": [{"lun": 0}, {"lun": None}]}}},
    {"properties": {"storageProfile": {"dataDisks": [None]}}},
]


@pytest.mark.parametrize("body", UNSAID)
@pytest.mark.parametrize("option", ["include_disk_luns", "exclude_disk_luns"])
def test_a_vm_that_does_not_say_its_disks(
    recovery_services: RecoveryServices, body: Any, option: str
) -> None:
    azure = recovery_services
    azure.fault(path=ONE_VM.format("db01"), status=200, body=body, times=ALWAYS)
    done = protect(azure, "db01", **{option: [0]})
    failure = only(done)["failure"]
    # Older SDKs refuse a list of another type themselves.
    names = ("DisksUnknown", "MalformedAnswer" if body is _NO_LIST else "DisksUnknown")
    assert done.failed and failure["name"] in names and "db01" in failure["message"]
    assert failure["recommended_action"] and azure.writes() == []


@pytest.mark.parametrize("known", [False, True])
def test_vms_that_may_not_be_read(recovery_services: RecoveryServices, known: bool) -> None:
    azure = recovery_services
    if known:
        done_well(azure, "db01", "db02", include_disk_luns=[0])
    azure.fault(path=COMPUTE, status=403, code="AuthorizationFailed", times=ALWAYS)
    for vms in (["db01"], ["db01", "db02"]):
        done = protect(azure, *vms, include_disk_luns=[0])
        assert done.failed and not done["changed"]
        for vm in done["vms"]:
            failure = vm["failure"]
            assert failure["name"] == "AuthorizationFailed" and failure["vm"] == vm["id"]
            assert f"data disks of VM {vm['name']} are unknown" in failure["message"]
            assert failure["recommended_action"]
    assert azure.writes() == []
    # The operating system's disk, and all disks, are had without a look at the VM.
    for all_or_none in ({"exclude_all_data_disks": True}, {"exclude_disk_luns": []}):
        assert not protect(azure, "db01", **all_or_none).failed


@pytest.mark.parametrize("listed_vms", [[], [{"id": "nonsense"}, {}]])
def test_a_list_that_does_not_have_the_vms(
    recovery_services: RecoveryServices, listed_vms: List[Any]
) -> None:
    azure = recovery_services
    azure.fault(path=VMS, status=200, body={"value": listed_vms}, times=ALWAYS)
    done = protect(azure, "db01", "db02", include_disk_luns=[0])
    assert [vm["failure"]["name"] for vm in done["vms"]] == ["VmNotFound", "VmNotFound"]
    assert azure.writes() == []


def test_a_vm_that_is_not_there_or_fails(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ["app-rg/db01", "app-rg/nowhere", "no-rg/db01", "app-rg/db02"]
    done = protect(azure, *vms, include_disk_luns=[0])
    reasons = [vm["failure"] and vm["failure"]["name"] for vm in done["vms"]]
    assert reasons == [None, "VmNotFound", "VmNotFound", None]
    azure.fault(path=ONE_VM.format("db01"), status=400, code="BadRequest", times=ALWAYS)
    failure = only(protect(azure, "db01", include_disk_luns=[0]))["failure"]
    assert failure["name"] == "BadRequest" and "db01" in failure["message"]


# --- few reads -----------------------------------------------------------------------------------


def test_vms_of_a_group_are_read_with_one_list(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.reset(seed=seeds.fleet(201))
    names = [f"vm{number:04d}" for number in range(1, 202)]
    done = protect(azure, *names, include_disk_luns=[0], poll_interval=0.2)
    assert not done.failed and all(vm["include_disk_luns"] == [0] for vm in done["vms"])
    assert len(vm_lists(azure)) == 2, "pages of 200"
    azure.forget_requests()
    assert not protect(azure, *names, include_disk_luns=[0])["changed"]
    assert azure.writes() == [] and len(azure.requests()) <= 10


def test_without_a_right_to_list_each_vm_is_read(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=VMS, status=403, code="AuthorizationFailed", times=ALWAYS)
    done = protect(azure, "db01", "db02", include_disk_luns=[1])
    assert not done.failed and [vm["include_disk_luns"] for vm in done["vms"]] == [[1], [1]]
    assert len(sent(azure, VM_READ)) == 3


def test_nothing_is_read_where_no_lun_is_named(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    for options in ({}, {"exclude_disk_luns": []}, {"exclude_all_data_disks": True}):
        assert not protect(azure, "db01", **options).failed
    assert sent(azure, VM_READ) == []


# --- the operating system's disk alone -----------------------------------------------------------


@pytest.mark.parametrize("state", EVERY_STATE)
def test_an_empty_list_to_include_is_refused(
    recovery_services: RecoveryServices, state: str
) -> None:
    done = run(recovery_services, vm="app-rg/db01", state=state, include_disk_luns=[])
    assert done.failed and done["failure"]["name"] == "MissingLuns"
    assert "exclude_all_data_disks" in done["failure"]["recommended_action"]
    assert recovery_services.requests() == []


def test_all_data_disks_are_left_out_by_a_word(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    foreseen = protect(azure, "db01", exclude_all_data_disks=True, check=True, diff=True)
    assert azure.writes() == []
    done = protect(azure, "db01", exclude_all_data_disks=True, diff=True)
    assert done["diff"] == foreseen["diff"] and only(done)["include_disk_luns"] == []
    chosen = {"diskLunList": [], "isInclusionList": True}
    assert listed(azure)["db01"]["extendedProperties"]["diskExclusionProperties"] == chosen
    assert not protect(azure, "db01", exclude_all_data_disks=True)["changed"]
    # Which false does not say, nor the contrary.
    assert not protect(azure, "db01", exclude_all_data_disks=False)["changed"]
    for option in ("include_disk_luns", "exclude_disk_luns"):
        done = protect(azure, "db01", exclude_all_data_disks=True, **{option: [0]})
        assert done.failed and done["failure"]["name"] == "ConflictingDisks"
        assert not protect(azure, "db01", exclude_all_data_disks=False, **{option: [0]}).failed


# --- what does nothing in a state, and VMs of the same name --------------------------------------


@pytest.mark.parametrize("state", ["stopped", "absent", "undeleted"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": "DefaultPolicy"}, "policy has no effect with"),
        ({"exclude_disk_luns": [1]}, "exclude_disk_luns has no effect with"),
        (
            {"policy": "EnhancedPolicy", "include_disk_luns": [7]},
            "policy and include_disk_luns have no effect with",
        ),
        ({"exclude_all_data_disks": True}, "exclude_all_data_disks has no effect with"),
    ],
)
def test_options_that_do_nothing_in_a_state_are_warned_of(
    recovery_services: RecoveryServices, state: str, options: Dict[str, Any], words: str
) -> None:
    azure = recovery_services
    azure.change(add_item={"vault": "vault1", "vm": "db01", "policy": "DefaultPolicy"})
    for check in (True, False):
        done = protect(azure, "db01", state=state, check=check, **options)
        assert not done.failed
        (warning,) = warnings(done)
        assert warning.startswith(f"{words} state={state}.")
        assert ("without backups" in warning) is (state == "undeleted")
    assert sent(azure, VM_READ) == []
    assert not warnings(protect(azure, "db01", state=state, exclude_all_data_disks=False))


@pytest.mark.parametrize("state", ["stopped", "absent"])
@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("options", [{"vm": "DB01"}, {"vm": "db01", "vm_resource_group": "other"}])
def test_a_vm_of_that_name_in_another_group_is_not_passed_over(
    recovery_services: RecoveryServices, state: str, check: bool, options: Dict[str, Any]
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    done = run(azure, state=state, check=check, **options)
    assert done.failed and not done["changed"]
    failure = only(done)["failure"]
    assert failure["name"] == "NotProtected"
    said = " ".join([failure["recommended_action"], *warnings(done)])
    assert "/resourceGroups/app-rg/" in said and "GROUP/NAME" in said
    assert azure.writes() == [] and listed(azure)["db01"]["policyName"] == "DefaultPolicy"


def test_a_vm_that_is_absent_for_sure(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    scope = f"/subscriptions/{azure.subscription_id}/resourceGroups/other/providers"
    by_id = f"{scope}/Microsoft.Compute/virtualMachines/db01"
    # No VM of that name has any data.
    done = run(azure, vm="db01", state="absent")
    assert not done.failed and not warnings(done)
    done_well(azure, "db01")
    # A resource ID is unambiguous; the warning is given anyway.
    done = run(azure, vm=by_id, state="absent")
    assert not done.failed and not done["changed"]
    assert "/resourceGroups/app-rg/" in warnings(done)[0]
    done_well(azure, "db01", state="absent")
    # Soft-deleted counts as absent for both VMs.
    done = run(azure, vm="db01", state="absent")
    assert not done.failed and "/resourceGroups/app-rg/" in warnings(done)[0]
    assert azure.writes() == []
