# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules `backup_policy` and `backup_policy_info`, from options to result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._arm.errors import VaultError
from .._errors import Failure, QuiesceError, SettingsError
from .._vault.connection import VaultConnection
from .._vault.policies import apply
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
from .._vault.resources.policies import StoredPolicy, another_kind, find_policy
from .._vault.resources.policies import list_policies as list_stored_policies
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import VAULT

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


BACKUP_POLICY = VAULT.merge(
    ArgumentSpec(
        {
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
    )
)
BACKUP_POLICY_INFO = VAULT.merge(ArgumentSpec({"name": {"type": "str"}}))


def list_policies(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Return the policy with the given name, or all policies for Azure VMs."""
    name = context.params.get("name")
    if name is None:
        policies = list_stored_policies(connection)
    else:
        check_name(name)
        policy = find_policy(connection, name)
        policies = [policy] if policy and policy.is_for_vms else []
    return {"changed": False, "policies": [policy.to_result() for policy in policies]}


def manage_policy(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Bring the policy to the requested state."""
    return _PolicyTask(connection, context).run()


class PolicyUncertainError(VaultError):
    """A request that failed and changed the policy, or may have.

    `result` has the present policy if it was readable.
    """

    def __init__(self, error: VaultError, result: dict[str, Any]) -> None:
        super().__init__(error.failure, error.kind, error.is_wide)
        self.result = result


class _PolicyTask:
    """One run of `backup_policy`."""

    def __init__(self, connection: VaultConnection, context: TaskContext) -> None:
        self._connection = connection
        self._context = context
        self._params = context.params
        self._name = str(context.params["name"])

    def run(self) -> dict[str, Any]:
        check_name(self._name)
        if self._params["state"] == "present":
            check_options(self._params)
        present = find_policy(self._connection, self._name)
        if present and not present.is_for_vms:
            raise another_kind(self._connection, present, "Set name to another name.")
        if self._params["state"] == "absent":
            return self._remove(present)
        return self._put(present)

    def _put(self, present: StoredPolicy | None) -> dict[str, Any]:
        before = present.policy if present else None
        desired = desired_policy(self._params, before)
        if before and before.policy_type != desired.policy_type:
            raise SettingsError(
                Failure(
                    "PolicyTypeCannotChange",
                    f"policy_type is {desired.policy_type}, but the policy {self._name} is "
                    f"{before.policy_type}, and Azure does not change the type of a policy.",
                    "Create a policy with another name, and assign the VMs to it with "
                    "quiesce.azure_backup.protected_vm.",
                )
            )
        if before == desired:
            return self._result(False, present, before, desired)
        if not present:
            check_name(self._name, to_make=True)
        # Only now, because Azure has already accepted a policy that stays unchanged.
        check_policy(desired)
        stored = present
        more: list[str] = []
        if not self._context.check_mode:
            name = present.name if present else self._name
            try:
                put = apply.put_policy(self._connection, name, desired, present)
            except VaultError as error:
                raise self._with_present_policy(error, present) from error
            stored = put.stored
            more = _differences(desired, stored.policy)
            result = self._result(True, stored, before, desired, more)
            result["vms"] = [vm.to_result() for vm in put.jobs if vm.job_id]
            if any(vm.failure for vm in put.jobs):
                raise PolicyRolloutError(f"backup policy {name}", put.jobs, result)
            return result
        return self._result(True, stored, before, desired, more)

    def _remove(self, present: StoredPolicy | None) -> dict[str, Any]:
        if present is None:
            return self._result(False, None, None, None)
        count, more = present.protected_items_count, []
        if self._context.check_mode and count:
            more = [f"Azure will refuse to delete the policy {present.name}: {_users(count)}."]
        if not self._context.check_mode:
            try:
                apply.delete_policy(self._connection, present.name)
            except VaultError as error:
                if error.kind not in ("request", "conflict") or error.is_running:
                    raise self._with_present_policy(error, present) from error
                raise _explained(error, present) from error
        result = self._result(True, None, present.policy, None, more)
        return {**result, "protected_items_count": count if self._context.check_mode else 0}

    def _with_present_policy(self, error: VaultError, present: StoredPolicy | None) -> VaultError:
        """Return the error, with the policy if the request may have taken effect and changed it."""
        may_be_done = error.is_doubtful or error.is_running or error.kind == "service"
        if not may_be_done:
            return error
        try:
            stored = find_policy(self._connection, self._name)
        except VaultError:
            # Nothing shows whether the policy has changed, so it counts as changed.
            return PolicyUncertainError(error, {"changed": True})
        before = present.policy if present else None
        after = stored.policy if stored else None
        if before == after and not error.is_running:
            return error
        return PolicyUncertainError(error, self._result(True, stored, before, after))

    def _result(
        self,
        changed: bool,
        stored: StoredPolicy | None,
        before: Policy | None,
        after: Policy | None,
        more: list[str] | None = None,
    ) -> dict[str, Any]:
        name = stored.name if stored else self._name
        result: dict[str, Any] = {
            "changed": changed,
            "id": stored.id if stored else None,
            "protected_items_count": stored.protected_items_count if stored else 0,
            "policy": {"name": name, **after.to_options()} if after else None,
            "vms": [],
            "warnings": [*(warnings_of(after) if after else ()), *(more or ())],
        }
        if self._context.diff:
            result["diff"] = {
                "before": before.to_options() if before else {},
                "after": after.to_options() if after else {},
                "before_header": f"{name} (present)",
                "after_header": f"{name} (desired)",
            }
        return result


def _differences(desired: Policy, stored: Policy) -> list[str]:
    """Return a warning for each option that Azure stored with another value than requested."""
    found = stored.to_options()
    return [
        f"Azure stored {option} as {found.get(option)} instead of {value}."
        for option, value in desired.to_options().items()
        if value != found.get(option)
    ]


def _users(count: int) -> str:
    return f"{count} protected item{' uses' if count == 1 else 's use'} it"


def _explained(error: VaultError, present: StoredPolicy) -> QuiesceError:
    """Return the refusal to delete a policy, with the number of VMs that use it."""
    count = present.protected_items_count
    if not count or error.kind not in ("request", "conflict"):
        return error
    failure = replace(
        error.failure,
        message=f"{error.failure.message} {_users(count).capitalize()}.",
        recommended_action="Assign the VMs to another policy, or stop their protection, with "
        "quiesce.azure_backup.protected_vm. quiesce.azure_backup.protected_vm_info lists them with "
        f"policy: {present.name}.",
    )
    return VaultError(failure, error.kind)
