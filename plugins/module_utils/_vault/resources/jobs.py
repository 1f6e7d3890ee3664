# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs of a vault and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ..._arm.advice import recommended
from ..._arm.connection import as_dict
from ..._arm.ids import VmId, container_key, last_segment
from ..._arm.times import format_for_filter, format_utc, parse_duration, parse_time
from ..._errors import Failure
from ..connection import VaultConnection
from ..filters import MANAGEMENT_TYPE

IN_PROGRESS, CANCELLING = "InProgress", "Cancelling"
COMPLETED, WITH_WARNINGS, FAILED, CANCELLED = (
    "Completed",
    "CompletedWithWarnings",
    "Failed",
    "Cancelled",
)
#: Every status that a job of a VM has, in the order of the portal's dashboard.
STATUSES = (COMPLETED, WITH_WARNINGS, FAILED, IN_PROGRESS, CANCELLING, CANCELLED)
OPERATIONS = (
    "Backup",
    "ConfigureBackup",
    "CrossRegionRestore",
    "DeleteBackupData",
    "DisableBackup",
    "Register",
    "Restore",
    "Undelete",
    "UnRegister",
)
# A job with an unknown status may still run.
_OVER = frozenset(status.lower() for status in (COMPLETED, WITH_WARNINGS, FAILED, CANCELLED)) | {
    "canceled"
}
# The service needs both ends of a window, and refuses a window of more than 30 days.
_WINDOW = timedelta(days=30)
_CANCELLABLE = ("cancellable", "1")


@dataclass(frozen=True)
class Task:
    """One step of a job."""

    name: str
    status: str
    duration_s: float | None = None

    def to_result(self) -> dict[str, Any]:
        """Return the task as part of a result."""
        return {"name": self.name, "status": self.status, "duration_s": self.duration_s}


@dataclass(frozen=True)
class Job:
    """One job. Lists omit the tasks, the properties and some errors."""

    id: str
    operation: str
    status: str
    vm_name: str
    container_key: str
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration_s: float | None = None
    cancellable: bool = False
    error_code: int | None = None
    error_name: str = ""
    error_message: str = ""
    recommendations: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    percent: float | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_over(self) -> bool:
        """Return True if the job has ended."""
        return self.status.lower() in _OVER

    @property
    def succeeded(self) -> bool:
        """Return True if the job succeeded, with or without warnings."""
        return self.status.lower() in (COMPLETED.lower(), WITH_WARNINGS.lower())

    @property
    def needs_details(self) -> bool:
        """Return True if the job did not simply complete and its error is missing."""
        return self.is_over and self.status.lower() != COMPLETED.lower() and not self.error_code

    @property
    def is_detailed(self) -> bool:
        """Return True if the job was read by its id, not from a list."""
        return "extendedInfo" in (self.raw.get("properties") or {})

    @property
    def task(self) -> str:
        """Return the name of the step in progress, or an empty string."""
        return next((task.name for task in self.tasks if task.status.lower() == "inprogress"), "")

    @property
    def warning(self) -> str:
        """Return the error of a job that succeeded with warnings, or an empty string."""
        if not self.succeeded or not (self.error_message or self.error_name):
            return ""
        return self.explained

    @property
    def explained(self) -> str:
        """Return Azure's code, name and message."""
        code = f" ({self.error_code})" if self.error_code else ""
        name = f"{self.error_name or 'error'}{code}: " if self.error_name or code else ""
        return f"{name}{self.error_message or 'Azure gave no reason.'}"

    def to_result(self) -> dict[str, Any]:
        """Return the job as part of a result."""
        return {
            "job_id": self.id,
            "operation": self.operation,
            "status": self.status,
            "vm": self.vm_name,
            "resource_group": self.container_key.partition(";")[0] or None,
            "start_time": format_utc(self.start_time),
            "end_time": format_utc(self.end_time),
            "duration_s": self.duration_s,
            "cancellable": self.cancellable and not self.is_over,
            "percent": self.percent,
            "tasks": [task.to_result() for task in self.tasks],
            "properties": dict(self.properties),
            "error": self._error(),
        }

    def _error(self) -> dict[str, Any] | None:
        if not (self.error_code or self.error_message or self.error_name):
            return None
        return {
            "code": self.error_code,
            "name": self.error_name or None,
            "message": self.error_message,
            "recommendations": list(self.recommendations),
        }


def read_job(resource: Mapping[str, Any]) -> Job:
    """Read a job from Azure's JSON, of a list or of a single read."""
    properties = resource.get("properties") or {}
    details = properties.get("extendedInfo") or {}
    errors = [error for error in properties.get("errorDetails") or () if isinstance(error, Mapping)]
    first: Mapping[str, Any] = errors[0] if errors else {}
    actions = [str(action).lower() for action in properties.get("actionsInfo") or ()]
    return Job(
        id=str(resource.get("name") or last_segment(str(resource.get("id") or ""))),
        operation=str(properties.get("operation") or ""),
        status=str(properties.get("status") or ""),
        vm_name=str(properties.get("entityFriendlyName") or ""),
        container_key=container_key(str(properties.get("containerName") or "")),
        start_time=parse_time(properties.get("startTime")),
        end_time=parse_time(properties.get("endTime")),
        duration_s=parse_duration(properties.get("duration")),
        cancellable=any(action in _CANCELLABLE for action in actions),
        error_code=first.get("errorCode"),
        error_name=str(first.get("errorTitle") or ""),
        error_message=" ".join(
            str(error["errorString"]).strip() for error in errors if error.get("errorString")
        ),
        recommendations=tuple(
            str(advice) for error in errors for advice in error.get("recommendations") or ()
        ),
        tasks=tuple(_task(task) for task in details.get("tasksList") or ()),
        percent=details.get("progressPercentage"),
        properties={
            str(key): str(value) for key, value in (details.get("propertyBag") or {}).items()
        },
        raw=resource,
    )


def list_jobs(
    connection: VaultConnection,
    *,
    operation: str | None = None,
    status: str | None = None,
    started_after: datetime | None = None,
    started_before: datetime | None = None,
) -> list[Job]:
    """Return the vault's jobs of VMs that pass the filters, newest first.

    Azure is asked for one list for each 30 days.
    """
    found: dict[str, Job] = {}
    for window in _windows(connection, started_after, started_before):
        parts = {
            "backupManagementType": MANAGEMENT_TYPE,
            "operation": operation,
            "status": status,
            **window,
        }
        filters = " and ".join(f"{key} eq '{value}'" for key, value in parts.items() if value)
        listed = connection.items(
            f"list the jobs of vault {connection.vault.name}",
            # mypy cannot tell the type of a lambda with a default.
            lambda filters=filters: connection.backup.backup_jobs.list(  # type: ignore[misc]
                **connection.vault_keywords, filter=filters
            ),
        )
        found.update((job.id, job) for job in map(read_job, listed))
    # The service's window has whole seconds, and includes jobs that only ran during it.
    return sorted(
        (job for job in found.values() if _within(job, started_after, started_before)),
        key=lambda job: (str(format_utc(job.start_time)), job.id),
        reverse=True,
    )


def get_job(connection: VaultConnection, job_id: str) -> Job:
    """Return one job with its tasks, properties and errors."""
    return read_job(
        as_dict(
            connection.read(
                f"read job {job_id} of vault {connection.vault.name}",
                lambda: connection.backup.job_details.get(
                    **connection.vault_keywords, job_name=job_id
                ),
            )
        )
    )


def failure_of(job: Job, vm: VmId | None = None) -> Failure:
    """Return the failure of a job that did not succeed."""
    vm_name = vm.name if vm else job.vm_name
    ended = "was cancelled" if job.status.lower() in ("cancelled", "canceled") else "failed"
    name = job.error_name or ("JobCancelled" if ended == "was cancelled" else "JobFailed")
    advice = (
        recommended(str(job.error_code or ""), job.error_message, job.operation)
        or recommended(job.error_name, job.error_message, job.operation)
        or " ".join(job.recommendations)
        or f"Read the job with quiesce.azure_backup.backup_job_info, job_id {job.id}."
    )
    return Failure(
        name,
        f"{job.operation} of VM {vm_name} {ended}, job {job.id}: {job.explained}",
        advice,
        job.error_code,
        vm=vm.id if vm else "",
        azure_message=job.explained,
    )


def _windows(
    connection: VaultConnection, after: datetime | None, before: datetime | None
) -> list[dict[str, str]]:
    """Return the `startTime` and `endTime` of each list; one empty window without bounds."""
    if after is None and before is None:
        return [{}]
    start = after or (before or connection.server_now()) - _WINDOW
    # Without an end the window ends after now: the service's clock is unknown before it answers.
    end = before or max(connection.server_now(), start) + timedelta(days=1)
    windows = []
    while start < end:
        until = start + _WINDOW
        windows.append(
            {
                "startTime": format_for_filter(start),
                "endTime": format_for_filter(min(before, until) if before else until),
            }
        )
        start = until
    return windows


def _within(job: Job, after: datetime | None, before: datetime | None) -> bool:
    if job.start_time is None:
        return True
    return (after is None or job.start_time >= after) and (
        before is None or job.start_time < before
    )


def _task(task: Mapping[str, Any]) -> Task:
    return Task(
        str(task.get("taskId") or ""),
        str(task.get("status") or ""),
        parse_duration(task.get("duration")),
    )
