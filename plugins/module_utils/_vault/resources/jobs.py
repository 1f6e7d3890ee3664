# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs of a vault: read, listed with the service's filters, and what they say of their errors.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..._arm.advice import recommended
from ..._arm.connection import as_dict
from ..._arm.ids import VmId, container_key, last_segment
from ..._arm.times import format_for_filter, format_utc, parse_duration, parse_time
from ..._errors import Failure
from ..connection import VaultConnection

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
# Of a status that we do not know, a job is not held to be over.
_OVER = frozenset(status.lower() for status in (COMPLETED, WITH_WARNINGS, FAILED, CANCELLED)) | {
    "canceled"
}
# The service wants both ends of a window, and refuses one of more than 30 days.
_WINDOW = timedelta(days=30)
_CANCELLABLE = ("cancellable", "1")


@dataclass(frozen=True)
class Task:
    """One step of a job."""

    name: str
    status: str
    duration_s: Optional[float] = None

    def to_result(self) -> Dict[str, Any]:
        """The task as a result has it."""
        return {"name": self.name, "status": self.status, "duration_s": self.duration_s}


@dataclass(frozen=True)
class Job:
    """One job. Lists leave out the tasks, the properties and at times the errors."""

    id: str
    operation: str
    status: str
    vm_name: str
    container_key: str
    start_time: Optional[datetime] = None
    end_time: Optional[datetime] = None
    duration_s: Optional[float] = None
    cancellable: bool = False
    error_code: Optional[int] = None
    error_name: str = ""
    error_message: str = ""
    recommendations: Tuple[str, ...] = ()
    tasks: Tuple[Task, ...] = ()
    percent: Optional[float] = None
    properties: Mapping[str, str] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will become of it."""
        return self.status.lower() in _OVER

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was for, perhaps with warnings."""
        return self.status.lower() in (COMPLETED.lower(), WITH_WARNINGS.lower())

    @property
    def needs_details(self) -> bool:
        """Whether the list leaves open what went wrong."""
        return self.is_over and self.status.lower() != COMPLETED.lower() and not self.error_code

    @property
    def is_detailed(self) -> bool:
        """Whether it was read by itself."""
        return "extendedInfo" in (self.raw.get("properties") or {})

    @property
    def task(self) -> str:
        """The step that it is at."""
        return next((one.name for one in self.tasks if one.status.lower() == "inprogress"), "")

    @property
    def warning(self) -> str:
        """What a job says that succeeded, but not in every way."""
        if not self.succeeded or not (self.error_message or self.error_name):
            return ""
        return self.explained

    @property
    def explained(self) -> str:
        """The service's code, name and words."""
        code = f" ({self.error_code})" if self.error_code else ""
        name = f"{self.error_name or 'error'}{code}: " if self.error_name or code else ""
        return f"{name}{self.error_message or 'Azure gave no reason.'}"

    def to_result(self) -> Dict[str, Any]:
        """The job as a result has it."""
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

    def _error(self) -> Optional[Dict[str, Any]]:
        if not (self.error_code or self.error_message or self.error_name):
            return None
        return {
            "code": self.error_code,
            "name": self.error_name or None,
            "message": self.error_message,
            "recommendations": list(self.recommendations),
        }


def read_job(resource: Mapping[str, Any]) -> Job:
    """A job of the service's own form, from a list or alone."""
    of = resource.get("properties") or {}
    more = of.get("extendedInfo") or {}
    errors = [one for one in of.get("errorDetails") or () if isinstance(one, Mapping)]
    first: Mapping[str, Any] = errors[0] if errors else {}
    actions = [str(action).lower() for action in of.get("actionsInfo") or ()]
    return Job(
        id=str(resource.get("name") or last_segment(str(resource.get("id") or ""))),
        operation=str(of.get("operation") or ""),
        status=str(of.get("status") or ""),
        vm_name=str(of.get("entityFriendlyName") or ""),
        container_key=container_key(str(of.get("containerName") or "")),
        start_time=parse_time(of.get("startTime")),
        end_time=parse_time(of.get("endTime")),
        duration_s=parse_duration(of.get("duration")),
        cancellable=any(action in _CANCELLABLE for action in actions),
        error_code=first.get("errorCode"),
        error_name=str(first.get("errorTitle") or ""),
        error_message=" ".join(
            str(one["errorString"]).strip() for one in errors if one.get("errorString")
        ),
        recommendations=tuple(
            str(advice) for one in errors for advice in one.get("recommendations") or ()
        ),
        tasks=tuple(_task(one) for one in more.get("tasksList") or ()),
        percent=more.get("progressPercentage"),
        properties={str(key): str(value) for key, value in (more.get("propertyBag") or {}).items()},
        raw=resource,
    )


def list_jobs(
    connection: VaultConnection,
    *,
    operation: Optional[str] = None,
    status: Optional[str] = None,
    started_after: Optional[datetime] = None,
    started_before: Optional[datetime] = None,
) -> List[Job]:
    """The vault's jobs of VMs that the filters leave, newest first: one list for each 30 days."""
    found: Dict[str, Job] = {}
    for window in _windows(connection, started_after, started_before):
        parts = {
            "backupManagementType": "AzureIaasVM",
            "operation": operation,
            "status": status,
            **window,
        }
        wanted = " and ".join(f"{key} eq '{value}'" for key, value in parts.items() if value)
        listed = connection.items(
            f"list the jobs of vault {connection.vault.name}",
            # mypy cannot tell the type of a lambda with a default.
            lambda wanted=wanted: connection.backup.backup_jobs.list(  # type: ignore[misc]
                **connection.vault_keywords, filter=wanted
            ),
        )
        found.update((job.id, job) for job in map(read_job, listed))
    # The service's window is of whole seconds, and may also hold jobs that were only at work in it.
    return sorted(
        (job for job in found.values() if _within(job, started_after, started_before)),
        key=lambda job: (str(format_utc(job.start_time)), job.id),
        reverse=True,
    )


def get_job(connection: VaultConnection, job_id: str) -> Job:
    """One job with its tasks, properties and errors."""
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


def failure_of(job: Job, vm: Optional[VmId] = None) -> Failure:
    """What a job that did not succeed says, and what to do about it."""
    who = vm.name if vm else job.vm_name
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
        f"{job.operation} of VM {who} {ended}, job {job.id}: {job.explained}",
        advice,
        job.error_code,
        vm=vm.id if vm else "",
        azure_message=job.explained,
    )


def _windows(
    connection: VaultConnection, after: Optional[datetime], before: Optional[datetime]
) -> List[Dict[str, str]]:
    """The C(startTime) and C(endTime) of each list; one without when there are no bounds."""
    if after is None and before is None:
        return [{}]
    start = after or (before or connection.server_now()) - _WINDOW
    # Without an end, beyond now, as nothing is known of the service's clock before it answers.
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


def _within(job: Job, after: Optional[datetime], before: Optional[datetime]) -> bool:
    if job.start_time is None:
        return True
    return (after is None or job.start_time >= after) and (
        before is None or job.start_time < before
    )


def _task(of: Mapping[str, Any]) -> Task:
    return Task(
        str(of.get("taskId") or ""), str(of.get("status") or ""), parse_duration(of.get("duration"))
    )
