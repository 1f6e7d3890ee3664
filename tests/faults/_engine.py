# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run cases, several at a time, and show their outcomes."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import _checks as checks
from tests.faults import _phases as phases
from tests.faults._case import Case, MissedPhaseError, Outcome, UnavailableError
from tests.faults._harness import CHECKOUT, Harness
from tests.faults._witness import KEPT
from tests.lab.azurite import Azurite

#: Attempts of a case whose fault came too early or too late; a miss never counts as passed.
_TRIES = 3
_printing = threading.Lock()


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """Make a pool of `jobs` threads; an early exit cancels the cases that have not begun."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def ground() -> Iterator[tuple[Azurite, Path]]:
    """Make what all cases share: a blob store, and a folder to import the collection from."""
    with tempfile.TemporaryDirectory(prefix="quiesce-tree-") as folder:
        namespace = Path(folder) / "ansible_collections" / "quiesce"
        namespace.mkdir(parents=True)
        (namespace / "azure_backup").symlink_to(CHECKOUT)
        with Azurite() as azurite:
            yield azurite, Path(folder)


def run_case(case: Case, azurite: Azurite, tree: Path) -> Outcome:
    """Run the case; repeat it if its fault missed the phase."""
    began = time.monotonic()
    outcome = Outcome(case)
    for attempt in range(1, _TRIES + 1):
        harness = Harness(case.setting, azurite, tree)
        outcome = _attempt(case, harness)
        outcome.seconds = time.monotonic() - began
        if (
            not outcome.passed
            and not outcome.unavailable
            and (not outcome.missed or attempt == _TRIES)
        ):
            _keep(harness, outcome)
        if not outcome.missed:
            break
    return outcome


def _keep(harness: Harness, outcome: Outcome) -> None:
    """Write the evidence of a case that failed, and set its folder in the outcome."""
    folder = KEPT / re.sub("[^A-Za-z0-9.+-]", "-", outcome.case.name)
    try:
        harness.witness.keep(folder, outcome)
    except Exception:  # One case must not end the others.
        outcome.problems.append("the evidence was not kept: " + traceback.format_exc(limit=8))
    else:
        outcome.kept = str(folder)


def _attempt(case: Case, harness: Harness) -> Outcome:
    outcome = Outcome(case)
    try:
        with harness:
            try:
                case.inject(harness)
                outcome.problems += phases.finish(harness, patience_s=case.patience_s)
                outcome.problems += checks.all_of(case, harness)
            except UnavailableError:
                raise
            except BaseException as error:
                harness.witness.capture(f"the case was broken off: {error!r}", error)
                raise
            finally:
                outcome.outcome = checks.outcome_of(harness)
                outcome.stall_ms = checks.judged_stall_ms(case, harness)
                outcome.detail = harness.output()[-3000:]
                harness.witness.gather()
        if harness.guarded.had_to_thaw:
            outcome.problems.append("(a) only the safety process of the test thawed something")
    except UnavailableError as why:
        outcome.unavailable = str(why)
    except MissedPhaseError as why:
        outcome.missed = True
        outcome.problems.append(f"missed its phase: {why}")
    except Exception:  # Any error fails this case only.
        outcome.problems.append(traceback.format_exc(limit=8))
    return outcome


def row(outcome: Outcome, phase: str | None = None) -> str:
    """Return the case as a row of the table."""
    mark = "ok" if outcome.passed else "FAILED"
    mark = "MISSED" if outcome.missed else "cannot" if outcome.unavailable else mark
    return (
        f"{mark:6} {outcome.case.fault[:58]:58} {phase or outcome.case.phase:9} "
        f"{outcome.outcome:12} {outcome.stall_ms:7.0f} ms {outcome.seconds:6.1f} s"
    )


HEADING = f"{'':6} {'fault':58} {'phase':9} {'outcome':12} {'stall':>10} {'took':>8}"


def show(outcome: Outcome, phase: str | None = None) -> None:
    """Print the row, and below it the problems."""
    with _printing:
        print(row(outcome, phase))
        if outcome.unavailable:
            print(f"       {outcome.case.name} cannot run here: {outcome.unavailable}")
        elif not outcome.passed:
            print(f"       {outcome.case.name}")
            for problem in outcome.problems:
                print("       " + problem.replace("\n", "\n       "))
            print("       the output of the run: " + outcome.detail.replace("\n", "\n       "))
            print(f"       kept: {outcome.kept or 'nothing'}")
        sys.stdout.flush()


def run_all(cases: Sequence[Case], jobs: int) -> list[Outcome]:
    """Run the cases, `jobs` at a time, and print each row when its case ends."""
    print(HEADING)
    with ground() as (azurite, tree), workers(jobs) as pool:

        def run_and_show(case: Case) -> Outcome:
            outcome = run_case(case, azurite, tree)
            show(outcome)
            return outcome

        outcomes = list(pool.map(run_and_show, cases))
    print(summary(outcomes))
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the last line, which names the folder with the evidence of failed cases."""
    passed = sum(outcome.passed for outcome in outcomes)
    unavailable = sum(bool(outcome.unavailable) for outcome in outcomes)
    skipped = f", {unavailable} that cannot run here" if unavailable else ""
    kept = f"; see {KEPT}" if any(outcome.kept for outcome in outcomes) else ""
    return f"{passed} passed, {len(outcomes) - passed - unavailable} failed{skipped}{kept}"
