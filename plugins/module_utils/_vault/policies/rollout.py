# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Follow the jobs by which Azure carries a changed policy to the VMs that are under it.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence

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
    "When that is mended, change the policy again, or put the VM under the policy again with "
    "quiesce.azure_backup.protected_vm."
)


@dataclass(frozen=True)
class PolicyJob:
    """A VM to which Azure carries the policy, by one job."""

    job_id: str
    job: Optional[Job] = None
    failure: Optional[Failure] = None

    @property
    def name(self) -> str:
        """Return the VM's name; the job's id where the job does not tell it."""
        return (self.job.vm_name if self.job else "") or self.job_id

    def to_result(self) -> Dict[str, Any]:
        """Return the row of a result."""
        job = self.job
        return {
            "name": (job.vm_name if job else "") or None,
            "resource_group": (job.container_key.partition(";")[0] if job else "") or None,
            "job_id": self.job_id or None,
            "status": job.status if job else None,
            "failure": self.failure.to_result() if self.failure else None,
        }


class PolicyRolloutError(QuiesceError):
    """A policy that is stored, and not shown to be with every VM; C(result) has each VM."""

    def __init__(self, title: str, carried: Sequence[PolicyJob], result: Dict[str, Any]) -> None:
        failed = [(one.name, one.failure) for one in carried if one.failure is not None]
        said = VmFailuresError(failed, len(carried), result).failure
        message = f"The {title} is stored, but not every VM is shown to have it: {said.message}"
        super().__init__(replace(said, message=message))
        self.result = result


def follow_jobs(connection: VaultConnection, operation: OperationStatus) -> List[PolicyJob]:
    """Follow the jobs that an operation on a policy names, to their ends or to the deadline."""
    names = tuple(dict.fromkeys((*operation.job_ids, *operation.failed_jobs)))
    found = map_concurrently(lambda job_id: get_job(connection, job_id), names)
    known = [outcome.value for outcome in found if outcome.error is None]
    follower = JobPoller(connection, connection.deadline, _POLL_INTERVAL_S)
    outcomes = {job.id: one for job, one in zip(known, follower.follow_jobs(known))}
    return [_carried(operation, outcome, outcomes) for outcome in found]


def _carried(
    operation: OperationStatus, read: TaskOutcome[str, Job], outcomes: Dict[str, JobOutcome]
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
    """Return the failure of a job of which the operation says no more than its error code."""
    name = code or "JobFailed"
    whose = f"VM {vm_name}" if vm_name else "a VM"
    return Failure(
        name,
        f"Job {job_id}, which carries the policy to {whose}, failed: {name}.",
        recommended(name, "") or _READ_JOB.format(job_id=job_id),
        int(code) if code.isdecimal() else None,
    )
