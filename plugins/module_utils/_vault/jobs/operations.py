# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asynchronous operations of Azure, and the jobs that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._arm.advice import recommended
from ..._arm.ids import VmId, last_segment
from ..._errors import Failure


@dataclass(frozen=True)
class OperationStatus:
    """The state of an operation, and the jobs that it names once there are any."""

    status: str
    job_ids: tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    #: The error codes of the failed jobs, by Azure's names of these jobs.
    failed_jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """Return True if the operation ended without success."""
        return self.status.lower() in ("failed", "canceled", "cancelled")

    @property
    def has_succeeded(self) -> bool:
        """Return True if Azure reports success; any other status, or a missing status, is not."""
        return self.status.lower() == "succeeded"


def read_operation(body: Mapping[str, Any]) -> OperationStatus:
    """Read an operation from Azure's JSON, with `jobId` or its plural `jobIds`."""
    error = body.get("error") or {}
    properties = body.get("properties") or {}
    named = [properties.get("jobId"), *(properties.get("jobIds") or ())]
    return OperationStatus(
        status=str(body.get("status") or ""),
        job_ids=tuple(dict.fromkeys(last_segment(str(job_id)) for job_id in named if job_id)),
        code=str(error.get("code") or ""),
        message=" ".join(str(error.get("message") or "").split()),
        failed_jobs={str(k): str(v) for k, v in (properties.get("failedJobsError") or {}).items()},
    )


def failure_of_operation(
    operation: OperationStatus, title: str, vm: VmId, operation_id: str | None
) -> Failure:
    """Return the failure of an operation that failed."""
    code = next(iter(operation.failed_jobs.values()), "")
    name = operation.code or code or "OperationFailed"
    reason = operation.message or "Azure gave no reason."
    return Failure(
        name,
        f"{title} of VM {vm.name} failed, operation {operation_id}: {name}: {reason}",
        recommended(name, operation.message, title)
        or "Look for a job of the VM with quiesce.azure_backup.backup_job_info, then run the task "
        "again.",
        vm=vm.id,
        azure_message=operation.message,
    )


def names_no_job(
    operation: OperationStatus, title: str, vm: VmId, operation_id: str | None
) -> Failure:
    """Return the failure of an operation that succeeded without naming a job of the VM."""
    others = f"only jobs of other VMs ({', '.join(operation.job_ids)})"
    return Failure(
        "OperationNamesNoJob",
        f"{title} of VM {vm.name}: Azure reports that operation {operation_id} has succeeded, but "
        f"it names {others if operation.job_ids else 'no job'}, so the result is unknown.",
        "Look for a job of the VM with quiesce.azure_backup.backup_job_info. If you find none, run "
        "the task again.",
        vm=vm.id,
    )
