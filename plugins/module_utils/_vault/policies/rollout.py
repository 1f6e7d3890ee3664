# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs that roll a changed policy out to the VMs under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..._arm.advice import recommended
from ..._arm.connection import TaskOutcome, map_concurrently
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection
from ..jobs.operations import OperationStatus
from ..jobs.poller import JobOutcome, JobPoller
from ..resources.jobs import Job, get_job
from ..vm_failures import VmFailuresError

_POLL_INTERVAL_S = 5.0
_READ_JOB = "Read the job with quiesce.azure_backup.backup_job_info, job_id {job_id}."
_AGAIN = (
    "Fix the cause, then change the policy again, or put the VM under the policy again with "
    "quiesce.azure_backup.protected_vm."
)


@dataclass(frozen=True)
class PolicyJob:
    """One job that rolls the policy out to one VM."""

    job_id: str
    job: Job | None = None
    failure: Failure | None = None

    @property
    def name(self) -> str:
        """The VM's name, or the job's id if the job does not name a VM."""
        return (self.job.vm_name if self.job else "") or self.job_id

    def to_result(self) -> dict[str, Any]:
        """Return the job as part of a result."""
        job = self.job
        return {
            "name": (job.vm_name if job else "") or None,
            "resource_group": (job.container_key.partition(";")[0] if job else "") or None,
            "job_id": self.job_id or None,
            "status": job.status if job else None,
            "failure": self.failure.to_result() if self.failure else None,
        }


class PolicyRolloutError(QuiesceError):
    """A policy that is stored but not proven for every VM; `result` has each VM."""

    def __init__(self, title: str, jobs: Sequence[PolicyJob], result: dict[str, Any]) -> None:
        failed = [(job.name, job.failure) for job in jobs if job.failure is not None]
        failure = VmFailuresError(failed, len(jobs), result).failure
        message = f"The {title} is stored, but not proven for every VM: {failure.message}"
        super().__init__(replace(failure, message=message))
        self.result = result


def follow_jobs(connection: VaultConnection, operation: OperationStatus) -> list[PolicyJob]:
    """Follow the jobs that an operation names until they end or the deadline passes."""
    names = tuple(dict.fromkeys((*operation.job_ids, *operation.failed_jobs)))
    found = map_concurrently(lambda job_id: get_job(connection, job_id), names)
    known = [outcome.value for outcome in found if outcome.error is None]
    poller = JobPoller(connection, connection.deadline, _POLL_INTERVAL_S)
    outcomes = {job.id: outcome for job, outcome in zip(known, poller.follow_jobs(known))}
    return [_policy_job(operation, outcome, outcomes) for outcome in found]


def _policy_job(
    operation: OperationStatus, read: TaskOutcome[str, Job], outcomes: dict[str, JobOutcome]
) -> PolicyJob:
    job_id = read.item
    code = operation.failed_jobs.get(job_id)
    if read.error is not None:
        if code is None:
            return PolicyJob(job_id, None, read.error.failure)
        return PolicyJob(job_id, None, _failed(job_id, code, ""))
    outcome = outcomes[read.value.id]
    job = outcome.job or read.value
    failure = outcome.failure
    if failure is None and code is not None:
        failure = _failed(job_id, code, job.vm_name)
    if failure is not None and job.is_over:
        advice = f"{failure.recommended_action} {_AGAIN}".strip()
        failure = replace(failure, recommended_action=advice)
    return PolicyJob(job_id, job, failure)


def _failed(job_id: str, code: str, vm_name: str) -> Failure:
    """Return the failure of a job that the operation names with an error code alone."""
    name = code or "JobFailed"
    owner = f"VM {vm_name}" if vm_name else "a VM"
    return Failure(
        name,
        f"Job {job_id}, which rolls the policy out to {owner}, failed: {name}.",
        recommended(name, "") or _READ_JOB.format(job_id=job_id),
        int(code) if code.isdecimal() else None,
    )
