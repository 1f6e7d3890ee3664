# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""M(protected_vm) when all its requests meet trouble, or Azure knows late; and discovery."""

from __future__ import annotations

from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any, Dict

import pytest

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    SUPPORT,
    WAYS,
    add_vms,
    agrees,
    by_name,
    explained,
    failed,
    finishes,
    item,
    jobs,
    protect,
    run,
    state_of,
    stays,
    writes,
)
from tests.lab.recovery_services.lab import RecoveryServices

ITEMS, PROTECTABLE, JOBS = "/backupProtectedItems$", "/backupProtectableItems$", "/backupJobs$"


# --- all of them ---------------------------------------------------------------------------------


def test_rights_that_end_in_the_middle(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = [f"vm{number:02d}" for number in range(20)]
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="PUT",
        path="/protectedItems/",
        status=401,
        code="InvalidAuthenticationToken",
        message="The access token is invalid.",
        skip=4,
        times=ALWAYS,
    )
    done = protect(azure, *vms)
    assert done.failed and done["changed"] is True
    assert set(failed(done).values()) == {"InvalidAuthenticationToken"}
    agrees(azure, done)
    resumed = [name for name, vm in by_name(done).items() if vm["changed"]]
    assert len(resumed) == 4 == len(set(jobs(azure).values()))
    # Who was let in nowhere does not try for each: at most those that were under way, twice each.
    assert len(writes(azure)) <= 4 + 2 * 8
    finishes(azure, WAYS["resume"], *vms, left=set(vms) - set(resumed))


def test_a_token_that_expires_again_and_again(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms)
    for path in (PROTECTABLE, "/refreshContainers$", item("two"), JOBS, ITEMS):
        azure.fault(path=path, kind="expired_token")
    done = protect(azure, *vms)
    assert not done.failed, done.stdout
    assert azure.faults() == []
    assert sorted(jobs(azure).values()) == sorted(vms)


def test_a_pause_longer_than_there_is_time(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="PUT",
        path="/protectedItems/",
        status=429,
        code="ResourceRequestsThrottled",
        message="Please try again after '1800' seconds.",
        headers=SUPPORT,
        skip=1,
        times=ALWAYS,
    )
    begin = datetime.fromisoformat(azure.now()[:19])
    done = protect(azure, *vms, timeout=600)
    waited = datetime.fromisoformat(azure.now()[:19]) - begin
    assert waited < timedelta(seconds=60 * azure.speed), "it has waited for what comes too late"
    assert done.failed and done["changed"] is True and len(failed(done)) == 2
    agrees(azure, done)
    for vm in done["vms"]:
        if vm["failure"]:
            explained(vm["failure"], "ResourceRequestsThrottled", vm["name"], "timeout", "UTC")
            assert vm["failure"]["correlation_id"] == CORRELATION
            assert vm["failure"]["http_status"] == 429
    # Nobody hammers on: each VM was tried at most once.
    assert len(writes(azure)) <= 3
    finishes(azure, WAYS["resume"], *vms, left=failed(done))


@pytest.mark.parametrize("form", ["date", "words", "none"])
def test_a_pause_that_is_kept(recovery_services: RecoveryServices, form: str) -> None:
    azure = recovery_services
    azure.run_at(1.0)
    add_vms(azure, ["one"], "protected")
    azure.next_job("one", "DisableBackup", duration_s=0.1)
    fault: Dict[str, Any] = {"status": 429, "code": "ResourceRequestsThrottled"}
    if form == "date":
        then = datetime.fromisoformat(f"{azure.now()[:19]}+00:00") + timedelta(seconds=3)
        fault["headers"] = {"Retry-After": format_datetime(then, usegmt=True)}
    if form == "words":
        fault["message"] = "The limit was exceeded. Please try again after '2' seconds."
    azure.fault(method="PUT", path=item("one"), **fault)
    done = protect(azure, "one", state="stopped")
    assert not done.failed, done.stdout
    first, second = [datetime.fromisoformat(one.at[:19]) for one in writes(azure)]
    asked_s = {"date": 3, "words": 2, "none": 1}[form]
    assert second - first >= timedelta(seconds=asked_s)
    assert list(jobs(azure).values()) == ["one"]


# --- what Azure knows late -----------------------------------------------------------------------


def test_jobs_that_the_list_has_late(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms)
    run(azure, "protectable_vm_info")
    azure.fault(method="GET", path=JOBS, status=200, body={"value": []}, times=3)
    done = protect(azure, *vms)
    assert not done.failed and azure.faults() == []
    agrees(azure, done)
    assert {vm["job_id"] for vm in done["vms"]} == set(jobs(azure))
    assert len(writes(azure)) == 4


@pytest.mark.parametrize("wait", [True, False])
def test_jobs_that_the_list_never_has(recovery_services: RecoveryServices, wait: bool) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(method="GET", path=JOBS, status=200, body={"value": []}, times=ALWAYS)
    done = protect(azure, *vms, wait=wait)
    assert not done.failed, done.stdout
    assert {vm["job_id"] for vm in done["vms"]} == set(jobs(azure))
    assert len(writes(azure)) == 3
    if wait:
        agrees(azure, done)


def test_jobs_that_may_not_be_read(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms, "stopped")
    azure.fault(
        method="GET",
        path="/backupJobs",
        status=403,
        code="AuthorizationFailed",
        headers=SUPPORT,
        times=ALWAYS,
    )
    done = protect(azure, *vms)
    assert done.failed and done["changed"] is True
    assert set(failed(done).values()) == {"AuthorizationFailed"}
    for vm in done["vms"]:
        explained(vm["failure"], "AuthorizationFailed", "vault1", "accepted")
        assert vm["failure"]["correlation_id"] == CORRELATION and vm["changed"] is True
    assert sorted(jobs(azure).values()) == sorted(vms)
    finishes(azure, WAYS["resume"], *vms, left=[])


# --- discovery -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"status": 403, "code": "AuthorizationFailed"}, "AuthorizationFailed"),
        ({"kind": "reset"}, "ConnectionBroken"),
    ],
)
def test_a_refresh_that_fails(
    recovery_services: RecoveryServices, fault: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    add_vms(azure, ["known"], "stopped")
    add_vms(azure, ["new"])
    azure.fault(method="POST", path="/refreshContainers$", **stays(**fault))
    done = protect(azure, "new", "known")
    assert failed(done) == {"new": name}
    explained(by_name(done)["new"]["failure"], name, "vault1")
    agrees(azure, done)
    told = run(azure, "protectable_vm_info")
    assert told.failed and "vms" not in told.result
    explained(told["failure"], name, "vault1")
    finishes(azure, WAYS["protect"], "new", "known", left=["new"])


def test_another_discovery_that_does_not_end(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["known"], "stopped")
    add_vms(azure, ["new"])
    code = "BMSUserErrorConflictingDiscovery"
    azure.fault(method="POST", path="/refreshContainers$", **stays(status=409, code=code))
    done = protect(azure, "new", "known", timeout=3)
    explained(by_name(done)["new"]["failure"], code, "vault1")
    told = run(azure, "protectable_vm_info", timeout=1)
    assert told.failed
    explained(told["failure"], code, "vault1")
    # Little time was left for the other request, which was sent anyway.
    known = by_name(done)["known"]
    assert known["changed"] is True and list(jobs(azure).values()) == ["known"]
    assert known["failure"] is None or known["failure"]["name"] == "OperationTimedOut"
    azure.advance(3600)
    assert state_of(azure, "known") == "protected"
    finishes(azure, WAYS["protect"], "new", "known", left=["new"])
