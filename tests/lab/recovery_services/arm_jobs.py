# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for jobs, and those of a region: whether a VM is protected, or could be."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Optional

from tests.lab.recovery_services import jobs, protection
from tests.lab.recovery_services.arm_items import OLD
from tests.lab.recovery_services.arm_vaults import VAULT
from tests.lab.recovery_services.call import Call, Reply
from tests.lab.recovery_services.errors import invalid_input
from tests.lab.recovery_services.job_bodies import job_body, operation_body
from tests.lab.recovery_services.model import Job
from tests.lab.recovery_services.names import parse_vm_id, vm_key
from tests.lab.recovery_services.queries import Filter, page, parse_filter
from tests.lab.recovery_services.routes import Routes
from tests.lab.recovery_services.times import parse_query_time

_REGION = "/subscriptions/{subscription}/providers/Microsoft.RecoveryServices/locations/{region}"


def add_to(routes: Routes) -> None:
    """Put these requests into the table."""
    routes.add("GET", VAULT + "/backupJobs", list_jobs)
    routes.add("GET", VAULT + "/backupJobs/{job}", get_job)
    routes.add("POST", VAULT + "/backupJobs/{job}/cancel", cancel_job)
    routes.add("GET", VAULT + "/backupJobs/{job}/operationsStatus/{operation}", cancel_status)
    routes.add("GET", VAULT + "/backupJobs/{job}/operationResults/{operation}", cancel_result)
    routes.add("POST", _REGION + "/backupStatus", backup_status, read_only=True)
    routes.add("POST", _REGION + "/backupPreValidateProtection", pre_validate, read_only=True)
    routes.add("POST", _REGION + "/backupValidateFeatures", validate_features, read_only=True)


def list_jobs(call: Call) -> Reply:
    """Return the jobs of a vault, the newest first."""
    vault = call.vault()
    names = [
        "status",
        "operation",
        "startTime",
        "endTime",
        "backupManagementType",
        "jobId",
        "friendlyName",
    ]
    wanted = parse_filter(call.query.get("$filter"), names)
    begins, ends = _time(wanted, "startTime"), _time(wanted, "endTime")
    now = call.estate.now()
    found = [
        job
        for job in vault.jobs.values()
        if (begins is None or job.start >= begins)
        and (ends is None or job.start <= ends)
        and wanted.permits(_values(job))
    ]
    found.sort(key=lambda job: job.start, reverse=True)
    shown = [job_body(vault, job, now) for job in found]
    return Reply(200, page(shown, call.page_query(), call.address))


def _values(job: Job) -> Dict[str, Optional[str]]:
    return {
        "status": job.status,
        "operation": job.operation,
        "backupManagementType": "AzureIaasVM",
        "jobId": job.id,
        "friendlyName": job.vm_name,
    }


def _time(wanted: Filter, name: str) -> Optional[datetime]:
    text = wanted.get(name)
    if text is None:
        return None
    try:
        return parse_query_time(text)
    except ValueError:
        raise invalid_input(f"The filter's {name} '{text}' is not a time.") from None


def get_job(call: Call) -> Reply:
    """Return a job with its details."""
    vault = call.vault()
    now = call.estate.now()
    return Reply(200, job_body(vault, jobs.find(vault, call.params["job"]), now, details=True))


def cancel_job(call: Call) -> Reply:
    """Cancel a job."""
    vault = call.vault()
    operation = jobs.cancel(call.estate, vault, call.params["job"])
    where = f"{vault.id}/backupJobs/{call.params['job']}"
    headers = {
        "Azure-AsyncOperation": call.link(f"{where}/operationsStatus/{operation.id}", OLD),
        "Location": call.link(f"{where}/operationResults/{operation.id}"),
    }
    return Reply(202, None, headers)


def cancel_status(call: Call) -> Reply:
    """Return how a cancellation stands."""
    operation = protection.operation(call.vault(), call.params["operation"])
    return Reply(200, operation_body(operation, call.estate.now()))


def cancel_result(call: Call) -> Reply:
    """Return whether a cancellation is over."""
    operation = protection.operation(call.vault(), call.params["operation"])
    if jobs.state_of(operation, call.estate.now()) == "InProgress":
        return Reply(202, None, {"Location": call.link(call.path)})
    return Reply(204)


def backup_status(call: Call) -> Reply:
    """Return whether a VM is protected, and where."""
    call.estate.subscription(call.params["subscription"])
    subscription, group, name = parse_vm_id(str(call.body.get("resourceId") or ""))
    key = vm_key(group, name)
    body: Dict[str, Any] = {"protectionStatus": "NotProtected"}
    policy = ""
    for vault in call.estate.vaults.values():
        item = vault.items.get(key)
        if item is not None and item.vm.subscription.lower() == subscription.lower():
            body = {"protectionStatus": "Protected", "vaultId": vault.id}
            policy = item.policy
            break
    body.update(
        fabricName="Azure",
        containerName=f"iaasvmcontainer;iaasvmcontainerv2;{key}",
        protectedItemName=f"vm;iaasvmcontainerv2;{key}",
    )
    if policy:
        body["policyName"] = policy
    return Reply(200, {**body, "protectedItemsCount": 0, "objectType": "BackupStatusResponse"})


def pre_validate(call: Call) -> Reply:
    """Return whether a VM could be protected."""
    call.estate.subscription(call.params["subscription"])
    subscription, group, name = parse_vm_id(str(call.body.get("resourceId") or ""))
    key = vm_key(group, name)
    vm = call.estate.vm(subscription, group, name)
    taken = call.estate.protection_of(vm)
    names = {
        "containerName": f"iaasvmcontainer;iaasvmcontainerv2;{key}",
        "protectedItemName": f"vm;iaasvmcontainerv2;{key}",
    }
    if taken is None:
        return Reply(200, {"status": "Succeeded", **names})
    failed = {
        "status": "Failed",
        "errorCode": "UserErrorAlreadyProtected",
        "errorMessage": f"The virtual machine is protected in the vault '{taken[0].name}'.",
        "recommendation": "Choose another virtual machine.",
    }
    return Reply(200, {**failed, **names})


def validate_features(call: Call) -> Reply:
    """Return whether the service supports a kind of VM."""
    call.estate.subscription(call.params["subscription"])
    return Reply(200, {"supportStatus": "Supported"})
