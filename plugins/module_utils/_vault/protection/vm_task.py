# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of one VM in a task: its plan, what was sent, and the outcome.

Only the methods of `VmTask` change the state. They send no request.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum

from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._errors import Failure
from ..jobs.poller import JobOutcome
from ..resources.jobs import Job
from ..resources.protected_items import ProtectedItem
from .plan import DISCOVER, DesiredState, ProtectionPlan, Step, compared, plan

# A VM whose listed item was not found is tried again until this many such errors.
_MOST_NOT_FOUND = 3
# A VM is tried again until this many conflicts without a listed job that explains them.
_MOST_UNCONFIRMED_CONFLICTS = 12


class Phase(Enum):
    """The phase of a VM's task."""

    #: The next step of the plan, if any, can be sent.
    ACTIVE = "active"
    #: Another operation blocks the next step; `failure` is the error if it does not end in time.
    BLOCKED = "blocked"
    #: Azure refused a step. The failure is dropped if the vault lists the desired state.
    REFUSED = "refused"
    #: The task failed, and sends no further step.
    FAILED = "failed"


class Effect(Enum):
    """The effect of requests that is still unknown."""

    NONE = "none"
    #: A response was lost, so the request may have taken effect.
    UNCERTAIN = "uncertain"
    #: An accepted job may still run.
    JOB_RUNNING = "job_running"


@dataclass(frozen=True)
class Listed:
    """The item that the vault listed; None if it listed none."""

    item: ProtectedItem | None


@dataclass
class Retries:
    """The refusals after which a VM was tried again."""

    not_found: int = 0
    #: Conflicts since a job that explains one was last listed.
    unconfirmed_conflicts: int = 0

    def count(self, error: VaultError) -> None:
        """Count a refusal."""
        self.not_found += error.not_found
        self.unconfirmed_conflicts += error.is_busy

    @property
    def are_left(self) -> bool:
        """Return True if the VM may be tried again."""
        return (
            self.not_found < _MOST_NOT_FOUND
            and self.unconfirmed_conflicts < _MOST_UNCONFIRMED_CONFLICTS
        )


@dataclass
class VmTask:
    """One VM on its way to the desired state."""

    #: Named as the vault names the VM, if it lists it.
    vm: VmId
    before: ProtectedItem | None
    plan: ProtectionPlan
    phase: Phase = Phase.ACTIVE
    #: The error of a task that is not active.
    failure: Failure | None = None
    effect: Effect = Effect.NONE
    #: The latest list since the first, if any.
    after: Listed | None = None
    #: True if a request may have taken effect since the latest list.
    is_outdated: bool = False
    is_discovered_first: bool = False
    done: list[Step] = field(default_factory=list)
    job_ids: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    retries: Retries = field(default_factory=Retries)

    @classmethod
    def planned(cls, desired: DesiredState, vm: VmId, item: ProtectedItem | None) -> VmTask:
        """Return the task of a VM; it has failed if nothing leads to the desired state."""
        task = cls(item.vm if item else vm, item, plan(desired, item))
        task._fail_unplanned()
        return task

    @property
    def item(self) -> ProtectedItem | None:
        """The item as it was last listed."""
        return self.after.item if self.after else self.before

    @property
    def has_failed(self) -> bool:
        """Return True if no further step will be sent because of an error."""
        return self.phase in (Phase.FAILED, Phase.REFUSED)

    @property
    def is_ready(self) -> bool:
        """Return True if the next step can be sent."""
        return self.phase is Phase.ACTIVE and bool(self.plan.steps)

    @property
    def is_job_running(self) -> bool:
        """Return True if an accepted job may still run."""
        return self.effect is Effect.JOB_RUNNING

    @property
    def needs_confirmation(self) -> bool:
        """Return True if only the vault's list shows the outcome."""
        return bool(self.done) or self.effect is Effect.UNCERTAIN or self.phase is Phase.REFUSED

    @property
    def may_be_done(self) -> bool:
        """Return True unless an error proves that the desired state was not reached."""
        if self.phase is Phase.REFUSED:
            return self.effect is Effect.UNCERTAIN
        return not self.has_failed

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions of the steps that were sent and, without an error, of those planned."""
        first = (DISCOVER,) if self.is_discovered_first else ()
        done = tuple(action for step in self.done for action in step.actions)
        return first + done + (() if self.has_failed else self.plan.actions)

    @property
    def changed(self) -> bool:
        """Return True if the VM has changed, or may still change."""
        is_changed = self.is_outdated or compared(self.before) != compared(self.item)
        if not self.done:
            return self.effect is Effect.UNCERTAIN and is_changed
        return not self.has_failed or self.is_job_running or is_changed

    def discover(self, vm: VmId, is_after_refresh: bool) -> None:
        """Take the vault's name of the VM, found in its list or after a refresh."""
        self.vm = vm
        self.is_discovered_first = is_after_refresh

    def fail(self, failure: Failure) -> None:
        """End the task by an error."""
        self.phase = Phase.FAILED
        self.failure = dataclasses.replace(failure, vm=failure.vm or self.vm.id)

    def block(self, failure: Failure) -> None:
        """Wait for another operation; `failure` is the error if it does not end in time."""
        self.phase, self.failure = Phase.BLOCKED, failure
        self.plan = ProtectionPlan()

    def accept(self) -> None:
        """Note that Azure accepted the next step."""
        self.is_outdated = True
        self.done.append(self.plan.steps[0])
        self.plan = ProtectionPlan(self.plan.steps[1:])

    def refuse(self, error: VaultError, failure: Failure, wait: bool) -> None:
        """Note that Azure refused the next step: block the task, or end it.

        `failure` is the error's failure with advice for this VM.
        """
        self.retries.count(error)
        if error.is_doubtful:
            self.effect, self.is_outdated = Effect.UNCERTAIN, True
        may_pass = error.is_busy or (error.not_found and self.item is not None)
        if may_pass and wait and self.retries.are_left:
            self.block(failure)
            return
        self.fail(failure)
        is_uncertain = self.effect is Effect.UNCERTAIN
        is_refusal = error.is_busy or error.not_found or error.kind == "request"
        if (wait and error.failure.http_status == 400) or (is_refusal and is_uncertain):
            self.phase = Phase.REFUSED

    def end_job(self, outcome: JobOutcome, failure: Failure | None) -> None:
        """Note the outcome of a job that was followed; `failure` is its error with advice."""
        job = self._note_job(outcome)
        if job is not None and job.warning:
            self.warnings.append(f"VM {self.vm.name}: {job.operation}: {job.warning}")
        if failure is not None:
            if not (job and job.is_over):
                self.effect = Effect.JOB_RUNNING
            self.fail(failure)

    def leave_job(self, outcome: JobOutcome) -> None:
        """Note a job that runs on after the task."""
        job = self._note_job(outcome)
        self.effect = Effect.JOB_RUNNING
        if outcome.failure is not None and job is None:
            self.warnings.append(outcome.failure.message)

    def confirm_conflict(self) -> None:
        """Note that the vault lists the job that blocks this VM."""
        self.retries.unconfirmed_conflicts = 0

    def replan(self, desired: DesiredState, item: ProtectedItem | None) -> None:
        """Plan again from the item that the vault lists now."""
        self.phase, self.failure = Phase.ACTIVE, None
        self.confirm(item)
        self.plan = plan(desired, item)
        self._fail_unplanned()
        if self.plan.lacks_policy:
            self.fail(lacks_policy(self.vm))

    def confirm(self, item: ProtectedItem | None) -> None:
        """Note the item that the vault lists now."""
        self.after, self.is_outdated = Listed(item), False

    def drop_refusal(self) -> None:
        """Succeed in spite of a refusal, because the vault lists the desired state."""
        self.phase, self.failure = Phase.ACTIVE, None
        self.plan = ProtectionPlan()

    def _fail_unplanned(self) -> None:
        failure = self.plan.failure
        if failure is not None:
            message = f"VM {self.vm.name} {failure.message}"
            self.fail(dataclasses.replace(failure, message=message))

    def _note_job(self, outcome: JobOutcome) -> Job | None:
        if outcome.job is not None:
            self.job_ids.append(outcome.job.id)
        return outcome.job


def lacks_policy(vm: VmId) -> Failure:
    """Return the failure of a VM without a policy."""
    return Failure(
        "PolicyRequired",
        f"VM {vm.name} is not protected, so it needs a policy.",
        "Set policy.",
        vm=vm.id,
    )
