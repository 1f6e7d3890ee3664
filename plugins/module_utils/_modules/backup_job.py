# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of a vault: wait for one, cancel one, list and count them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .._arm.connection import VaultConnection, map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId, equals_ignoring_case, last_segment
from .._arm.options import vault_arguments, wait_arguments
from .._arm.times import parse_time_option
from .._errors import Failure, QuiesceError, refuse
from .._vault.jobs.poller import JobOutcome, JobPoller
from .._vault.resources.jobs import (
    CANCELLED,
    CANCELLING,
    OPERATIONS,
    STATUSES,
    Job,
    get_job,
    list_jobs,
)

BACKUP_JOB_ARGUMENTS: Dict[str, Any] = {
    **vault_arguments(),
    **wait_arguments(28800),
    "job_id": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["cancelled", "finished"], "required": True},
}
BACKUP_JOB_INFO_ARGUMENTS: Dict[str, Any] = {
    **vault_arguments(),
    **wait_arguments(28800),
    "wait": {"type": "bool", "default": False},
    "job_id": {"type": "str"},
    "job_ids": {"type": "list", "elements": "str"},
    "vm": {"type": "str"},
    "vm_resource_group": {"type": "str"},
    "operation": {"type": "str", "choices": list(OPERATIONS)},
    "status": {"type": "str", "choices": list(STATUSES)},
    "started_after": {"type": "str"},
    "started_before": {"type": "str"},
}
_DAY = timedelta(days=1)
# Each 30 days are a list of their own.
_LONGEST_SPAN = timedelta(days=366)


class JobError(QuiesceError):
    """A job that did not come to the end that was asked for."""

    def __init__(self, failure: Failure, result: Dict[str, Any]) -> None:
        super().__init__(failure)
        self.result = result


def manage_job(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """Cancel a job, or wait until it is over."""
    job = get_job(connection, _id(params["job_id"]))
    if params["state"] == "cancelled":
        return _cancel(connection, params, job, check_mode)
    if not params["wait"] and not job.is_over:
        refuse(
            "ContradictoryOptions",
            "state=finished is to wait for the job, and cannot be had with wait=false.",
            "Leave wait out, or look at the job with quiesce.azure_backup.backup_job_info.",
        )
    if check_mode and not job.is_over:
        return _result(job)
    outcome = _until_over(connection, params, job)
    if outcome.failure:
        raise JobError(outcome.failure, _result(outcome.job or job))
    return _result(outcome.job or job)


def list_jobs_result(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """The jobs that the filters leave, or those asked for by their ids, and the day's counts."""
    del check_mode
    after = parse_time_option("started_after", params["started_after"])
    before = parse_time_option("started_before", params["started_before"], end_of_day=True)
    if after and (before or connection.clock.now()) - after > _LONGEST_SPAN:
        refuse("InvalidTime", "started_after: at most 366 days are listed at a time.")
    vm = _vm(connection, params)
    ids = [_id(text) for text in [params["job_id"], *(params["job_ids"] or ())] if text is not None]
    if params["wait"] and not ids:
        refuse("MissingJobIds", "wait needs job_id or job_ids: the jobs to wait for.")
    if ids:
        jobs = _by_ids(connection, params, list(dict.fromkeys(ids)))
        today = _of_today(connection)
    else:
        jobs, today = _listed(connection, params, after, before)
        jobs = [job for job in jobs if _is_wanted(params, vm, job)]
    return {
        "changed": False,
        "jobs": [job.to_result() for job in jobs],
        "counts": count(today),
    }


def count(jobs: Sequence[Job]) -> Dict[str, int]:
    """How many jobs have each status, 0 where none has."""
    found = Counter(job.status for job in jobs)
    return {**dict.fromkeys(STATUSES, 0), **found}


def _cancel(
    connection: VaultConnection, params: Mapping[str, Any], job: Job, check_mode: bool
) -> Dict[str, Any]:
    """Cancel the job, unless it is over; one that is being cancelled already is waited for."""
    if job.is_over:
        return _result(job)
    asked = not equals_ignoring_case(job.status, CANCELLING)
    if asked and not job.cancellable:
        raise JobError(_not_cancellable(job), _result(job))
    if check_mode:
        return _result(job, changed=asked)
    if asked:
        try:
            connection.start(
                f"cancel job {job.id}",
                lambda **options: connection.backup.job_cancellations.trigger(
                    **connection.at, job_name=job.id, **options
                ),
            )
        except VaultError as error:
            # It may have ended, or another may have cancelled it, in the meantime.
            job = get_job(connection, job.id)
            if not job.is_over and not equals_ignoring_case(job.status, CANCELLING):
                raise JobError(error.failure, _result(job)) from error
            # Where only the answer was lost, it was most likely this request.
            asked = error.is_doubtful
    if not params["wait"]:
        return _result(get_job(connection, job.id), changed=asked)
    outcome = _until_over(connection, params, job)
    job = outcome.job or job
    if outcome.failure and not job.is_over:
        raise JobError(outcome.failure, _result(job, changed=asked))
    return _result(job, changed=asked and equals_ignoring_case(job.status, CANCELLED))


def _not_cancellable(job: Job) -> Failure:
    return Failure(
        "JobNotCancellable",
        f"Job {job.id} ({job.operation} of VM {job.vm_name}, {job.status}) cannot be cancelled: "
        "Azure does not offer it for this job, or not at the stage that it is at.",
        "Wait for it with state=finished.",
    )


def _until_over(connection: VaultConnection, params: Mapping[str, Any], job: Job) -> JobOutcome:
    follower = JobPoller(connection, connection.deadline, params["poll_interval"])
    return follower.follow_jobs([job])[0]


def _result(job: Job, changed: bool = False) -> Dict[str, Any]:
    ending: Dict[str, Any] = {"changed": changed, "job": job.to_result()}
    if job.warning:
        ending["warnings"] = [f"Job {job.id}, {job.operation} of VM {job.vm_name}: {job.warning}"]
    return ending


def _by_ids(
    connection: VaultConnection, params: Mapping[str, Any], ids: Sequence[str]
) -> List[Job]:
    jobs = _details(connection, ids)
    if not params["wait"]:
        return jobs
    follower = JobPoller(connection, connection.deadline, params["poll_interval"])
    outcomes = follower.follow_jobs(jobs)
    late = [one for one in outcomes if one.failure and not (one.job and one.job.is_over)]
    if late and late[0].failure:
        known = [one.job.to_result() for one in outcomes if one.job]
        raise JobError(late[0].failure, {"changed": False, "jobs": known})
    found = [one.job for one in outcomes if one.job]
    detailed = _details(connection, [job.id for job in found if not job.is_detailed])
    by_id = {job.id: job for job in detailed}
    return [by_id.get(job.id, job) for job in found]


def _details(connection: VaultConnection, ids: Sequence[str]) -> List[Job]:
    found = []
    for _job_id, job in map_concurrently(lambda job_id: get_job(connection, job_id), ids):
        if isinstance(job, VaultError):
            raise job
        found.append(job)
    return found


def _listed(
    connection: VaultConnection,
    params: Mapping[str, Any],
    after: Optional[datetime],
    before: Optional[datetime],
) -> "tuple[List[Job], List[Job]]":
    """The jobs between two times, and those of the last 24 hours: from one list if it can be."""
    if after is None and before is None:
        today = _of_today(connection)
        return today, today
    jobs = list_jobs(
        connection,
        operation=params["operation"],
        status=params["status"],
        started_after=after,
        started_before=before,
    )
    return jobs, _of_today(connection)


def _of_today(connection: VaultConnection) -> List[Job]:
    """The jobs that began within the last 24 hours, by the service's clock."""
    listed = list_jobs(connection, started_after=connection.server_now() - _DAY)
    since = connection.server_now() - _DAY
    return [job for job in listed if job.start_time is None or job.start_time >= since]


def _vm(connection: VaultConnection, params: Mapping[str, Any]) -> Optional[VmId]:
    if not params["vm"]:
        return None
    group = params["vm_resource_group"] or connection.vault.resource_group
    return VmId.parse(params["vm"], connection.vault.subscription_id, group)


def _is_wanted(params: Mapping[str, Any], vm: Optional[VmId], job: Job) -> bool:
    if vm and job.container_key != vm.container_key:
        return False
    wanted = ((params["operation"], job.operation), (params["status"], job.status))
    return all(asked is None or equals_ignoring_case(asked, has) for asked, has in wanted)


def _id(text: str) -> str:
    """The id of a job, which may be given as its resource id."""
    job_id = last_segment(text.strip())
    # Nothing, and what is no id, would read the list of jobs, which is never over.
    if not re.fullmatch(r"[\w-]+", job_id):
        refuse(
            "InvalidJobId",
            f"{text!r} is not the id of a job.",
            "Give the job_id that quiesce.azure_backup.vm_backup or backup_job_info has returned.",
        )
    return job_id
