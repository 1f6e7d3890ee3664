# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules `backup_job` and `backup_job_info`, from options to result."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from .._arm.connection import map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import VmId, equals_ignoring_case, last_segment
from .._arm.times import parse_time_option
from .._errors import Failure, QuiesceError, SettingsError
from .._vault.connection import VaultConnection
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
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import VAULT, wait_spec

_TIMEOUT_S = 28800
BACKUP_JOB = VAULT.merge(
    wait_spec(_TIMEOUT_S),
    ArgumentSpec(
        {
            "job_id": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["cancelled", "finished"], "required": True},
        }
    ),
)
BACKUP_JOB_INFO = VAULT.merge(
    wait_spec(_TIMEOUT_S),
    ArgumentSpec(
        {
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
    ),
)
_DAY = timedelta(days=1)
# Azure lists at most 30 days in one request.
_LONGEST_SPAN = timedelta(days=366)


class JobError(QuiesceError):
    """A job that failed, was cancelled, or did not finish in time."""

    def __init__(self, failure: Failure, result: dict[str, Any]) -> None:
        super().__init__(failure)
        self.result = result


def manage_job(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Cancel a job, or wait until it has finished."""
    params = context.params
    job = get_job(connection, _id(params["job_id"]))
    if params["state"] == "cancelled":
        return _cancel(connection, context, job)
    if not params["wait"] and not job.is_over:
        raise SettingsError(
            Failure(
                "ContradictoryOptions",
                "state=finished waits for the job, and contradicts wait=false.",
                "Omit wait, or read the job with quiesce.azure_backup.backup_job_info.",
            )
        )
    if context.check_mode and not job.is_over:
        return _result(job)
    outcome = _until_over(connection, params, job)
    if outcome.failure:
        raise JobError(outcome.failure, _result(outcome.job or job))
    return _result(outcome.job or job)


def list_jobs_result(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Return the jobs that match the filters or have the given IDs, and the counts of the day."""
    params = context.params
    after = parse_time_option("started_after", params["started_after"])
    before = parse_time_option("started_before", params["started_before"], end_of_day=True)
    if after and (before or connection.clock.now()) - after > _LONGEST_SPAN:
        raise SettingsError(
            Failure(
                "InvalidTime",
                "The span from started_after is longer than 366 days.",
                "Set started_after or started_before to a span of 366 days at most.",
            )
        )
    vm = _vm(connection, params)
    ids = [_id(text) for text in [params["job_id"], *(params["job_ids"] or ())] if text is not None]
    if params["wait"] and not ids:
        raise SettingsError(
            Failure(
                "MissingJobIds",
                "wait is true, but neither job_id nor job_ids names a job to wait for.",
                "Set job_id or job_ids.",
            )
        )
    if ids:
        jobs = _by_ids(connection, params, list(dict.fromkeys(ids)))
        today = _jobs_of_today(connection)
    else:
        jobs, today = _listed(connection, params, after, before)
        jobs = [job for job in jobs if _matches(params, vm, job)]
    return {
        "changed": False,
        "jobs": [job.to_result() for job in jobs],
        "counts": count(today),
    }


def count(jobs: Sequence[Job]) -> dict[str, int]:
    """Return the number of jobs by status, including statuses without jobs."""
    found = Counter(job.status for job in jobs)
    return {**dict.fromkeys(STATUSES, 0), **found}


def _cancel(connection: VaultConnection, context: TaskContext, job: Job) -> dict[str, Any]:
    """Cancel a job that runs, and wait for a job that is already being cancelled."""
    params = context.params
    if job.is_over:
        return _result(job)
    changed = not equals_ignoring_case(job.status, CANCELLING)
    if changed and not job.cancellable:
        raise JobError(_not_cancellable(job), _result(job))
    if context.check_mode:
        return _result(job, changed=changed)
    if changed:
        try:
            connection.start(
                f"cancel job {job.id}",
                lambda **options: connection.backup.job_cancellations.trigger(
                    **connection.vault_keywords, job_name=job.id, **options
                ),
            )
        except VaultError as error:
            # It may have ended since, or another client may have cancelled it.
            try:
                job = get_job(connection, job.id)
            except VaultError:
                raise JobError(error.failure, _result(job, changed=error.is_doubtful)) from error
            if not job.is_over and not equals_ignoring_case(job.status, CANCELLING):
                raise JobError(error.failure, _result(job)) from error
            # If only the response was lost, this request most likely took effect.
            changed = error.is_doubtful
    if not params["wait"]:
        try:
            return _result(get_job(connection, job.id), changed=changed)
        except VaultError as error:
            raise JobError(error.failure, _result(job, changed=changed)) from error
    outcome = _until_over(connection, params, job)
    job = outcome.job or job
    if outcome.failure and not job.is_over:
        raise JobError(outcome.failure, _result(job, changed=changed))
    return _result(job, changed=changed and equals_ignoring_case(job.status, CANCELLED))


def _not_cancellable(job: Job) -> Failure:
    return Failure(
        "JobNotCancellable",
        f"Job {job.id} ({job.operation} of VM {job.vm_name}, {job.status}) cannot be cancelled: "
        "Azure does not allow it for this job, or not at its present stage.",
        "Wait for the job with state=finished.",
    )


def _until_over(connection: VaultConnection, params: Mapping[str, Any], job: Job) -> JobOutcome:
    poller = JobPoller(connection, connection.deadline, params["poll_interval"])
    return poller.follow_jobs([job])[0]


def _result(job: Job, changed: bool = False) -> dict[str, Any]:
    ending: dict[str, Any] = {"changed": changed, "job": job.to_result()}
    if job.warning:
        ending["warnings"] = [f"Job {job.id}, {job.operation} of VM {job.vm_name}: {job.warning}"]
    return ending


def _by_ids(
    connection: VaultConnection, params: Mapping[str, Any], ids: Sequence[str]
) -> list[Job]:
    jobs = _details(connection, ids)
    if not params["wait"]:
        return jobs
    poller = JobPoller(connection, connection.deadline, params["poll_interval"])
    outcomes = poller.follow_jobs(jobs)
    late = [each for each in outcomes if each.failure and not (each.job and each.job.is_over)]
    if late and late[0].failure:
        known = [each.job.to_result() for each in outcomes if each.job]
        raise JobError(late[0].failure, {"changed": False, "jobs": known})
    found = [each.job for each in outcomes if each.job]
    detailed = _details(connection, [job.id for job in found if not job.is_detailed])
    by_id = {job.id: job for job in detailed}
    return [by_id.get(job.id, job) for job in found]


def _details(connection: VaultConnection, ids: Sequence[str]) -> list[Job]:
    outcomes = map_concurrently(lambda job_id: get_job(connection, job_id), ids)
    return [outcome.value for outcome in outcomes]


def _listed(
    connection: VaultConnection,
    params: Mapping[str, Any],
    after: datetime | None,
    before: datetime | None,
) -> tuple[list[Job], list[Job]]:
    """Return the jobs between two times, and the jobs of the last 24 hours."""
    if after is None and before is None:
        today = _jobs_of_today(connection)
        return today, today
    jobs = list_jobs(
        connection,
        operation=params["operation"],
        status=params["status"],
        started_after=after,
        started_before=before,
    )
    return jobs, _jobs_of_today(connection)


def _jobs_of_today(connection: VaultConnection) -> list[Job]:
    """Return the jobs that started within the last 24 hours by Azure's clock."""
    listed = list_jobs(connection, started_after=connection.server_now() - _DAY)
    since = connection.server_now() - _DAY
    return [job for job in listed if job.start_time is None or job.start_time >= since]


def _vm(connection: VaultConnection, params: Mapping[str, Any]) -> VmId | None:
    if params["vm"] is None:
        return None
    group = params["vm_resource_group"] or connection.vault.resource_group
    return VmId.parse(params["vm"], connection.vault.subscription_id, group)


def _matches(params: Mapping[str, Any], vm: VmId | None, job: Job) -> bool:
    if vm and job.container_key != vm.container_key:
        return False
    filters = ((params["operation"], job.operation), (params["status"], job.status))
    return all(value is None or equals_ignoring_case(value, found) for value, found in filters)


def _id(text: str) -> str:
    """Return the ID of a job that is given by its ID or its resource ID."""
    job_id = last_segment(text.strip())
    # An empty or invalid ID would read the list of jobs, which never finishes.
    if not re.fullmatch(r"[\w-]+", job_id):
        raise SettingsError(
            Failure(
                "InvalidJobId",
                f"{text!r} is not the ID of a job.",
                "Set job_id or job_ids to a job_id that quiesce.azure_backup.vm_backup or "
                "quiesce.azure_backup.backup_job_info returned.",
            )
        )
    return job_id
