# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The poller of the jobs of many VMs: each poll is one list for all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Callable

from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import as_dict, map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._arm.times import format_duration
from ..._errors import Failure
from ..connection import VaultConnection
from ..resources.jobs import Job, failure_of, get_job, list_jobs
from .operations import OperationStatus, failure_of_operation, names_no_job, read_operation
from .progress import ProgressReporter

# A job may start this long before the response that accepted it.
_CERTAIN = timedelta(seconds=15)
# A job that started earlier than this belongs to another request.
_POSSIBLE = timedelta(seconds=60)
# The list may lag for this long before the operation is asked for its job.
_LAG = timedelta(seconds=60)
# Each page of a list has this many jobs, and counts as a request.
_PAGE = 200
_LONGEST_SEARCH_S = 300.0
# After these errors of one poll the next poll may succeed.
_TRANSIENT = frozenset({"service", "connection", "answer"})


@dataclass(frozen=True)
class PendingJob:
    """A job to find: Azure accepted its request at `since`, by the service's clock."""

    vm: VmId
    operation: str
    since: datetime
    operation_id: str | None = None
    #: The caller has other proof, so the operation may succeed without naming a job.
    may_lack_job: bool = False


@dataclass(frozen=True)
class JobOutcome:
    """The outcome of a job to find: a job, a failure, or neither with `may_lack_job`."""

    expected: PendingJob
    job: Job | None
    failure: Failure | None


class _TrackedJob:
    """The state of one job while it is polled."""

    def __init__(self, expected: PendingJob) -> None:
        self.expected = expected
        self.job: Job | None = None
        self.failure: Failure | None = None
        self.is_settled = False
        self.operation_read: datetime | None = None

    def settle(self, failure: Failure | None = None) -> None:
        self.failure = failure
        self.is_settled = True

    @property
    def outcome(self) -> JobOutcome:
        return JobOutcome(self.expected, self.job, self.failure)


class JobPoller:
    """Polls jobs until all are over or the deadline passes."""

    def __init__(
        self,
        connection: VaultConnection,
        deadline: Deadline,
        poll_interval_s: float = 5.0,
    ) -> None:
        self._connection = connection
        self._clock = connection.clock
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._listed = 0

    def find(self, expected: Sequence[PendingJob]) -> dict[str, JobOutcome]:
        """Return the jobs by `VmId.key`, without waiting until they end."""
        limit = Deadline(self._clock, min(self._deadline.left(), _LONGEST_SEARCH_S))
        return self._run(expected, limit, lambda tracked: tracked.job is not None)

    def follow(self, expected: Sequence[PendingJob]) -> dict[str, JobOutcome]:
        """Return the outcome of each job by `VmId.key`. Polling errors are recorded, not raised."""
        return self._run(expected, self._deadline, _is_over)

    def follow_jobs(self, jobs: Sequence[Job]) -> list[JobOutcome]:
        """Return the outcomes of known jobs, in their order. Polling errors are not raised."""
        cases = []
        for job in jobs:
            group, _semicolon, name = job.container_key.rpartition(";")
            vm = VmId(self._connection.vault.subscription_id, group, job.vm_name or name)
            since = job.start_time or self._connection.server_now()
            cases.append(_TrackedJob(PendingJob(vm, job.operation, since)))
            cases[-1].job = job
        self._until(cases, self._deadline, _is_over)
        return [case.outcome for case in cases]

    def _run(
        self, expected: Sequence[PendingJob], limit: Deadline, enough: Callable[[_TrackedJob], bool]
    ) -> dict[str, JobOutcome]:
        cases = [_TrackedJob(pending) for pending in expected]
        self._until(cases, limit, enough)
        return {case.expected.vm.key: case.outcome for case in cases}

    def _until(
        self, cases: Sequence[_TrackedJob], limit: Deadline, enough: Callable[[_TrackedJob], bool]
    ) -> None:
        """Poll and settle the cases until all are settled or the deadline passes."""
        backoff = Backoff(self._clock, limit, self._poll_interval_s)
        progress = ProgressReporter(self._connection.report, self._clock, len(cases))
        error: VaultError | None = None
        self._settle([case for case in cases if enough(case)])
        while True:
            open_cases = [case for case in cases if not case.is_settled]
            if not open_cases:
                return
            try:
                self._poll(open_cases)
                error = None
            except VaultError as poll_error:
                error = poll_error
            self._settle([case for case in open_cases if not case.is_settled and enough(case)])
            progress.report(
                [
                    (case.expected.vm.name, case.expected.operation, case.job, case.is_settled)
                    for case in cases
                ],
                self._connection.server_now(),
            )
            left = [case for case in open_cases if not case.is_settled]
            if left and error is not None and error.kind not in _TRANSIENT:
                return self._give_up(left, error.failure)
            if left and not backoff.sleep(max(1, math.ceil(self._listed / _PAGE))):
                return self._time_out(left, limit, error)

    def _poll(self, cases: Sequence[_TrackedJob]) -> None:
        """Send one request: read the only open job, or list the jobs."""
        only = cases[0].job if len(cases) == 1 else None
        if only is not None:
            cases[0].job, self._listed = get_job(self._connection, only.id), 1
            return
        operations = {case.expected.operation for case in cases}
        jobs = list_jobs(
            self._connection,
            operation=operations.pop() if len(operations) == 1 else None,
            started_after=min(case.expected.since for case in cases) - _POSSIBLE,
        )
        self._listed = len(jobs)
        by_id = {job.id: job for job in jobs}
        taken = {case.job.id for case in cases if case.job}
        of_vm: dict[str, list[Job]] = {}
        for job in jobs:
            if job.id not in taken:
                of_vm.setdefault(job.container_key, []).append(job)
        for case in cases:
            if case.job is not None:
                case.job = by_id.get(case.job.id, case.job)
            else:
                self._match(case, of_vm.get(case.expected.vm.container_key, []))

    def _match(self, case: _TrackedJob, jobs: Sequence[Job]) -> None:
        """Find the job in the list, or ask its operation if the list is ambiguous."""
        certain, possible = matching(case.expected, jobs)
        if len(certain) == 1:
            case.job = certain[0]
            return
        now = self._connection.server_now()
        lags = now - case.expected.since >= _LAG
        if case.expected.operation_id is None:
            candidates = certain or (possible if lags else [])
            case.job = candidates[0] if candidates else None
            return
        may_read = case.operation_read is None or now - case.operation_read >= _LAG
        if certain or ((possible or lags) and may_read):
            case.operation_read = now
            try:
                self._read_operation(case, case.expected.operation_id)
            except VaultError as error:
                # An error of this VM alone must not end the other VMs.
                if error.is_wide or error.is_throttled:
                    raise
                if error.kind not in _TRANSIENT:
                    self._give_up([case], error.failure)

    def _read_operation(self, case: _TrackedJob, operation_id: str) -> None:
        vm = case.expected.vm
        operation = _operation(self._connection, operation_id, vm)
        named = [get_job(self._connection, job_id) for job_id in operation.job_ids]
        case.job = _job_of(vm, named)
        if case.job is not None:
            return
        if operation.has_failed or operation.failed_jobs:
            case.settle(failure_of_operation(operation, case.expected.operation, vm, operation_id))
        elif operation.has_succeeded:
            lacks = names_no_job(operation, case.expected.operation, vm, operation_id)
            is_proven_elsewhere = case.expected.may_lack_job and not operation.job_ids
            case.settle(None if is_proven_elsewhere else lacks)

    def _settle(self, cases: Sequence[_TrackedJob]) -> None:
        """Settle the cases, with details of the jobs that did not simply complete."""
        lacking = [case for case in cases if case.job and case.job.needs_details]
        for detailed in map_concurrently(
            lambda case: get_job(self._connection, _id(case)), lacking
        ):
            if detailed.error is None and detailed.value.is_over:
                detailed.item.job = detailed.value
        for case in cases:
            failed = case.job is not None and case.job.is_over and not case.job.succeeded
            case.settle(failure_of(case.job, case.expected.vm) if case.job and failed else None)

    def _give_up(self, cases: Sequence[_TrackedJob], failure: Failure) -> None:
        for case in cases:
            case.settle(
                replace(
                    failure,
                    message=f"{failure.message} {_continues(case)}",
                    vm=case.expected.vm.id,
                )
            )

    def _time_out(
        self, cases: Sequence[_TrackedJob], limit: Deadline, error: VaultError | None
    ) -> None:
        for case in cases:
            case.settle(_timed_out(case, limit.seconds, error))


def matching(expected: PendingJob, jobs: Sequence[Job]) -> tuple[list[Job], list[Job]]:
    """Return the jobs of the VM that match the expected job: the certain and the possible ones.

    The oldest comes first. A job that ended, or started long, before the request was accepted
    does not match. A job without a start is only possible: it may be old.
    """
    certain, possible = [], []
    for job in reversed(jobs):
        if job.operation.lower() != expected.operation.lower():
            continue
        if job.start_time is None:
            possible.append(job)
            continue
        start = job.start_time
        was_over = job.end_time is not None and job.end_time < expected.since
        if start >= expected.since - _CERTAIN and not was_over:
            certain.append(job)
        elif start >= expected.since - _POSSIBLE:
            possible.append(job)
    return certain, possible


def _job_of(vm: VmId, named: Sequence[Job]) -> Job | None:
    """Return the VM's own job of those that an operation names."""
    own = [job for job in named if job.container_key == vm.container_key]
    if not own and len(named) == 1 and not named[0].container_key:
        # The job names no VM, but the operation of this VM names no other job.
        return named[0]
    return own[0] if own else None


def _operation(connection: VaultConnection, operation_id: str, vm: VmId) -> OperationStatus:
    return read_operation(
        as_dict(
            connection.read(
                f"read operation {operation_id} of vault {connection.vault.name}",
                lambda: connection.backup.backup_operation_statuses.get(
                    **connection.vault_keywords, operation_id=operation_id
                ),
                vm,
            )
        )
    )


def _is_over(case: _TrackedJob) -> bool:
    return bool(case.job and case.job.is_over)


def _id(case: _TrackedJob) -> str:
    return case.job.id if case.job else ""


def _continues(case: _TrackedJob) -> str:
    if case.job is None:
        operation = case.expected.operation_id or "unknown"
        return f"Azure accepted the request, operation {operation}; its job is unknown."
    return f"Job {case.job.id} continues in Azure."


def _timed_out(case: _TrackedJob, seconds: float, error: VaultError | None) -> Failure:
    title = f"{case.expected.operation} of VM {case.expected.vm.name}"
    last = f" The last poll failed: {error.failure.message}" if error else ""
    if case.job is None:
        message = (
            f"{title}: no job was found within {format_duration(seconds)}. {_continues(case)}{last}"
        )
        advice = "Look for the job with quiesce.azure_backup.backup_job_info."
    else:
        message = (
            f"{title} was not over after {format_duration(seconds)}: job {case.job.id} is "
            f"{case.job.status} and continues in Azure.{last}"
        )
        advice = (
            "Wait for the job with quiesce.azure_backup.backup_job, "
            f"job_id {case.job.id} and state finished, or set a longer timeout."
        )
    return Failure("OperationTimedOut", message, advice, vm=case.expected.vm.id)
