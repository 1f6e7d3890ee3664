# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups on demand: their stations, their recovery points, and what is refused."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from tests.lab.recovery_services import backups, jobs
from tests.lab.recovery_services.errors import AzureError
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.job_bodies import job_body
from tests.lab.recovery_services.plans import Plan
from tests.unit.lab.recovery_services.helpers import only_job, pass_time, protect, put, the_vault

_WISH = {"objectType": "IaasVMBackupRequest"}


def _begin(estate: Estate, **wish: Any) -> Any:
    vault = the_vault(estate)
    item = next(iter(vault.items.values()))
    backups.back_up(estate, vault, item, {**_WISH, **wish})
    return item


def _shown(estate: Estate) -> Dict[str, Any]:
    job = only_job(estate, "Backup")
    found: Dict[str, Any] = job_body(the_vault(estate), job, estate.now(), details=True)
    return dict(found["properties"])


def _tasks(estate: Estate) -> List[str]:
    """Return how the snapshot and the transfer stand."""
    return [task["status"] for task in _shown(estate)["extendedInfo"]["tasksList"][:2]]


def test_the_operation_is_over_at_once_and_the_job_is_not(estate: Estate) -> None:
    protect(estate)
    vault = the_vault(estate)
    item = next(iter(vault.items.values()))
    operation = backups.back_up(estate, vault, item, _WISH)
    assert jobs.state_of(operation, estate.now()) == "Succeeded"
    assert _shown(estate)["status"] == "InProgress"


def test_the_stations_of_a_backup(estate: Estate) -> None:
    protect(estate)
    item = _begin(estate)
    takes = only_job(estate, "Backup").takes
    assert 2470 <= takes <= 6990
    pass_time(estate, takes * 0.2)
    assert _tasks(estate) == ["InProgress", "NotStarted"]
    assert item.points == []
    pass_time(estate, takes * 0.5)
    shown = _shown(estate)
    assert _tasks(estate) == ["Completed", "InProgress"]
    assert 1 <= shown["extendedInfo"]["progressPercentage"] < 100
    assert item.points[0].tiers == {"InstantRP": "Valid"}
    pass_time(estate, takes)
    shown = _shown(estate)
    assert shown["status"] == "Completed"
    assert shown["extendedInfo"]["progressPercentage"] == 100.0
    assert "Backup Size" in shown["extendedInfo"]["propertyBag"]
    (point,) = item.points
    assert point.consistency == "FileSystemConsistent"
    assert point.tiers == {"InstantRP": "Valid", "HardenedRP": "Valid"}
    job = only_job(estate, "Backup")
    assert job.end is not None
    assert job.start <= point.time <= job.end
    assert (item.state, item.last_backup_status) == ("Protected", "Completed")
    assert "VMSnapshotLinux" in item.vm.extensions


@pytest.mark.parametrize(
    ("result", "status", "consistency", "code"),
    [
        ("application", "Completed", "AppConsistent", None),
        ("crash", "Completed", "CrashConsistent", None),
        ("warning", "CompletedWithWarnings", "CrashConsistent", 400446),
    ],
)
def test_what_a_backup_yields(
    estate: Estate, result: str, status: str, consistency: str, code: int
) -> None:
    protect(estate)
    estate.plans.add("db01", "Backup", Plan(result))
    item = _begin(estate)
    pass_time(estate, 7000)
    assert only_job(estate, "Backup").status == status
    assert item.points[0].consistency == consistency
    errors = _shown(estate).get("errorDetails", [{}])
    assert errors[0].get("errorCode") == code


def test_a_backup_that_fails_makes_no_recovery_point(estate: Estate) -> None:
    protect(estate)
    estate.plans.add(None, "Backup", Plan("failed", "ExtensionSnapshotFailed", "It failed."))
    item = _begin(estate)
    pass_time(estate, 7000)
    shown = _shown(estate)
    assert shown["status"] == "Failed"
    assert shown["errorDetails"][0]["errorTitle"] == "ExtensionSnapshotFailed"
    assert (item.points, item.last_backup_status) == ([], "Failed")


def test_a_vm_that_goes_meanwhile_makes_it_fail(estate: Estate) -> None:
    protect(estate)
    _begin(estate)
    estate.remove_vm(estate.vm_named("db01"))
    pass_time(estate, 7000)
    assert _shown(estate)["errorDetails"][0]["errorTitle"] == "UserErrorVmNotFoundV2"


def test_two_backups_of_one_vm_at_once_are_refused(estate: Estate) -> None:
    protect(estate)
    _begin(estate)
    with pytest.raises(AzureError, match="409 BMSUserErrorObjectLocked"):
        _begin(estate)


def test_no_backup_of_what_is_stopped(estate: Estate) -> None:
    protect(estate)
    put(estate, policy="", protectionState="ProtectionStopped")
    pass_time(estate, 5)
    with pytest.raises(AzureError, match="is stopped"):
        _begin(estate)


@pytest.mark.parametrize(
    "wish",
    [
        {"objectType": "Other"},
        {"recoveryPointExpiryTimeInUTC": "2020-01-01T00:00:00Z"},
        {"recoveryPointExpiryTimeInUTC": "soon"},
    ],
)
def test_requests_that_are_refused(estate: Estate, wish: Dict[str, str]) -> None:
    protect(estate)
    with pytest.raises(AzureError, match="BMSUserErrorInvalidInput"):
        _begin(estate, **wish)


def test_how_long_the_recovery_point_is_kept(estate: Estate) -> None:
    protect(estate)
    _begin(estate, recoveryPointExpiryTimeInUTC="2026-07-03T00:00:00.000Z")
    bag = _shown(estate)["extendedInfo"]["propertyBag"]
    assert bag["Recovery Point Expiry Time in UTC"] == "7/3/2026 12:00:00 AM"


def test_a_job_is_cancelled(estate: Estate) -> None:
    protect(estate)
    item = _begin(estate)
    vault = the_vault(estate)
    job = only_job(estate, "Backup")
    operation = jobs.cancel(estate, vault, job.id)
    assert job.status == "Cancelling"
    pass_time(estate, 9)
    assert job.status == "Cancelled"
    assert jobs.state_of(operation, estate.now()) == "Succeeded"
    pass_time(estate, 7000)
    assert (job.status, item.points) == ("Cancelled", [])
    with pytest.raises(AzureError, match="cannot be cancelled"):
        jobs.cancel(estate, vault, job.id)


def test_a_restore_is_a_job_with_percent(estate: Estate) -> None:
    protect(estate)
    item = _begin(estate)
    pass_time(estate, 7000)
    wish = {"objectType": "IaasVMRestoreRequest", "recoveryType": "RestoreDisks"}
    vault = the_vault(estate)
    backups.restore(estate, vault, item, item.points[0], wish)
    pass_time(estate, 700)
    job = only_job(estate, "Restore")
    shown = job_body(vault, job, estate.now(), details=True)["properties"]["extendedInfo"]
    assert 40 < shown["progressPercentage"] < 60
    pass_time(estate, 600)
    assert job.status == "Completed"
