# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a snapshot run, and the policy for a phase that fails.

The run gets its dependencies from its caller. It imports no implementation of a store, and
nothing late.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Callable

from ..._errors import Failure, FreezeError, QuiesceError, ScriptError, documented
from ..._stores.labels import common_labels
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

#: The limit of each phase, in seconds, besides the limits of its script and of the window.
VALIDATE_LIMIT_S = 60.0
PREPARE_LIMIT_S = 120.0
FLUSH_LIMIT_S = 60.0
FLUSH_AGAIN_LIMIT_S = 20.0
#: The application is paused while the run checks the disks again.
RECHECK_LIMIT_S = 15.0
SETTLE_LIMIT_S = 30.0
#: A killed script may take this long to end; see `scripts.runner`.
SCRIPT_GRACE_S = 15.0


def _no_stage(_name: str, _limit_s: float) -> None:
    """Announce nothing: no supervisors run."""


class SnapshotRun:
    """A run. It always returns its record, also if it failed."""

    def __init__(self, request: RunRequest, dependencies: Dependencies) -> None:
        self._request = request
        self._deps = dependencies
        self._signals = DeferredSignals()
        self._stage: Callable[[str, float], None] = _no_stage
        self.record = RunRecord(request, dependencies.clock_ns())

    def run(self) -> RunRecord:
        """Go through the phases. On return nothing is frozen, due or locked."""
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            stores: list[Store] = []
            try:
                with self._phase("lock"):
                    stack.enter_context(self._deps.lock)
                    stack.enter_context(self._deps.machine)
                with self._phase("validate"):
                    readiness = self._validate()
                self._protected(stack, readiness, stores)
            except QuiesceError as error:
                self.record.fail(error.failure)
            except Exception as error:
                self._record_defect(error)
            with self._phase("settle", may_start=False):
                self._note_coverage()
                resolve_unknown(self.record, stores[0] if stores else None, SETTLE_LIMIT_S)
                self._report_interruption()
                self._write_document(self._deps.publisher.publish)
        return self.record

    def check(self) -> RunRecord:
        """Check everything that needs no change, no script and no freeze."""
        with ExitStack() as stack:
            stack.enter_context(self._signals)
            try:
                with self._phase("lock"):
                    stack.enter_context(self._deps.lock)
                    stack.enter_context(self._deps.machine)
                with self._phase("validate"):
                    readiness = self._validate()
                with self._phase("prepare"):
                    store = self._deps.make_store()
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
        """Time a phase and announce it; after a signal only the last two phases start."""
        if may_start:
            self._signals.check()
            self._stage(name, limit_s)
        else:
            # The announcement raises for a run that was taken over, but these phases must run.
            with suppress(QuiesceError):
                self._stage(name, limit_s)
        started = self._deps.clock_ns()
        try:
            yield
        finally:
            self.record.phases.append(Phase(name, started, self._deps.clock_ns()))

    # --- before anything is changed ----------------------------------------------------------

    def _validate(self) -> Readiness:
        record = self.record
        self._deps.machine.limit(VALIDATE_LIMIT_S, self._signals.check)
        record.readiness = readiness = self._deps.machine.examine()
        for text in readiness.warnings:
            record.warn(text)
        record.single_disk = self._deps.machine.is_single_disk()
        for finding in readiness.findings:
            record.degrade(finding)
        if readiness.state is ReadinessState.UNTRUSTED_SCRIPTS and readiness.findings:
            self._scripts_failed(readiness.findings[0])
        self._deps.check_disks(self._longest_s(readiness))
        record.labels = common_labels(self._request.labels)
        record.plan = self._deps.machine.plan()
        for text in record.plan.warnings:
            record.warn(text)
        if record.freeze_off_by_config and self._request.freeze not in ("auto", "none"):
            record.warn(
                "fsFreezeEnabled is false in the configuration, so the filesystems that freeze "
                "names are not frozen. Set fs_freeze_enabled to freeze them."
            )
        record.coverage = self._deps.machine.cover(record.targets)
        if record.will_freeze:
            self._deps.machine.check_expedite()
        return readiness

    def _scripts_failed(self, failure: Failure) -> None:
        """Apply the framework's rules for a failed script; raise if the run must end."""
        record = self.record
        if record.continue_on_failure and not record.freeze_off_by_config:
            return
        if not record.single_disk:
            raise ScriptError(failure)
        record.crash_fallback = True
        record.warn(
            "The guest has a single disk: the backup falls back to crash-consistent, as the "
            "documentation of the framework states."
        )

    def _protected(self, stack: ExitStack, readiness: Readiness, stores: list[Store]) -> None:
        """Run under supervisors, which start first: they fork, and the store starts threads."""
        record = self.record
        with ExitStack() as guarded:
            with self._phase("prepare"):
                targets = record.targets if record.will_freeze else ()
                freezer = self._deps.start_freezer(
                    targets, self._request.freeze_timeout_s, readiness.post
                )
                guarded.callback(self._dismiss, freezer)
                self._stage = freezer.stage
                freezer.stage("prepare", PREPARE_LIMIT_S)
                self._write_document(self._deps.publisher.announce)
                store = self._deps.make_store()
                stack.callback(store.close)
                stores.append(store)
                self._prepare(store, readiness)
                self._deps.lock.remember_task()
            self._quiet(freezer, store, readiness)

    def _prepare(self, store: Store, readiness: Readiness) -> None:
        store.prepare(self._longest_s(readiness))
        for text in store.warnings:
            self.record.warn(text)

    def _dismiss(self, freezer: FreezerProtocol) -> None:
        self._stage = _no_stage
        self.record.protection = dict(freezer.protection)
        self.record.expedited = dict(freezer.expedited)
        freezer.stop()

    def _longest_s(self, readiness: Readiness) -> float:
        """Return the longest time from now until the last request to the store, in seconds."""
        scripts = [spec for spec in (readiness.pre, readiness.post) if spec is not None]
        return (
            sum(spec.timeout_s + SCRIPT_GRACE_S for spec in scripts)
            + 2 * FLUSH_LIMIT_S
            + self._request.freeze_timeout_s
            + SETTLE_LIMIT_S
        )

    # --- from here on the post-script may be due ----------------------------------------------

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
                    until_ns = self._deps.clock_ns() + limit_ns
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
        self._warn_of_processes(outcome)
        self._signals.check()
        # This raises if the script was killed or not started because a supervisor took over.
        self._stage("quiesce", SCRIPT_GRACE_S)
        if not outcome.succeeded:
            failure = script_failure(outcome, pre)
            self._scripts_failed(failure)
            self.record.degrade(failure)

    def _flush(self, freezer: FreezerProtocol, store: Store) -> None:
        if self.record.will_freeze:
            freezer.flush(FLUSH_LIMIT_S)
            self._deps.machine.limit(RECHECK_LIMIT_S, self._signals.check)
            self.record.coverage = self._deps.machine.cover(self.record.targets)
        # As late as possible: a store closes connections that are idle for some seconds.
        store.refresh()
        if self.record.will_freeze:
            # Data that was written since the first flush would delay the freeze.
            freezer.flush(FLUSH_AGAIN_LIMIT_S)
            freezer.verify()

    def _window(self, freezer: FreezerProtocol, store: Store) -> None:
        """Freeze, take, thaw. Do nothing else here, not even a garbage collection."""
        late = False
        collecting = gc.isenabled()
        gc.disable()
        try:
            freezer.freeze()
            late = self._deps.clock_ns() >= freezer.deadline_ns
            if not late:
                self.record.outcomes = tuple(
                    store.take(freezer.deadline_ns, freezer.is_window_over)
                )
        finally:
            self.record.filesystems = tuple(classify_early_thaw(item) for item in freezer.thaw())
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
                    "Take the snapshot when less data is written, or increase freeze_timeout.",
                )
            )

    def _resume(self, freezer: FreezerProtocol, post: ScriptSpec | None) -> None:
        record = self.record
        outcome = freezer.run_post_script()
        if outcome is None or post is None:
            return
        record.post = outcome
        self._warn_of_processes(outcome)
        if outcome.succeeded:
            return
        failure = script_failure(outcome, post)
        try:
            self._scripts_failed(failure)
        except ScriptError:
            record.fail(failure)
        else:
            record.degrade(failure)

    def _warn_of_processes(self, outcome: ScriptOutcome) -> None:
        """Warn of killed processes: what they held, such as a database lock, is released."""
        if outcome.left_processes:
            self.record.warn(
                f"The {outcome.kind}-script left processes in its process group, and they were "
                "killed when it ended. Start processes that must continue with setsid or by the "
                "service manager."
            )

    def _report_interruption(self) -> None:
        """Fail the run for a signal that arrived after the last check of a phase."""
        failure = self._signals.failure()
        if failure is not None and self.record.failure is None:
            self.record.fail(failure)

    def _record_defect(self, error: Exception) -> None:
        """Fail the run for a defect of the collection."""
        message = f"Internal error: {type(error).__name__}: {error}."
        self.record.fail(Failure("InternalError", message, "Report it, with this output."))
        self.record.traceback = traceback.format_exc()

    def _note_coverage(self) -> None:
        coverage = self.record.coverage
        for text in (*coverage.problems, *coverage.warnings) if coverage else ():
            self.record.warn(text)

    def _write_document(self, write: Callable[[RunRecord], None]) -> None:
        """Write a document; a failure to write never changes the outcome of the run."""
        try:
            write(self.record)
        except Exception as error:
            self.record.warn(str(error) or type(error).__name__)


def script_failure(outcome: ScriptOutcome, spec: ScriptSpec) -> Failure:
    """Return the documented failure of a failed script."""
    prefix = "Pre" if outcome.kind == "pre" else "Post"
    script = f"The {outcome.kind}-script {spec.path}"
    tries = f"after {outcome.attempts} attempt(s)"
    if outcome.timed_out:
        return documented(
            f"{prefix}-ScriptTimeout",
            f"{script} exceeded timeoutInSeconds ({spec.timeout_s:g} s) {tries} and was killed.",
        )
    if outcome.not_started:
        message = f"{script} was not started: {outcome.not_started}."
    elif outcome.rc is None:
        message = f"{script} was stopped before it ended."
    elif outcome.rc < 0:
        message = f"{script} was killed by signal {-outcome.rc} {tries}."
    else:
        message = f"{script} failed with exit status {outcome.rc} {tries}."
    return documented(f"{prefix}-ScriptExecutionFailed", message)
