# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes and deletions of backup policies, each followed to its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..._arm.advice import recommended
from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import AcceptedOperation, as_dict
from ..._arm.errors import VaultError
from ..._errors import Failure
from ..connection import VaultConnection
from ..jobs.operations import OperationStatus, read_operation
from ..policy.model import Policy
from ..policy.serialization import to_azure
from ..resources.policies import StoredPolicy, find_policy, policy_title
from .rollout import PolicyJob, follow_jobs

# Azure rolls a change of a policy out to every VM under it within this time.
# Azure permits 300 of these reads an hour. Four operations that time out in a row need fewer.
_TIMEOUT_S, _SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 900.0, 1.0, 30.0


@dataclass(frozen=True)
class PutResult:
    """The outcome of a request to create or change a policy."""

    #: The policy that Azure has now.
    stored: StoredPolicy
    #: The jobs that roll the policy out, one for each VM.
    jobs: Sequence[PolicyJob] = ()


def put_policy(
    connection: VaultConnection, name: str, policy: Policy, present: StoredPolicy | None
) -> PutResult:
    """Create the policy or change the present one; return the policy that Azure has then."""
    operation = f"{'change' if present else 'create'} {policy_title(connection, name)}"
    body = {"properties": to_azure(policy, present.properties if present else None)}
    answers: list[Any] = []

    def send(**_more: Any) -> None:
        # Without the SDK's cls, because the body of the response is needed.
        answers.append(
            connection.backup.protection_policies.create_or_update(
                **connection.vault_keywords, policy_name=name, parameters=body
            )
        )

    started = connection.start(operation, send)
    stored = (
        StoredPolicy.from_azure(as_dict(answers[0])) if answers and answers[0] is not None else None
    )
    if started.status != 202 and stored and stored.id and stored.properties:
        return PutResult(stored)
    status = _follow(connection, operation, name, started) if started.status == 202 else None
    stored = _find_after(connection, name)
    if stored is None:
        raise _failed(
            operation, "NotStored", "Azure accepted the request but does not list the policy."
        )
    if present and stored.policy == present.policy and stored.policy != policy:
        raise _failed(
            operation, "NotStored", "Azure accepted the request but did not change the policy."
        )
    if started.status != 202:
        return PutResult(stored)
    jobs = follow_jobs(connection, status) if status else []
    if not jobs and not stored.has_no_vms:
        title = policy_title(connection, name)
        jobs = [PolicyJob("", None, _names_no_job(title, stored, started.operation_id))]
    return PutResult(stored, jobs)


def delete_policy(connection: VaultConnection, name: str) -> None:
    """Delete the policy; succeed if it is gone already."""
    operation = f"delete {policy_title(connection, name)}"
    try:
        started = connection.start(
            operation,
            lambda **options: connection.backup.protection_policies.begin_delete(
                **connection.vault_keywords, policy_name=name, polling=False, **options
            ),
        )
    except VaultError as error:
        if error.not_found:
            return
        raise
    if started.status == 202:
        _follow(connection, operation, name, started)
        if _find_after(connection, name) is not None:
            raise _failed(
                operation, "NotDeleted", "Azure accepted the request but still lists the policy."
            )


def _find_after(connection: VaultConnection, name: str) -> StoredPolicy | None:
    """Return the policy after an accepted request; an error says that it may have changed."""
    try:
        return find_policy(connection, name)
    except VaultError as error:
        error.is_doubtful = True
        raise


def _follow(
    connection: VaultConnection, operation: str, name: str, started: AcceptedOperation
) -> OperationStatus | None:
    """Wait until an operation ends; raise `VaultError` if it fails or does not end.

    Return None for an operation that Azure does not name, or no longer has. Its effect shows in
    the policy, but its jobs are unknown.
    """
    if not started.operation_id:
        return None
    deadline = Deadline(connection.clock, _TIMEOUT_S)
    backoff = Backoff(connection.clock, deadline, _SHORTEST_PAUSE_S, _LONGEST_PAUSE_S)
    while backoff.sleep():
        try:
            answer = connection.find(
                f"follow the operation to {operation}",
                lambda: connection.backup.protection_policy_operation_statuses.get(
                    **connection.vault_keywords, policy_name=name, operation_id=started.operation_id
                ),
            )
        except VaultError as error:
            error.is_running = True
            raise
        if answer is None:
            return None
        status = read_operation(as_dict(answer))
        if status.has_succeeded:
            return status
        if status.status.lower() != "inprogress":
            ending = status.status or "Unknown"
            raise _failed(
                operation,
                status.code or f"Operation{ending}",
                (status.message or f"The operation ended as {ending}.")
                + _of_vms(connection, status),
            )
    late = _failed(
        operation,
        "OperationTimedOut",
        f"The operation {started.operation_id} has not ended after {_TIMEOUT_S:.0f} s. It "
        "continues in Azure.",
        "Run the task again later: it does what is left.",
    )
    late.is_running = True
    raise late


def _of_vms(connection: VaultConnection, status: OperationStatus) -> str:
    """Return the messages of the failed jobs that a failed operation names."""
    failures = [job.failure.message for job in follow_jobs(connection, status) if job.failure]
    return f" {' '.join(failures)}" if failures else ""


def _names_no_job(title: str, stored: StoredPolicy, operation_id: str | None) -> Failure:
    count = stored.protected_items_count
    name = f"operation {operation_id}" if operation_id else "without naming an operation"
    return Failure(
        "OperationNamesNoJob",
        f"Azure accepted the change of the {title}, {name}. It names no job that rolls the change "
        f"out to {_vms(count)} under the policy.",
        "Check with quiesce.azure_backup.backup_job_info whether Azure configures these VMs. Put "
        "a VM that lacks the change under the policy again with quiesce.azure_backup.protected_vm.",
    )


def _vms(count: int) -> str:
    if not count:
        return "VMs"
    return f"the {count} VMs" if count > 1 else "the VM"


def _failed(operation: str, name: str, message: str, action: str = "") -> VaultError:
    text = message if message.endswith((".", "!", "?")) else f"{message}."
    action = action or recommended(name, message) or "Check the policy, then run the task again."
    return VaultError(Failure(name, f"Could not {operation}: {name}: {text}", action))
