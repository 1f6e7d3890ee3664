# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) asked for what cannot be: bad options, and VMs that cannot be protected."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path
from typing import Any, Dict

import pytest

from tests.integration.protection import (
    by_name,
    done_well,
    listed,
    only,
    protect,
    run,
    sent,
)
from tests.lab.module_run import run_module
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

ITEM = r"/protectedItems/VM;iaasvmcontainerv2;app-rg;{}$"
LIST, PROTECTABLE = r"/backupProtectedItems$", r"/backupProtectableItems$"
WRITE = "protectedItems/write"
ALWAYS = 1000


# --- before anything is sent ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"policy": "Nowhere"}, "PolicyNotFound"),
        ({"policy": "HourlyLogBackup"}, "PolicyOfAnotherKind"),
        (
            {
                "policy": "/subscriptions/s/resourceGroups/backup-rg/providers/"
                "Microsoft.RecoveryServices/vaults/vault2/backupPolicies/DefaultPolicy"
            },
            "PolicyOfAnotherVault",
        ),
        ({"policy": ""}, "PolicyRequired"),
        ({"include_disk_luns": [64]}, "InvalidLun"),
        ({"exclude_disk_luns": [-1]}, "InvalidLun"),
        ({"vault": "nowhere"}, "ResourceNotFound"),
        ({"resource_group": "nowhere"}, "ResourceGroupNotFound"),
        ({"subscription_id": "99999999-9999-4999-8999-999999999999"}, "SubscriptionNotFound"),
    ],
)
@pytest.mark.parametrize("check", [False, True])
def test_bad_input_is_refused_before_any_write(
    recovery_services: RecoveryServices, options: Dict[str, Any], name: str, check: bool
) -> None:
    azure = recovery_services
    done = protect(azure, "db01", "web01", check=check, **options)
    assert done.failed
    assert done["failure"]["name"] == name, done["msg"]
    assert done["failure"]["recommended_action"]
    assert azure.writes() == []


def test_an_unknown_policy_is_answered_with_the_known_ones(
    recovery_services: RecoveryServices,
) -> None:
    done = protect(recovery_services, "db01", policy="Nowhere")
    assert "The vault has DefaultPolicy, EnhancedPolicy." in done["msg"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "vms, vm"),
        ({"vm": "db01", "vms": ["db01"]}, "mutually exclusive"),
        ({"vm": "db01", "include_disk_luns": [0], "exclude_disk_luns": []}, "mutually exclusive"),
        ({"vm": "db01", "state": "gone"}, "state"),
    ],
)
def test_options_that_do_not_go_together(
    recovery_services: RecoveryServices, options: Dict[str, Any], words: str
) -> None:
    done = run(recovery_services, **options)
    assert done.failed and words in done["msg"]
    assert recovery_services.requests() == []


def test_no_vms_are_nothing_to_do(recovery_services: RecoveryServices) -> None:
    done = run(recovery_services, vms=[], policy="DefaultPolicy")
    assert not done.failed and not done["changed"] and done["vms"] == []


# --- VMs that cannot be protected ----------------------------------------------------------------


@pytest.mark.parametrize("check", [False, True])
def test_why_a_vm_cannot_be_protected(recovery_services: RecoveryServices, check: bool) -> None:
    azure = recovery_services
    azure.change(add_vm={"name": "theirs"})
    azure.change(add_vm={"name": "deleted"})
    azure.change(add_item={"vault": "vault2", "vm": "theirs", "policy": "DefaultPolicy"})
    azure.change(
        add_item={"vault": "vault2", "vm": "deleted", "policy": "", "deleted_s": 3600},
    )
    vms = ["db01", "far01", "nowhere", "no-rg/db01", "theirs", "deleted"]
    done = protect(azure, *vms, check=check)
    assert done.failed and done["changed"]
    assert done["msg"].startswith("5 of 6 VMs failed: ")
    assert "And 2 more." in done["msg"]
    told = {f"{vm['resource_group']}/{vm['name']}": vm for vm in done["vms"]}
    reasons = {name: vm["failure"] and vm["failure"]["name"] for name, vm in told.items()}
    assert reasons == {
        "app-rg/db01": None,
        "app-rg/far01": "VmInAnotherRegion",
        "app-rg/nowhere": "VmNotFound",
        "no-rg/db01": "VmNotFound",
        "app-rg/theirs": "VmProtectedInAnotherVault",
        "app-rg/deleted": "VmSoftDeletedInAnotherVault",
    }
    assert "northeurope" in told["app-rg/far01"]["failure"]["message"]
    assert "vault2" in told["app-rg/theirs"]["failure"]["message"]
    for name, vm in told.items():
        assert vm["changed"] is (name == "app-rg/db01")
        assert vm["failure"] is None or vm["failure"]["recommended_action"]
        assert vm["failure"] is None or vm["failure"]["vm"] == vm["id"]
    if check:
        assert azure.writes() == []
    else:
        assert list(listed(azure)) == ["db01"]
        assert len(sent(azure, WRITE)) == 1


@pytest.mark.parametrize(
    ("vm", "name", "words"),
    [
        ({"power": "deallocated"}, "VmNotRunning", "deallocated"),
        ({"agent": "Not Ready"}, "VmAgentNotReady", "not ready"),
        ({"luns": list(range(33))}, "TooManyDisks", "33"),
        ({}, "VmNotDiscovered", "vault1"),
    ],
)
def test_why_a_vm_is_not_discovered(
    recovery_services: RecoveryServices, vm: Dict[str, Any], name: str, words: str
) -> None:
    azure = recovery_services
    azure.change(add_vm={"name": "sick", **vm})
    azure.fault(path=PROTECTABLE, status=200, body={"value": []}, times=ALWAYS)
    failure = only(protect(azure, "sick"))["failure"]
    assert failure["name"] == name and words in failure["message"]
    assert failure["recommended_action"]
    assert sent(azure, WRITE) == []


def test_disks_that_are_left_out_do_not_count(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.change(add_vm={"name": "big", "luns": list(range(33))})
    azure.fault(path=PROTECTABLE, status=200, body={"value": []}, times=ALWAYS)
    done = protect(azure, "big", exclude_disk_luns=[7])
    assert only(done)["failure"]["name"] == "VmNotDiscovered"
    azure.forget_faults()
    # The vault offers it then, and refuses by itself.
    refused = protect(azure, "big")
    assert refused.failed and only(refused)["state"] == "not_protected"
    assert "33 data disks" in only(refused)["failure"]["message"]
    assert "exclude_disk_luns" in only(refused)["failure"]["recommended_action"]


def test_what_may_not_be_read_is_said(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.fault(path=PROTECTABLE, status=200, body={"value": []}, times=ALWAYS)
    azure.fault(path="Microsoft.Compute/", status=403, code="AuthorizationFailed", times=ALWAYS)
    azure.fault(path="/backupStatus$", status=403, code="AuthorizationFailed", times=ALWAYS)
    failure = only(protect(azure, "db01"))["failure"]
    assert failure["name"] == "VmNotDiscovered"
    message = failure["message"]
    assert "whether the VM exists" in message and "another vault" in message
    assert "AuthorizationFailed" in message
    # Where Compute may not be read, the service still says which vault protects the VM.
    azure.forget_faults()
    azure.change(add_item={"vault": "vault2", "vm": "web01", "policy": "DefaultPolicy"})
    azure.fault(path="Microsoft.Compute/", status=403, code="AuthorizationFailed", times=ALWAYS)
    failure = only(protect(azure, "web01"))["failure"]
    assert failure["name"] == "VmProtectedInAnotherVault"


_WITHOUT_COMPUTE = """\
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "azure.mgmt.compute":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""


def test_without_the_library_for_vms_the_rest_is_still_looked_at(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    azure = recovery_services
    # Python takes one sitecustomize only, and without the lab's the module waits in real time.
    azure.run_freely(200)
    azure.change(add_item={"vault": "vault2", "vm": "web01", "policy": "DefaultPolicy"})
    (tmp_path / "sitecustomize.py").write_text(_WITHOUT_COMPUTE)
    done = run_module(
        "protected_vm",
        {
            **azure.options(),
            "vms": ["app-rg/web01", "app-rg/nowhere", "app-rg/db01"],
            "policy": "DefaultPolicy",
            "poll_interval": 0.1,
        },
        env={"PYTHONPATH": os.pathsep.join([str(tmp_path), sysconfig.get_path("purelib")])},
    )
    told = by_name(done)
    assert told["web01"]["failure"]["name"] == "VmProtectedInAnotherVault"
    assert told["nowhere"]["failure"]["name"] == "VmNotDiscovered"
    assert "azure-mgmt-compute" in told["nowhere"]["failure"]["message"]
    assert told["db01"]["state"] == "protected"


# --- VMs of other subscriptions ------------------------------------------------------------------

OTHER = "dddddddd-4444-4ddd-8ddd-dddddddddddd"


def test_vms_of_another_subscription(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    seed = seeds.default()
    seed["subscriptions"].append({"id": OTHER, "name": "Other"})
    seeds.add_vm(seed, "app01", subscription=OTHER)
    seeds.add_vm(seed, "db01", subscription=OTHER)
    azure.reset(seed=seed)
    scope = f"/subscriptions/{OTHER}/resourceGroups/app-rg/providers/Microsoft.Compute"
    theirs = [f"{scope}/virtualMachines/{name}" for name in ("app01", "db01")]
    done = run(azure, vm=theirs[0], policy="DefaultPolicy")
    assert not done.failed and only(done)["id"] == theirs[0]
    assert sent(azure, "refreshContainers/action") == []
    assert not run(azure, vm=theirs[0].upper(), policy="DefaultPolicy")["changed"]
    # One name for two VMs: the vault's names have no subscription.
    done_well(azure, "db01")
    for check in (False, True):
        done = run(azure, vm=theirs[1], policy="EnhancedPolicy", check=check)
        assert done.failed and only(done)["failure"]["name"] == "NameTaken"
    assert not run(azure, vm=theirs[1], state="absent")["changed"]
    assert azure.writes() == []
    assert listed(azure)["db01"]["policyName"] == "DefaultPolicy"
