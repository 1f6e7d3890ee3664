# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
from itertools import product
from typing import Any, Dict, Optional, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.protection.plan import (
    DesiredState,
    ProtectionPlan,
    Step,
    compared,
    expected_result,
    plan,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    ALL_DISKS,
    DiskSelection,
    ProtectedItem,
)

VM = VmId("s", "app-rg", "db01")
VAULT = "/subscriptions/s/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v"
GOLD, SILVER = f"{VAULT}/backupPolicies/Gold", f"{VAULT}/backupPolicies/Silver"


def item(
    state: str = "Protected",
    policy: str = GOLD,
    disks: DiskSelection = ALL_DISKS,
    soft_deleted: bool = False,
) -> ProtectedItem:
    return ProtectedItem(
        VM,
        VM.container,
        VM.item,
        state,
        policy,
        policy.rpartition("/")[2],
        disks=disks,
        soft_deleted=soft_deleted,
    )


STOPPED = item("ProtectionStopped", "")
DELETED = item("ProtectionStopped", "", soft_deleted=True)
SUSPENDED = item("BackupsSuspended")


@pytest.mark.parametrize(
    ("wanted", "listed", "actions"),
    [
        (DesiredState("protected", GOLD), None, ("protect",)),
        (DesiredState("protected", GOLD), item(), ()),
        (DesiredState("protected", GOLD.upper()), item("IRPending"), ()),
        (DesiredState("protected", GOLD), item("ProtectionError"), ()),
        (DesiredState("protected", GOLD), item("ProtectionPaused"), ()),
        (DesiredState("protected", GOLD), item("Invalid"), ("protect",)),
        (DesiredState("protected"), item(), ()),
        (DesiredState("protected", SILVER), item(), ("change_policy",)),
        (DesiredState("protected", GOLD), STOPPED, ("resume",)),
        (DesiredState("protected"), SUSPENDED, ("resume",)),
        (DesiredState("protected", GOLD), DELETED, ("undelete", "protect")),
        (DesiredState("protected", disks=DiskSelection((0,), True)), item(), ("change_disks",)),
        (
            DesiredState("protected", disks=DiskSelection((), True)),
            item(disks=DiskSelection((), True)),
            (),
        ),
        (
            DesiredState("protected", disks=ALL_DISKS),
            item(disks=DiskSelection((1,), False)),
            ("change_disks",),
        ),
        (DesiredState("protected"), item(disks=DiskSelection((1,), False)), ()),
        (
            DesiredState("protected", SILVER, DiskSelection((1,), False)),
            item(),
            ("change_policy", "change_disks"),
        ),
        (DesiredState("stopped"), item(), ("stop",)),
        (DesiredState("stopped"), SUSPENDED, ("stop",)),
        (DesiredState("stopped"), STOPPED, ()),
        (DesiredState("absent"), item(), ("delete",)),
        (DesiredState("absent"), STOPPED, ("delete",)),
        (DesiredState("absent"), DELETED, ()),
        (DesiredState("absent"), None, ()),
        (DesiredState("undeleted"), DELETED, ("undelete",)),
        (DesiredState("undeleted"), STOPPED, ()),
        (DesiredState("undeleted"), item(), ()),
    ],
)
def test_plan_only_differences_become_steps(
    wanted: DesiredState, listed: Optional[ProtectedItem], actions: Tuple[str, ...]
) -> None:
    planned = plan(wanted, listed)
    assert planned.failure is None
    assert planned.actions == actions


@pytest.mark.parametrize(
    ("wanted", "listed", "name"),
    [
        (DesiredState("stopped"), None, "NotProtected"),
        (DesiredState("stopped"), DELETED, "SoftDeleted"),
        (DesiredState("undeleted"), None, "NotSoftDeleted"),
    ],
)
def test_plan_unreachable_state_fails(
    wanted: DesiredState, listed: Optional[ProtectedItem], name: str
) -> None:
    planned = plan(wanted, listed)
    assert planned.steps == ()
    assert planned.failure is not None
    assert planned.failure.name == name


def sent(wanted: DesiredState, listed: Optional[ProtectedItem]) -> Dict[str, Any]:
    (step,) = plan(wanted, listed).steps
    return dict(step.properties or {})


def test_plan_new_vm_sends_policy_and_disks() -> None:
    assert sent(DesiredState("protected", GOLD), None) == {"policyId": GOLD}
    chosen = {"diskLunList": [], "isInclusionList": True}
    assert sent(DesiredState("protected", GOLD, DiskSelection((), True)), None) == {
        "policyId": GOLD,
        "extendedProperties": {"diskExclusionProperties": chosen},
    }


def test_plan_omitted_options_send_present_values() -> None:
    with_choice = item(disks=DiskSelection((1,), False))
    chosen = {"diskExclusionProperties": {"diskLunList": [1], "isInclusionList": False}}
    assert sent(DesiredState("protected", SILVER), with_choice) == {
        "policyId": SILVER,
        "extendedProperties": chosen,
    }
    assert sent(DesiredState("protected", disks=ALL_DISKS), with_choice) == {
        "policyId": GOLD,
        "extendedProperties": {},
    }
    named = {"extendedProperties": {"linuxVmApplicationName": "oracle", **chosen}}
    for wanted, disks in (
        (DesiredState("protected", SILVER), chosen),
        (DesiredState("protected", disks=ALL_DISKS), {}),
    ):
        assert sent(wanted, dataclasses.replace(with_choice, properties=named))[
            "extendedProperties"
        ] == {"linuxVmApplicationName": "oracle", **disks}
    stopped = dataclasses.replace(STOPPED, disks=DiskSelection((1,), False))
    assert sent(DesiredState("protected", GOLD), stopped)["extendedProperties"] == chosen


def test_plan_stop_and_undelete_keep_the_data() -> None:
    assert sent(DesiredState("stopped"), item()) == {
        "policyId": "",
        "protectionState": "ProtectionStopped",
    }
    assert sent(DesiredState("undeleted"), DELETED)["isRehydrate"] is True


@pytest.mark.parametrize("listed", [None, STOPPED, DELETED, item("Invalid", "")])
def test_plan_unprotected_vm_needs_a_policy(listed: Optional[ProtectedItem]) -> None:
    assert plan(DesiredState("protected"), listed).lacks_policy
    assert not plan(DesiredState("protected", GOLD), listed).lacks_policy


def test_plan_protected_vm_needs_no_policy() -> None:
    assert not plan(DesiredState("protected", disks=DiskSelection((0,), True)), item()).lacks_policy
    assert not ProtectionPlan((Step(("delete",), "DeleteBackupData"),)).lacks_policy


def after(listed: Optional[ProtectedItem], step: Step) -> ProtectedItem:
    """Return the item that Azure makes of a step."""
    now = listed or item(policy="")
    if step.properties is None:
        return dataclasses.replace(DELETED, disks=now.disks)
    of = step.properties
    disks = now.disks
    if "extendedProperties" in of:
        chosen = of["extendedProperties"].get("diskExclusionProperties")
        disks = (
            DiskSelection(tuple(chosen["diskLunList"]), chosen["isInclusionList"])
            if chosen
            else disks
        )
        disks = disks if chosen else ALL_DISKS
    return item(of.get("protectionState") or "Protected", of["policyId"], disks)


LISTED = [
    None,
    item(),
    item("IRPending", SILVER, DiskSelection((0, 1), True)),
    item("Invalid", ""),
    STOPPED,
    dataclasses.replace(STOPPED, disks=DiskSelection((1,), False)),
    SUSPENDED,
    DELETED,
]
WANTED = [
    DesiredState(state, policy, disks)
    for state, policy, disks in product(
        ("protected", "stopped", "absent", "undeleted"),
        (GOLD, SILVER),
        (
            None,
            ALL_DISKS,
            DiskSelection((0,), True),
            DiskSelection((), True),
            DiskSelection((1,), False),
        ),
    )
]


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("wanted", WANTED)
def test_plan_after_its_steps_is_empty(
    wanted: DesiredState, listed: Optional[ProtectedItem]
) -> None:
    planned = plan(wanted, listed)
    now = listed
    for step in planned.steps:
        now = after(now, step)
    if planned.failure is None:
        assert plan(wanted, now) == ProtectionPlan()
    if planned.steps:
        assert expected_result(compared(listed), planned.steps) == compared(now)
