# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules that protect VMs and say how they are protected, from options to result.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

from .._arm.clock import Deadline
from .._arm.connection import VaultConnection
from .._arm.ids import VmId, equals_ignoring_case
from .._arm.options import (
    chosen_vms,
    vault_arguments,
    vms_arguments,
    vms_named_by_id,
    vms_rules,
    wait_arguments,
)
from .._errors import Failure, refuse
from .._vault.jobs.poller import JobPoller
from .._vault.policies.choice import ChosenPolicy, choose_policy
from .._vault.protection.apply import Executor, VmTask, lacks_policy
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
    ProtectionPlan,
    compared,
    expected_result,
    plan,
)
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

_TIMEOUT_S = 3600
_DISCOVERY_TIMEOUT_S = 900

PROTECTED_VM: Dict[str, Any] = {
    "argument_spec": {
        **vault_arguments(),
        **vms_arguments(),
        "state": {"type": "str", "choices": list(STATES), "default": PROTECTED},
        "policy": {"type": "str"},
        **DISK_ARGUMENTS,
        **wait_arguments(_TIMEOUT_S),
    },
    **vms_rules(),
}
PROTECTED_VM["mutually_exclusive"] = [
    *PROTECTED_VM["mutually_exclusive"],
    [INCLUDE, EXCLUDE],
]
PROTECTED_VM_INFO: Dict[str, Any] = {
    "argument_spec": {
        **vault_arguments(),
        **vms_arguments(),
        "policy": {"type": "str"},
        "state": {
            "type": "list",
            "elements": "str",
            "choices": [PROTECTED, STOPPED, SOFT_DELETED, NOT_PROTECTED, UNKNOWN],
        },
    },
    **vms_rules(required=False),
}
PROTECTABLE_VM_INFO: Dict[str, Any] = {
    "argument_spec": {
        **vault_arguments(),
        "refresh": {"type": "bool", "default": True},
        **{
            name: argument
            for name, argument in wait_arguments(_DISCOVERY_TIMEOUT_S).items()
            if name != "wait"
        },
    },
}


def protect_vms(
    connection: VaultConnection,
    params: Mapping[str, Any],
    check_mode: bool,
    with_diff: bool = False,
) -> Dict[str, Any]:
    """Bring the VMs to the wanted state, or say what would be done; then the result.

    Raises C(VmFailuresError) at the end, when all that could be done is done.
    """
    disks = wanted_disks(params)
    vms = chosen_vms(params, connection)
    policy = ChosenPolicy.parse(params.get("policy"), connection.vault)
    wanted = DesiredState(params["state"], policy.id if policy else None, disks)
    items = list_items(connection)
    courses = [_course(wanted, vm, items.get(vm.key)) for vm in vms]
    policy_type = _check_policy(connection, policy, courses)
    _refuse_namesakes(courses, items)
    warnings = [*_without_effect(params), *check_luns(connection, wanted, courses)]
    warnings += _discover(connection, params, wanted, courses, may_write=not check_mode)
    if wanted.state != PROTECTED:
        warnings += _tell_namesakes(params, courses, items)
    if not check_mode:
        _await_others(connection, params, courses)
        Executor(
            connection,
            wanted,
            JobPoller(connection, connection.deadline, params["poll_interval"]),
            connection.deadline,
            poll_interval_s=params["poll_interval"],
            wait=params["wait"],
            policy_type=policy_type,
        ).run(courses)
    result = _result(courses, warnings, check_mode, with_diff)
    failed = [(course.vm.name, course.failure) for course in courses if course.failure]
    if failed:
        raise VmFailuresError(failed, len(courses), result)
    return result


def list_protected(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """The VMs that the vault protects, or keeps data of, and how."""
    del check_mode
    wanted = chosen_vms(params, connection, required=False)
    policy = ChosenPolicy.parse(params.get("policy"), connection.vault)
    items = list_items(connection)
    if params.get("vms") is None and params.get("vm") is None:
        found = [item.to_result() for _key, item in sorted(items.items())]
    else:
        listed = ((vm, items.get(vm.key)) for vm in wanted)
        found = [item.to_result() if item else not_protected(vm) for vm, item in listed]
    if policy is not None:
        found = [
            one for one in found if equals_ignoring_case(str(one["policy"] or ""), policy.name)
        ]
    states = params.get("state")
    if states:
        found = [one for one in found if one["state"] in states]
    return {"changed": False, "vms": found}


def list_protectable_vms(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """The VMs that the vault offers to protect, after it has looked for new ones."""
    refreshed = bool(params["refresh"]) and not check_mode
    if refreshed:
        refresh(connection, connection.deadline, params["poll_interval"])
    found = sorted(list_protectable(connection).items())
    return {
        "changed": False,
        "refreshed": refreshed,
        "vms": [one.to_result() for _key, one in found],
    }


def _course(wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]) -> VmTask:
    course = VmTask(item.vm if item else vm, item, plan(wanted, vm, item))
    if course.plan.failure is not None:
        course.fail(course.plan.failure)
    return course


def _check_policy(
    connection: VaultConnection, policy: Optional[ChosenPolicy], courses: Sequence[VmTask]
) -> str:
    """Refuse a policy that is needed and not good, before anything is sent; its type."""
    lacking = [course for course in courses if course.plan.lacks_policy]
    if lacking:
        failure = lacks_policy(lacking[0].vm)
        more = f" This concerns {len(lacking)} VMs." if len(lacking) > 1 else ""
        refuse(failure.name, failure.message + more, failure.recommended_action)
    needed = any(step.needs_policy for course in courses for step in course.plan.steps)
    return choose_policy(connection, policy) if policy and needed else ""


def _discover(
    connection: VaultConnection,
    params: Mapping[str, Any],
    wanted: DesiredState,
    courses: Sequence[VmTask],
    may_write: bool,
) -> List[str]:
    """Find the VMs that the vault is to protect for the first time; returns warnings."""
    fresh = {course.vm.key: course for course in courses if course.is_ready and not course.before}
    if not fresh:
        return []
    # Half of the time at most: the rest is for the VMs that are known, and for what was found.
    deadline = Deadline(connection.clock, connection.deadline.left() / 2)
    found = Discovery(connection, deadline, params["poll_interval"], wanted.disks, may_write).find(
        [course.vm for course in fresh.values()]
    )
    for key, course in fresh.items():
        course.is_discovered_first = key in found.after_refresh
        course.vm = found.protectable.get(key, course.vm)
        if key in found.failures:
            course.fail(found.failures[key])
        elif key in found.busy and may_write:
            _keep_waiting(course, params["wait"])
    if not found.not_looked_at:
        return []
    return [
        f"Whether the vault can protect the last {found.not_looked_at} of the VMs that it does not "
        "list yet was not looked at, as they are too many."
    ]


def _refuse_namesakes(courses: Sequence[VmTask], items: Mapping[str, ProtectedItem]) -> None:
    """Leave alone what has a VM's name and is another's: a vault's names have no subscription."""
    others = {item.vm.container_key: item for item in items.values()}
    for course in courses:
        other = others.get(course.vm.container_key)
        if course.before is None and course.is_ready and other is not None:
            course.fail(
                Failure(
                    "NameTaken",
                    f"The vault has another VM of the name {course.vm.name} in a resource group of "
                    f"the same name, of subscription {other.vm.subscription_id}.",
                    "Protect one of the two with another vault.",
                )
            )


def _tell_namesakes(
    params: Mapping[str, Any], courses: Sequence[VmTask], items: Mapping[str, ProtectedItem]
) -> List[str]:
    """Fail what would be absent only because another resource group was meant; return warnings.

    A resource id can mean no other VM, so it is believed. A group that is left out, or wrong, would
    otherwise pass for data that is deleted.
    """
    certain = vms_named_by_id(params)
    warnings: List[str] = []
    for course in courses:
        words = namesakes(course.vm, items)
        kept = any(
            equals_ignoring_case(item.vm.name, course.vm.name) and not item.soft_deleted
            for item in items.values()
        )
        if words and kept and params["state"] == ABSENT and course.vm.key not in certain:
            course.fail(
                Failure(
                    "NotProtected",
                    f"VM {course.vm.name} of resource group {course.vm.resource_group} is not in "
                    "this vault, but a VM of that name in another resource group is.",
                    f"{words} If the VM of {course.vm.resource_group} is meant, give its resource "
                    "id.",
                )
            )
        elif words:
            warnings.append(words)
    return warnings


def _await_others(
    connection: VaultConnection, params: Mapping[str, Any], courses: Sequence[VmTask]
) -> None:
    """Where a VM shall not be protected, and is just being so, wait for that."""
    if params["state"] == PROTECTED:
        return
    unlisted = {course.vm.key: course for course in courses if course.before is None}
    vms = [course.vm for course in unlisted.values()]
    for key in being_protected(connection, vms):
        unlisted[key].failure = None
        _keep_waiting(unlisted[key], params["wait"])


def _keep_waiting(course: VmTask, wait: bool) -> None:
    """A VM for which a job runs: when that has ended, its plan is made anew."""
    failure = Failure(
        "OperationInProgress",
        f"Another operation that protects VM {course.vm.name} is running.",
        "Run the task again when it has ended, or with wait=true.",
    )
    if wait:
        course.obstacle, course.plan = failure, ProtectionPlan()
    else:
        course.fail(failure)


def _without_effect(params: Mapping[str, Any]) -> List[str]:
    """Return a warning of options that do nothing in the wanted state."""
    given = [name for name in ("policy",) if (params.get(name) or "").strip()]
    given += chosen_options(params)
    if params["state"] == PROTECTED or not given:
        return []
    more = (
        " It ends without backups: a task with state=protected resumes them."
        if params["state"] == UNDELETED
        else ""
    )
    does = "do" if len(given) > 1 else "does"
    return [f"{' and '.join(given)} {does} nothing with state={params['state']}.{more}"]


# --- the result ---------------------------------------------------------------------------------


def _result(
    courses: Sequence[VmTask], warnings: Sequence[str], check_mode: bool, with_diff: bool
) -> Dict[str, Any]:
    told = [_told(course, check_mode) for course in courses]
    result: Dict[str, Any] = {"changed": any(one["changed"] for one in told), "vms": told}
    said = [*warnings, *(warning for course in courses for warning in course.warnings)]
    if said:
        result["warnings"] = said
    if with_diff:
        result["diff"] = _diff(courses, check_mode)
    return result


def _told(course: VmTask, check_mode: bool) -> Dict[str, Any]:
    item = course.item
    shown = item.to_result() if item else not_protected(course.vm)
    if check_mode and course.is_ready:
        shown = {**shown, **_foreseen(course)}
    would_change = check_mode and course.is_ready
    return {
        **shown,
        "changed": would_change or course.changed,
        "actions": list(course.actions),
        "job_id": course.job_ids[-1] if course.job_ids else None,
        "job_ids": list(course.job_ids),
        "failure": course.failure.to_result() if course.failure else None,
    }


def _foreseen(course: VmTask) -> Dict[str, Any]:
    after = expected_result(compared(course.before), course.plan.steps)
    policy_id = (course.plan.steps[-1].properties or {}).get("policyId") or None
    return {**after, "policy_id": policy_id, "soft_deleted": after["state"] == SOFT_DELETED}


def _diff(courses: Sequence[VmTask], check_mode: bool) -> Dict[str, Any]:
    """What changed of which VM: before and after, by group and name."""
    before: Dict[str, Any] = {}
    after: Dict[str, Any] = {}
    for course in courses:
        name = f"{course.vm.resource_group}/{course.vm.name}"
        then, now = compared(course.before), compared(course.item)
        if (check_mode and course.is_ready) or course.is_open:
            now = expected_result(then, tuple(course.done) + course.plan.steps)
        if then != now:
            before[name], after[name] = then, now
    return {"before": before, "after": after}
