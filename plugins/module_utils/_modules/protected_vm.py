# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that protect VMs and list protected VMs, from options to result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._arm.clock import Deadline
from .._arm.ids import equals_ignoring_case
from .._arm.options import chosen_vms, vms_named_by_id
from .._errors import Failure, SettingsError
from .._vault.connection import VaultConnection
from .._vault.jobs.poller import JobPoller
from .._vault.protection.apply import Executor
from .._vault.protection.discovery import Discovery, being_protected, list_protectable, refresh
from .._vault.protection.disk_choice import (
    DISK_ARGUMENTS,
    EXCLUDE,
    INCLUDE,
    check_luns,
    chosen_options,
    wanted_disks,
)
from .._vault.protection.plan import (
    ABSENT,
    STATES,
    UNDELETED,
    DesiredState,
    compared,
    expected_result,
)
from .._vault.protection.vm_task import VmTask, lacks_policy
from .._vault.resources.policies import ChosenPolicy, choose_policy
from .._vault.resources.protected_items import (
    NOT_PROTECTED,
    PROTECTED,
    SOFT_DELETED,
    STOPPED,
    UNKNOWN,
    ProtectedItem,
    list_items,
    namesakes,
    not_protected,
)
from .._vault.vm_failures import VmFailuresError
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import VAULT, VMS, VMS_IF_ANY, wait_spec

_TIMEOUT_S = 3600
_DISCOVERY_TIMEOUT_S = 900

PROTECTED_VM = VAULT.merge(
    VMS,
    wait_spec(_TIMEOUT_S),
    ArgumentSpec(
        {
            "state": {"type": "str", "choices": list(STATES), "default": PROTECTED},
            "policy": {"type": "str"},
            **DISK_ARGUMENTS,
        },
        mutually_exclusive=((INCLUDE, EXCLUDE),),
    ),
)
PROTECTED_VM_INFO = VAULT.merge(
    VMS_IF_ANY,
    ArgumentSpec(
        {
            "policy": {"type": "str"},
            "state": {
                "type": "list",
                "elements": "str",
                "choices": [PROTECTED, STOPPED, SOFT_DELETED, NOT_PROTECTED, UNKNOWN],
            },
        }
    ),
)
PROTECTABLE_VM_INFO = VAULT.merge(
    wait_spec(_DISCOVERY_TIMEOUT_S).without("wait"),
    ArgumentSpec({"refresh": {"type": "bool", "default": True}}),
)


def protect_vms(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Bring the VMs to the desired state, or in check mode predict it, and return the result.

    Raises `VmFailuresError` after all VMs were processed, if a VM failed.
    """
    params = context.params
    disks = wanted_disks(params)
    vms = chosen_vms(params, connection)
    policy = ChosenPolicy.parse(params.get("policy"), connection.vault)
    desired = DesiredState(params["state"], policy.id if policy else None, disks)
    items = list_items(connection)
    tasks = [VmTask.planned(desired, vm, items.get(vm.key)) for vm in vms]
    policy_type = _check_policy(connection, policy, tasks)
    _refuse_namesakes(tasks, items)
    warnings = [*_without_effect(params), *check_luns(connection, desired, tasks)]
    warnings += _discover(connection, params, desired, tasks, may_write=not context.check_mode)
    if desired.state != PROTECTED:
        warnings += _check_namesakes(params, tasks, items)
    if not context.check_mode:
        _await_others(connection, params, tasks)
        Executor(
            connection,
            desired,
            JobPoller(connection, connection.deadline, params["poll_interval"]),
            connection.deadline,
            poll_interval_s=params["poll_interval"],
            wait=params["wait"],
            policy_type=policy_type,
        ).run(tasks)
    result = _result(tasks, warnings, context)
    failed = [(task.vm.name, task.failure) for task in tasks if task.failure]
    if failed:
        raise VmFailuresError(failed, len(tasks), result)
    return result


def list_protected(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Return the VMs that the vault protects or holds data of."""
    params = context.params
    vms = chosen_vms(params, connection, required=False)
    policy = ChosenPolicy.parse(params.get("policy"), connection.vault)
    if policy is None and params.get("policy") is not None:
        raise SettingsError(
            "InvalidPolicyName",
            "policy is empty, so it names no policy.",
            "Set policy to the name of a policy of the vault, or omit it to list all VMs.",
        )
    items = list_items(connection)
    if params.get("vms") is None and params.get("vm") is None:
        found = [item.to_result() for _key, item in sorted(items.items())]
    else:
        listed = ((vm, items.get(vm.key)) for vm in vms)
        found = [item.to_result() if item else not_protected(vm) for vm, item in listed]
    if policy is not None:
        found = [vm for vm in found if equals_ignoring_case(str(vm["policy"] or ""), policy.name)]
    states = params.get("state")
    if states:
        found = [vm for vm in found if vm["state"] in states]
    return {"changed": False, "vms": found}


def list_protectable_vms(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Return the VMs that the vault can protect, after a discovery."""
    refreshed = bool(context.params["refresh"]) and not context.check_mode
    if refreshed:
        refresh(connection, connection.deadline, context.params["poll_interval"])
    found = sorted(list_protectable(connection).items())
    return {
        "changed": False,
        "refreshed": refreshed,
        "vms": [vm.to_result() for _key, vm in found],
    }


def _check_policy(
    connection: VaultConnection, policy: ChosenPolicy | None, tasks: Sequence[VmTask]
) -> str:
    """Check that the policy exists and fits if a VM needs it, and return its type."""
    lacking = [task for task in tasks if task.plan.lacks_policy]
    if lacking:
        failure = lacks_policy(lacking[0].vm)
        more = f" This concerns {len(lacking)} VMs." if len(lacking) > 1 else ""
        raise SettingsError(
            Failure(failure.name, failure.message + more, failure.recommended_action)
        )
    needed = any(step.needs_policy for task in tasks for step in task.plan.steps)
    return choose_policy(connection, policy).azure_type if policy and needed else ""


def _discover(
    connection: VaultConnection,
    params: Mapping[str, Any],
    desired: DesiredState,
    tasks: Sequence[VmTask],
    may_write: bool,
) -> list[str]:
    """Find the VMs that the vault does not list yet, and return warnings."""
    fresh = {task.vm.key: task for task in tasks if task.is_ready and not task.before}
    if not fresh:
        return []
    # Half of the time at most, so that the other half remains for the operations.
    deadline = Deadline(connection.clock, connection.deadline.left() / 2)
    found = Discovery(connection, deadline, params["poll_interval"], desired.disks, may_write).find(
        [task.vm for task in fresh.values()]
    )
    for key, task in fresh.items():
        task.discover(found.protectable.get(key, task.vm), key in found.after_refresh)
        if key in found.failures:
            task.fail(found.failures[key])
        elif key in found.busy and may_write:
            _keep_waiting(task, params["wait"])
    if not found.not_diagnosed:
        return []
    return [
        f"The module did not check whether the vault can protect the last {found.not_diagnosed} of "
        "the VMs that it does not list, because there are too many."
    ]


def _refuse_namesakes(tasks: Sequence[VmTask], items: Mapping[str, ProtectedItem]) -> None:
    """Fail each VM with the same container name as a VM of another subscription.

    Container names contain the resource group and the name of the VM, but no subscription.
    """
    others = {item.vm.container_key: item for item in items.values()}
    for task in tasks:
        other = others.get(task.vm.container_key)
        if task.before is None and task.is_ready and other is not None:
            task.fail(
                Failure(
                    "NameTaken",
                    f"The vault has another VM named {task.vm.name} in a resource group of the "
                    f"same name, in subscription {other.vm.subscription_id}.",
                    "Protect one of the two VMs with another vault.",
                )
            )


def _check_namesakes(
    params: Mapping[str, Any], tasks: Sequence[VmTask], items: Mapping[str, ProtectedItem]
) -> list[str]:
    """Fail VMs that may only seem absent because the resource group is wrong; return warnings.

    An omitted or wrong resource group would otherwise pass for deleted data. A resource ID is
    unambiguous, and therefore trusted.
    """
    certain = vms_named_by_id(params)
    warnings: list[str] = []
    for task in tasks:
        words = namesakes(task.vm, items)
        kept = any(
            equals_ignoring_case(item.vm.name, task.vm.name) and not item.soft_deleted
            for item in items.values()
        )
        if words and kept and params["state"] == ABSENT and task.vm.key not in certain:
            task.fail(
                Failure(
                    "NotProtected",
                    f"VM {task.vm.name} of resource group {task.vm.resource_group} is not in "
                    "this vault, but a VM of that name in another resource group is.",
                    f"{words} If you mean the VM in {task.vm.resource_group}, give its resource "
                    "ID.",
                )
            )
        elif words:
            warnings.append(words)
    return warnings


def _await_others(
    connection: VaultConnection, params: Mapping[str, Any], tasks: Sequence[VmTask]
) -> None:
    """Wait for operations that are protecting VMs, unless `state` is `protected`."""
    if params["state"] == PROTECTED:
        return
    unlisted = {task.vm.key: task for task in tasks if task.before is None}
    vms = [task.vm for task in unlisted.values()]
    for key in being_protected(connection, vms):
        _keep_waiting(unlisted[key], params["wait"])


def _keep_waiting(task: VmTask, wait: bool) -> None:
    """Wait for the operation that runs on a VM and plan the VM again, or without `wait` fail it."""
    failure = Failure(
        "OperationInProgress",
        f"Another operation that protects VM {task.vm.name} is running.",
        "Run the task again after it has finished, or set wait=true.",
    )
    if wait:
        task.block(failure)
    else:
        task.fail(failure)


def _without_effect(params: Mapping[str, Any]) -> list[str]:
    """Return a warning about options that have no effect in the desired state."""
    given = [name for name in ("policy",) if (params.get(name) or "").strip()]
    given += chosen_options(params)
    if params["state"] == PROTECTED or not given:
        return []
    more = (
        " The VM ends without backups. Run a task with state=protected to resume them."
        if params["state"] == UNDELETED
        else ""
    )
    have = "have" if len(given) > 1 else "has"
    return [f"{' and '.join(given)} {have} no effect with state={params['state']}.{more}"]


# --- the result ---------------------------------------------------------------------------------


def _result(
    tasks: Sequence[VmTask], warnings: Sequence[str], context: TaskContext
) -> dict[str, Any]:
    vms = [_vm_result(task, context.check_mode) for task in tasks]
    result: dict[str, Any] = {"changed": any(vm["changed"] for vm in vms), "vms": vms}
    all_warnings = [*warnings, *(warning for task in tasks for warning in task.warnings)]
    if all_warnings:
        result["warnings"] = all_warnings
    if context.diff:
        result["diff"] = _diff(tasks, context.check_mode)
    return result


def _vm_result(task: VmTask, check_mode: bool) -> dict[str, Any]:
    item = task.item
    shown = item.to_result() if item else not_protected(task.vm)
    if check_mode and task.is_ready:
        shown = {**shown, **_expected(task)}
    would_change = check_mode and task.is_ready
    return {
        **shown,
        "changed": would_change or task.changed,
        "actions": list(task.actions),
        "job_id": task.job_ids[-1] if task.job_ids else None,
        "job_ids": list(task.job_ids),
        "failure": task.failure.to_result() if task.failure else None,
    }


def _expected(task: VmTask) -> dict[str, Any]:
    after = expected_result(compared(task.before), task.plan.steps)
    policy_id = (task.plan.steps[-1].properties or {}).get("policyId") or None
    return {**after, "policy_id": policy_id, "soft_deleted": after["state"] == SOFT_DELETED}


def _diff(tasks: Sequence[VmTask], check_mode: bool) -> dict[str, Any]:
    """Return the changed properties of each VM before and after, by resource group and name."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for task in tasks:
        name = f"{task.vm.resource_group}/{task.vm.name}"
        then, now = compared(task.before), compared(task.item)
        if (check_mode and task.is_ready) or task.is_job_running:
            now = expected_result(then, tuple(task.done) + task.plan.steps)
        if then != now:
            before[name], after[name] = then, now
    return {"before": before, "after": after}
