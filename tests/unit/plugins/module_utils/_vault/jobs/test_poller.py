# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test that the poller follows the right jobs with one list a poll, until they end."""

from __future__ import annotations

import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.poller import (
    JobPoller,
    PendingJob,
)
from tests.unit.plugins.module_utils.fakes import START, FakeClock


class FakeJobs:
    """The SDK's operations for jobs that start and end at seconds of the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.plans: List[Dict[str, Any]] = []
        self.operations: Dict[str, Dict[str, Any]] = {}
        self.requests: List[str] = []
        self.error: VaultError = VaultError(Failure("GatewayTimeout", "Could not list."))
        self.fails: Callable[[], bool] = lambda: False
        self.sdk = SimpleNamespace(
            backup_jobs=SimpleNamespace(list=self._list),
            job_details=SimpleNamespace(get=self._get),
            backup_operation_statuses=SimpleNamespace(get=self._operation),
        )

    def add(self, vm: VmId, operation: str = "Backup", **plan: Any) -> str:
        job_id = f"job-{len(self.plans)}"
        self.plans.append(
            {"id": job_id, "vm": vm, "operation": operation, "begins": 0.0, "ends": 30.0, **plan}
        )
        return job_id

    def _list(self, filter: str) -> List[Dict[str, Any]]:
        found = re.search(r"operation eq '([^']*)'", filter)
        operation = found[1] if found else None
        self._note(f"list {operation}")
        return [
            self._payload(plan, detailed=False)
            for plan in sorted(self.plans, key=lambda plan: -plan["begins"])
            if plan.get("shows", plan["begins"]) <= self.clock.time
            and operation in (None, plan["operation"])
        ]

    def _get(self, job_name: str) -> Dict[str, Any]:
        self._note(f"get {job_name}")
        plan = next(plan for plan in self.plans if plan["id"] == job_name)
        return self._payload(plan, detailed=True)

    def _operation(self, operation_id: str) -> Dict[str, Any]:
        self.requests.append(f"operation {operation_id}")
        if operation_id not in self.operations:
            raise VaultError(Failure("OperationNotFound", "No such operation."), "not_found")
        return self.operations[operation_id]

    def _note(self, request: str) -> None:
        self.requests.append(request)
        if self.fails():
            raise self.error

    def _payload(self, plan: Dict[str, Any], detailed: bool) -> Dict[str, Any]:
        over = plan["ends"] <= self.clock.time
        status = plan.get("status", "Completed") if over else "InProgress"
        of: Dict[str, Any] = {
            "jobType": "AzureIaaSVMJob",
            "containerName": plan["vm"].container.partition(";")[2].upper(),
            "entityFriendlyName": plan["vm"].name,
            "operation": plan["operation"],
            "status": status,
            "startTime": _azure_time(plan["begins"]),
        }
        if over:
            of["endTime"] = _azure_time(plan["ends"])
        if detailed:
            task = {"taskId": "Take Snapshot", "status": "InProgress", "duration": "PT1M5.5S"}
            of["extendedInfo"] = {"tasksList": [task], "progressPercentage": 40.0}
            if over and status != "Completed":
                of["errorDetails"] = [plan["error"]]
        return {"name": plan["id"], "properties": of}


def _azure_time(second: float) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f1Z")


class PollerHarness:
    """A poller on the fake jobs."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs = FakeJobs(self.clock)
        self.lines: List[str] = []
        self.connection: Any = SimpleNamespace(
            vault_keywords={},
            backup=self.jobs.sdk,
            clock=self.clock,
            items=_send,
            read=_send,
            report=self.lines.append,
            server_now=self.clock.now,
            vault=SimpleNamespace(subscription_id="s", name="vault1"),
        )

    def poller(self, timeout_s: float = 3600.0, poll_interval_s: float = 5.0) -> JobPoller:
        return JobPoller(self.connection, Deadline(self.clock, timeout_s), poll_interval_s)


def _send(_operation: str, send: Callable[[], Any], _vm: Optional[VmId] = None) -> Any:
    return send()


@pytest.fixture(name="harness")
def _harness() -> PollerHarness:
    return PollerHarness()


def operation(status: str, *job_ids: str) -> Dict[str, Any]:
    return {"status": status, "properties": {"jobIds": list(job_ids)}}


def vm(number: int) -> VmId:
    return VmId("s", "App-RG", f"Db{number:02}")


def expect(vm_id: VmId, operation_id: Optional[str] = None, since: float = 0.0) -> PendingJob:
    return PendingJob(vm_id, "Backup", START + timedelta(seconds=since), operation_id)


def test_follow_many_jobs_sends_one_list_a_poll(harness: PollerHarness) -> None:
    for number in range(100):
        harness.jobs.add(vm(number), ends=20.0 + number)
    found = harness.poller().follow([expect(vm(number)) for number in range(100)])
    assert len(found) == 100
    assert all(outcome.failure is None for outcome in found.values())
    assert all(outcome.job and outcome.job.succeeded for outcome in found.values())
    # The last job is read by its id: the count of requests is the count of polls.
    assert len(harness.jobs.requests) == len(harness.clock.slept) + 1
    assert {request.split()[0] for request in harness.jobs.requests} <= {"list", "get"}
    assert harness.clock.time <= 1.3 * 119


def test_follow_pauses_grow_to_a_tenth_of_the_time(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), ends=3000.0)
    harness.poller().follow([expect(vm(1))])
    assert harness.clock.slept[:3] == [5.0, 5.0, 5.0]
    assert max(harness.clock.slept) <= 60.0
    time = 0.0
    for pause in harness.clock.slept:
        assert pause == pytest.approx(max(5.0, min(60.0, time / 10)))
        time += pause


def test_follow_older_job_of_the_vm_is_ignored(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), begins=-10.0, ends=-6.0)
    harness.jobs.add(vm(1), begins=-40.0, ends=60.0)
    harness.jobs.add(vm(2), begins=0.0, ends=10.0)
    harness.jobs.add(vm(1), operation="ConfigureBackup", begins=0.0, ends=10.0)
    ours = harness.jobs.add(vm(1), begins=0.5, shows=12.0, ends=25.0)
    outcome = harness.poller().follow([expect(vm(1))])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours


def test_follow_job_that_just_ended_is_ignored(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), begins=-4.0, ends=-1.0)
    ours = harness.jobs.add(vm(1), begins=0.5, shows=12.0, ends=25.0)
    harness.jobs.operations["op"] = operation("InProgress")
    outcome = harness.poller().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours


def test_follow_job_of_another_operation_is_ignored(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), operation="ConfigureBackup", begins=0.0, ends=5.0)
    ours = harness.jobs.add(vm(1), begins=1.0, ends=25.0)
    other = harness.jobs.add(vm(2), operation="Undelete", begins=1.0, ends=25.0)
    undelete = PendingJob(vm(2), "Undelete", START)
    found = harness.poller().follow([expect(vm(1)), undelete])
    assert [outcome.job.id for outcome in found.values() if outcome.job] == [ours, other]
    assert "list None" in harness.jobs.requests


def test_follow_two_candidates_reads_the_operation(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), begins=-8.0, ends=40.0)
    ours = harness.jobs.add(vm(1), begins=0.0, ends=30.0)
    harness.jobs.operations["op"] = operation("Succeeded", ours)
    outcome = harness.poller().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours
    assert harness.jobs.requests.count("operation op") == 1


def test_follow_unlisted_job_reads_the_operation_after_a_minute(harness: PollerHarness) -> None:
    hidden = harness.jobs.add(vm(1), begins=0.0, shows=1e9, ends=100.0)
    harness.jobs.add(vm(2), ends=500.0)
    harness.jobs.operations["op"] = operation("Succeeded", hidden)
    found = harness.poller().follow([expect(vm(1), "op"), expect(vm(2), "op2")])
    outcome = found[vm(1).key]
    assert outcome.job is not None and outcome.job.id == hidden
    where = harness.jobs.requests.index("operation op")
    assert sum(harness.clock.slept[:where]) >= 60
    assert "operation op2" not in harness.jobs.requests


def test_follow_operation_failed_without_a_job(harness: PollerHarness) -> None:
    harness.jobs.operations["op"] = {
        "status": "Failed",
        "error": {"code": "UserErrorVmNotFoundV2", "message": "No VM."},
    }
    outcome = harness.poller().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is None
    assert outcome.failure is not None
    assert outcome.failure.name == "UserErrorVmNotFoundV2"
    assert "No VM." in outcome.failure.message and "Db01" in outcome.failure.message


def test_follow_failed_job_is_read_once_for_its_error(harness: PollerHarness) -> None:
    error = {
        "errorCode": 400136,
        "errorTitle": "UserErrorVmNotFoundV2",
        "errorString": "The VM is gone.",
        "recommendations": ["Stop the protection."],
    }
    job_id = harness.jobs.add(vm(1), ends=10.0, status="Failed", error=error)
    harness.jobs.add(vm(2), ends=20.0)
    found = harness.poller().follow([expect(vm(1)), expect(vm(2))])
    failure = found[vm(1).key].failure
    assert failure is not None
    assert (failure.name, failure.code) == ("UserErrorVmNotFoundV2", 400136)
    assert job_id in failure.message and failure.recommended_action
    assert failure.vm == vm(1).id
    assert found[vm(2).key].failure is None
    assert harness.jobs.requests.count(f"get {job_id}") == 1


def test_follow_job_with_warnings_succeeds_with_details(harness: PollerHarness) -> None:
    error = {"errorCode": 400446, "errorTitle": "UserErrorBackupTook", "errorString": "Crash."}
    harness.jobs.add(vm(1), ends=10.0, status="CompletedWithWarnings", error=error)
    harness.jobs.add(vm(2), ends=20.0)
    outcome = harness.poller().follow([expect(vm(1)), expect(vm(2))])[vm(1).key]
    assert outcome.failure is None and outcome.job is not None
    assert outcome.job.error_code == 400446
    assert "400446" in outcome.job.warning and "Crash." in outcome.job.warning


def test_follow_endless_job_times_out_with_its_id(harness: PollerHarness) -> None:
    job_id = harness.jobs.add(vm(1), ends=1e9)
    outcome = harness.poller(timeout_s=120).follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert job_id in outcome.failure.message and job_id in outcome.failure.recommended_action
    assert harness.clock.time == pytest.approx(120)


def test_follow_endless_operation_times_out_with_its_id(harness: PollerHarness) -> None:
    harness.jobs.operations["op-7"] = operation("InProgress")
    outcome = harness.poller(timeout_s=400).follow([expect(vm(1), "op-7")])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert "op-7" in outcome.failure.message
    # The operation is read at most once a minute.
    assert 1 < harness.jobs.requests.count("operation op-7") <= 7


def test_follow_unreadable_operation_spares_other_vms(harness: PollerHarness) -> None:
    harness.jobs.add(vm(2), ends=300.0)
    found = harness.poller().follow([expect(vm(1), "lost"), expect(vm(2), "op2")])
    failure = found[vm(1).key].failure
    assert failure is not None and failure.name == "OperationNotFound"
    assert "lost" in failure.message and failure.vm == vm(1).id
    assert found[vm(2).key].failure is None


def test_find_returns_a_running_job(harness: PollerHarness) -> None:
    job_id = harness.jobs.add(vm(1), shows=7.0, ends=1e9)
    outcome = harness.poller().find([expect(vm(1))])[vm(1).key]
    assert outcome.failure is None
    assert outcome.job is not None and outcome.job.id == job_id
    assert harness.clock.time < 20


def test_follow_transient_errors_continue_to_the_deadline(harness: PollerHarness) -> None:
    job_id = harness.jobs.add(vm(1), ends=100.0)
    error = VaultError(Failure("GatewayTimeout", "Could not list.", http_status=504), "service")
    harness.jobs.error, harness.jobs.fails = error, lambda: 10 < harness.clock.time < 90
    outcome = harness.poller().follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is None
    assert outcome.job is not None and outcome.job.id == job_id

    harness.jobs.fails = lambda: True
    outcome = harness.poller(timeout_s=60).follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert "Could not list." in outcome.failure.message


def test_follow_permanent_error_keeps_job_id(
    harness: PollerHarness,
) -> None:
    job_id = harness.jobs.add(vm(1), ends=100.0)
    error = VaultError(
        Failure("AuthorizationFailed", "No.", "Ask.", http_status=403), "authorization"
    )
    harness.jobs.error, harness.jobs.fails = error, lambda: harness.clock.time > 10
    outcome = harness.poller().follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "AuthorizationFailed"
    assert job_id in outcome.failure.message
    assert outcome.failure.recommended_action == "Ask."
    assert harness.clock.time < 30


def test_progress_one_vm_reports_changes(harness: PollerHarness) -> None:
    harness.jobs.add(vm(1), ends=50.0)
    harness.poller().follow([expect(vm(1))])
    assert harness.lines[0].startswith("Db01: Backup InProgress")
    assert any("Take Snapshot, 40 %" in line for line in harness.lines)
    assert harness.lines[-1] == "Db01: Backup Completed, 50 s"
    assert len(harness.lines) == 3


def test_progress_many_vms_reports_counts(harness: PollerHarness) -> None:
    error = {"errorCode": 1, "errorTitle": "Broken", "errorString": "It broke."}
    for number in range(20):
        harness.jobs.add(vm(number), ends=20.0)
    harness.jobs.add(vm(20), ends=20.0, status="Failed", error=error)
    harness.poller().follow([expect(vm(number)) for number in range(21)])
    assert harness.lines[0] == "Backup: 0 of 21 over, 21 in progress, 0 s"
    assert harness.lines[-1] == "Backup: 21 of 21 over, 1 failed, 0 in progress, 20 s"
    assert [line for line in harness.lines if "Failed" in line] == ["Db20: Backup Failed, 20 s"]
    assert len(harness.lines) == 3
