# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules C(backup_policy) and C(backup_policy_info), but for their documentation.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional

from .._arm.connection import VaultConnection
from .._arm.errors import VaultError
from .._arm.options import vault_arguments
from .._errors import QuiesceError, refuse
from .._vault.policies import apply
from .._vault.policies.apply import StoredPolicy
from .._vault.policies.rollout import PolicyRolloutError
from .._vault.policy.desired import check_options, desired_policy
from .._vault.policy.limits import check_name, check_policy, warnings_of
from .._vault.policy.model import (
    AFTER,
    BEST,
    DAILY,
    DO_NOT_TIER,
    ENHANCED,
    HOURLY,
    MONTHS,
    ONLY_CRASH,
    RECOMMENDED,
    STANDARD,
    TIERING_UNITS,
    WEEKDAYS,
    WEEKLY,
    WEEKS,
    Policy,
)

_WEEKDAYS = {"type": "list", "elements": "str", "choices": list(WEEKDAYS)}
_DATES = {
    "days_of_month": {"type": "list", "elements": "int"},
    "last_day_of_month": {"type": "bool"},
    "days_of_week": _WEEKDAYS,
    "weeks_of_month": {"type": "list", "elements": "str", "choices": list(WEEKS)},
}
_COUNT = {"type": "int", "required": True}
_SCHEDULE = {
    "frequency": {"type": "str", "choices": [HOURLY, DAILY, WEEKLY]},
    "time": {"type": "str"},
    "days_of_week": _WEEKDAYS,
    "interval_hours": {"type": "int"},
    "window_start": {"type": "str"},
    "window_hours": {"type": "int"},
}
_MONTHS_OF_YEAR = {"type": "list", "elements": "str", "choices": list(MONTHS)}
_RETENTION = {
    "daily": {"type": "dict", "options": {"days": _COUNT}},
    "weekly": {"type": "dict", "options": {"weeks": _COUNT, "days_of_week": _WEEKDAYS}},
    "monthly": {"type": "dict", "options": {"months": _COUNT, **_DATES}},
    "yearly": {
        "type": "dict",
        "options": {"years": _COUNT, "months_of_year": _MONTHS_OF_YEAR, **_DATES},
    },
}
_TIERING = {
    "mode": {"type": "str", "choices": [RECOMMENDED, AFTER, DO_NOT_TIER], "required": True},
    "duration": {"type": "int"},
    "unit": {"type": "str", "choices": list(TIERING_UNITS)},
}
_NAMES = {"prefix": {"type": "str"}, "suffix": {"type": "str"}}


def policy_arguments() -> Dict[str, Any]:
    """The options of C(backup_policy)."""
    return {
        **vault_arguments(),
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "policy_type": {"type": "str", "choices": [STANDARD, ENHANCED]},
        "schedule": {"type": "dict", "options": _SCHEDULE},
        "retention": {"type": "dict", "options": _RETENTION},
        "time_zone": {"type": "str"},
        "instant_restore_days": {"type": "int"},
        "snapshot_consistency_type": {"type": "str", "choices": [BEST, ONLY_CRASH]},
        "instant_restore_resource_group": {"type": "dict", "options": _NAMES},
        "archive_tiering": {
            "type": "dict",
            "options": _TIERING,
            "required_if": [("mode", AFTER, ["duration"])],
        },
    }


def policy_info_arguments() -> Dict[str, Any]:
    """The options of C(backup_policy_info)."""
    return {**vault_arguments(), "name": {"type": "str"}}


def policies_info(
    connection: VaultConnection, params: Mapping[str, Any], _check_mode: bool
) -> Dict[str, Any]:
    """Show every policy for Azure VMs, or one."""
    name = params.get("name")
    if name is None:
        policies = apply.list_policies(connection)
    else:
        check_name(name)
        one = apply.find_policy(connection, name)
        policies = [one] if one and one.is_for_vms else []
    return {"changed": False, "policies": [one.to_result() for one in policies]}


class PolicyUncertainError(VaultError):
    """A request that failed, and all the same changed the policy; C(result) has what is there."""

    def __init__(self, error: VaultError, result: Dict[str, Any]) -> None:
        super().__init__(error.failure, error.kind, error.is_wide)
        self.result = result


class PolicyTask:
    """One run of C(backup_policy)."""

    def __init__(
        self,
        connection: VaultConnection,
        params: Mapping[str, Any],
        check_mode: bool,
        with_diff: bool,
    ) -> None:
        self._connection = connection
        self._params = params
        self._name = str(params["name"])
        self._check_mode = check_mode
        self._with_diff = with_diff

    def run(self) -> Dict[str, Any]:
        """Bring the policy into the state that the options ask for."""
        check_name(self._name)
        if self._params["state"] == "present":
            check_options(self._params)
        present = apply.find_policy(self._connection, self._name)
        if present and not present.is_for_vms:
            refuse(
                "PolicyOfAnotherKind",
                f"The vault's policy {present.name} is one for "
                f"{present.properties.get('backupManagementType')}, not for Azure VMs.",
                "Take another name.",
            )
        if self._params["state"] == "absent":
            return self._remove(present)
        return self._put(present)

    def _put(self, present: Optional[StoredPolicy]) -> Dict[str, Any]:
        before = present.policy if present else None
        wanted = desired_policy(self._params, before)
        if before and before.policy_type != wanted.policy_type:
            refuse(
                "PolicyTypeCannotChange",
                f"policy_type {wanted.policy_type}: the policy {self._name} is {before.policy_type}"
                ", and Azure does not change the type of a policy.",
                "Make a policy of another name, and put the VMs under it with "
                "quiesce.azure_backup.protected_vm.",
            )
        if before == wanted:
            return self._result(False, present, before, wanted)
        if not present:
            check_name(self._name, to_make=True)
        # Not before: a policy that is there, and is to stay as it is, Azure has taken once.
        check_policy(wanted)
        stored = present
        more: List[str] = []
        if not self._check_mode:
            name = present.name if present else self._name
            try:
                put = apply.put_policy(self._connection, name, wanted, present)
            except VaultError as error:
                raise self._as_it_is_now(error, present) from error
            stored = put.stored
            more = _differences(wanted, stored.policy)
            result = self._result(True, stored, before, wanted, more)
            result["vms"] = [one.to_result() for one in put.carried if one.job_id]
            if any(one.failure for one in put.carried):
                raise PolicyRolloutError(f"backup policy {name}", put.carried, result)
            return result
        return self._result(True, stored, before, wanted, more)

    def _remove(self, present: Optional[StoredPolicy]) -> Dict[str, Any]:
        if present is None:
            return self._result(False, None, None, None)
        count, more = present.protected_items_count, []
        if self._check_mode and count:
            more = [f"Azure will refuse to delete the policy {present.name}: {_under(count)}."]
        if not self._check_mode:
            try:
                apply.delete_policy(self._connection, present.name)
            except VaultError as error:
                if error.kind not in ("request", "conflict"):
                    raise self._as_it_is_now(error, present) from error
                raise _explained(error, present) from error
        result = self._result(True, None, present.policy, None, more)
        return {**result, "protected_items_count": count if self._check_mode else 0}

    def _as_it_is_now(self, error: VaultError, present: Optional[StoredPolicy]) -> VaultError:
        """The error; with a look at the policy where the request may have been carried out."""
        if not error.is_doubtful and error.kind != "service":
            return error
        try:
            stored = apply.find_policy(self._connection, self._name)
        except VaultError:
            return error
        before = present.policy if present else None
        after = stored.policy if stored else None
        if before == after:
            return error
        return PolicyUncertainError(error, self._result(True, stored, before, after))

    def _result(
        self,
        changed: bool,
        stored: Optional[StoredPolicy],
        before: Optional[Policy],
        after: Optional[Policy],
        more: Optional[List[str]] = None,
    ) -> Dict[str, Any]:
        name = stored.name if stored else self._name
        result: Dict[str, Any] = {
            "changed": changed,
            "id": stored.id if stored else None,
            "protected_items_count": stored.protected_items_count if stored else 0,
            "policy": {"name": name, **after.to_options()} if after else None,
            "vms": [],
            "warnings": [*(warnings_of(after) if after else ()), *(more or ())],
        }
        if self._with_diff:
            result["diff"] = {
                "before": before.to_options() if before else {},
                "after": after.to_options() if after else {},
                "before_header": f"{name} (present)",
                "after_header": f"{name} (wanted)",
            }
        return result


def _differences(wanted: Policy, stored: Policy) -> List[str]:
    """What Azure has made of what was asked for, where that is something else."""
    asked, got = wanted.to_options(), stored.to_options()
    return [
        f"Azure has stored {option} as {got.get(option)} where {value} was asked for."
        for option, value in asked.items()
        if value != got.get(option)
    ]


def _under(count: int) -> str:
    return f"{count} protected item{' is' if count == 1 else 's are'} under it"


def _explained(error: VaultError, present: StoredPolicy) -> QuiesceError:
    """The refusal to delete a policy, with the VMs that are under it."""
    count = present.protected_items_count
    if not count or error.kind not in ("request", "conflict"):
        return error
    failure = replace(
        error.failure,
        message=f"{error.failure.message} {_under(count).capitalize()}.",
        recommended_action="PutResult them under another policy, or stop their protection, with "
        "quiesce.azure_backup.protected_vm; quiesce.azure_backup.protected_vm_info with policy "
        f"{present.name} lists them.",
    )
    return VaultError(failure, error.kind)
