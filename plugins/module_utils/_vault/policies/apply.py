# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup policies of a vault: read, write and delete them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..._arm.advice import recommended
from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import AcceptedOperation, as_dict
from ..._arm.errors import VaultError
from ..._arm.ids import last_segment
from ..._errors import Failure
from ..connection import VaultConnection
from ..jobs.operations import OperationStatus, read_operation
from ..policy.model import Policy
from ..policy.serialization import MANAGEMENT_TYPE, from_azure, to_azure
from ..resources.protected_items import list_items
from .rollout import PolicyJob, follow_jobs

_FILTER = f"backupManagementType eq '{MANAGEMENT_TYPE}'"
# How long a change of a policy may take: Azure carries it to every VM that is under it.
_PATIENCE_S, _FIRST_LOOK_S, _LONGEST_PAUSE_S = 900.0, 1.0, 15.0


@dataclass(frozen=True)
class StoredPolicy:
    """A policy that a vault has."""

    id: str
    name: str
    #: As Azure gave them.
    properties: Mapping[str, Any]

    @classmethod
    def from_azure(cls, answer: Mapping[str, Any]) -> StoredPolicy:
        """The policy of an element of a list, or of an answer."""
        return cls(answer.get("id") or "", answer.get("name") or "", answer.get("properties") or {})

    @property
    def is_for_vms(self) -> bool:
        """Whether it is one for Azure VMs."""
        return self.properties.get("backupManagementType") == MANAGEMENT_TYPE

    @property
    def policy(self) -> Policy:
        """What it says."""
        return from_azure(self.properties)

    @property
    def protected_items_count(self) -> int:
        """How many VMs are under it."""
        return int(self.properties.get("protectedItemsCount") or 0)

    @property
    def has_no_vms(self) -> bool:
        """Return True if Azure says that no VM is under it; a count that is missing does not."""
        return self.properties.get("protectedItemsCount") == 0

    def to_result(self) -> Dict[str, Any]:
        """As C(backup_policy_info) shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "protected_items_count": self.protected_items_count,
            "policy": {"name": self.name, **self.policy.to_options()},
        }


def list_policies(connection: VaultConnection) -> List[StoredPolicy]:
    """Every policy for Azure VMs, by name.

    Azure's list says 0 VMs of every policy, so the protected items are counted.
    """
    answers = connection.items(
        f"list the backup policies of vault {connection.vault.name}",
        lambda: connection.backup.backup_policies.list(**connection.vault_keywords, filter=_FILTER),
    )
    listed = (StoredPolicy.from_azure(answer) for answer in answers)
    found = sorted((one for one in listed if one.is_for_vms), key=lambda one: one.name.lower())
    under = Counter(
        last_segment(item.policy_id).lower() for item in list_items(connection).values()
    )
    return [
        replace(one, properties={**one.properties, "protectedItemsCount": under[one.name.lower()]})
        for one in found
    ]


def find_policy(connection: VaultConnection, name: str) -> Optional[StoredPolicy]:
    """The policy of this name, for whatever it is; None when there is none."""
    answer = connection.find(
        f"read {_title(connection, name)}",
        lambda: connection.backup.protection_policies.get(
            **connection.vault_keywords, policy_name=name
        ),
    )
    return None if answer is None else StoredPolicy.from_azure(as_dict(answer))


@dataclass(frozen=True)
class PutResult:
    """What a request to make or change a policy has led to."""

    #: What Azure has now.
    stored: StoredPolicy
    #: The VMs to which Azure carries the policy by a job each.
    carried: Sequence[PolicyJob] = ()


def put_policy(
    connection: VaultConnection, name: str, policy: Policy, present: Optional[StoredPolicy]
) -> PutResult:
    """Make the policy or change the one that is there, and return what Azure has then."""
    what = f"{'change' if present else 'create'} {_title(connection, name)}"
    body = {"properties": to_azure(policy, present.properties if present else None)}
    answers: List[Any] = []

    def send(**_more: Any) -> None:
        # Without the SDK's cls, as the body of the answer is wanted.
        answers.append(
            connection.backup.protection_policies.create_or_update(
                **connection.vault_keywords, policy_name=name, parameters=body
            )
        )

    started = connection.start(what, send)
    stored = (
        StoredPolicy.from_azure(as_dict(answers[0])) if answers and answers[0] is not None else None
    )
    if started.status != 202 and stored and stored.id and stored.properties:
        return PutResult(stored)
    operation = _follow(connection, what, name, started) if started.status == 202 else None
    stored = find_policy(connection, name)
    if stored is None:
        raise _failed(what, "NotStored", "Azure accepted it, and does not have it.")
    if present and stored.policy == present.policy and stored.policy != policy:
        raise _failed(what, "NotStored", "Azure accepted it, and has the policy as it was before.")
    if started.status != 202:
        return PutResult(stored)
    carried = follow_jobs(connection, operation) if operation else []
    if not carried and not stored.has_no_vms:
        title = _title(connection, name)
        carried = [PolicyJob("", None, _names_no_job(title, stored, started.operation_id))]
    return PutResult(stored, carried)


def delete_policy(connection: VaultConnection, name: str) -> None:
    """Delete the policy; that it is gone already is fine."""
    what = f"delete {_title(connection, name)}"
    try:
        started = connection.start(
            what,
            lambda **more: connection.backup.protection_policies.begin_delete(
                **connection.vault_keywords, policy_name=name, polling=False, **more
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


def _follow(
    connection: VaultConnection, what: str, name: str, started: AcceptedOperation
) -> Optional[OperationStatus]:
    """Wait for the end of an operation; raises C(VaultError) when it failed or does not end.

    None for one that Azure does not name, or does not know any more: what it did shows in the
    policy, but which jobs it began does not.
    """
    if not started.operation_id:
        return None
    deadline = Deadline(connection.clock, _PATIENCE_S)
    backoff = Backoff(connection.clock, deadline, _FIRST_LOOK_S, _LONGEST_PAUSE_S)
    while backoff.sleep():
        answer = connection.find(
            f"follow the operation to {what}",
            lambda: connection.backup.protection_policy_operation_statuses.get(
                **connection.vault_keywords, policy_name=name, operation_id=started.operation_id
            ),
        )
        if answer is None:
            return None
        operation = read_operation(as_dict(answer))
        if operation.has_succeeded:
            return operation
        if operation.status.lower() != "inprogress":
            status = operation.status or "Unknown"
            raise _failed(
                what,
                operation.code or f"Operation{status}",
                (operation.message or f"The operation ended as {status}.")
                + _of_vms(connection, operation),
            )
    raise _failed(
        what,
        "OperationTimedOut",
        f"The operation {started.operation_id} has not ended after {_PATIENCE_S:.0f} s. It "
        "goes on in Azure.",
        "Run the task again later: it does what is left to do.",
    )


def _of_vms(connection: VaultConnection, operation: OperationStatus) -> str:
    """Return the words on the VMs whose jobs an operation that failed names."""
    failures = [one.failure.message for one in follow_jobs(connection, operation) if one.failure]
    return f" {' '.join(failures)}" if failures else ""


def _names_no_job(title: str, stored: StoredPolicy, operation_id: Optional[str]) -> Failure:
    count = stored.protected_items_count
    which = f"operation {operation_id}" if operation_id else "and names no operation"
    return Failure(
        "OperationNamesNoJob",
        f"Azure has accepted to change the {title}, {which}, and names no job by which it brings "
        f"the change to {f'the {count} VMs' if count else 'VMs'} under it.",
        "See with quiesce.azure_backup.backup_job_info whether Azure configures these VMs, and put "
        "a VM that lacks the change under the policy again with quiesce.azure_backup.protected_vm.",
    )


def _failed(what: str, name: str, message: str, action: str = "") -> VaultError:
    text = message if message.endswith((".", "!", "?")) else f"{message}."
    action = action or recommended(name, message) or "Look at the policy, and run the task again."
    return VaultError(Failure(name, f"Could not {what}: {name}: {text}", action))


def _title(connection: VaultConnection, name: str) -> str:
    return f"backup policy {name} of vault {connection.vault.name}"
