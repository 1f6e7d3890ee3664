# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup policies of a vault: read, write and delete them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._azure_errors import (
    VaultError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._catalogue import (
    recommended,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._client import (
    Connection,
    Started,
    plain,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._clock import Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._items import list_items
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._names import last_segment
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._policy_model import (
    Policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._policy_wire import (
    MANAGEMENT_TYPE,
    of_wire,
    to_wire,
)

_FILTER = f"backupManagementType eq '{MANAGEMENT_TYPE}'"
# How long a change of a policy may take: Azure carries it to every VM that is under it.
_PATIENCE_S, _FIRST_LOOK_S, _LONGEST_PAUSE_S = 900.0, 1.0, 15.0


@dataclass(frozen=True)
class Found:
    """A policy that a vault has."""

    id: str
    name: str
    #: As Azure gave them.
    properties: Mapping[str, Any]

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> Found:
        """The policy of an element of a list, or of an answer."""
        return cls(answer.get("id") or "", answer.get("name") or "", answer.get("properties") or {})

    @property
    def is_for_vms(self) -> bool:
        """Whether it is one for Azure VMs."""
        return self.properties.get("backupManagementType") == MANAGEMENT_TYPE

    @property
    def policy(self) -> Policy:
        """What it says."""
        return of_wire(self.properties)

    @property
    def protected_items_count(self) -> int:
        """How many VMs are under it."""
        return int(self.properties.get("protectedItemsCount") or 0)

    def to_result(self) -> Dict[str, Any]:
        """As C(backup_policy_info) shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "protected_items_count": self.protected_items_count,
            "policy": {"name": self.name, **self.policy.to_options()},
        }


def list_policies(connection: Connection) -> List[Found]:
    """Every policy for Azure VMs, by name.

    Azure's list says 0 VMs of every policy, so the protected items are counted.
    """
    answers = connection.items(
        f"list the backup policies of vault {connection.vault.name}",
        lambda: connection.backup.backup_policies.list(**connection.at, filter=_FILTER),
    )
    listed = (Found.of_answer(answer) for answer in answers)
    found = sorted((one for one in listed if one.is_for_vms), key=lambda one: one.name.lower())
    under = Counter(
        last_segment(item.policy_id).lower() for item in list_items(connection).values()
    )
    return [
        replace(one, properties={**one.properties, "protectedItemsCount": under[one.name.lower()]})
        for one in found
    ]


def find_policy(connection: Connection, name: str) -> Optional[Found]:
    """The policy of this name, for whatever it is; None when there is none."""
    answer = connection.find(
        f"read {_title(connection, name)}",
        lambda: connection.backup.protection_policies.get(**connection.at, policy_name=name),
    )
    return None if answer is None else Found.of_answer(plain(answer))


def put_policy(
    connection: Connection, name: str, policy: Policy, present: Optional[Found]
) -> Found:
    """Make the policy or change the one that is there, and return what Azure has then."""
    what = f"{'change' if present else 'create'} {_title(connection, name)}"
    body = {"properties": to_wire(policy, present.properties if present else None)}
    answers: List[Any] = []

    def send(**_more: Any) -> None:
        # Without the SDK's cls, as the body of the answer is wanted.
        answers.append(
            connection.backup.protection_policies.create_or_update(
                **connection.at, policy_name=name, parameters=body
            )
        )

    started = connection.start(what, send)
    if started.status == 202 or not answers or answers[0] is None:
        _follow(connection, what, name, started)
        stored = find_policy(connection, name)
        if stored is None:
            raise _failed(what, "NotStored", "Azure accepted it, and does not have it.")
        return stored
    return Found.of_answer(plain(answers[0]))


def delete_policy(connection: Connection, name: str) -> None:
    """Delete the policy; that it is gone already is fine."""
    what = f"delete {_title(connection, name)}"
    try:
        started = connection.start(
            what,
            lambda **more: connection.backup.protection_policies.begin_delete(
                **connection.at, policy_name=name, polling=False, **more
            ),
        )
    except VaultError as error:
        if error.not_found:
            return
        raise
    if started.status == 202:
        _follow(connection, what, name, started)
        if find_policy(connection, name) is not None:
            raise _failed(what, "NotDeleted", "Azure accepted it, and still has the policy.")


def _follow(connection: Connection, what: str, name: str, started: Started) -> None:
    """Wait for the end of an operation; raises C(VaultError) when it failed or does not end."""
    if not started.operation_id:
        return
    deadline = Deadline(connection.clock, _PATIENCE_S)
    pause_s = _FIRST_LOOK_S
    while True:
        deadline.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)
        answer = connection.find(
            f"follow the operation to {what}",
            lambda: connection.backup.protection_policy_operation_statuses.get(
                **connection.at, policy_name=name, operation_id=started.operation_id
            ),
        )
        # One that is not known any more is over, and what it did shows in the policy.
        status: Dict[str, Any] = {"status": "Succeeded"} if answer is None else plain(answer)
        if status.get("status") == "Succeeded":
            return
        if status.get("status") != "InProgress":
            error = status.get("error") or {}
            raise _failed(
                what,
                error.get("code") or f"Operation{status.get('status')}",
                error.get("message") or f"The operation ended as {status.get('status')}.",
            )
        if deadline.passed:
            raise _failed(
                what,
                "OperationTimedOut",
                f"The operation {started.operation_id} has not ended after {_PATIENCE_S:.0f} s. It "
                "goes on in Azure.",
                "Run the task again later: it does what is left to do.",
            )


def _failed(what: str, name: str, message: str, action: str = "") -> VaultError:
    text = message if message.endswith((".", "!", "?")) else f"{message}."
    action = action or recommended(name, message) or "Look at the policy, and run the task again."
    return VaultError(Failure(name, f"Could not {what}: {name}: {text}", action))


def _title(connection: Connection, name: str) -> str:
    return f"backup policy {name} of vault {connection.vault.name}"
