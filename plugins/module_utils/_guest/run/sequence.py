# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run of a snapshot, phase by phase, and what happens when a phase fails.

What the run uses is handed to it (C(Parts)); it imports
nothing of the stores' machinery, and nothing late.
"""

from __future__ import annotations

import gc
import traceback
from contextlib import ExitStack, contextmanager, suppress
from typing import Callable, Iterator, List, Optional

from ..._errors import Failure, FreezeError, QuiesceError, ScriptError, documented
from ..._stores.store import Store
from ..freeze.errors import thaw_failure
from ..model import ScriptOutcome, ScriptSpec
from ..scripts.runner import run_script
from ..scripts.validation import Readiness, ReadinessState
from ..storage.freeze_holders import classify_early_thaw
from .cleanup import resolve_unknown
from .dependencies import Dependencies, FreezerProtocol
from .record import Phase, RunRecord, RunRequest
from .signals import DeferredSignals

#: How long each phase may last, in seconds, besides what its script or the window may take.
VALIDATE_LIMIT_S = 60.0
PREPARE_LIMIT_S = 120.0
FLUSH_LIMIT_S = 60.0
FLUSH_AGAIN_LIMIT_S = 20.0
#: The application is paused while the run looks at the disks once more.
LOOK_AGAIN_LIMIT_S = 15.0
SETTLE_LIMIT_S = 30.0
#: A killed script may take this long to be gone; see C(_scripts).
SCRIPT_GRACE_S = 15.0


def _no_stage(_name: str, _limit_s: float) -> None:
    """There are no supervisors yet, or no more."""


class SnapshotRun:
    """One run. C(run) does it all and returns the record, whatever happened."""

    def __init__(self, request: RunRequest, parts: Dependencies) -> None:
        self._request = request
        self._parts = parts
        self._signals = DeferredSignals()
        self._stage: Callable[[str, float], None] = _no_stage
        self.record = RunRecord(request, parts.clock_ns())

    def run(self) -> RunRecord:
        """Go through the phases. Nothing is frozen, owed or locked when this returns."""
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            stores: List[Store] = []
            try:
                with self._phase("lock"):
                    stack.enter_context(self._parts.lock())
                with self._phase("validate"):
                    readiness = self._validate()
                self._protected(stack, readiness, stores)
            except QuiesceError as error:
                self.record.fail(error.failure)
            except Exception as error:
                self._mistake(error)
            with self._phase("settle", may_start=False):
                self._note_coverage()
                resolve_unknown(self.record, stores[0] if stores else None, SETTLE_LIMIT_S)
                self._report_interruption()
                self._tell(self._parts.publish)
        return self.record

    def check(self) -> RunRecord:
        """Check what can be checked without changing, running or freezing anything."""
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            try:
                with self._phase("lock"):
                    stack.enter_context(self._parts.lock())
                with self._phase("validate"):
                    readiness = self._validate()
                with self._phase("prepare"):
                    store = self._parts.make_store()
                    stack.callback(store.close)
                    self._prepare(store, readiness)
            except QuiesceError as error:
                self.record.fail(error.failure)
            self._note_coverage()
        return self.record

    @contextmanager
    def _phase(
        self, name: str, limit_s: float = PREPARE_LIMIT_S, may_start: bool = True
    ) -> Iterator[None]:
        """Time a phase and announce it; after a signal only the last two phases begin."""
        if may_start:
            self._signals.check()
            self._stage(name, limit_s)
        else:
            # A run that was taken over is told so, and yet it must do what is left to do.
            with suppress(QuiesceError):
                self._stage(name, limit_s)
        started = self._parts.clock_ns()
        try:
            yield
        finally:
            self.record.phases.append(Phase(name, started, self._parts.clock_ns()))

    # --- before anything is touched ----------------------------------------------------------

    def _validate(self) -> Readiness:
        record = self.record
        self._parts.limit_looks(VALIDATE_LIMIT_S, self._signals.check)
        record.readiness = readiness = self._parts.examine()
        for text in readiness.warnings:
            record.warn(text)
        record.single_disk = self._parts.is_single_disk()
        for finding in readiness.findings:
            record.degrade(finding)
        if readiness.state is ReadinessState.UNTRUSTED_SCRIPTS and readiness.findings:
            self._scripts_failed(readiness.findings[0])
        self._parts.check_disks(self._longest_s(readiness))
        record.labels = self._parts.label()
        record.plan = self._parts.plan()
        for text in record.plan.warnings:
            record.warn(text)
        if record.freeze_off_by_config and self._request.freeze not in ("auto", "none"):
            record.warn(
                "fsFreezeEnabled is false in the configuration: the filesystems that freeze "
                "names are not frozen."
            )
        record.coverage = self._parts.cover(record.targets)
        if record.will_freeze:
            self._parts.check_expedite()
        return readiness

    def _scripts_failed(self, failure: Failure) -> None:
        """The rules of the framework for a script that failed; raises when the run must end."""
        record = self.record
        if record.continue_on_failure and not record.freeze_off_by_config:
            return
        if not record.single_disk:
            raise ScriptError(failure)
        record.crash_fallback = True
        record.warn(
            "The guest has a single disk: the backup falls back to crash-consistent, as the "
            "framework's documentation says."
        )

    def _protected(self, stack: ExitStack, readiness: Readiness, stores: List[Store]) -> None:
        """Start the supervisors first, because they fork and the store starts threads; then go on."""
        record = self.record
        with ExitStack() as guarded:
            with self._phase("prepare"):
                targets = record.targets if record.will_freeze else ()
                freezer = self._parts.start_freezer(
                    targets, self._request.freeze_timeout_s, readiness.post
                )
                guarded.callback(self._dismiss, freezer)
                self._stage = freezer.stage
                freezer.stage("prepare", PREPARE_LIMIT_S)
                self._tell(self._parts.announce)
                store = self._parts.make_store()
                stack.callback(store.close)
                stores.append(store)
                self._prepare(store, readiness)
                self._parts.begin()
            self._quiet(freezer, store, readiness)

    def _prepare(self, store: Store, readiness: Readiness) -> None:
        store.prepare(self._longest_s(readiness), self._request.metadata)
        for text in store.warnings:
            self.record.warn(text)

    def _dismiss(self, freezer: FreezerProtocol) -> None:
        self._stage = _no_stage
        self.record.protection = dict(freezer.protection)
        self.record.expedited = dict(freezer.expedited)
        freezer.stop()

    def _longest_s(self, readiness: Readiness) -> float:
        """How long it can take from now until the last request to the store, in seconds."""
        scripts = [one for one in (readiness.pre, readiness.post) if one is not None]
        return (
            sum(one.timeout_s + SCRIPT_GRACE_S for one in scripts)
            + 2 * FLUSH_LIMIT_S
            + self._request.freeze_timeout_s
            + SETTLE_LIMIT_S
        )

    # --- from here on the post-script may be owed ---------------------------------------------

    def _quiet(self, freezer: FreezerProtocol, store: Store, readiness: Readiness) -> None:
        pre, post = readiness.pre, readiness.post
        try:
            with self._phase("quiesce", (pre.timeout_s if pre else 0) + SCRIPT_GRACE_S):
                if pre is not None:
                    self._quiesce(freezer, pre)
            with self._phase("flush", 2 * FLUSH_LIMIT_S + FLUSH_AGAIN_LIMIT_S):
                self._flush(freezer, store)
            with self._phase("window", self._request.freeze_timeout_s):
                if self.record.will_freeze:
                    self._window(freezer, store)
                else:
                    limit_ns = int(self._request.freeze_timeout_s * 1e9)
                    until_ns = self._parts.clock_ns() + limit_ns
                    self.record.outcomes = tuple(store.take(until_ns, freezer.is_taken_over))
        finally:
            limit_s = (post.timeout_s if post else 0) + SCRIPT_GRACE_S
            with self._phase("resume", limit_s, may_start=False):
                self._resume(freezer, post)

    def _quiesce(self, freezer: FreezerProtocol, pre: ScriptSpec) -> None:
        freezer.mark_post_script_due()
        try:
            outcome = run_script(
                pre, before_exec=freezer.before_script, stop=self._signals.received
            )
        finally:
            freezer.script_ended()
        self.record.pre = outcome
        self._tell_of_processes(outcome)
        self._signals.check()
        # Raises when the script was killed or not started because the run had been taken over.
        self._stage("quiesce", SCRIPT_GRACE_S)
        if not outcome.succeeded:
            failure = script_failure(outcome, pre)
            self._scripts_failed(failure)
            self.record.degrade(failure)

    def _flush(self, freezer: FreezerProtocol, store: Store) -> None:
        if self.record.will_freeze:
            freezer.flush(FLUSH_LIMIT_S)
            self._parts.limit_looks(LOOK_AGAIN_LIMIT_S, self._signals.check)
            self.record.coverage = self._parts.cover(self.record.targets)
        # As late as can be: a store closes a connection that was idle for some seconds.
        store.refresh()
        if self.record.will_freeze:
            # What was written meanwhile would stall the freeze.
            freezer.flush(FLUSH_AGAIN_LIMIT_S)
            freezer.verify()

    def _window(self, freezer: FreezerProtocol, store: Store) -> None:
        """Freeze, take, thaw. Nothing else happens here, not even a collection of garbage."""
        late = False
        collecting = gc.isenabled()
        gc.disable()
        try:
            freezer.freeze()
            late = self._parts.clock_ns() >= freezer.deadline_ns
            if not late:
                self.record.outcomes = tuple(
                    store.take(freezer.deadline_ns, freezer.is_window_over)
                )
        finally:
            self.record.filesystems = tuple(classify_early_thaw(one) for one in freezer.thaw())
            stuck = thaw_failure(self.record.filesystems)
            if stuck is not None:
                self.record.fail(stuck)
            if collecting:
                gc.enable()
        if late:
            raise FreezeError(
                Failure(
                    "FreezeTimeout",
                    "Freezing took as long as freeze_timeout allows "
                    f"({self._request.freeze_timeout_s:g} s), so no snapshot was taken.",
                    "Take the snapshot when less is written, or raise freeze_timeout.",
                )
            )

    def _resume(self, freezer: FreezerProtocol, post: Optional[ScriptSpec]) -> None:
        record = self.record
        outcome = freezer.run_post_script()
        if outcome is None or post is None:
            return
        record.post = outcome
        self._tell_of_processes(outcome)
        if outcome.succeeded:
            return
        failure = script_failure(outcome, post)
        try:
            self._scripts_failed(failure)
        except ScriptError:
            record.fail(failure)
        else:
            record.degrade(failure)

    def _tell_of_processes(self, outcome: ScriptOutcome) -> None:
        """What such a process held, as the lock of a database, was let go."""
        if outcome.left_processes:
            self.record.warn(
                f"The {outcome.kind}-script left processes in its process group, and they were "
                "killed when it ended. Have the script start what must go on with setsid or by "
                "the service manager."
            )

    def _report_interruption(self) -> None:
        """A signal that came too late for a phase to look at it fails the run all the same."""
        failure = self._signals.failure()
        if failure is not None and self.record.failure is None:
            self.record.fail(failure)

    def _mistake(self, error: Exception) -> None:
        """A mistake in our own code fails the run as anything else does."""
        words = f"This is a mistake in the module: {type(error).__name__}: {error}"
        self.record.fail(Failure("InternalError", words, "Report it, with this output."))
        self.record.traceback = traceback.format_exc()

    def _note_coverage(self) -> None:
        coverage = self.record.coverage
        for text in (*coverage.problems, *coverage.warnings) if coverage else ():
            self.record.warn(text)

    def _tell(self, what: Callable[[RunRecord], None]) -> None:
        """A document that cannot be written never changes what the run reached."""
        try:
            what(self.record)
        except Exception as error:
            self.record.warn(str(error) or type(error).__name__)


def script_failure(outcome: ScriptOutcome, spec: ScriptSpec) -> Failure:
    """The documented failure of a script that did not succeed."""
    prefix = "Pre" if outcome.kind == "pre" else "Post"
    script = f"The {outcome.kind}-script {spec.path}"
    tries = f"after {outcome.attempts} attempt(s)"
    if outcome.timed_out:
        return documented(
            f"{prefix}-ScriptTimeout",
            f"{script} did not end within timeoutInSeconds ({spec.timeout_s:g} s) {tries}; "
            "it was killed.",
        )
    if outcome.not_started:
        words = f"{script} was not started: {outcome.not_started}."
    elif outcome.rc is None:
        words = f"{script} was stopped before it ended."
    elif outcome.rc < 0:
        words = f"{script} was killed by signal {-outcome.rc} {tries}."
    else:
        words = f"{script} failed with exit status {outcome.rc} {tries}."
    return documented(f"{prefix}-ScriptExecutionFailed", words)
