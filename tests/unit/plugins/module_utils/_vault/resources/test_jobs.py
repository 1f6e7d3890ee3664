# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the reading of jobs, their failures and their lists."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Dict, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_job import count
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import (
    Job,
    failure_of,
    list_jobs,
    read_job,
)

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)


def payload(**properties: Any) -> Dict[str, Any]:
    of = {
        "jobType": "AzureIaaSVMJob",
        "containerName": "iaasvmcontainerv2;App-RG;DB01",
        "entityFriendlyName": "db01",
        "operation": "Backup",
        "status": "InProgress",
        "startTime": "2026-11-21T11:00:00.1234567Z",
        **properties,
    }
    return {"id": "/subscriptions/s/x/backupJobs/j1", "name": "j1", "properties": of}


def test_read_running_job() -> None:
    tasks = [
        {"taskId": "Take Snapshot", "status": "Completed", "duration": "PT18M10.2S"},
        {"taskId": "Transfer data to vault", "status": "InProgress", "duration": "PT5S"},
    ]
    more = {"tasksList": tasks, "progressPercentage": 12.5, "propertyBag": {"VM Name": "db01"}}
    job = read_job(payload(actionsInfo=["Cancellable"], duration="PT20M", extendedInfo=more))
    assert not job.is_over and not job.succeeded and job.cancellable and job.is_detailed
    assert (job.task, job.percent, job.duration_s) == ("Transfer data to vault", 12.5, 1200.0)
    assert job.container_key == "app-rg;db01"
    result = job.to_result()
    assert result["start_time"] == "2026-11-21T11:00:00Z" and result["end_time"] is None
    assert result["resource_group"] == "app-rg" and result["error"] is None
    assert result["properties"] == {"VM Name": "db01"}


@pytest.mark.parametrize(
    ("actions", "expected"),
    [(["Cancellable"], True), ([1], True), (["Retriable"], False), ([], False)],
)
def test_read_job_actions_are_words_or_numbers(actions: List[Any], expected: bool) -> None:
    assert read_job(payload(actionsInfo=actions)).cancellable is expected


@pytest.mark.parametrize(
    ("status", "over", "good"),
    [
        ("Completed", True, True),
        ("CompletedWithWarnings", True, True),
        ("Failed", True, False),
        ("Cancelled", True, False),
        ("InProgress", False, False),
        ("Cancelling", False, False),
        ("SomethingNew", False, False),
    ],
)
def test_job_statuses(status: str, over: bool, good: bool) -> None:
    job = read_job(payload(status=status))
    assert (job.is_over, job.succeeded) == (over, good)
    assert job.needs_details is (over and status != "Completed")


def test_failed_job_has_azures_recommendation() -> None:
    errors = [
        {"errorCode": 1, "errorTitle": "One", "errorString": "First.", "recommendations": ["Do."]},
        {"errorCode": 2, "errorTitle": "Two", "errorString": "Second."},
    ]
    failure = failure_of(read_job(payload(status="Failed", errorDetails=errors)))
    assert (failure.name, failure.code) == ("One", 1)
    assert "First. Second." in failure.message and "j1" in failure.message
    assert failure.recommended_action == "Do."


def test_failed_job_without_reason_has_an_action() -> None:
    failure = failure_of(read_job(payload(status="Cancelled")))
    assert failure.name == "JobCancelled" and "was cancelled" in failure.message
    assert "backup_job_info" in failure.recommended_action


def test_counts_have_every_status() -> None:
    jobs = [read_job(payload(status=status)) for status in ("Failed", "Failed", "SomethingNew")]
    assert count(jobs) == {
        "Completed": 0,
        "CompletedWithWarnings": 0,
        "Failed": 2,
        "InProgress": 0,
        "Cancelling": 0,
        "Cancelled": 0,
        "SomethingNew": 1,
    }


class Vault:
    """A connection that keeps the filters, and lists the given jobs."""

    def __init__(self, *resources: Dict[str, Any]) -> None:
        self.filters: List[str] = []
        self.vault_keywords = {"vault_name": "v", "resource_group_name": "g"}
        self.vault = SimpleNamespace(name="v")
        self.backup = SimpleNamespace(backup_jobs=SimpleNamespace(list=self._list))
        self._resources = resources

    def server_now(self) -> datetime:
        return NOW

    def _list(self, filter: str, **_vault: str) -> List[Dict[str, Any]]:
        self.filters.append(filter)
        return list(self._resources)

    def items(self, _what: str, paged: Any) -> List[Dict[str, Any]]:
        return list(paged())

    def list(self, **filters: Any) -> List[Job]:
        connection: Any = self
        return list_jobs(connection, **filters)


def test_list_jobs_sends_filters() -> None:
    vault = Vault(payload())
    assert len(vault.list(operation="Backup", started_after=NOW - timedelta(hours=2))) == 1
    (sent,) = vault.filters
    assert sent == (
        "backupManagementType eq 'AzureIaasVM' and operation eq 'Backup' and "
        "startTime eq '2026-11-21 10:00:00 AM' and endTime eq '2026-12-21 10:00:00 AM'"
    )


def test_list_jobs_drops_jobs_outside_the_window() -> None:
    vault = Vault(payload())
    assert vault.list(started_after=NOW) == []
    assert vault.list(started_before=NOW - timedelta(hours=2)) == []
    assert len(vault.list()) == 1


def test_list_jobs_splits_windows_of_30_days() -> None:
    vault = Vault(payload())
    jobs = vault.list(started_after=NOW - timedelta(days=65), started_before=NOW)
    assert len(jobs) == 1
    assert [sent.split("startTime eq ")[1] for sent in vault.filters] == [
        "'2026-09-17 12:00:00 PM' and endTime eq '2026-10-17 12:00:00 PM'",
        "'2026-10-17 12:00:00 PM' and endTime eq '2026-11-16 12:00:00 PM'",
        "'2026-11-16 12:00:00 PM' and endTime eq '2026-11-21 12:00:00 PM'",
    ]
