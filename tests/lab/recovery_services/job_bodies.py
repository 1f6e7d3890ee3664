# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers about jobs and operations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Dict, List

from tests.lab.recovery_services import jobs
from tests.lab.recovery_services.model import Job, Operation, Task, Vault
from tests.lab.recovery_services.times import NEVER, american, duration, stamp


def job_body(vault: Vault, job: Job, now: datetime, details: bool = False) -> Dict[str, Any]:
    """Return a job, in a list or by itself with its `details`."""
    ran = ((job.end or now) - job.start).total_seconds()
    properties: Dict[str, Any] = {"jobType": "AzureIaaSVMJob"}
    if job.cancellable:
        properties["actionsInfo"] = ["Cancellable"]
    properties["containerName"] = f"iaasvmcontainerv2;{job.key}"
    properties["duration"] = duration(ran)
    # Whether a list shows errors too is not known: clients must not rely on it.
    if details and job.errors:
        properties["errorDetails"] = job.errors
    properties["virtualMachineVersion"] = "Compute"
    if details:
        properties["extendedInfo"] = _extended(job, ran)
    properties.update(
        entityFriendlyName=job.vm_name,
        backupManagementType="AzureIaasVM",
        operation=job.operation,
        status=job.status,
        startTime=stamp(job.start),
    )
    if job.end is not None:
        properties["endTime"] = stamp(job.end)
    properties["activityId"] = job.activity
    return {
        "id": f"{vault.id}/backupJobs/{job.id}",
        "name": job.id,
        "type": "Microsoft.RecoveryServices/vaults/backupJobs",
        "properties": properties,
    }


#: What the one measure of a restore finds.
_MEASURED = 0.563


def _extended(job: Job, ran: float) -> Dict[str, Any]:
    info: Dict[str, Any] = {
        "tasksList": [_task(job, task, ran) for task in job.tasks],
        "propertyBag": dict(job.bag),
    }
    if job.internal_bag:
        info["internalPropertyBag"] = dict(job.internal_bag)
    if job.operation == "Restore":
        info.update(_restored(job, ran))
    elif job.percent and _transferring(job, ran):
        info["progressPercentage"] = _percent(job, ran)
    return info


def _restored(job: Job, ran: float) -> Dict[str, Any]:
    """Return how far a restore is; that is measured once on the way, and its task has no times."""
    status = job.status if job.over else "InProgress"
    task = {"taskId": job.tasks[0].name, "duration": duration(0.0), "status": status}
    share = 1.0 if status == "Completed" else _MEASURED if ran > 0.6 * job.takes else 0.0
    info: Dict[str, Any] = {"progressPercentage": float(max(1, round(100 * share)))}
    if share:
        task["taskExecutionDetails"] = f"{round(127 * share, 1):g} GBs / 127 GBs Transferred"
        info["estimatedRemainingDuration"] = duration((1 - share) * job.takes)
    if status == "InProgress":
        info["dynamicErrorMessage"] = ""
    return {"tasksList": [{**task, "taskType": "Normal"}], **info}


def _transferring(job: Job, ran: float) -> bool:
    return len(job.tasks) > 1 and ran >= job.tasks[1].begins and job.status != "Failed"


def _percent(job: Job, ran: float) -> float:
    if job.over and job.status.startswith("Completed"):
        return 100.0
    transfer = next(task for task in job.tasks if task.name.startswith("Transfer"))
    share = (ran - transfer.begins) / max(1e-9, transfer.ends - transfer.begins)
    return float(max(1, min(100, round(100 * share))))


def _task(job: Job, task: Task, ran: float) -> Dict[str, Any]:
    began, ended = ran >= task.begins, ran >= task.ends
    status = "Completed" if ended else "InProgress" if began else "NotStarted"
    if job.over and not ended:
        ends = {"Failed": "Failed", "Cancelled": "Cancelled"}
        status = ends.get(job.status, "Completed") if began else "Skipped"
    elif job.status == "Failed" and task is _last_begun(job, ran):
        status = "Failed"
    took = min(ran, task.ends) - task.begins if began else 0.0
    return {
        "taskId": task.name,
        "startTime": stamp(job.start + timedelta(seconds=task.begins)) if began else NEVER,
        "endTime": stamp(job.start + timedelta(seconds=task.ends)) if ended else NEVER,
        "duration": duration(took),
        "status": status,
        "taskType": "Normal",
    }


def _last_begun(job: Job, ran: float) -> Task:
    begun: List[Task] = [task for task in job.tasks if ran > task.begins]
    return begun[-1] if begun else job.tasks[0]


def operation_body(operation: Operation, now: datetime) -> Dict[str, Any]:
    """Return the status of an operation of a vault's items."""
    state = jobs.state_of(operation, now)
    start = stamp(operation.start)
    body: Dict[str, Any] = {
        "id": operation.id,
        "name": operation.id,
        "status": state,
        "startTime": start,
        "endTime": NEVER if state == "InProgress" else start,
    }
    error = jobs.error_of(operation) if state == "Failed" else None
    if error is not None:
        body["error"] = error
    if operation.plural and state != "InProgress":
        # As Microsoft's description has it; what keys the errors have was not recorded.
        body["properties"] = {
            "objectType": "OperationStatusJobsExtendedInfo",
            "jobIds": [job.id for job in operation.jobs],
            "failedJobsError": {
                job.id: job.errors[0]["errorTitle"] for job in operation.jobs if job.errors
            },
        }
    if operation.job is not None and state != "InProgress":
        body["properties"] = {
            "objectType": "OperationStatusJobExtendedInfo",
            "jobId": operation.job.id,
        }
    return body


def vault_operation_body(vault: Vault, operation: Operation, now: datetime) -> Dict[str, Any]:
    """Return the status of an operation on a vault itself."""
    state = jobs.state_of(operation, now)
    body: Dict[str, Any] = {
        "id": f"{vault.id}/operationStatus/{operation.id}",
        "name": operation.id,
        "status": state,
    }
    error = jobs.error_of(operation) if state == "Failed" else None
    if error is not None and operation.ends is not None:
        body["startTime"] = american(operation.start)
        body["endTime"] = american(operation.ends)
        body["error"] = error
    return body
