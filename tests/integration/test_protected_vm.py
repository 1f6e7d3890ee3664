# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) and its neighbours on the lab's control plane, when all goes well."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict

import pytest

from tests.integration.protection import (
    by_name,
    control_plane,
    done_well,
    listed,
    only,
    protect,
    run,
    sent,
)
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

pytestmark = pytest.mark.quick

WRITE, DELETE, REFRESH = "protectedItems/write", "protectedItems/delete", "refreshContainers/action"


def test_protecting_says_in_check_mode_what_it_then_does(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    foreseen = protect(azure, "db01", "db02", check=True, diff=True)
    assert azure.writes() == []
    assert not foreseen.failed and foreseen["changed"]
    done = protect(azure, "db01", "db02", diff=True)
    assert not done.failed and done["changed"]
    assert done["diff"] == foreseen["diff"]
    for name, vm in by_name(done).items():
        assert vm["actions"] == by_name(foreseen)[name]["actions"] == ["discover", "protect"]
        assert vm["state"] == by_name(foreseen)[name]["state"] == "protected"
        assert vm["policy"] == by_name(foreseen)[name]["policy"] == "DefaultPolicy"
        assert vm["job_id"] in {job["name"] for job in azure.state()["vaults"]["vault1"]["jobs"]}
        assert listed(azure)[name]["policyName"] == "DefaultPolicy"
    assert len(sent(azure, WRITE)) == 2
    assert len(sent(azure, REFRESH)) == 1


def test_a_second_run_only_looks_at_the_list(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", "db02")
    again = protect(azure, "DB01", "app-rg/db02", "APP-RG/Db01", policy="defaultpolicy")
    assert not again.failed and not again["changed"]
    assert [vm["actions"] for vm in again["vms"]] == [[], []]
    assert [one.action for one in control_plane(azure)] == [
        "Microsoft.RecoveryServices/vaults/backupProtectedItems/read"
    ]


def test_one_that_the_vault_knows_needs_no_refresh(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    found = run(azure, "protectable_vm_info")
    assert found["refreshed"]
    assert [vm["name"] for vm in found["vms"]] == ["db01", "db02", "web01"]
    azure.forget_requests()
    done = protect(azure, "web01")
    assert only(done)["actions"] == ["protect"]
    assert sent(azure, REFRESH) == []


def test_protectable_vms_in_check_mode_and_without_a_refresh(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    for options in ({"check": True}, {"refresh": False}):
        found = run(azure, "protectable_vm_info", **options)
        assert not found["refreshed"] and found["vms"] == []
    assert azure.writes() == []


def test_a_hundred_vms_take_little_more_than_a_request_each(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    azure.reset(seed=seeds.fleet(100))
    names = [f"vm{number:04d}" for number in range(1, 101)]
    first = protect(azure, *names, poll_interval=0.2)
    assert not first.failed and all(vm["state"] == "protected" for vm in first["vms"])
    assert len(azure.requests()) <= 150
    azure.forget_requests()
    assert not protect(azure, *names)["changed"]
    assert len(azure.requests()) <= 10


def test_lists_of_more_than_one_page(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.reset(seed=seeds.fleet(201))
    names = [f"vm{number:04d}" for number in range(1, 202)]
    done = protect(azure, *names, poll_interval=0.2)
    assert not done.failed and len(listed(azure)) == 201
    told = run(azure, "protected_vm_info")
    assert len(told["vms"]) == 201
    assert not protect(azure, *names)["changed"]


def test_policy_and_disks_change_together(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    wanted: Dict[str, Any] = {"policy": "EnhancedPolicy", "exclude_disk_luns": [1, 1]}
    foreseen = protect(azure, "db01", check=True, diff=True, **wanted)
    assert azure.writes() == []
    done = protect(azure, "db01", diff=True, **wanted)
    assert done["diff"] == foreseen["diff"]
    assert only(done)["actions"] == ["change_policy", "change_disks"]
    assert only(done)["policy_type"] == "enhanced"
    assert only(done)["exclude_disk_luns"] == [1] and only(done)["include_disk_luns"] is None
    assert len(sent(azure, WRITE)) == 1
    assert not protect(azure, "db01", **wanted)["changed"]


def test_disks_stay_as_they_are_unless_they_are_named(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", exclude_all_data_disks=True)
    assert only(done_well(azure, "db01", policy="EnhancedPolicy"))["include_disk_luns"] == []
    done_well(azure, "db01", state="stopped")
    resumed = only(done_well(azure, "db01", policy="EnhancedPolicy"))
    assert resumed["actions"] == ["resume"] and resumed["include_disk_luns"] == []
    # Without a policy, as the VM has one.
    chosen = run(azure, vm="app-rg/db01", include_disk_luns=[0])
    assert only(chosen)["include_disk_luns"] == [0] and only(chosen)["policy"] == "EnhancedPolicy"
    everything = run(azure, vm="app-rg/db01", exclude_disk_luns=[])
    assert only(everything)["actions"] == ["change_disks"]
    assert only(everything)["exclude_disk_luns"] == []
    assert not run(azure, vm="app-rg/db01", exclude_disk_luns=[])["changed"]


def test_stop_keeps_the_data_and_resume_goes_on(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    foreseen = protect(azure, "db01", state="stopped", check=True, diff=True)
    assert azure.writes() == [] and only(foreseen)["actions"] == ["stop"]
    stopped = protect(azure, "db01", state="stopped", diff=True)
    assert stopped["diff"] == foreseen["diff"]
    assert only(stopped)["state"] == "stopped" and only(stopped)["policy"] is None
    azure.forget_requests()
    assert not protect(azure, "db01", state="stopped")["changed"]
    assert azure.writes() == []
    assert only(protect(azure, "db01"))["actions"] == ["resume"]
    assert listed(azure)["db01"]["protectionState"] in ("Protected", "IRPending")


def test_absent_is_soft_deleted_and_comes_back(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    foreseen = protect(azure, "db01", state="absent", check=True, diff=True)
    assert azure.writes() == []
    gone = protect(azure, "db01", state="absent", diff=True)
    assert gone["diff"] == foreseen["diff"]
    vm = only(gone)
    assert vm["state"] == "soft_deleted" and vm["soft_deleted"]
    until = datetime.strptime(vm["soft_deleted_until"], "%Y-%m-%dT%H:%M:%SZ")
    left = until.replace(tzinfo=timezone.utc) - datetime.now(timezone.utc)
    assert timedelta(days=13) < left < timedelta(days=15)
    azure.forget_requests()
    again = protect(azure, "db01", state="absent")
    assert not again["changed"] and only(again)["soft_deleted_until"] == vm["soft_deleted_until"]
    assert azure.writes() == []

    back = protect(azure, "db01", state="undeleted")
    assert only(back)["actions"] == ["undelete"] and only(back)["state"] == "stopped"
    assert not protect(azure, "db01", state="undeleted")["changed"]

    done_well(azure, "db01", state="absent")
    protected = protect(azure, "db01")
    assert only(protected)["actions"] == ["undelete", "protect"]
    assert only(protected)["state"] == "protected" and len(only(protected)["job_ids"]) == 2
    assert sent(azure, REFRESH) == []


def test_absent_without_soft_delete(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.change(set_vault={"vault": "vault1", "soft_delete": "Disabled"})
    done_well(azure, "db01")
    gone = protect(azure, "db01", state="absent")
    assert gone["changed"] and only(gone)["state"] == "not_protected"
    assert only(gone)["soft_deleted_until"] is None
    assert not protect(azure, "db01", "web01", state="absent")["changed"]


@pytest.mark.parametrize(
    ("state", "name"), [("stopped", "NotProtected"), ("undeleted", "NotSoftDeleted")]
)
def test_what_a_vm_that_is_not_there_cannot_be(
    recovery_services: RecoveryServices, state: str, name: str
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    done = protect(azure, "web01", "db01", state=state)
    assert done.failed
    assert by_name(done)["web01"]["failure"]["name"] == name
    assert by_name(done)["db01"]["failure"] is None
    assert by_name(done)["db01"]["state"] == ("stopped" if state == "stopped" else "protected")


def test_one_vault_and_its_items_in_odd_case(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.change(set_vm={"vm": "db01", "odd_case": True})
    done_well(azure, "dB01")
    for options in ({}, {"vault": "VAULT1", "resource_group": "BACKUP-RG"}):
        again = protect(azure, "app-rg/DB01", **options)
        assert not again.failed and not again["changed"]
    assert only(run(azure, "protected_vm_info", vm="App-Rg/Db01"))["state"] == "protected"


def test_names_that_must_be_escaped(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.change(add_vm={"name": "db-1.a", "resource_group": "app(1)_é.rg"})
    done = protect(azure, "app(1)_é.rg/db-1.a")
    assert not done.failed, done.stdout
    assert only(done)["state"] == "protected"
    assert not protect(azure, "app(1)_é.rg/db-1.a")["changed"]
    assert not protect(azure, "app(1)_é.rg/db-1.a", state="stopped").failed


def test_without_waiting_there_is_a_job(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.run_at(5.0)
    done = protect(azure, "db01", wait=False)
    assert not done.failed and done["changed"]
    vm = only(done)
    assert vm["state"] == "not_protected" and vm["actions"] == ["discover", "protect"]
    jobs = {job["name"]: job["properties"] for job in azure.state()["vaults"]["vault1"]["jobs"]}
    assert jobs[vm["job_id"]]["status"] == "InProgress"
    # A task that does not wait fails now; a task that waits finds it done.
    azure.forget_requests()
    hasty = protect(azure, "db01", wait=False)
    assert hasty.failed and only(hasty)["failure"]["name"] == "OperationInProgress"
    assert azure.writes() == []
    azure.run_at(200.0)
    patient = protect(azure, "db01")
    assert not patient.failed and not patient["changed"]
    assert only(patient)["state"] == "protected" and azure.writes() == []


def test_without_waiting_what_others_need_is_waited_for(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    done_well(azure, "db01")
    done_well(azure, "db01", state="absent")
    done = protect(azure, "db01", wait=False)
    assert not done.failed and only(done)["actions"] == ["undelete", "protect"]
    assert len(only(done)["job_ids"]) == 2
    assert [one.body["properties"].get("isRehydrate") for one in sent(azure, WRITE)] == [True, None]
    assert only(protect(azure, "db01"))["state"] == "protected"


def test_info_and_its_filters(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    done_well(azure, "db01", "db02", "web01")
    done_well(azure, "db02", policy="EnhancedPolicy")
    done_well(azure, "web01", state="absent")

    def names(**options: Any) -> Dict[str, str]:
        told = run(azure, "protected_vm_info", **options)
        assert not told["changed"]
        return {vm["name"]: vm["state"] for vm in told["vms"]}

    assert names() == {"db01": "protected", "db02": "protected", "web01": "soft_deleted"}
    assert azure.writes() == []
    assert len(control_plane(azure)) == 1
    assert names(policy="enhancedpolicy") == {"db02": "protected"}
    assert names(state=["soft_deleted"]) == {"web01": "soft_deleted"}
    chosen = names(vms=["app-rg/db02", "app-rg/nowhere"])
    assert chosen == {"db02": "protected", "nowhere": "not_protected"}
    assert names(vms=["app-rg/db01"], policy="EnhancedPolicy") == {}
    assert names(vms=[]) == {}
    assert names(vault="vault2") == {}
