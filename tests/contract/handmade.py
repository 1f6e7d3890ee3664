# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers in the shapes of Azure's, made by hand: for a checkout without the recordings.

Names, ids, times and words are our own. There is more variety than in the recordings: each state of
an item, each consistency, each end of a job, each kind of policy, each kind of refusal.
"""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

from tests.contract.evidence import Exchange

GROUP = "/subscriptions/12345678-abcd-4abc-8abc-123456789abc/resourceGroups/hand-rg"
VAULT = f"{GROUP}/providers/Microsoft.RecoveryServices/vaults/handmade"
_TYPE = "Microsoft.RecoveryServices/vaults"
_NEVER = "2001-01-01T00:00:00Z"


def exchanges() -> List[Exchange]:
    """Return all of them, without the refusals."""
    return [_items(), _points(), *_jobs(), _listed_jobs(), _policies()]


def _got(path: str, response: Any, status: int = 200, name: str = "") -> Exchange:
    url = f"{VAULT}/{path}?api-version=2025-02-01"
    return Exchange("GET", url, status, response=response, where=f"by hand: {path}", command=name)


def _resource(path: str, properties: Dict[str, Any]) -> Dict[str, Any]:
    kinds = "/".join(path.split("/")[::2])
    name = path.rpartition("/")[2]
    return {
        "id": f"{VAULT}/{path}",
        "name": name,
        "type": f"{_TYPE}/{kinds}",
        "properties": properties,
    }


# --- items and recovery points ------------------------------------------------------------------


def _names(vm: str) -> str:
    return f"iaasvmcontainerv2;hand-rg;{vm}"


def _place(vm: str) -> str:
    container = f"backupFabrics/Azure/protectionContainers/IaasVMContainer;{_names(vm)}"
    return f"{container}/protectedItems/VM;{_names(vm)}"


def _item(vm: str, state: str, policy: Optional[str], **more: Any) -> Dict[str, Any]:
    vm_id = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{vm}"
    properties = {
        "friendlyName": vm,
        "virtualMachineId": vm_id,
        "protectionStatus": "Healthy",
        "protectionState": state,
        "healthStatus": "Passed",
        "lastBackupStatus": "",
        "lastBackupTime": _NEVER,
        "protectedItemDataId": "1234567890",
        "policyType": "V1",
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "backupManagementType": "AzureIaasVM",
        "workloadType": "VM",
        "containerName": _names(vm),
        "sourceResourceId": vm_id,
        "policyId": f"{VAULT}/backupPolicies/{policy}" if policy else "",
        "policyName": policy or "",
        "vaultId": f"https://management.azure.com{VAULT}",
        "isArchiveEnabled": False,
        "softDeleteRetentionPeriod": 0,
    }
    return _resource(_place(vm), {**properties, **more})


def _items() -> Exchange:
    backed_up = {
        "lastBackupStatus": "Completed",
        "lastBackupTime": "2026-02-03T04:05:06.7080901Z",
        "lastRecoveryPoint": "2026-02-03T04:05:16.1Z",
    }
    unhealthy = {
        "healthStatus": "ActionRequired",
        "protectionStatus": "Unhealthy",
        "lastBackupStatus": "Failed",
        "healthDetails": [
            {
                "code": 400999,
                "title": "UserErrorMadeByHand",
                "message": "The agent of this VM says nothing.",
                "recommendations": ["Ask the agent of this VM."],
            }
        ],
    }
    deleted = {
        "isScheduledForDeferredDelete": True,
        "deferredDeleteTimeInUTC": "2026-03-01T10:20:30.4567891Z",
        "deferredDeleteTimeRemaining": "13.11:22:33.4455667",
        "softDeleteRetentionPeriod": 14,
    }
    return _got(
        "backupProtectedItems",
        {
            "value": [
                _item("fresh01", "IRPending", "Gold"),
                _item("backed01", "Protected", "Gold", policyType="V2", **backed_up),
                _item("ill01", "Protected", "Silver", **unhealthy),
                _item("held01", "BackupsSuspended", "Gold", **backed_up),
                _item("stopped01", "ProtectionStopped", None, **backed_up),
                _item("deleted01", "ProtectionStopped", None, **deleted),
            ]
        },
    )


def _points() -> Exchange:
    kinds = (
        ("AppConsistent", "2026-02-03T04:05:16.1234567Z", "2026-03-05T00:00:00Z"),
        ("FileSystemConsistent", "2026-02-02T04:05:16Z", None),
        ("CrashConsistent", "2026-02-01T04:05:16.5Z", None),
    )
    path = f"{_place('backed01')}/recoveryPoints"
    value = []
    for number, (kind, time, expires) in enumerate(kinds, 701):
        properties = {
            "objectType": "IaasVMRecoveryPoint",
            "recoveryPointType": kind,
            "recoveryPointTime": time,
            "recoveryPointAdditionalInfo": "",
            "isSourceVMEncrypted": False,
            "recoveryPointTierDetails": [
                {"type": "InstantRP", "status": "Valid" if number == 701 else "Deleted"},
                {"type": "HardenedRP", "status": "Valid"},
            ],
            "isManagedVirtualMachine": True,
            "virtualMachineSize": "Standard_D2s_v5",
            "osType": "Linux",
            "securityType": "None",
            **({"recoveryPointProperties": {"expiryTime": expires}} if expires else {}),
        }
        value.append(_resource(f"{path}/{number}", properties))
    return _got(path, {"value": value})


# --- jobs ---------------------------------------------------------------------------------------

_BEGAN = "2026-02-03T04:00:00.1234567Z"


def _job(number: int, operation: str, status: str, **more: Any) -> Dict[str, Any]:
    over = status not in ("InProgress", "Cancelling")
    properties = {
        "jobType": "AzureIaaSVMJob",
        "actionsInfo": ["Cancellable"] if operation == "Backup" else [],
        "containerName": _names("backed01"),
        "duration": "PT1H2M3.5S" if over else "PT7.25S",
        "virtualMachineVersion": "Compute",
        "entityFriendlyName": "backed01",
        "backupManagementType": "AzureIaasVM",
        "operation": operation,
        "status": status,
        "startTime": _BEGAN,
        **({"endTime": "2026-02-03T05:02:03.6234567Z"} if over else {}),
        "activityId": f"abcdef00-0000-4000-8000-{number:012}",
    }
    job_id = f"aabbccdd-0000-4000-8000-{number:012}"
    return _resource(f"backupJobs/{job_id}", {**properties, **more})


def _details(tasks: Sequence[str], percent: float) -> Dict[str, Any]:
    words = [
        {"taskId": "Take Snapshot", "duration": "PT12M", "status": tasks[0], "taskType": "Normal"},
        {
            "taskId": "Transfer data to vault",
            "duration": "PT0S",
            "status": tasks[1],
            "taskType": "Normal",
        },
    ]
    return {
        "extendedInfo": {
            "tasksList": words,
            "propertyBag": {"VM Name": "backed01", "Backup Size": "77 MB"},
            "progressPercentage": percent,
        }
    }


def _error(code: int, title: str, text: str) -> Dict[str, Any]:
    detail = {"errorCode": code, "errorTitle": title, "errorString": text}
    return {"errorDetails": [{**detail, "recommendations": [f"See about {title}."]}]}


def _jobs() -> List[Exchange]:
    both = ("Completed", "Completed")
    crash = _error(400998, "UserErrorHandmadeCrash", "Only a crash consistent point was made.")
    failed = _error(400997, "UserErrorHandmadeFailure", "The snapshot of a disk was not made.")
    ended = _error(400996, "UserErrorHandmadeEnd", "The job was ended by a user.")
    found = [
        _job(1, "Backup", "InProgress", **_details(("InProgress", "NotStarted"), 10.0)),
        _job(1, "Backup", "InProgress", **_details(("Completed", "InProgress"), 60.0)),
        _job(1, "Backup", "Completed", **_details(both, 100.0)),
        _job(2, "Backup", "CompletedWithWarnings", **_details(both, 100.0), **crash),
        _job(3, "Backup", "Failed", **_details(("Failed", "NotStarted"), 20.0), **failed),
        _job(4, "Backup", "Cancelled", **_details(("Completed", "Cancelled"), 30.0), **ended),
        _job(5, "ConfigureBackup", "Completed"),
        _job(6, "Backup", "InProgress", **_details(("InProgress", "NotStarted"), 10.0)),
    ]
    return [_got(f"backupJobs/{one['name']}", one) for one in found]


def _listed_jobs() -> Exchange:
    """Return the list of jobs, without their tasks and properties."""
    left_out = ("extendedInfo",)
    value = [
        {
            **job.response,
            "properties": {
                key: value
                for key, value in job.response["properties"].items()
                if key not in left_out
            },
        }
        for job in _jobs()[2:]
    ]
    return _got("backupJobs", {"value": value})


# --- policies -----------------------------------------------------------------------------------

_HALF_PAST_THREE = "2026-02-01T03:30:00Z"


def _policy(name: str, kind: str, schedule: Any, retention: Any, **more: Any) -> Dict[str, Any]:
    properties = {
        "backupManagementType": "AzureIaasVM",
        "policyType": kind,
        "instantRPDetails": {},
        "schedulePolicy": schedule,
        "retentionPolicy": {"retentionPolicyType": "LongTermRetentionPolicy", **retention},
        "instantRpRetentionRangeInDays": 2,
        "timeZone": "UTC",
        "protectedItemsCount": 1,
        **more,
    }
    return _resource(f"backupPolicies/{name}", properties)


def _kept(count: int, unit: str) -> Dict[str, Any]:
    return {
        "retentionTimes": [_HALF_PAST_THREE],
        "retentionDuration": {"count": count, "durationType": unit},
    }


def _policies() -> Exchange:
    simple = {
        "schedulePolicyType": "SimpleSchedulePolicy",
        "scheduleRunTimes": [_HALF_PAST_THREE],
        "scheduleWeeklyFrequency": 0,
    }
    daily = {**simple, "scheduleRunFrequency": "Daily"}
    weekly = {**simple, "scheduleRunFrequency": "Weekly", "scheduleRunDays": ["Sunday", "Friday"]}
    hourly = {
        "schedulePolicyType": "SimpleSchedulePolicyV2",
        "scheduleRunFrequency": "Hourly",
        "hourlySchedule": {
            "interval": 6,
            "scheduleWindowStartTime": _HALF_PAST_THREE,
            "scheduleWindowDuration": 12,
        },
    }
    first_sunday = {"daysOfTheWeek": ["Sunday"], "weeksOfTheMonth": ["First"]}
    long = {
        "dailySchedule": _kept(9, "Days"),
        "weeklySchedule": {"daysOfTheWeek": ["Sunday"], **_kept(10, "Weeks")},
        "monthlySchedule": {
            "retentionScheduleFormatType": "Weekly",
            "retentionScheduleWeekly": first_sunday,
            **_kept(11, "Months"),
        },
        "yearlySchedule": {
            "retentionScheduleFormatType": "Daily",
            "monthsOfYear": ["January"],
            "retentionScheduleDaily": {"daysOfTheMonth": [{"date": 1, "isLast": False}]},
            **_kept(3, "Years"),
        },
    }
    days = {"dailySchedule": _kept(30, "Days")}
    weeks = {"weeklySchedule": {"daysOfTheWeek": ["Sunday", "Friday"], **_kept(4, "Weeks")}}
    snapshots = {
        "azureBackupRGNamePrefix": "snap",
        "azureBackupRGNameSuffix": "end",
    }
    other = {"backupManagementType": "AzureWorkload", "workLoadType": "SQLDataBase"}
    return _got(
        "backupPolicies",
        {
            "value": [
                _resource("backupPolicies/Databases", other),
                _policy("Gold", "V1", daily, long, timeZone="Tokyo Standard Time"),
                _policy("Silver", "V1", weekly, weeks, instantRpRetentionRangeInDays=5),
                _policy("Hours", "V2", hourly, days, instantRPDetails=snapshots),
            ]
        },
    )


# --- refusals -----------------------------------------------------------------------------------


def errors() -> List[Exchange]:
    """Refusals, as of a list of items; `command` is the code."""
    found = [
        (403, "AuthorizationFailed", "The client 'hand' may not do this here."),
        (400, "BMSUserErrorInvalidInput", "This input is not valid."),
        (409, "MissingSubscriptionRegistration", "The subscription lacks a registration."),
        (429, "ResourceRequestsThrottled", "Too many requests. Try again after '999' seconds."),
        (500, "RestApiInternalError", "The call met an error of its own."),
        (502, "InvalidGatewayHost", "The gateway found no host."),
        (503, "ServerTimeout", "The server was too slow."),
        (504, "GatewayTimeout", "The gateway waited too long."),
    ]
    answers = [
        _got("backupProtectedItems", {"error": {"code": code, "message": text}}, status, code)
        for status, code, text in found
    ]
    other_form = {
        "ErrorCode": "CloudInternalError",
        "Message": {"Language": "en-US", "Value": "An inner error, in the other form."},
        "Values": [{"Key": "OperationId", "Value": "none"}],
    }
    return [*answers, _got("backupProtectedItems", other_form, 500, "CloudInternalError")]
