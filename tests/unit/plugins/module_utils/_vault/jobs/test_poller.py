# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs are followed by one list a look, the right ones, to their ends or the deadline."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock, Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.operations import (
    OperationStatus,
    read_operation,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.poller import (
    JobPoller,
    PendingJob,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import (
    Job,
    read_job,
)

START = datetime(2026, 11, 21, 10, 0, tzinfo=timezone.utc)


class FakeClock(Clock):
    """Time that goes by only while somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: List[float] = []

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.time)


class FakeJobs:
    """The service: jobs that begin and end at seconds of the clock."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.plans: List[Dict[str, Any]] = []
        self.operations: Dict[str, OperationStatus] = {}
        self.asked: List[str] = []
        self.error: VaultError = VaultError(Failure("GatewayTimeout", "Could not list."))
        self.fails: Callable[[], bool] = lambda: False

    def add(self, vm: VmId, operation: str = "Backup", **plan: Any) -> str:
        job_id = f"job-{len(self.plans)}"
        self.plans.append(
            {"id": job_id, "vm": vm, "operation": operation, "begins": 0.0, "ends": 30.0, **plan}
        )
        return job_id

    def list(self, operation: Optional[str], since: datetime) -> List[Job]:
        self.asked.append(f"list {operation}")
        if self.fails():
            raise self.error
        return [
            read_job(self._wire(plan, detailed=False))
            for plan in sorted(self.plans, key=lambda plan: -plan["begins"])
            if plan.get("shows", plan["begins"]) <= self.clock.time
            and START + timedelta(seconds=plan["begins"]) >= since
            and operation in (None, plan["operation"])
        ]

    def get(self, job_id: str) -> Job:
        self.asked.append(f"get {job_id}")
        if self.fails():
            raise self.error
        plan = next(plan for plan in self.plans if plan["id"] == job_id)
        return read_job(self._wire(plan, detailed=True))

    def operation(self, operation_id: str, vm: VmId) -> OperationStatus:
        self.asked.append(f"operation {operation_id}")
        if operation_id not in self.operations:
            raise VaultError(
                Failure("OperationNotFound", "There is no such operation."), "not_found"
            )
        return self.operations[operation_id]

    def _wire(self, plan: Dict[str, Any], detailed: bool) -> Dict[str, Any]:
        over = plan["ends"] <= self.clock.time
        status = plan.get("status", "Completed") if over else "InProgress"
        of: Dict[str, Any] = {
            "jobType": "AzureIaaSVMJob",
            "containerName": plan["vm"].container.partition(";")[2].upper(),
            "entityFriendlyName": plan["vm"].name,
            "operation": plan["operation"],
            "status": status,
            "startTime": _wire_time(plan["begins"]),
        }
        if over:
            of["endTime"] = _wire_time(plan["ends"])
        if detailed:
            task = {"taskId": "Take Snapshot", "status": "InProgress", "duration": "PT1M5.5S"}
            of["extendedInfo"] = {"tasksList": [task], "progressPercentage": 40.0}
            if over and status != "Completed":
                of["errorDetails"] = [plan["error"]]
        return {"name": plan["id"], "properties": of}


def _wire_time(second: float) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.%f1Z")


class Rig:
    """A follower on the fake service."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.jobs = FakeJobs(self.clock)
        self.lines: List[str] = []
        self.connection: Any = SimpleNamespace(
            clock=self.clock,
            report=self.lines.append,
            server_now=self.clock.now,
            vault=SimpleNamespace(subscription_id="s", name="vault1"),
        )

    def follower(self, timeout_s: float = 3600.0, poll_interval_s: float = 5.0) -> JobPoller:
        jobs: Any = self.jobs
        return JobPoller(
            self.connection, Deadline(self.clock, timeout_s), poll_interval_s, jobs=jobs
        )


@pytest.fixture(name="rig")
def _rig() -> Rig:
    return Rig()


def vm(number: int) -> VmId:
    return VmId("s", "App-RG", f"Db{number:02}")


def expect(one: VmId, operation_id: Optional[str] = None, since: float = 0.0) -> PendingJob:
    return PendingJob(one, "Backup", START + timedelta(seconds=since), operation_id)


def test_many_jobs_cost_one_list_a_look(rig: Rig) -> None:
    for number in range(100):
        rig.jobs.add(vm(number), ends=20.0 + number)
    found = rig.follower().follow([expect(vm(number)) for number in range(100)])
    assert len(found) == 100
    assert all(outcome.failure is None for outcome in found.values())
    assert all(outcome.job and outcome.job.succeeded for outcome in found.values())
    # In the end only one is left, which is read by itself: no more requests than lists.
    assert len(rig.jobs.asked) == len(rig.clock.slept) + 1
    assert {asked.split()[0] for asked in rig.jobs.asked} <= {"list", "get"}
    assert rig.clock.time <= 1.3 * 119


def test_pauses_grow_to_a_tenth_of_the_time_and_a_minute(rig: Rig) -> None:
    rig.jobs.add(vm(1), ends=3000.0)
    rig.follower().follow([expect(vm(1))])
    assert rig.clock.slept[:3] == [5.0, 5.0, 5.0]
    assert max(rig.clock.slept) <= 60.0
    time = 0.0
    for pause in rig.clock.slept:
        assert pause == pytest.approx(max(5.0, min(60.0, time / 10)))
        time += pause


def test_an_older_job_of_the_same_vm_is_not_taken_for_ours(rig: Rig) -> None:
    rig.jobs.add(vm(1), begins=-10.0, ends=-6.0)
    rig.jobs.add(vm(1), begins=-40.0, ends=60.0)
    rig.jobs.add(vm(2), begins=0.0, ends=10.0)
    rig.jobs.add(vm(1), operation="ConfigureBackup", begins=0.0, ends=10.0)
    ours = rig.jobs.add(vm(1), begins=0.5, shows=12.0, ends=25.0)
    outcome = rig.follower().follow([expect(vm(1))])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours


def test_a_short_job_that_has_just_ended_is_not_taken_for_ours(rig: Rig) -> None:
    rig.jobs.add(vm(1), begins=-4.0, ends=-1.0)
    ours = rig.jobs.add(vm(1), begins=0.5, shows=12.0, ends=25.0)
    rig.jobs.operations["op"] = OperationStatus("InProgress")
    outcome = rig.follower().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours


def test_jobs_of_another_operation_are_not_taken_for_ours(rig: Rig) -> None:
    rig.jobs.add(vm(1), operation="ConfigureBackup", begins=0.0, ends=5.0)
    ours = rig.jobs.add(vm(1), begins=1.0, ends=25.0)
    other = rig.jobs.add(vm(2), operation="Undelete", begins=1.0, ends=25.0)
    undelete = PendingJob(vm(2), "Undelete", START)
    found = rig.follower().follow([expect(vm(1)), undelete])
    assert [outcome.job.id for outcome in found.values() if outcome.job] == [ours, other]
    assert "list None" in rig.jobs.asked


def test_where_two_could_be_ours_the_operation_is_asked(rig: Rig) -> None:
    rig.jobs.add(vm(1), begins=-8.0, ends=40.0)
    ours = rig.jobs.add(vm(1), begins=0.0, ends=30.0)
    rig.jobs.operations["op"] = OperationStatus("Succeeded", (ours,))
    outcome = rig.follower().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is not None and outcome.job.id == ours
    assert rig.jobs.asked.count("operation op") == 1


def test_one_whose_job_does_not_show_is_asked_for_after_a_minute(rig: Rig) -> None:
    hidden = rig.jobs.add(vm(1), begins=0.0, shows=1e9, ends=100.0)
    rig.jobs.add(vm(2), ends=500.0)
    rig.jobs.operations["op"] = OperationStatus("Succeeded", (hidden,))
    found = rig.follower().follow([expect(vm(1), "op"), expect(vm(2), "op2")])
    outcome = found[vm(1).key]
    assert outcome.job is not None and outcome.job.id == hidden
    where = rig.jobs.asked.index("operation op")
    assert sum(rig.clock.slept[:where]) >= 60
    assert "operation op2" not in rig.jobs.asked


def test_an_operation_that_failed_before_there_was_a_job(rig: Rig) -> None:
    rig.jobs.operations["op"] = read_operation(
        {"status": "Failed", "error": {"code": "UserErrorVmNotFoundV2", "message": "No VM."}}
    )
    outcome = rig.follower().follow([expect(vm(1), "op")])[vm(1).key]
    assert outcome.job is None
    assert outcome.failure is not None
    assert outcome.failure.name == "UserErrorVmNotFoundV2"
    assert "No VM." in outcome.failure.message and "Db01" in outcome.failure.message


def test_a_job_that_failed_is_read_once_for_its_error(rig: Rig) -> None:
    error = {
        "errorCode": 400136,
        "errorTitle": "UserErrorVmNotFoundV2",
        "errorString": "The VM is gone.",
        "recommendations": ["Stop the protection."],
    }
    job_id = rig.jobs.add(vm(1), ends=10.0, status="Failed", error=error)
    rig.jobs.add(vm(2), ends=20.0)
    found = rig.follower().follow([expect(vm(1)), expect(vm(2))])
    failure = found[vm(1).key].failure
    assert failure is not None
    assert (failure.name, failure.code) == ("UserErrorVmNotFoundV2", 400136)
    assert job_id in failure.message and failure.recommended_action
    assert failure.vm == vm(1).id
    assert found[vm(2).key].failure is None
    assert rig.jobs.asked.count(f"get {job_id}") == 1


def test_warnings_are_no_failure_but_are_read(rig: Rig) -> None:
    error = {"errorCode": 400446, "errorTitle": "UserErrorBackupTook", "errorString": "Crash."}
    rig.jobs.add(vm(1), ends=10.0, status="CompletedWithWarnings", error=error)
    rig.jobs.add(vm(2), ends=20.0)
    outcome = rig.follower().follow([expect(vm(1)), expect(vm(2))])[vm(1).key]
    assert outcome.failure is None and outcome.job is not None
    assert outcome.job.error_code == 400446
    assert "400446" in outcome.job.warning and "Crash." in outcome.job.warning


def test_a_job_that_never_ends_is_given_up_with_its_id(rig: Rig) -> None:
    job_id = rig.jobs.add(vm(1), ends=1e9)
    outcome = rig.follower(timeout_s=120).follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert job_id in outcome.failure.message and job_id in outcome.failure.recommended_action
    assert rig.clock.time == pytest.approx(120)


def test_an_operation_that_never_ends_is_given_up_with_its_id(rig: Rig) -> None:
    rig.jobs.operations["op-7"] = OperationStatus("InProgress")
    outcome = rig.follower(timeout_s=400).follow([expect(vm(1), "op-7")])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert "op-7" in outcome.failure.message
    # Asked for at most once a minute.
    assert 1 < rig.jobs.asked.count("operation op-7") <= 7


def test_an_operation_that_cannot_be_read_leaves_the_other_vms_alone(rig: Rig) -> None:
    rig.jobs.add(vm(2), ends=300.0)
    found = rig.follower().follow([expect(vm(1), "lost"), expect(vm(2), "op2")])
    failure = found[vm(1).key].failure
    assert failure is not None and failure.name == "OperationNotFound"
    assert "lost" in failure.message and failure.vm == vm(1).id
    assert found[vm(2).key].failure is None


def test_find_does_not_wait_for_the_end(rig: Rig) -> None:
    job_id = rig.jobs.add(vm(1), shows=7.0, ends=1e9)
    outcome = rig.follower().find([expect(vm(1))])[vm(1).key]
    assert outcome.failure is None
    assert outcome.job is not None and outcome.job.id == job_id
    assert rig.clock.time < 20


def test_looks_that_fail_are_borne_until_the_deadline(rig: Rig) -> None:
    job_id = rig.jobs.add(vm(1), ends=100.0)
    error = VaultError(Failure("GatewayTimeout", "Could not list.", http_status=504), "service")
    rig.jobs.error, rig.jobs.fails = error, lambda: 10 < rig.clock.time < 90
    outcome = rig.follower().follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is None
    assert outcome.job is not None and outcome.job.id == job_id

    rig.jobs.fails = lambda: True
    outcome = rig.follower(timeout_s=60).follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "OperationTimedOut"
    assert "Could not list." in outcome.failure.message


def test_an_error_that_does_not_pass_ends_the_looks_and_says_that_the_job_goes_on(
    rig: Rig,
) -> None:
    job_id = rig.jobs.add(vm(1), ends=100.0)
    error = VaultError(
        Failure("AuthorizationFailed", "No.", "Ask.", http_status=403), "authorization"
    )
    rig.jobs.error, rig.jobs.fails = error, lambda: rig.clock.time > 10
    outcome = rig.follower().follow([expect(vm(1))])[vm(1).key]
    assert outcome.failure is not None
    assert outcome.failure.name == "AuthorizationFailed"
    assert job_id in outcome.failure.message
    assert outcome.failure.recommended_action == "Ask."
    assert rig.clock.time < 30


def test_lines_are_said_when_something_changed(rig: Rig) -> None:
    rig.jobs.add(vm(1), ends=50.0)
    rig.follower().follow([expect(vm(1))])
    assert rig.lines[0].startswith("Db01: Backup InProgress")
    assert any("Take Snapshot, 40 %" in line for line in rig.lines)
    assert rig.lines[-1] == "Db01: Backup Completed, 50 s"
    assert len(rig.lines) == 3


def test_many_vms_are_counted_in_the_lines(rig: Rig) -> None:
    error = {"errorCode": 1, "errorTitle": "Broken", "errorString": "It broke."}
    for number in range(20):
        rig.jobs.add(vm(number), ends=20.0)
    rig.jobs.add(vm(20), ends=20.0, status="Failed", error=error)
    rig.follower().follow([expect(vm(number)) for number in range(21)])
    assert rig.lines[0] == "Backup: 0 of 21 over, 21 in progress, 0 s"
    assert rig.lines[-1] == "Backup: 21 of 21 over, 1 failed, 0 in progress, 20 s"
    assert [line for line in rig.lines if "Failed" in line] == ["Db20: Backup Failed, 20 s"]
    assert len(rig.lines) == 3
