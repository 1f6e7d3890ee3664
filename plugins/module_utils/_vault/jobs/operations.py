# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Operations that Azure carries out on its own, and the jobs that they name.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Tuple

from ..._arm.advice import recommended
from ..._arm.ids import VmId, last_segment
from ..._errors import Failure


@dataclass(frozen=True)
class OperationStatus:
    """The state of an operation, and the jobs that it names once there are any."""

    status: str
    job_ids: Tuple[str, ...] = ()
    code: str = ""
    message: str = ""
    #: The error codes of the jobs that failed, by the names that Azure has for these jobs.
    failed_jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_failed(self) -> bool:
        """Return True if nothing more will become of it, and it did not succeed."""
        return self.status.lower() in ("failed", "canceled", "cancelled")

    @property
    def has_succeeded(self) -> bool:
        """Return True if Azure says so; any other word, and none, is not success."""
        return self.status.lower() == "succeeded"


def read_operation(of: Mapping[str, Any]) -> OperationStatus:
    """Read an operation in the service's own form, with C(jobId) or its plural C(jobIds)."""
    error = of.get("error") or {}
    more = of.get("properties") or {}
    named = [more.get("jobId"), *(more.get("jobIds") or ())]
    return OperationStatus(
        status=str(of.get("status") or ""),
        job_ids=tuple(dict.fromkeys(last_segment(str(one)) for one in named if one)),
        code=str(error.get("code") or ""),
        message=" ".join(str(error.get("message") or "").split()),
        failed_jobs={str(k): str(v) for k, v in (more.get("failedJobsError") or {}).items()},
    )


def failure_of_operation(
    operation: OperationStatus, what: str, vm: VmId, operation_id: Optional[str]
) -> Failure:
    """Return the failure of an operation that did not end well."""
    code = next(iter(operation.failed_jobs.values()), "")
    name = operation.code or code or "OperationFailed"
    reason = operation.message or "Azure gave no reason."
    return Failure(
        name,
        f"{what} of VM {vm.name} failed, operation {operation_id}: {name}: {reason}",
        recommended(name, operation.message, what)
        or "Look for a job of the VM with quiesce.azure_backup.backup_job_info, and run the task "
        "again.",
        vm=vm.id,
        azure_message=operation.message,
    )


def names_no_job(
    operation: OperationStatus, what: str, vm: VmId, operation_id: Optional[str]
) -> Failure:
    """Return the failure of an operation that succeeded and shows no job of the VM."""
    others = f"only jobs of other VMs ({', '.join(operation.job_ids)})"
    return Failure(
        "OperationNamesNoJob",
        f"{what} of VM {vm.name}: Azure says that operation {operation_id} has succeeded, and it "
        f"names {others if operation.job_ids else 'no job'}, so nothing shows what was done.",
        "Look for a job of the VM with quiesce.azure_backup.backup_job_info. If there is none, run "
        "the task again.",
        vm=vm.id,
    )
