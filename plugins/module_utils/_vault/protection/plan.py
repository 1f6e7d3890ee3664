# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has to be done so that a VM is protected as it is wanted: planned, nothing is sent here.

The service starts a job for whatever it is sent, also when nothing would change. So what is wanted
is compared with what the vault lists, and only a difference becomes a step.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Tuple

from ..._arm.ids import VmId, equals_ignoring_case, last_segment
from ..._errors import Failure
from ..resources.protected_items import (
    ALL_DISKS,
    NOT_PROTECTED,
    PROTECTED,
    SOFT_DELETED,
    STOPPED,
    UNKNOWN,
    DiskSelection,
    ProtectedItem,
)

ABSENT, UNDELETED = "absent", "undeleted"
STATES = (PROTECTED, STOPPED, ABSENT, UNDELETED)
#: What is done to a VM, in the words of a result.
DISCOVER, PROTECT, RESUME, UNDELETE, STOP, DELETE, CHANGE_POLICY, CHANGE_DISKS = (
    "discover",
    "protect",
    "resume",
    "undelete",
    "stop",
    "delete",
    "change_policy",
    "change_disks",
)
# The state in which backups are not made, but the data is not kept for ever either.
_SUSPENDED = "BackupsSuspended"
# The service lists it so when it could not be configured.
_INVALID = "Invalid"


@dataclass(frozen=True)
class DesiredState:
    """The state in which all VMs of a task shall be."""

    state: str
    #: The policy's id; none leaves each VM its own.
    policy_id: Optional[str] = None
    #: None leaves each VM its own.
    disks: Optional[DiskSelection] = None


@dataclass(frozen=True)
class Step:
    """One request that starts one job."""

    actions: Tuple[str, ...]
    #: The operation that the job will be of.
    operation: str
    #: What is put into the item; nothing when it is deleted.
    properties: Optional[Mapping[str, Any]] = None

    @property
    def needs_policy(self) -> bool:
        """Whether it cannot be sent without the id of a policy."""
        return bool(self.properties) and self.operation == "ConfigureBackup"


@dataclass(frozen=True)
class ProtectionPlan:
    """The steps for one VM, each sent when the one before has ended; or why there are none."""

    steps: Tuple[Step, ...] = ()
    failure: Optional[Failure] = None

    @property
    def actions(self) -> Tuple[str, ...]:
        """What the steps do, in order."""
        return tuple(action for step in self.steps for action in step.actions)

    @property
    def lacks_policy(self) -> bool:
        """Whether a policy must be named for it."""
        return any(
            step.needs_policy and not (step.properties or {}).get("policyId") for step in self.steps
        )


def plan(wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]) -> ProtectionPlan:
    """The steps that bring one VM, as the vault lists it, to what is wanted."""
    planner = {
        PROTECTED: _plan_protected,
        STOPPED: _plan_stopped,
        ABSENT: _plan_absent,
        UNDELETED: _plan_undeleted,
    }[wanted.state]
    return planner(wanted, vm, item)


def _plan_protected(
    wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]
) -> ProtectionPlan:
    if item is None:
        return ProtectionPlan((_configure((PROTECT,), wanted, None),))
    if item.soft_deleted:
        return ProtectionPlan((_UNDELETE_STEP, _configure((PROTECT,), wanted, item)))
    if item.state == STOPPED:
        return ProtectionPlan((_configure((RESUME,), wanted, item),))
    if equals_ignoring_case(item.protection_state, _INVALID):
        return ProtectionPlan((_configure((PROTECT,), wanted, item),))
    if item.state == UNKNOWN:
        return _cannot(
            vm,
            "ProtectionStateUnknown",
            f"is in protection state {item.protection_state or 'none'!r} in this vault, and it is "
            "not known whether backups are made in it",
            "Look at the VM's backup in the portal.",
        )
    actions = []
    if wanted.policy_id and not equals_ignoring_case(
        last_segment(wanted.policy_id), last_segment(item.policy_id)
    ):
        actions.append(CHANGE_POLICY)
    if wanted.disks is not None and wanted.disks != item.disks:
        actions.append(CHANGE_DISKS)
    return (
        ProtectionPlan((_configure(tuple(actions), wanted, item),)) if actions else ProtectionPlan()
    )


def _plan_stopped(wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]) -> ProtectionPlan:
    del wanted
    if item is None:
        return _cannot(vm, "NotProtected", "is not protected by this vault: nothing to stop")
    if item.soft_deleted:
        return _cannot(
            vm,
            "SoftDeleted",
            "is soft-deleted in this vault: its backups have been stopped and its data deleted",
            "To keep the data, undelete it with state=undeleted, which ends as stopped does.",
        )
    # Suspended is not enough: then the data goes as the policy says.
    if item.state == STOPPED and not equals_ignoring_case(item.protection_state, _SUSPENDED):
        return ProtectionPlan()
    stopped = {"policyId": "", "protectionState": "ProtectionStopped"}
    return ProtectionPlan((Step((STOP,), "DisableBackup", stopped),))


def _plan_absent(wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]) -> ProtectionPlan:
    del wanted, vm
    if item is None or item.soft_deleted:
        return ProtectionPlan()
    return ProtectionPlan((Step((DELETE,), "DeleteBackupData"),))


def _plan_undeleted(
    wanted: DesiredState, vm: VmId, item: Optional[ProtectedItem]
) -> ProtectionPlan:
    del wanted
    if item is None:
        return _cannot(
            vm,
            "NotSoftDeleted",
            "is not in this vault, neither protected nor soft-deleted: nothing to undelete",
            "Check the vault. When the time of the soft delete has passed, the data is gone.",
        )
    return ProtectionPlan((_UNDELETE_STEP,)) if item.soft_deleted else ProtectionPlan()


_UNDELETE_STEP = Step(
    (UNDELETE,),
    "Undelete",
    {"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": True},
)


def _configure(
    actions: Tuple[str, ...], wanted: DesiredState, item: Optional[ProtectedItem]
) -> Step:
    """Protect with what is wanted; what is left as it is, is sent as it is."""
    properties: Dict[str, Any] = {
        "policyId": wanted.policy_id or (item.policy_id if item else "") or ""
    }
    disks = wanted.disks if wanted.disks is not None else item.disks if item else ALL_DISKS
    if not disks.is_everything or (item and not item.disks.is_everything):
        properties["extendedProperties"] = {**(item.extended if item else {}), **disks.to_azure()}
    return Step(actions, "ConfigureBackup", properties)


def _cannot(vm: VmId, name: str, why: str, action: str = "") -> ProtectionPlan:
    return ProtectionPlan(failure=Failure(name, f"VM {vm.name} {why}.", action, vm=vm.id))


def compared(item: Optional[ProtectedItem]) -> Dict[str, Any]:
    """What of an item the modules change: for a diff, and to see whether anything changed."""
    if item is None:
        return {"state": NOT_PROTECTED}
    disks = item.disks
    return {
        "state": item.state,
        "protection_state": _settled(item.protection_state),
        "policy": item.policy_name or None,
        "include_disk_luns": list(disks.luns) if disks.inclusive else None,
        "exclude_disk_luns": None if disks.inclusive else list(disks.luns),
    }


def expected_result(before: Mapping[str, Any], steps: Tuple[Step, ...]) -> Dict[str, Any]:
    """What C(compared) will say when these steps have been done."""
    after = dict(before)
    for step in steps:
        if step.properties is None:
            # Where soft delete is off it will be gone; the vault's answer says which.
            after = {**after, "state": SOFT_DELETED, "protection_state": "ProtectionStopped"}
            after["policy"] = None
            continue
        policy = last_segment(str(step.properties.get("policyId") or "")) or None
        stopped = step.properties.get("protectionState")
        chosen = step.properties.get("extendedProperties")
        after["state"] = STOPPED if stopped else PROTECTED
        after["protection_state"] = stopped or "Protected"
        after["policy"] = policy
        if chosen is not None or "include_disk_luns" not in after:
            of = (chosen or {}).get("diskExclusionProperties") or {}
            luns, inclusive = of.get("diskLunList") or [], bool(of.get("isInclusionList"))
            after["include_disk_luns"] = list(luns) if inclusive else None
            after["exclude_disk_luns"] = None if inclusive else list(luns)
    return after


def _settled(state: str) -> Optional[str]:
    """The state without the difference that only the first backup makes."""
    return "Protected" if equals_ignoring_case(state, "IRPending") else state or None
