# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock, Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.connection import (
    AcceptedOperation,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VaultId, VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.jobs.poller import (
    JobOutcome,
    PendingJob,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.apply import (
    Executor,
    VmTask,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.plan import (
    DesiredState,
    plan,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import Job
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    read_item,
)

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)
VAULT = VaultId("s", "backup-rg", "v1")
GOLD = f"{VAULT.id}/backupPolicies/Gold"
DB01, DB02 = VmId("s", "app-rg", "db01"), VmId("s", "app-rg", "db02")
ACCEPTED = AcceptedOperation("op", 202, None, NOW)
CONFLICT = VaultError(Failure("Busy", "Busy.", "Wait.", http_status=409), "conflict")
# The same, told with the status of a bad request.
_WORDS = "Another operation is in progress."
BUSY = VaultError(
    Failure("Busy", f"No: {_WORDS}", "Wait.", http_status=400, azure_message=_WORDS), "request"
)
DELETED = VaultError(
    Failure("BMSUserErrorDataSourceInDeferredDeleteState", "Deleted.", "", http_status=400),
    "request",
)


class FakeClock(Clock):
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


def protected(vm: VmId) -> Dict[str, Any]:
    return {
        "properties": {
            "virtualMachineId": vm.id,
            "protectionState": "Protected",
            "policyId": GOLD,
            "policyName": "Gold",
        }
    }


class FakeConnection:
    """A vault that answers as it is told, a list for each question; the last stays."""

    def __init__(self, **answers: Sequence[Any]) -> None:
        self.vault = VAULT
        self.vault_keywords: Dict[str, str] = {}
        self.clock = FakeClock()
        self.backup = SimpleNamespace(
            protected_items=None,
            backup_protected_items=self._listing("items"),
            backup_jobs=self._listing("jobs"),
        )
        self.said: List[str] = []
        self.report: Callable[[str], None] = self.said.append
        self.asked: List[str] = []
        self._answers = {key: list(given) for key, given in answers.items()}

    def server_now(self) -> datetime:
        return self.clock.now()

    def start(self, _what: str, _send: Any, vm: VmId) -> AcceptedOperation:
        answer = self._next(vm.name)
        if isinstance(answer, VaultError):
            raise answer
        assert isinstance(answer, AcceptedOperation)
        return answer

    def items(self, _what: str, paged: Callable[[], Any]) -> Any:
        return paged()

    def _listing(self, key: str) -> SimpleNamespace:
        """One of the SDK's operations, of which nothing but the list is used."""
        return SimpleNamespace(list=lambda **_options: self._next(key))

    def _next(self, key: str) -> Any:
        self.asked.append(key)
        answers = self._answers[key]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class FakeFollower:
    """Tells of each VM what it is told; knows in which groups it was asked."""

    def __init__(self, **outcomes: Dict[str, Any]) -> None:
        self.followed: List[List[str]] = []
        self.found: List[List[str]] = []
        self._outcomes = outcomes

    def follow(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        self.followed.append([f"{one.operation} {one.vm.name}" for one in expected])
        return self._tell(expected)

    def find(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        self.found.append([f"{one.operation} {one.vm.name}" for one in expected])
        return self._tell(expected)

    def _tell(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        return {one.vm.key: self._outcome(one) for one in expected}

    def _outcome(self, one: PendingJob) -> JobOutcome:
        job = Job(f"job-{one.vm.name}", one.operation, "Completed", one.vm.name, "")
        given = self._outcomes.get(one.vm.name, {})
        if "job" in given:
            job = dataclasses.replace(job, **given["job"])
        return JobOutcome(one, job, given.get("failure"))


def run(
    connection: FakeConnection,
    follower: FakeFollower,
    *vms: VmId,
    timeout_s: float = 1000,
    wait: bool = True,
) -> Dict[str, VmTask]:
    wanted = DesiredState("protected", GOLD)
    courses = {vm.name: VmTask(vm, None, plan(wanted, vm, None)) for vm in vms}
    deadline = Deadline(connection.clock, timeout_s)
    runner = Executor(connection, wanted, follower, deadline, wait=wait)  # type: ignore[arg-type] - a fake
    runner.run(list(courses.values()))
    return courses


def busy(vm: VmId) -> Dict[str, Any]:
    return {
        "name": "j",
        "properties": {
            "operation": "Backup",
            "status": "InProgress",
            "containerName": vm.container,
        },
    }


def failure_of(course: VmTask) -> Optional[str]:
    return course.failure.name if course.failure else None


def test_one_wave_for_all() -> None:
    connection = FakeConnection(
        db01=[ACCEPTED], db02=[ACCEPTED], items=[[protected(DB01), protected(DB02)]]
    )
    follower = FakeFollower()
    courses = run(connection, follower, DB01, DB02)
    assert follower.followed == [["ConfigureBackup db01", "ConfigureBackup db02"]]
    assert sorted(connection.asked) == ["db01", "db02", "items"]
    assert all(course.changed and course.failure is None for course in courses.values())
    assert connection.said == ["vault v1: protect 2 VMs, then their jobs"]


def test_a_jobs_warnings_are_told() -> None:
    connection = FakeConnection(db01=[ACCEPTED], items=[[protected(DB01)]])
    odd = {"status": "CompletedWithWarnings", "error_name": "Odd", "error_message": "It is odd."}
    courses = run(connection, FakeFollower(db01={"job": odd}), DB01)
    assert courses["db01"].failure is None
    (warning,) = courses["db01"].warnings
    assert "db01" in warning and "Odd" in warning and "It is odd." in warning


def test_what_is_done_at_once_has_no_job() -> None:
    done = AcceptedOperation(None, 200, None, NOW)
    connection = FakeConnection(db01=[done], items=[[protected(DB01)]])
    follower = FakeFollower()
    courses = run(connection, follower, DB01)
    assert follower.followed == [] and courses["db01"].job_ids == []
    assert courses["db01"].failure is None and courses["db01"].changed


@pytest.mark.parametrize("said", [CONFLICT, BUSY])
def test_a_busy_vm_is_tried_again_only_when_nothing_is_at_work_on_it(said: VaultError) -> None:
    connection = FakeConnection(
        db01=[said, ACCEPTED],
        jobs=[[busy(DB01)], [busy(DB02), busy(DB01)], [busy(DB02)]],
        items=[[], [protected(DB01)]],
    )
    courses = run(connection, FakeFollower(), DB01)
    assert connection.asked == ["db01", "jobs", "jobs", "jobs", "items", "db01", "items"]
    assert courses["db01"].failure is None


def test_a_busy_vm_that_was_done_by_the_other_is_left_alone() -> None:
    connection = FakeConnection(db01=[CONFLICT], jobs=[[]], items=[[protected(DB01)]])
    courses = run(connection, FakeFollower(), DB01)
    assert connection.asked == ["db01", "jobs", "items"]
    assert courses["db01"].failure is None and not courses["db01"].changed
    assert courses["db01"].actions == ()


def test_a_busy_vm_until_the_deadline() -> None:
    connection = FakeConnection(
        db01=[CONFLICT], db02=[ACCEPTED], jobs=[[busy(DB01)]], items=[[protected(DB02)]]
    )
    courses = run(connection, FakeFollower(), DB01, DB02, timeout_s=600)
    assert failure_of(courses["db01"]) == "Busy" and not courses["db01"].changed
    assert failure_of(courses["db02"]) is None
    assert connection.clock.seconds == 600
    # The pauses grow: far fewer looks than there are shortest pauses in that time.
    assert connection.asked.count("jobs") < 60
    assert connection.asked.count("db01") == 1


def test_a_conflict_that_no_job_explains_ends_with_the_deadline() -> None:
    connection = FakeConnection(db01=[CONFLICT], jobs=[[]], items=[[]])
    courses = run(connection, FakeFollower(), DB01, timeout_s=300)
    assert failure_of(courses["db01"]) == "Busy"
    assert connection.asked.count("db01") < 40


@pytest.mark.parametrize("said", [CONFLICT, BUSY])
def test_without_waiting_a_busy_vm_fails(said: VaultError) -> None:
    connection = FakeConnection(db01=[said], items=[[]])
    courses = run(connection, FakeFollower(), DB01, wait=False)
    assert failure_of(courses["db01"]) == "Busy"
    failure = courses["db01"].failure
    assert failure and "wait=true" in failure.recommended_action
    assert connection.asked == ["db01"]


def test_without_waiting_the_job_is_found() -> None:
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    follower = FakeFollower(db01={"job": {"status": "InProgress"}})
    courses = run(connection, follower, DB01, wait=False)
    assert follower.followed == [] and follower.found == [["ConfigureBackup db01"]]
    assert courses["db01"].failure is None and courses["db01"].changed
    assert courses["db01"].job_ids == ["job-db01"]


def test_a_job_that_failed_has_changed_nothing_unless_the_list_says_so() -> None:
    failed = {"job": {"status": "Failed"}, "failure": Failure("JobFailed", "No.")}
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    assert not run(connection, FakeFollower(db01=failed), DB01)["db01"].changed
    connection = FakeConnection(db01=[ACCEPTED], items=[[protected(DB01)]])
    course = run(connection, FakeFollower(db01=failed), DB01)["db01"]
    assert course.changed and failure_of(course) == "JobFailed"


def test_a_job_that_may_go_on_counts_as_a_change() -> None:
    late = {"job": {"status": "InProgress"}, "failure": Failure("OperationTimedOut", "Late.")}
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    course = run(connection, FakeFollower(db01=late), DB01)["db01"]
    assert course.changed and failure_of(course) == "OperationTimedOut"


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("is_done", [False, True])
def test_what_is_as_wanted_has_not_failed_of_a_refusal(is_lost: bool, is_done: bool) -> None:
    wanted, before = DesiredState("absent"), read_item(protected(DB01), NOW)
    gone = protected(DB01)
    gone["properties"]["isScheduledForDeferredDelete"] = is_done
    refusal = VaultError(DELETED.failure, DELETED.kind)
    refusal.is_doubtful = is_lost
    connection = FakeConnection(db01=[refusal], items=[[protected(DB01)], [gone]])
    if not is_lost:
        connection = FakeConnection(db01=[refusal], items=[[gone]])
    course = VmTask(DB01, before, plan(wanted, DB01, before))
    runner = Executor(
        connection,  # type: ignore[arg-type] - a fake
        wanted,
        FakeFollower(),  # type: ignore[arg-type] - a fake
        Deadline(connection.clock, 1000),
    )
    runner.run([course])
    assert (course.failure is None) is is_done
    assert failure_of(course) in (None, DELETED.failure.name)
    # Who has done it is known only where a request of ours may have been carried out.
    assert course.changed is (is_done and is_lost) and course.actions == ()
