# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The steps that bring a VM to its desired state; planning sends no request.

Azure starts a job even for a request that changes nothing. So only a difference between the
desired state and the vault's list becomes a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._arm.ids import equals_ignoring_case, last_segment
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
#: The actions of a result.
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
# Azure makes no backups in this state, but does not keep the data forever.
_SUSPENDED = "BackupsSuspended"
# Azure lists an item so if it could not configure it.
_INVALID = "Invalid"


@dataclass(frozen=True)
class DesiredState:
    """The desired state of all VMs of a task."""

    state: str
    #: The policy's id; None keeps the policy of each VM.
    policy_id: str | None = None
    #: None keeps the disks of each VM.
    disks: DiskSelection | None = None


@dataclass(frozen=True)
class Step:
    """One request that starts one job."""

    actions: tuple[str, ...]
    #: The operation of the job.
    operation: str
    #: The item's new properties; None deletes the item.
    properties: Mapping[str, Any] | None = None

    @property
    def needs_policy(self) -> bool:
        """Return True if the request needs the id of a policy."""
        return bool(self.properties) and self.operation == "ConfigureBackup"


@dataclass(frozen=True)
class ProtectionPlan:
    """The steps for one VM, sent one after the other; or the failure that prevents them."""

    steps: tuple[Step, ...] = ()
    #: Its message lacks the subject, the VM: `VmTask` puts it before.
    failure: Failure | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the steps, in order."""
        return tuple(action for step in self.steps for action in step.actions)

    @property
    def lacks_policy(self) -> bool:
        """Return True if a step lacks the policy that it needs."""
        return any(
            step.needs_policy and not (step.properties or {}).get("policyId") for step in self.steps
        )


def plan(desired: DesiredState, item: ProtectedItem | None) -> ProtectionPlan:
    """Return the steps from the listed item of a VM to the desired state."""
    planner = {
        PROTECTED: _plan_protected,
        STOPPED: _plan_stopped,
        ABSENT: _plan_absent,
        UNDELETED: _plan_undeleted,
    }[desired.state]
    return planner(desired, item)


def _plan_protected(desired: DesiredState, item: ProtectedItem | None) -> ProtectionPlan:
    if item is None:
        return ProtectionPlan((_configure((PROTECT,), desired, None),))
    if item.soft_deleted:
        return ProtectionPlan((_UNDELETE_STEP, _configure((PROTECT,), desired, item)))
    if item.state == STOPPED:
        return ProtectionPlan((_configure((RESUME,), desired, item),))
    if equals_ignoring_case(item.protection_state, _INVALID):
        return ProtectionPlan((_configure((PROTECT,), desired, item),))
    if item.state == UNKNOWN:
        return _cannot(
            "ProtectionStateUnknown",
            f"is in protection state {item.protection_state or 'none'!r} in this vault. This "
            "collection does not know whether Azure makes backups in this state",
            "Check the VM's backup in the Azure portal.",
        )
    actions = []
    if desired.policy_id and not equals_ignoring_case(
        last_segment(desired.policy_id), last_segment(item.policy_id)
    ):
        actions.append(CHANGE_POLICY)
    if desired.disks is not None and desired.disks != item.disks:
        actions.append(CHANGE_DISKS)
    return (
        ProtectionPlan((_configure(tuple(actions), desired, item),))
        if actions
        else ProtectionPlan()
    )


def _plan_stopped(desired: DesiredState, item: ProtectedItem | None) -> ProtectionPlan:
    del desired
    if item is None:
        return _cannot(
            "NotProtected",
            "is not protected by this vault: nothing to stop",
            "Check the name and the resource group of the VM, and the vault.",
        )
    if item.soft_deleted:
        return _cannot(
            "SoftDeleted",
            "is soft-deleted in this vault: its backups are stopped and its data is deleted",
            "Set state=undeleted to keep the data: the VM is then stopped.",
        )
    # Suspended is not enough: the data then expires as the policy says.
    if item.state == STOPPED and not equals_ignoring_case(item.protection_state, _SUSPENDED):
        return ProtectionPlan()
    stopped = {"policyId": "", "protectionState": "ProtectionStopped"}
    return ProtectionPlan((Step((STOP,), "DisableBackup", stopped),))


def _plan_absent(desired: DesiredState, item: ProtectedItem | None) -> ProtectionPlan:
    del desired
    if item is None or item.soft_deleted:
        return ProtectionPlan()
    return ProtectionPlan((Step((DELETE,), "DeleteBackupData"),))


def _plan_undeleted(desired: DesiredState, item: ProtectedItem | None) -> ProtectionPlan:
    del desired
    if item is None:
        return _cannot(
            "NotSoftDeleted",
            "is not in this vault, neither protected nor soft-deleted: nothing to undelete",
            "Check the vault. After the soft delete period the data is gone.",
        )
    return ProtectionPlan((_UNDELETE_STEP,)) if item.soft_deleted else ProtectionPlan()


_UNDELETE_STEP = Step(
    (UNDELETE,),
    "Undelete",
    {"policyId": "", "protectionState": "ProtectionStopped", "isRehydrate": True},
)


def _configure(actions: tuple[str, ...], desired: DesiredState, item: ProtectedItem | None) -> Step:
    """Return the step that sets the desired policy and disks, or sends the present values."""
    properties: dict[str, Any] = {
        "policyId": desired.policy_id or (item.policy_id if item else "") or ""
    }
    disks = desired.disks if desired.disks is not None else item.disks if item else ALL_DISKS
    if not disks.is_everything or (item and not item.disks.is_everything):
        properties["extendedProperties"] = {**(item.extended if item else {}), **disks.to_azure()}
    return Step(actions, "ConfigureBackup", properties)


def _cannot(name: str, reason: str, action: str = "") -> ProtectionPlan:
    return ProtectionPlan(failure=Failure(name, f"{reason}.", action))


def compared(item: ProtectedItem | None) -> dict[str, Any]:
    """Return the parts of an item that the modules change, for a diff and for `changed`."""
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


def expected_result(before: Mapping[str, Any], steps: tuple[Step, ...]) -> dict[str, Any]:
    """Return what `compared` returns after these steps."""
    after = dict(before)
    for step in steps:
        if step.properties is None:
            # Without soft delete the item disappears; only the vault's list shows it.
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
            selection = (chosen or {}).get("diskExclusionProperties") or {}
            luns, inclusive = (
                selection.get("diskLunList") or [],
                bool(selection.get("isInclusionList")),
            )
            after["include_disk_luns"] = list(luns) if inclusive else None
            after["exclude_disk_luns"] = None if inclusive else list(luns)
    return after


def _settled(state: str) -> str | None:
    """Return the state, with an item before its first backup counted as protected."""
    return "Protected" if equals_ignoring_case(state, "IRPending") else state or None
