# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Jobs: how they begin, end, fail and are cancelled."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Callable, Dict, Optional

from tests.lab.recovery_services.errors import gateway, invalid_input
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Job, Operation, Vault, Vm, new_id
from tests.lab.recovery_services.plans import Plan, recorded_seconds

VM_GONE = (
    "UserErrorVmNotFoundV2",
    "Virtual machine doesn't exist.",
    "Please make sure that virtual machine exists or select a different virtual machine.",
)
_INTERNAL = (
    "UserErrorGuestAgentStatusUnavailable",
    "VM agent unable to communicate with the backup service.",
    "Make sure that the VM agent runs and can reach the network, then try the operation again.",
)
CANCELLED = (
    "UserErrorJobSuccessfullyCancelled",
    "Job is cancelled.",
    "The job was cancelled by a user.",
)


def begin(
    estate: Estate,
    vault: Vault,
    operation: str,
    vm: Vm,
    bag: Dict[str, str],
    *,
    first: bool = True,
    plan: Optional[Plan] = None,
) -> Job:
    """Put a job on record; it ends only when M(end_after) says so."""
    plan = plan or Plan()
    seed = f"{estate.chance}:{vm.id.lower()}:{_so_many(vault, operation, vm.key)}"
    takes = plan.duration_s
    if takes is None:
        takes = recorded_seconds(operation, seed, first)
    job = Job(
        new_id(),
        operation,
        vm.key,
        vm.name,
        estate.now(),
        takes=takes,
        bag={"VM Name": vm.name, **bag},
    )
    vault.jobs[job.id] = job
    return job


def _so_many(vault: Vault, operation: str, key: str) -> int:
    return sum(1 for job in vault.jobs.values() if (job.key, job.operation) == (key, operation))


def end_after(
    estate: Estate, job: Job, plan: Plan, done: Callable[[datetime], None], share: float = 1.0
) -> None:
    """Let the job end in its time, well or as planned; `done` is what it brings about."""

    def finish(moment: datetime) -> None:
        if job.over:
            return
        if plan.failed:
            fail(job, moment, plan.error(*_INTERNAL))
            return
        close(job, moment, "Completed")
        done(moment)

    if not (estate.hang or plan.never_ends):
        estate.after(job.takes * share, finish, job.start)


def close(job: Job, moment: datetime, status: str) -> None:
    """End a job."""
    job.end = moment
    job.status = status


def fail(job: Job, moment: datetime, error: Dict[str, Any]) -> None:
    """End a job in an error."""
    job.errors.append(error)
    close(job, moment, "Failed")


def follow(
    estate: Estate, vault: Vault, job: Job, *, at_once: bool = False, operation_id: str = ""
) -> Operation:
    """Return the operation that goes with a job: it ends with it, or `at_once`."""
    operation = Operation(operation_id or new_id(), job.start, job=job, key=job.key)
    if at_once and not estate.hang:
        operation.ends = job.start
    vault.operations[operation.id] = operation
    return operation


def running(vault: Vault, key: str, *operations: str) -> Optional[Job]:
    """Return a job of one of these operations that runs on the item."""
    for job in reversed(vault.jobs.values()):
        if job.key == key and not job.over and (not operations or job.operation in operations):
            return job
    return None


def find(vault: Vault, job_id: str) -> Job:
    """Return a job by its id."""
    job = vault.jobs.get(job_id.lower())
    if job is None:
        raise gateway(404, "JobNotFound", f"The job '{job_id}' was not found in the vault.")
    return job


def cancel(estate: Estate, vault: Vault, job_id: str) -> Operation:
    """Ask for the end of a job; it comes some seconds later."""
    now = estate.now()
    job = find(vault, job_id)
    if job.over or not job.cancellable:
        raise invalid_input(f"The job '{job.id}' cannot be cancelled: it is {job.status}.")
    if job.status != "Cancelling":
        job.status = "Cancelling"
        if not estate.hang:
            estate.after(8.0, lambda moment: _cancelled(job, moment))
    operation = Operation(new_id(), now, job=job, key=job.key)
    vault.operations[operation.id] = operation
    return operation


def _cancelled(job: Job, moment: datetime) -> None:
    if not job.over:
        job.errors.append(Plan().error(*CANCELLED))
        close(job, moment, "Cancelled")


def state_of(operation: Operation, now: datetime) -> str:
    """Return `InProgress`, `Succeeded` or `Failed`."""
    if operation.ends is not None:
        if now < operation.ends:
            return "InProgress"
        return "Failed" if operation.error else "Succeeded"
    job = operation.job
    if job is None or not job.over:
        return "InProgress"
    return "Failed" if job.status == "Failed" else "Succeeded"


def error_of(operation: Operation) -> Optional[Dict[str, str]]:
    """Return why an operation failed."""
    if operation.error is not None:
        return {"code": operation.error[0], "message": operation.error[1]}
    if operation.job is not None and operation.job.errors:
        first = operation.job.errors[0]
        return {"code": first["errorTitle"], "message": first["errorString"]}
    return None
