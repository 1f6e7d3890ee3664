# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Callable, Dict, List, Optional, Sequence

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Deadline
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
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.plan import (
    DesiredState,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.vm_task import (
    VmTask,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import Job
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    read_item,
)
from tests.unit.plugins.module_utils.fakes import START, FakeClock

NOW = START
VAULT = VaultId("s", "backup-rg", "v1")
GOLD = f"{VAULT.id}/backupPolicies/Gold"
DB01, DB02 = VmId("s", "app-rg", "db01"), VmId("s", "app-rg", "db02")
ACCEPTED = AcceptedOperation("op", 202, None, NOW)
CONFLICT = VaultError(Failure("Busy", "Busy.", "Wait.", http_status=409), "conflict")
# A conflict with the status of a bad request.
_WORDS = "Another operation is in progress."
BUSY = VaultError(
    Failure("Busy", f"No: {_WORDS}", "Wait.", http_status=400, azure_message=_WORDS), "request"
)
DELETED = VaultError(
    Failure("BMSUserErrorDataSourceInDeferredDeleteState", "Deleted.", "", http_status=400),
    "request",
)


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
    """A vault with a list of answers for each request; the last answer repeats."""

    def __init__(self, **answers: Sequence[Any]) -> None:
        self.vault = VAULT
        self.vault_keywords: Dict[str, str] = {}
        self.clock = FakeClock()
        self.backup = SimpleNamespace(
            protected_items=None,
            backup_protected_items=self._listing("items"),
            backup_jobs=self._listing("jobs"),
        )
        self.lines: List[str] = []
        self.report: Callable[[str], None] = self.lines.append
        self.requests: List[str] = []
        self._answers = {key: list(given) for key, given in answers.items()}

    def server_now(self) -> datetime:
        return self.clock.now()

    def start(self, _operation: str, _send: Any, vm: VmId) -> AcceptedOperation:
        answer = self._next(vm.name)
        if isinstance(answer, VaultError):
            raise answer
        assert isinstance(answer, AcceptedOperation)
        return answer

    def items(self, _operation: str, paged: Callable[[], Any]) -> Any:
        return paged()

    def _listing(self, key: str) -> SimpleNamespace:
        """Return one of the SDK's operations with its list alone."""
        return SimpleNamespace(list=lambda **_options: self._next(key))

    def _next(self, key: str) -> Any:
        self.requests.append(key)
        answers = self._answers[key]
        return answers.pop(0) if len(answers) > 1 else answers[0]


class FakePoller:
    """A poller with a given outcome for each VM; it notes the groups of jobs."""

    def __init__(self, **outcomes: Dict[str, Any]) -> None:
        self.followed: List[List[str]] = []
        self.found: List[List[str]] = []
        self._outcomes = outcomes

    def follow(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        self.followed.append([f"{pending.operation} {pending.vm.name}" for pending in expected])
        return self._report(expected)

    def find(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        self.found.append([f"{pending.operation} {pending.vm.name}" for pending in expected])
        return self._report(expected)

    def _report(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        return {pending.vm.key: self._outcome(pending) for pending in expected}

    def _outcome(self, pending: PendingJob) -> JobOutcome:
        job = Job(f"job-{pending.vm.name}", pending.operation, "Completed", pending.vm.name, "")
        given = self._outcomes.get(pending.vm.name, {})
        if "job" in given:
            job = dataclasses.replace(job, **given["job"])
        return JobOutcome(pending, job, given.get("failure"))


def run(
    connection: FakeConnection,
    poller: FakePoller,
    *vms: VmId,
    timeout_s: float = 1000,
    wait: bool = True,
) -> Dict[str, VmTask]:
    wanted = DesiredState("protected", GOLD)
    tasks = {vm.name: VmTask.planned(wanted, vm, None) for vm in vms}
    executor = Executor(
        connection,  # type: ignore[arg-type] - a fake
        wanted,
        poller,  # type: ignore[arg-type] - a fake
        Deadline(connection.clock, timeout_s),
        wait=wait,
    )
    executor.run(list(tasks.values()))
    return tasks


def busy(vm: VmId) -> Dict[str, Any]:
    return {
        "name": "j",
        "properties": {
            "operation": "Backup",
            "status": "InProgress",
            "containerName": vm.container,
        },
    }


def failure_of(task: VmTask) -> Optional[str]:
    return task.failure.name if task.failure else None


def test_run_two_vms_sends_one_batch() -> None:
    connection = FakeConnection(
        db01=[ACCEPTED], db02=[ACCEPTED], items=[[protected(DB01), protected(DB02)]]
    )
    poller = FakePoller()
    tasks = run(connection, poller, DB01, DB02)
    assert poller.followed == [["ConfigureBackup db01", "ConfigureBackup db02"]]
    assert sorted(connection.requests) == ["db01", "db02", "items"]
    assert all(task.changed and task.failure is None for task in tasks.values())
    assert connection.lines == ["vault v1: protect 2 VMs, then their jobs"]


def test_run_job_with_warnings_returns_them() -> None:
    connection = FakeConnection(db01=[ACCEPTED], items=[[protected(DB01)]])
    odd = {"status": "CompletedWithWarnings", "error_name": "Odd", "error_message": "It is odd."}
    tasks = run(connection, FakePoller(db01={"job": odd}), DB01)
    assert tasks["db01"].failure is None
    (warning,) = tasks["db01"].warnings
    assert "db01" in warning and "Odd" in warning and "It is odd." in warning


def test_run_complete_response_follows_no_job() -> None:
    done = AcceptedOperation(None, 200, None, NOW)
    connection = FakeConnection(db01=[done], items=[[protected(DB01)]])
    poller = FakePoller()
    tasks = run(connection, poller, DB01)
    assert poller.followed == [] and tasks["db01"].job_ids == []
    assert tasks["db01"].failure is None and tasks["db01"].changed


@pytest.mark.parametrize("refusal", [CONFLICT, BUSY])
def test_run_busy_vm_waits_for_other_jobs(refusal: VaultError) -> None:
    connection = FakeConnection(
        db01=[refusal, ACCEPTED],
        jobs=[[busy(DB01)], [busy(DB02), busy(DB01)], [busy(DB02)]],
        items=[[], [protected(DB01)]],
    )
    tasks = run(connection, FakePoller(), DB01)
    assert connection.requests == ["db01", "jobs", "jobs", "jobs", "items", "db01", "items"]
    assert tasks["db01"].failure is None


def test_run_busy_vm_already_protected_is_unchanged() -> None:
    connection = FakeConnection(db01=[CONFLICT], jobs=[[]], items=[[protected(DB01)]])
    tasks = run(connection, FakePoller(), DB01)
    assert connection.requests == ["db01", "jobs", "items"]
    assert tasks["db01"].failure is None and not tasks["db01"].changed
    assert tasks["db01"].actions == ()


def test_run_busy_vm_fails_at_the_deadline() -> None:
    connection = FakeConnection(
        db01=[CONFLICT], db02=[ACCEPTED], jobs=[[busy(DB01)]], items=[[protected(DB02)]]
    )
    tasks = run(connection, FakePoller(), DB01, DB02, timeout_s=600)
    assert failure_of(tasks["db01"]) == "Busy" and not tasks["db01"].changed
    assert failure_of(tasks["db02"]) is None
    assert connection.clock.time == 600
    # The pauses grow: fewer polls than the shortest pause allows.
    assert connection.requests.count("jobs") < 60
    assert connection.requests.count("db01") == 1


def test_run_unconfirmed_conflict_ends() -> None:
    connection = FakeConnection(db01=[CONFLICT], jobs=[[]], items=[[]])
    tasks = run(connection, FakePoller(), DB01, timeout_s=300)
    assert failure_of(tasks["db01"]) == "Busy"
    assert connection.requests.count("db01") < 40


@pytest.mark.parametrize("refusal", [CONFLICT, BUSY])
def test_run_without_wait_busy_vm_fails(refusal: VaultError) -> None:
    connection = FakeConnection(db01=[refusal], items=[[]])
    tasks = run(connection, FakePoller(), DB01, wait=False)
    assert failure_of(tasks["db01"]) == "Busy"
    failure = tasks["db01"].failure
    assert failure and "wait=true" in failure.recommended_action
    assert connection.requests == ["db01"]


def test_run_without_wait_finds_the_job() -> None:
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    poller = FakePoller(db01={"job": {"status": "InProgress"}})
    tasks = run(connection, poller, DB01, wait=False)
    assert poller.followed == [] and poller.found == [["ConfigureBackup db01"]]
    assert tasks["db01"].failure is None and tasks["db01"].changed
    assert tasks["db01"].job_ids == ["job-db01"]


def test_run_failed_job_changes_as_the_list_says() -> None:
    failed = {"job": {"status": "Failed"}, "failure": Failure("JobFailed", "No.")}
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    assert not run(connection, FakePoller(db01=failed), DB01)["db01"].changed
    connection = FakeConnection(db01=[ACCEPTED], items=[[protected(DB01)]])
    task = run(connection, FakePoller(db01=failed), DB01)["db01"]
    assert task.changed and failure_of(task) == "JobFailed"


def test_run_job_that_may_run_on_is_a_change() -> None:
    late = {"job": {"status": "InProgress"}, "failure": Failure("OperationTimedOut", "Late.")}
    connection = FakeConnection(db01=[ACCEPTED], items=[[]])
    task = run(connection, FakePoller(db01=late), DB01)["db01"]
    assert task.changed and failure_of(task) == "OperationTimedOut"


@pytest.mark.parametrize("is_lost", [False, True])
@pytest.mark.parametrize("is_done", [False, True])
def test_run_refusal_in_desired_state_succeeds(is_lost: bool, is_done: bool) -> None:
    wanted, before = DesiredState("absent"), read_item(protected(DB01), NOW)
    gone = protected(DB01)
    gone["properties"]["isScheduledForDeferredDelete"] = is_done
    refusal = VaultError(DELETED.failure, DELETED.kind)
    refusal.is_doubtful = is_lost
    connection = FakeConnection(db01=[refusal], items=[[protected(DB01)], [gone]])
    if not is_lost:
        connection = FakeConnection(db01=[refusal], items=[[gone]])
    task = VmTask.planned(wanted, DB01, before)
    executor = Executor(
        connection,  # type: ignore[arg-type] - a fake
        wanted,
        FakePoller(),  # type: ignore[arg-type] - a fake
        Deadline(connection.clock, 1000),
    )
    executor.run([task])
    assert (task.failure is None) is is_done
    assert failure_of(task) in (None, DELETED.failure.name)
    # Our request may have done it only if its response was lost.
    assert task.changed is (is_done and is_lost) and task.actions == ()
