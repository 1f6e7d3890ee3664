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
    Plan,
    Step,
    Wanted,
    compared,
    plan,
    predicted,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.protected_items import (
    ALL_DISKS,
    Disks,
    ProtectedItem,
)

VM = VmId("s", "app-rg", "db01")
VAULT = "/subscriptions/s/resourceGroups/b/providers/Microsoft.RecoveryServices/vaults/v"
GOLD, SILVER = f"{VAULT}/backupPolicies/Gold", f"{VAULT}/backupPolicies/Silver"


def item(
    state: str = "Protected",
    policy: str = GOLD,
    disks: Disks = ALL_DISKS,
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
        (Wanted("protected", GOLD), None, ("protect",)),
        (Wanted("protected", GOLD), item(), ()),
        (Wanted("protected", GOLD.upper()), item("IRPending"), ()),
        (Wanted("protected", GOLD), item("ProtectionError"), ()),
        (Wanted("protected", GOLD), item("ProtectionPaused"), ()),
        (Wanted("protected", GOLD), item("Invalid"), ("protect",)),
        (Wanted("protected"), item(), ()),
        (Wanted("protected", SILVER), item(), ("change_policy",)),
        (Wanted("protected", GOLD), STOPPED, ("resume",)),
        (Wanted("protected"), SUSPENDED, ("resume",)),
        (Wanted("protected", GOLD), DELETED, ("undelete", "protect")),
        (Wanted("protected", disks=Disks((0,), True)), item(), ("change_disks",)),
        (Wanted("protected", disks=Disks((), True)), item(disks=Disks((), True)), ()),
        (Wanted("protected", disks=ALL_DISKS), item(disks=Disks((1,), False)), ("change_disks",)),
        (Wanted("protected"), item(disks=Disks((1,), False)), ()),
        (
            Wanted("protected", SILVER, Disks((1,), False)),
            item(),
            ("change_policy", "change_disks"),
        ),
        (Wanted("stopped"), item(), ("stop",)),
        (Wanted("stopped"), SUSPENDED, ("stop",)),
        (Wanted("stopped"), STOPPED, ()),
        (Wanted("absent"), item(), ("delete",)),
        (Wanted("absent"), STOPPED, ("delete",)),
        (Wanted("absent"), DELETED, ()),
        (Wanted("absent"), None, ()),
        (Wanted("undeleted"), DELETED, ("undelete",)),
        (Wanted("undeleted"), STOPPED, ()),
        (Wanted("undeleted"), item(), ()),
    ],
)
def test_only_a_difference_becomes_a_step(
    wanted: Wanted, listed: Optional[ProtectedItem], actions: Tuple[str, ...]
) -> None:
    planned = plan(wanted, VM, listed)
    assert planned.failure is None
    assert planned.actions == actions


@pytest.mark.parametrize(
    ("wanted", "listed", "name"),
    [
        (Wanted("stopped"), None, "NotProtected"),
        (Wanted("stopped"), DELETED, "SoftDeleted"),
        (Wanted("undeleted"), None, "NotSoftDeleted"),
    ],
)
def test_what_cannot_be_reached(wanted: Wanted, listed: Optional[ProtectedItem], name: str) -> None:
    planned = plan(wanted, VM, listed)
    assert planned.steps == ()
    assert planned.failure is not None
    assert planned.failure.name == name
    assert planned.failure.vm == VM.id and "db01" in planned.failure.message


def sent(wanted: Wanted, listed: Optional[ProtectedItem]) -> Dict[str, Any]:
    (step,) = plan(wanted, VM, listed).steps
    return dict(step.properties or {})


def test_a_new_vm_is_sent_the_policy_and_the_disks_that_are_chosen() -> None:
    assert sent(Wanted("protected", GOLD), None) == {"policyId": GOLD}
    chosen = {"diskLunList": [], "isInclusionList": True}
    assert sent(Wanted("protected", GOLD, Disks((), True)), None) == {
        "policyId": GOLD,
        "extendedProperties": {"diskExclusionProperties": chosen},
    }


def test_what_is_left_as_it_is_is_sent_as_it_is() -> None:
    with_choice = item(disks=Disks((1,), False))
    chosen = {"diskExclusionProperties": {"diskLunList": [1], "isInclusionList": False}}
    assert sent(Wanted("protected", SILVER), with_choice) == {
        "policyId": SILVER,
        "extendedProperties": chosen,
    }
    assert sent(Wanted("protected", disks=ALL_DISKS), with_choice) == {
        "policyId": GOLD,
        "extendedProperties": {},
    }
    named = {"extendedProperties": {"linuxVmApplicationName": "oracle", **chosen}}
    for wanted, disks in (
        (Wanted("protected", SILVER), chosen),
        (Wanted("protected", disks=ALL_DISKS), {}),
    ):
        assert sent(wanted, dataclasses.replace(with_choice, properties=named))[
            "extendedProperties"
        ] == {"linuxVmApplicationName": "oracle", **disks}
    stopped = dataclasses.replace(STOPPED, disks=Disks((1,), False))
    assert sent(Wanted("protected", GOLD), stopped)["extendedProperties"] == chosen


def test_stop_and_undelete_keep_the_data() -> None:
    assert sent(Wanted("stopped"), item()) == {
        "policyId": "",
        "protectionState": "ProtectionStopped",
    }
    assert sent(Wanted("undeleted"), DELETED)["isRehydrate"] is True


@pytest.mark.parametrize("listed", [None, STOPPED, DELETED, item("Invalid", "")])
def test_a_vm_that_is_not_protected_needs_a_policy(listed: Optional[ProtectedItem]) -> None:
    assert plan(Wanted("protected"), VM, listed).lacks_policy
    assert not plan(Wanted("protected", GOLD), VM, listed).lacks_policy


def test_a_vm_that_is_protected_needs_none() -> None:
    assert not plan(Wanted("protected", disks=Disks((0,), True)), VM, item()).lacks_policy
    assert not Plan((Step(("delete",), "DeleteBackupData"),)).lacks_policy


def after(listed: Optional[ProtectedItem], step: Step) -> ProtectedItem:
    """What the service makes of a step."""
    now = listed or item(policy="")
    if step.properties is None:
        return dataclasses.replace(DELETED, disks=now.disks)
    of = step.properties
    disks = now.disks
    if "extendedProperties" in of:
        chosen = of["extendedProperties"].get("diskExclusionProperties")
        disks = Disks(tuple(chosen["diskLunList"]), chosen["isInclusionList"]) if chosen else disks
        disks = disks if chosen else ALL_DISKS
    return item(of.get("protectionState") or "Protected", of["policyId"], disks)


LISTED = [
    None,
    item(),
    item("IRPending", SILVER, Disks((0, 1), True)),
    item("Invalid", ""),
    STOPPED,
    dataclasses.replace(STOPPED, disks=Disks((1,), False)),
    SUSPENDED,
    DELETED,
]
WANTED = [
    Wanted(state, policy, disks)
    for state, policy, disks in product(
        ("protected", "stopped", "absent", "undeleted"),
        (GOLD, SILVER),
        (None, ALL_DISKS, Disks((0,), True), Disks((), True), Disks((1,), False)),
    )
]


@pytest.mark.parametrize("listed", LISTED)
@pytest.mark.parametrize("wanted", WANTED)
def test_after_its_steps_nothing_is_left_to_do(
    wanted: Wanted, listed: Optional[ProtectedItem]
) -> None:
    planned = plan(wanted, VM, listed)
    now = listed
    for step in planned.steps:
        now = after(now, step)
    if planned.failure is None:
        assert plan(wanted, VM, now) == Plan()
    if planned.steps:
        assert predicted(compared(listed), planned.steps) == compared(now)
