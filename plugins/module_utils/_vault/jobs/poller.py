# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow the jobs of many VMs to their ends: one list a look, for all of them together.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Callable, Dict, List, Optional, Sequence, Tuple

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

# A job may have begun this long before the answer that accepted it; one that is older is another.
_SURELY_OURS = timedelta(seconds=15)
_PERHAPS_OURS = timedelta(seconds=60)
# How long the list may lag before an operation is asked for its job.
_LAG = timedelta(seconds=60)
# A list of more jobs has more pages, each of which counts as a request.
_PAGE = 200
_LONGEST_SEARCH_S = 300.0
# Errors of one look, after which the next may well succeed.
_PASSING = frozenset({"service", "connection", "answer"})


@dataclass(frozen=True)
class PendingJob:
    """A job that must be there, as the service accepted what starts it at C(since), its time."""

    vm: VmId
    operation: str
    since: datetime
    operation_id: Optional[str] = None
    #: The caller has other proof of what was done: an operation may succeed and name no job.
    may_lack_job: bool = False


@dataclass(frozen=True)
class JobOutcome:
    """What became of it. It has a job or a failure, unless C(may_lack_job)."""

    expected: PendingJob
    job: Optional[Job]
    failure: Optional[Failure]


class Jobs:
    """The service, as far as following needs it."""

    def __init__(self, connection: VaultConnection) -> None:
        self._connection = connection

    def list(self, operation: Optional[str], since: datetime) -> List[Job]:
        """All jobs that began since then, of one operation or of all: one list."""
        return list_jobs(self._connection, operation=operation, started_after=since)

    def get(self, job_id: str) -> Job:
        """One job with its details."""
        return get_job(self._connection, job_id)

    def operation(self, operation_id: str, vm: VmId) -> OperationStatus:
        """The state of an operation."""
        connection = self._connection
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


class _TrackedJob:
    """One expected job while it is followed."""

    def __init__(self, expected: PendingJob) -> None:
        self.expected = expected
        self.job: Optional[Job] = None
        self.failure: Optional[Failure] = None
        self.is_settled = False
        self.asked: Optional[datetime] = None

    def settle(self, failure: Optional[Failure] = None) -> None:
        self.failure = failure
        self.is_settled = True

    @property
    def outcome(self) -> JobOutcome:
        return JobOutcome(self.expected, self.job, self.failure)


class JobPoller:
    """Looks at the jobs until all are over, or the deadline has passed."""

    def __init__(
        self,
        connection: VaultConnection,
        deadline: Deadline,
        poll_interval_s: float = 5.0,
        jobs: Optional[Jobs] = None,
    ) -> None:
        self._connection = connection
        self._clock = connection.clock
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._jobs = jobs or Jobs(connection)
        self._listed = 0

    def find(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        """The jobs themselves, by C(VmId.key), without waiting for their ends."""
        limit = Deadline(self._clock, min(self._deadline.left(), _LONGEST_SEARCH_S))
        return self._run(expected, limit, lambda case: case.job is not None)

    def follow(self, expected: Sequence[PendingJob]) -> Dict[str, JobOutcome]:
        """What became of each, by C(VmId.key). Raises nothing for what befalls the looks."""
        return self._run(expected, self._deadline, lambda case: bool(case.job and case.job.is_over))

    def follow_jobs(self, jobs: Sequence[Job]) -> List[JobOutcome]:
        """The same for jobs that are known already, of whatever VMs, in their order."""
        cases = []
        for job in jobs:
            group, _semicolon, name = job.container_key.rpartition(";")
            vm = VmId(self._connection.vault.subscription_id, group, job.vm_name or name)
            since = job.start_time or self._connection.server_now()
            cases.append(_TrackedJob(PendingJob(vm, job.operation, since)))
            cases[-1].job = job
        self._until(cases, self._deadline, lambda case: bool(case.job and case.job.is_over))
        return [case.outcome for case in cases]

    def _run(
        self, expected: Sequence[PendingJob], limit: Deadline, enough: Callable[[_TrackedJob], bool]
    ) -> Dict[str, JobOutcome]:
        cases = [_TrackedJob(one) for one in expected]
        self._until(cases, limit, enough)
        return {case.expected.vm.key: case.outcome for case in cases}

    def _until(
        self, cases: Sequence[_TrackedJob], limit: Deadline, enough: Callable[[_TrackedJob], bool]
    ) -> None:
        """Look, and settle the cases, until there is none left or no time for another look."""
        backoff = Backoff(self._clock, limit, self._poll_interval_s)
        lines = ProgressReporter(self._connection.report, self._clock, len(cases))
        trouble: Optional[VaultError] = None
        self._settle([case for case in cases if enough(case)])
        while True:
            open_cases = [case for case in cases if not case.is_settled]
            if not open_cases:
                return
            try:
                self._look(open_cases)
                trouble = None
            except VaultError as error:
                trouble = error
            self._settle([case for case in open_cases if not case.is_settled and enough(case)])
            lines.report(
                [
                    (case.expected.vm.name, case.expected.operation, case.job, case.is_settled)
                    for case in cases
                ],
                self._connection.server_now(),
            )
            left = [case for case in open_cases if not case.is_settled]
            if left and trouble is not None and trouble.kind not in _PASSING:
                return self._give_up(left, trouble.failure)
            if left and limit.passed:
                return self._time_out(left, limit, trouble)
            if left:
                backoff.sleep(max(1, math.ceil(self._listed / _PAGE)))

    def _look(self, cases: Sequence[_TrackedJob]) -> None:
        """One request: the only job that is left, or the list."""
        only = cases[0].job if len(cases) == 1 else None
        if only is not None:
            cases[0].job, self._listed = self._jobs.get(only.id), 1
            return
        operations = {case.expected.operation for case in cases}
        since = min(case.expected.since for case in cases) - _PERHAPS_OURS
        jobs = self._jobs.list(operations.pop() if len(operations) == 1 else None, since)
        self._listed = len(jobs)
        by_id = {job.id: job for job in jobs}
        taken = {case.job.id for case in cases if case.job}
        of_vm: Dict[str, List[Job]] = {}
        for job in jobs:
            if job.id not in taken:
                of_vm.setdefault(job.container_key, []).append(job)
        for case in cases:
            if case.job is not None:
                case.job = by_id.get(case.job.id, case.job)
            else:
                self._match(case, of_vm.get(case.expected.vm.container_key, []))

    def _match(self, case: _TrackedJob, jobs: Sequence[Job]) -> None:
        """Find the job of a case, of the operation itself where the list leaves doubt."""
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
        asked_long_ago = case.asked is None or now - case.asked >= _LAG
        if certain or ((possible or lags) and asked_long_ago):
            case.asked = now
            try:
                self._ask(case, case.expected.operation_id)
            except VaultError as error:
                # What concerns this VM alone must not end the others.
                if error.is_wide or error.is_throttled:
                    raise
                if error.kind not in _PASSING:
                    self._give_up([case], error.failure)

    def _ask(self, case: _TrackedJob, operation_id: str) -> None:
        vm = case.expected.vm
        operation = self._jobs.operation(operation_id, vm)
        case.job = _job_of(vm, [self._jobs.get(job_id) for job_id in operation.job_ids])
        if case.job is not None:
            return
        if operation.has_failed or operation.failed_jobs:
            case.settle(failure_of_operation(operation, case.expected.operation, vm, operation_id))
        elif operation.has_succeeded:
            lacks = names_no_job(operation, case.expected.operation, vm, operation_id)
            is_proven_elsewhere = case.expected.may_lack_job and not operation.job_ids
            case.settle(None if is_proven_elsewhere else lacks)

    def _settle(self, cases: Sequence[_TrackedJob]) -> None:
        """End the cases, with the details of those that did not simply succeed."""
        lacking = [case for case in cases if case.job and case.job.needs_details]
        for outcome in map_concurrently(lambda case: self._jobs.get(_id(case)), lacking):
            if outcome.error is None and outcome.value.is_over:
                outcome.item.job = outcome.value
        for case in cases:
            failed = case.job is not None and case.job.is_over and not case.job.succeeded
            case.settle(failure_of(case.job, case.expected.vm) if case.job and failed else None)

    def _give_up(self, cases: Sequence[_TrackedJob], failure: Failure) -> None:
        for case in cases:
            case.settle(
                replace(
                    failure,
                    message=f"{failure.message} {_goes_on(case)}",
                    vm=case.expected.vm.id,
                )
            )

    def _time_out(
        self, cases: Sequence[_TrackedJob], limit: Deadline, trouble: Optional[VaultError]
    ) -> None:
        for case in cases:
            case.settle(_timed_out(case, limit.seconds, trouble))


def matching(expected: PendingJob, jobs: Sequence[Job]) -> Tuple[List[Job], List[Job]]:
    """The jobs of the VM that are the expected one: by all that is known, and perhaps.

    The oldest comes first. A job that ended before the expected one was accepted, or began long
    before, is another. One without a start is possible only: nothing tells it from an old one.
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
        if start >= expected.since - _SURELY_OURS and not was_over:
            certain.append(job)
        elif start >= expected.since - _PERHAPS_OURS:
            possible.append(job)
    return certain, possible


def _job_of(vm: VmId, named: Sequence[Job]) -> Optional[Job]:
    """Return the VM's own job of those that an operation names."""
    own = [job for job in named if job.container_key == vm.container_key]
    if not own and len(named) == 1 and not named[0].container_key:
        # The operation of this VM alone names it, and Azure does not say of which VM it is.
        return named[0]
    return own[0] if own else None


def _id(case: _TrackedJob) -> str:
    return case.job.id if case.job else ""


def _goes_on(case: _TrackedJob) -> str:
    if case.job is None:
        operation = case.expected.operation_id or "unknown"
        return f"Azure has accepted it, operation {operation}; its job is not known."
    return f"Job {case.job.id} goes on in Azure."


def _timed_out(case: _TrackedJob, seconds: float, trouble: Optional[VaultError]) -> Failure:
    what = f"{case.expected.operation} of VM {case.expected.vm.name}"
    last = f" The last look failed: {trouble.failure.message}" if trouble else ""
    if case.job is None:
        message = (
            f"{what}: no job was found within {format_duration(seconds)}. {_goes_on(case)}{last}"
        )
        advice = "Look for the job with quiesce.azure_backup.backup_job_info."
    else:
        message = (
            f"{what} was not over after {format_duration(seconds)}: job {case.job.id} is "
            f"{case.job.status}.{last}"
        )
        advice = (
            "The job goes on in Azure. Wait for it with quiesce.azure_backup.backup_job, "
            f"job_id {case.job.id} and state finished, or give a longer timeout."
        )
    return Failure("OperationTimedOut", message, advice, vm=case.expected.vm.id)
