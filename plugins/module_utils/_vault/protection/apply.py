# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the plans of many VMs, in waves: the next step of each, then the jobs of all.

A VM that another operation is at work on waits for it; then its plan is made anew, from what the
vault lists. What counts in the end is that list, too: nothing else makes a VM done.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import AcceptedOperation, map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._errors import Failure
from ..connection import VaultConnection
from ..jobs.poller import JobOutcome, JobPoller, PendingJob
from ..resources.jobs import list_jobs
from ..resources.protected_items import ProtectedItem, delete_item, list_items, put_item
from .advice import with_advice
from .plan import DISCOVER, DesiredState, ProtectionPlan, Step, compared, plan

# The list may lag a little behind a job that has ended.
_MOST_LOOKS = 4
# An item that is not there when it was just listed is looked for this often.
_MOST_SURPRISES = 3
# Nor is a refusal for the sake of another operation believed more often, when none is listed.
_MOST_PHANTOMS = 12


@dataclass
class VmTask:
    """What one VM goes through in one task."""

    #: As the vault names it, if it does.
    vm: VmId
    before: Optional[ProtectedItem]
    plan: ProtectionPlan
    is_discovered_first: bool = False
    done: List[Step] = field(default_factory=list)
    job_ids: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    failure: Optional[Failure] = None
    #: What the vault lists in the end, where it was asked.
    after: Optional[ProtectedItem] = None
    is_after_known: bool = False
    #: Why the next step could not be sent, when it may be later.
    obstacle: Optional[Failure] = None
    surprises: int = 0
    #: How often another operation was said to be in the way since one was last seen to be.
    phantoms: int = 0
    #: Whether a job of it may still be at work.
    is_open: bool = False
    #: Whether a request was perhaps carried out of which we only know that its answer was lost.
    is_doubtful: bool = False
    #: Whether it failed of a refusal that does not count where all is as it is wanted.
    is_refused: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether there is another step to send."""
        return bool(self.plan.steps) and self.failure is None

    @property
    def is_to_confirm(self) -> bool:
        """Whether what the vault lists in the end says what has become of it."""
        return bool(self.done) or self.is_doubtful or self.is_refused

    @property
    def actions(self) -> Tuple[str, ...]:
        """What was sent, and what is planned after it; nothing more where something failed."""
        first = (DISCOVER,) if self.is_discovered_first else ()
        done = tuple(action for step in self.done for action in step.actions)
        return first + done + (() if self.failure else self.plan.actions)

    @property
    def item(self) -> Optional[ProtectedItem]:
        """The item as it was last listed."""
        return self.after if self.is_after_known else self.before

    @property
    def changed(self) -> bool:
        """Whether anything is other than before, or may yet become so."""
        if not self.done:
            return (
                self.is_doubtful
                and self.is_after_known
                and compared(self.before) != compared(self.after)
            )
        if self.failure is None or self.is_open or not self.is_after_known:
            return True
        return compared(self.before) != compared(self.after)

    def fail(self, failure: Failure) -> None:
        """Go no further."""
        self.failure = dataclasses.replace(failure, vm=failure.vm or self.vm.id)

    def replan(self, wanted: DesiredState, item: Optional[ProtectedItem]) -> None:
        """Begin anew from what the vault lists now."""
        self.obstacle = None
        self.after, self.is_after_known = item, True
        self.plan = plan(wanted, self.vm, item)
        if self.plan.failure is not None:
            self.fail(self.plan.failure)
        elif self.plan.lacks_policy:
            self.fail(lacks_policy(self.vm))


def lacks_policy(vm: VmId) -> Failure:
    """The failure of a VM that no policy was named for."""
    return Failure(
        "PolicyRequired",
        f"VM {vm.name} is not protected now, so its policy must be named.",
        "Say policy.",
        vm=vm.id,
    )


class Executor:
    """Runs courses to their ends, or to the deadline; one's failure leaves the others alone."""

    def __init__(
        self,
        connection: VaultConnection,
        wanted: DesiredState,
        follower: JobPoller,
        deadline: Deadline,
        *,
        poll_interval_s: float = 5.0,
        wait: bool = True,
        policy_type: str = "",
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._follower = follower
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._wait = wait
        self._policy_type = policy_type
        self._waiting: Optional[Backoff] = None

    def run(self, courses: Sequence[VmTask]) -> None:
        """Send every step of every course, then ask the vault what has become of them."""
        while True:
            self._pass_obstacles([course for course in courses if course.obstacle])
            ready = [course for course in courses if course.is_ready]
            if not ready:
                break
            self._run_batch(ready)
        self._confirm([course for course in courses if course.is_to_confirm])

    # --- a wave ---------------------------------------------------------------------------------

    def _run_batch(self, courses: Sequence[VmTask]) -> None:
        """The next step of each: all are sent, then their jobs are followed together."""
        self._connection.report(
            f"vault {self._connection.vault.name}: {_counted(courses)}, "
            f"then {'their jobs' if len(courses) > 1 else 'its job'}"
        )
        sent: List[Tuple[VmTask, AcceptedOperation]] = []
        for outcome in map_concurrently(self._send, courses):
            course = outcome.item
            if outcome.error is not None:
                self._refused(course, outcome.error)
                continue
            answer = outcome.value
            course.done.append(course.plan.steps[0])
            course.plan = ProtectionPlan(course.plan.steps[1:])
            # The service has done it, when it answers so, and has no job of it.
            if answer.operation_id or answer.status == 202:
                sent.append((course, answer))
        # A step that others wait for is followed in any case.
        followed = [one for one in sent if self._wait or one[0].plan.steps]
        self._note(followed, self._follower.follow, self._ended)
        self._note([one for one in sent if one not in followed], self._follower.find, self._begun)

    def _send(self, course: VmTask) -> AcceptedOperation:
        step, vm = course.plan.steps[0], course.vm
        what = f"{' and '.join(step.actions).replace('_', ' ')} VM {vm.name}"
        if step.properties is None:
            return delete_item(self._connection, what, vm, course.item)
        return put_item(self._connection, what, vm, course.item, step.properties)

    def _refused(self, course: VmTask, error: VaultError) -> None:
        """Let a course that another operation is in the way of try again; end another one."""
        item = course.item
        failure = with_advice(
            error.failure,
            course.vm,
            item.policy_type if item else "",
            self._policy_type,
            waits=self._wait or not error.is_busy,
        )
        if error.not_found:
            course.surprises += 1
        if error.is_busy:
            course.phantoms += 1
        course.is_doubtful = course.is_doubtful or error.is_doubtful
        may_pass = error.is_busy or (error.not_found and item is not None)
        is_believed = course.surprises < _MOST_SURPRISES and course.phantoms < _MOST_PHANTOMS
        if may_pass and self._wait and is_believed:
            course.obstacle = failure
            course.plan = ProtectionPlan()
        else:
            course.fail(failure)
            is_refusal = error.is_busy or error.not_found or error.kind == "request"
            of_state = self._wait and error.failure.http_status == 400
            course.is_refused = of_state or (is_refusal and course.is_doubtful)

    def _note(
        self,
        sent: Sequence[Tuple[VmTask, AcceptedOperation]],
        look: Callable[[Sequence[PendingJob]], Dict[str, JobOutcome]],
        note: Callable[[VmTask, JobOutcome], None],
    ) -> None:
        if not sent:
            return
        outcomes = look(
            [
                PendingJob(
                    course.vm,
                    course.done[-1].operation,
                    answer.at,
                    answer.operation_id,
                    # What the vault lists in the end is the proof; without waiting there is none.
                    may_lack_job=self._wait,
                )
                for course, answer in sent
            ]
        )
        for course, _answer in sent:
            outcome = outcomes[course.vm.key]
            if outcome.job is not None:
                course.job_ids.append(outcome.job.id)
            note(course, outcome)

    def _ended(self, course: VmTask, outcome: JobOutcome) -> None:
        job = outcome.job
        course.is_open = outcome.failure is not None and not (job and job.is_over)
        if job is not None and job.warning:
            course.warnings.append(f"VM {course.vm.name}: {job.operation}: {job.warning}")
        if outcome.failure is not None:
            course.fail(with_advice(outcome.failure, course.vm))

    @staticmethod
    def _begun(course: VmTask, outcome: JobOutcome) -> None:
        course.is_open = True
        # Where its job was not found in time, what was accepted is still under way.
        if outcome.failure is not None and outcome.job is None:
            course.warnings.append(outcome.failure.message)

    # --- what is in the way ---------------------------------------------------------------------

    def _pass_obstacles(self, courses: Sequence[VmTask]) -> None:
        """Wait until nothing is at work on these VMs; then plan anew."""
        if not courses:
            return
        names = ", ".join(course.vm.name for course in courses[:3])
        more = f" and {len(courses) - 3} more" if len(courses) > 3 else ""
        self._connection.report(f"waiting for other operations on {names}{more}")
        try:
            if self._wait_for_others(courses):
                items = list_items(self._connection)
                for course in courses:
                    course.replan(self._wanted, items.get(course.vm.key))
                return
        except VaultError as error:
            for course in courses:
                course.obstacle = error.failure
        for course in courses:
            if course.obstacle is not None:
                course.fail(course.obstacle)
                course.obstacle = None

    def _wait_for_others(self, courses: Sequence[VmTask]) -> bool:
        """Whether, before the deadline, there is no job any more of these VMs."""
        if self._waiting is None:
            self._waiting = Backoff(self._connection.clock, self._deadline, self._poll_interval_s)
        while self._waiting.sleep():
            jobs = list_jobs(self._connection, status="InProgress")
            running = {job.container_key for job in jobs if not job.is_over}
            busy = [course for course in courses if course.vm.container_key in running]
            for course in busy:
                course.phantoms = 0
            if not busy:
                return True
        return False

    # --- the end --------------------------------------------------------------------------------

    def _confirm(self, courses: Sequence[VmTask]) -> None:
        """Look at what the vault lists; what should have ended well, and has not, fails."""
        waiting = Backoff(self._connection.clock, self._deadline, self._poll_interval_s)
        lacking = list(courses)
        for look in range(_MOST_LOOKS):
            if not lacking or (look and not waiting.sleep()):
                break
            try:
                items = list_items(self._connection)
            except VaultError as error:
                self._unconfirmed(lacking, error.failure)
                return
            for course in courses:
                course.after, course.is_after_known = items.get(course.vm.key), True
            lacking = [course for course in courses if self._is_lacking(course)]
        for course in courses:
            if course.is_refused and self._is_as_wanted(course):
                # Such as what was deleted already: by another, or by us, with the answer lost.
                course.failure, course.plan = None, ProtectionPlan()
        self._unconfirmed(lacking, None)

    def _is_lacking(self, course: VmTask) -> bool:
        may_be_done = course.failure is None or (course.is_refused and course.is_doubtful)
        return self._wait and may_be_done and not self._is_as_wanted(course)

    def _is_as_wanted(self, course: VmTask) -> bool:
        left = plan(self._wanted, course.vm, course.after)
        return not left.steps and left.failure is None

    def _unconfirmed(self, courses: Sequence[VmTask], cause: Optional[Failure]) -> None:
        for course in courses:
            if course.failure is not None or not self._wait:
                continue
            lists = compared(course.after)["state"] if course.is_after_known else "unknown"
            why = cause.message if cause else f"the vault lists it as {lists}."
            course.fail(
                Failure(
                    cause.name if cause else "NotConfirmed",
                    f"The job of VM {course.vm.name} has ended, but that it is as wanted could not "
                    f"be confirmed: {why}",
                    "Run the task again: it looks at the vault anew and does what is left.",
                    correlation_id=cause.correlation_id if cause else "",
                    http_status=cause.http_status if cause else None,
                )
            )


def _counted(courses: Sequence[VmTask]) -> str:
    """What is about to be sent: C(protect 3 VMs, stop db01)."""
    kinds: Dict[str, List[str]] = {}
    for course in courses:
        kinds.setdefault(" and ".join(course.plan.steps[0].actions), []).append(course.vm.name)
    return ", ".join(
        f"{kind.replace('_', ' ')} {names[0] if len(names) == 1 else f'{len(names)} VMs'}"
        for kind, names in kinds.items()
    )
