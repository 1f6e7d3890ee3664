# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup policies of a vault."""

from __future__ import annotations

import copy
import re
from datetime import datetime
from typing import Any, Dict, Mapping, Optional, Tuple

from tests.lab.recovery_services import jobs, policy_rules
from tests.lab.recovery_services.errors import gateway, invalid_input, invalid_policy, service
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Job, Operation, Vault, Vm, new_id
from tests.lab.recovery_services.plans import Plan

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9!_-]{2,149}$")
#: How long the service takes to bring a changed policy to the items under it.
_SPREADS_S = 12.0


def _kept(count: int, time: str) -> Dict[str, Any]:
    return {
        "retentionPolicyType": "LongTermRetentionPolicy",
        "dailySchedule": {
            "retentionTimes": [time],
            "retentionDuration": {"count": count, "durationType": "Days"},
        },
    }


def of_a_new_vault(now: datetime) -> Dict[str, Tuple[str, Dict[str, Any]]]:
    """Return the policies that every vault begins with.

    One long literal: it is read beside an answer of the service.
    """
    evening, morning = f"{now:%Y-%m-%d}T18:30:00Z", f"{now:%Y-%m-%d}T08:00:00Z"
    daily = {
        "schedulePolicyType": "SimpleSchedulePolicy",
        "scheduleRunFrequency": "Daily",
        "scheduleRunTimes": [evening],
        "scheduleWeeklyFrequency": 0,
    }
    common = {"backupManagementType": "AzureIaasVM"}
    ends = {"instantRpRetentionRangeInDays": 2, "timeZone": "UTC"}
    hourly = {
        "schedulePolicyType": "SimpleSchedulePolicyV2",
        "scheduleRunFrequency": "Hourly",
        "hourlySchedule": {
            "interval": 4,
            "scheduleWindowStartTime": morning,
            "scheduleWindowDuration": 12,
        },
    }
    log = {
        "policyType": "Log",
        "schedulePolicy": {
            "schedulePolicyType": "LogSchedulePolicy",
            "scheduleFrequencyInMins": 60,
        },
        "retentionPolicy": {
            "retentionPolicyType": "SimpleRetentionPolicy",
            "retentionDuration": {"count": 30, "durationType": "Days"},
        },
    }
    full = {
        "policyType": "Full",
        "schedulePolicy": dict(daily),
        "retentionPolicy": _kept(30, evening),
    }
    found: Dict[str, Dict[str, Any]] = {
        "HourlyLogBackup": {
            "backupManagementType": "AzureWorkload",
            "workLoadType": "SQLDataBase",
            "settings": {"timeZone": "UTC", "issqlcompression": False, "isCompression": False},
            "subProtectionPolicy": [full, log],
        },
        "DefaultPolicy": {
            **common,
            "policyType": "V1",
            "instantRPDetails": {},
            "schedulePolicy": daily,
            "retentionPolicy": _kept(30, evening),
            **ends,
        },
        "EnhancedPolicy": {
            **common,
            "policyType": "V2",
            "instantRPDetails": {},
            "schedulePolicy": hourly,
            "retentionPolicy": _kept(30, morning),
            **ends,
        },
    }
    return {name.lower(): (name, body) for name, body in found.items()}


def find(vault: Vault, name: str) -> Tuple[str, Dict[str, Any]]:
    """Return a policy's name as given, and its properties."""
    found = vault.policies.get(name.lower())
    if found is None:
        raise gateway(404, "BMSUserErrorPolicyNotFound", f"The policy '{name}' was not found.")
    return found


def users(vault: Vault, name: str) -> int:
    """Return how many items are under the policy."""
    return sum(1 for item in vault.items.values() if item.policy.lower() == name.lower())


def put(estate: Estate, vault: Vault, name: str, body: Mapping[str, Any]) -> Optional[Operation]:
    """Make or change a policy: at once, or by an operation when items are under it."""
    now = estate.now()
    if not _NAME.match(name):
        raise invalid_policy(
            f"The name '{name}' must have 3 to 150 letters, digits, hyphens and underscores."
        )
    given = body.get("properties")
    if not isinstance(given, Mapping):
        raise invalid_policy("The request has no properties.")
    properties = _as_stored(given)
    if properties.get("backupManagementType") == "AzureIaasVM":
        policy_rules.check(properties)
    elif properties.get("backupManagementType") != "AzureWorkload":
        raise invalid_policy("The backup management type is not supported.")
    known = vault.policies.get(name.lower())
    if known and (known[1].get("policyType") or "V1") != properties.get("policyType", "V1"):
        raise invalid_policy("The type of a policy cannot be changed.")
    if not known or not users(vault, name):
        vault.policies[name.lower()] = (known[0] if known else name, properties)
        return None
    operation = Operation(new_id(), now, key=f"policy:{name.lower()}", plural=True)
    vault.operations[operation.id] = operation

    def done(_moment: datetime) -> None:
        vault.policies[name.lower()] = (known[0], properties)
        for item in vault.items.values():
            if item.policy.lower() == name.lower():
                operation.jobs.append(_carry(estate, vault, item.vm, known[0]))

    if not estate.hang:
        operation.ends = estate.after(_SPREADS_S, done)
    return operation


def _carry(estate: Estate, vault: Vault, vm: Vm, policy: str) -> Job:
    """Begin the job that brings a changed policy to one VM.

    Invented: neither what the service calls such a job nor how long it takes was recorded.
    """
    plan = estate.plans.take(vm.id, "ConfigureBackup") or Plan()
    bag = {"Policy Name": policy}
    job = jobs.begin(estate, vault, "ConfigureBackup", vm, bag, first=False, plan=plan)
    jobs.end_after(estate, job, plan, lambda _moment: None)
    return job


def _as_stored(given: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the policy as the service returns it: its own order, times without milliseconds."""
    plain: Dict[str, Any] = _without_milliseconds(copy.deepcopy(dict(given)))
    plain.pop("protectedItemsCount", None)
    plain.pop("resourceGuardOperationRequests", None)
    if plain.get("backupManagementType") != "AzureIaasVM":
        return plain
    schedule = plain.get("schedulePolicy")
    schedule = schedule if isinstance(schedule, dict) else {}
    second = schedule.get("schedulePolicyType") == "SimpleSchedulePolicyV2"
    weekly = schedule.get("scheduleRunFrequency") == "Weekly"
    if not second and schedule:
        schedule.setdefault("scheduleWeeklyFrequency", 0)
    first = {
        "backupManagementType": plain.pop("backupManagementType"),
        "policyType": plain.pop("policyType", None) or ("V2" if second else "V1"),
        "instantRPDetails": plain.pop("instantRPDetails", None) or {},
    }
    days = plain.pop("instantRpRetentionRangeInDays", None)
    last = {
        "instantRpRetentionRangeInDays": (5 if weekly else 2) if days is None else days,
        "timeZone": plain.pop("timeZone", None) or "UTC",
    }
    kept = {name: value for name, value in plain.items() if value is not None}
    return {**first, **kept, **last}


def _without_milliseconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_milliseconds(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_milliseconds(one) for one in value]
    if isinstance(value, str):
        return re.sub(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.0+Z$", r"\1Z", value)
    return value


def delete(vault: Vault, name: str) -> bool:
    """Delete a policy; false if there was none."""
    known = vault.policies.get(name.lower())
    if known is None:
        return False
    if users(vault, name):
        raise service(
            400,
            "BMSUserErrorPolicyObjectInUse",
            f"The policy '{known[0]}' cannot be deleted: {users(vault, name)} items are under it.",
        )
    del vault.policies[name.lower()]
    return True


def named_in(policy_id: str) -> str:
    """Return the policy's name in its id."""
    name = policy_id.rsplit("/", 1)[-1]
    if not name:
        raise invalid_input("The request names no policy.")
    return name
