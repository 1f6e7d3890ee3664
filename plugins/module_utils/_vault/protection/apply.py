# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Execution of the plans of many VMs in batches: the next step of each, then all their jobs.

A VM that another operation blocks waits for its end, then is planned again from the vault's list.
Only that list proves at the end that a VM is in the desired state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import AcceptedOperation, map_concurrently
from ..._arm.errors import VaultError
from ..._errors import Failure
from ..connection import VaultConnection
from ..jobs.poller import JobOutcome, JobPoller, PendingJob
from ..resources.jobs import list_jobs
from ..resources.protected_items import delete_item, list_items, put_item
from .advice import with_advice
from .plan import DesiredState, compared, plan
from .vm_task import Phase, VmTask

# The list may lag behind a job that has ended, so it is read up to this many times.
_MOST_CONFIRMATIONS = 4


class Executor:
    """Runs tasks until they end or the deadline passes; each VM fails on its own."""

    def __init__(
        self,
        connection: VaultConnection,
        desired: DesiredState,
        poller: JobPoller,
        deadline: Deadline,
        *,
        poll_interval_s: float = 5.0,
        wait: bool = True,
        policy_type: str = "",
    ) -> None:
        self._connection = connection
        self._desired = desired
        self._poller = poller
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._wait = wait
        self._policy_type = policy_type
        self._backoff: Backoff | None = None

    def run(self, tasks: Sequence[VmTask]) -> None:
        """Send every step of every task, then confirm the outcome by the vault's list."""
        while True:
            self._unblock([task for task in tasks if task.phase is Phase.BLOCKED])
            ready = [task for task in tasks if task.is_ready]
            if not ready:
                break
            self._run_batch(ready)
        self._confirm([task for task in tasks if task.needs_confirmation])

    # --- a batch --------------------------------------------------------------------------------

    def _run_batch(self, tasks: Sequence[VmTask]) -> None:
        """Send the next step of each task, then follow all their jobs together."""
        self._connection.report(
            f"vault {self._connection.vault.name}: {_counted(tasks)}, "
            f"then {'their jobs' if len(tasks) > 1 else 'its job'}"
        )
        sent: list[tuple[VmTask, AcceptedOperation]] = []
        for outcome in map_concurrently(self._send, tasks):
            task = outcome.item
            if outcome.error is not None:
                self._refused(task, outcome.error)
                continue
            answer = outcome.value
            task.accept()
            # Any other answer means that the step is complete, without a job.
            if answer.operation_id or answer.status == 202:
                sent.append((task, answer))
        # The job of a step that is not the last is always followed: the next step needs its end.
        followed = [item for item in sent if self._wait or item[0].plan.steps]
        left = [item for item in sent if item not in followed]
        for task, ended in self._outcomes(followed, self._poller.follow):
            failure = ended.failure
            task.end_job(ended, with_advice(failure, task.vm) if failure else None)
        for task, found in self._outcomes(left, self._poller.find):
            task.leave_job(found)

    def _send(self, task: VmTask) -> AcceptedOperation:
        step, vm = task.plan.steps[0], task.vm
        operation = f"{_in_words(step.actions, 'VM')} {vm.name}"
        if step.properties is None:
            return delete_item(self._connection, operation, vm, task.item)
        return put_item(self._connection, operation, vm, task.item, step.properties)

    def _refused(self, task: VmTask, error: VaultError) -> None:
        item = task.item
        failure = with_advice(
            error.failure,
            task.vm,
            item.policy_type if item else "",
            self._policy_type,
            waits=self._wait or not error.is_busy,
        )
        task.refuse(error, failure, self._wait)

    def _outcomes(
        self,
        sent: Sequence[tuple[VmTask, AcceptedOperation]],
        poll: Callable[[Sequence[PendingJob]], dict[str, JobOutcome]],
    ) -> list[tuple[VmTask, JobOutcome]]:
        """Return the outcomes of the jobs of the last step of each task."""
        if not sent:
            return []
        outcomes = poll(
            [
                PendingJob(
                    task.vm,
                    task.done[-1].operation,
                    answer.at,
                    answer.operation_id,
                    # The final list is the proof. Without waiting only the job proves the step.
                    may_lack_job=self._wait,
                )
                for task, answer in sent
            ]
        )
        return [(task, outcomes[task.vm.key]) for task, _answer in sent]

    # --- blocked VMs ----------------------------------------------------------------------------

    def _unblock(self, tasks: Sequence[VmTask]) -> None:
        """Wait until no operation runs on these VMs, then plan them again."""
        if not tasks:
            return
        names = ", ".join(task.vm.name for task in tasks[:3])
        more = f" and {len(tasks) - 3} more" if len(tasks) > 3 else ""
        self._connection.report(f"waiting for other operations on {names}{more}")
        try:
            if self._wait_for_others(tasks):
                items = list_items(self._connection)
                for task in tasks:
                    task.replan(self._desired, items.get(task.vm.key))
                return
        except VaultError as error:
            for task in tasks:
                task.fail(error.failure)
            return
        for task in tasks:
            if task.failure is not None:
                task.fail(task.failure)

    def _wait_for_others(self, tasks: Sequence[VmTask]) -> bool:
        """Return True once no job of these VMs runs, False if the deadline passes first."""
        if self._backoff is None:
            self._backoff = Backoff(self._connection.clock, self._deadline, self._poll_interval_s)
        while self._backoff.sleep():
            jobs = list_jobs(self._connection, status="InProgress")
            running = {job.container_key for job in jobs if not job.is_over}
            busy = [task for task in tasks if task.vm.container_key in running]
            for task in busy:
                task.confirm_conflict()
            if not busy:
                return True
        return False

    # --- confirmation ---------------------------------------------------------------------------

    def _confirm(self, tasks: Sequence[VmTask]) -> None:
        """Compare each VM with the vault's list; fail those that the list does not confirm."""
        backoff = Backoff(self._connection.clock, self._deadline, self._poll_interval_s)
        lacking = list(tasks)
        for count in range(_MOST_CONFIRMATIONS):
            if not lacking or (count and not backoff.sleep()):
                break
            try:
                items = list_items(self._connection)
            except VaultError as error:
                self._unconfirmed(lacking, error.failure)
                return
            for task in tasks:
                task.confirm(items.get(task.vm.key))
            lacking = [task for task in tasks if self._is_lacking(task)]
        for task in tasks:
            # Azure also refuses what is done already: by another client, or by us with the
            # response lost.
            if task.phase is Phase.REFUSED and self._is_as_desired(task):
                task.drop_refusal()
        self._unconfirmed(lacking, None)

    def _is_lacking(self, task: VmTask) -> bool:
        return self._wait and task.may_be_done and not self._is_as_desired(task)

    def _is_as_desired(self, task: VmTask) -> bool:
        remaining = plan(self._desired, task.item)
        return not remaining.steps and remaining.failure is None

    def _unconfirmed(self, tasks: Sequence[VmTask], cause: Failure | None) -> None:
        for task in tasks:
            if task.has_failed or not self._wait:
                continue
            state = compared(task.after.item)["state"] if task.after else "unknown"
            reason = cause.message if cause else f"the vault lists it as {state}."
            task.fail(
                Failure(
                    cause.name if cause else "NotConfirmed",
                    f"The job of VM {task.vm.name} has ended, but the desired state could not be "
                    f"confirmed: {reason}",
                    "Run the task again: it reads the vault's list and does what is left.",
                    correlation_id=cause.correlation_id if cause else "",
                    http_status=cause.http_status if cause else None,
                )
            )


def _counted(tasks: Sequence[VmTask]) -> str:
    """Return the next actions in words, such as `protect 3 VMs, stop db01`."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for task in tasks:
        kinds.setdefault(task.plan.steps[0].actions, []).append(task.vm.name)
    return ", ".join(
        _in_words(actions, names[0] if len(names) == 1 else f"{len(names)} VMs")
        for actions, names in kinds.items()
    )


def _in_words(actions: Sequence[str], item: str) -> str:
    """Return actions on an item, such as `resume and change the policy of VM db01`."""
    words = " and ".join(actions).replace("change_", "change the ")
    return f"{words}{' of' if actions[-1].startswith('change_') else ''} {item}"
