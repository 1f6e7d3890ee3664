# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run cases one by one or some at a time, and show what became of them."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

from tests.faults import _checks as checks
from tests.faults import _places as places
from tests.faults._case import Case, Missed, Outcome, Unavailable
from tests.faults._rig import CHECKOUT, Rig
from tests.faults._witness import KEPT
from tests.lab.azurite import Azurite

#: A case whose fault came too early or too late is tried again so often; it never counts as passed.
_TRIES = 3
_printing = threading.Lock()


@contextlib.contextmanager
def workers(jobs: int) -> Iterator[ThreadPoolExecutor]:
    """So many cases at a time; when this is left early, those that have not begun never do."""
    pool = ThreadPoolExecutor(jobs)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def ground() -> Iterator["tuple[Azurite, Path]"]:
    """What all cases share: a blob store, and a folder from which the collection is imported."""
    with tempfile.TemporaryDirectory(prefix="quiesce-tree-") as folder:
        namespace = Path(folder) / "ansible_collections" / "quiesce"
        namespace.mkdir(parents=True)
        (namespace / "azure_backup").symlink_to(CHECKOUT)
        with Azurite() as azurite:
            yield azurite, Path(folder)


def run_case(case: Case, azurite: Azurite, tree: Path) -> Outcome:
    """Run the case; again when it missed its phase."""
    began = time.monotonic()
    outcome = Outcome(case)
    for attempt in range(1, _TRIES + 1):
        rig = Rig(case.setting, azurite, tree)
        outcome = _attempt(case, rig)
        outcome.seconds = time.monotonic() - began
        if (
            not outcome.passed
            and not outcome.unavailable
            and (not outcome.missed or attempt == _TRIES)
        ):
            _keep(rig, outcome)
        if not outcome.missed:
            break
    return outcome


def _keep(rig: Rig, outcome: Outcome) -> None:
    """Write down what is known of a case that failed, and say in the outcome where."""
    folder = KEPT / re.sub("[^A-Za-z0-9.+-]", "-", outcome.case.name)
    try:
        rig.witness.keep(folder, outcome)
    except Exception:  # As below: one case must not end the others.
        outcome.problems.append("what is known was not kept: " + traceback.format_exc(limit=8))
    else:
        outcome.kept = str(folder)


def _attempt(case: Case, rig: Rig) -> Outcome:
    outcome = Outcome(case)
    try:
        with rig:
            try:
                case.inject(rig)
                outcome.problems += places.finish(rig, patience_s=case.patience_s)
                outcome.problems += checks.all_of(case, rig)
            except Unavailable:
                raise
            except BaseException as error:
                rig.witness.look(f"the case was broken off: {error!r}", error)
                raise
            finally:
                outcome.outcome = checks.outcome_of(rig)
                outcome.stall_ms = checks.judged_stall_ms(case, rig)
                outcome.detail = rig.output()[-3000:]
                rig.witness.gather()
        if rig.guarded.had_to_thaw:
            outcome.problems.append("(a) only the safety process of the test thawed something")
    except Unavailable as why:
        outcome.unavailable = str(why)
    except Missed as why:
        outcome.missed = True
        outcome.problems.append(f"missed its phase: {why}")
    except Exception:  # Whatever it is, the other cases go on and this one has failed.
        outcome.problems.append(traceback.format_exc(limit=8))
    return outcome


def row(outcome: Outcome, phase: Optional[str] = None) -> str:
    """The case as a row of the table."""
    mark = "ok" if outcome.passed else "FAILED"
    mark = "MISSED" if outcome.missed else "cannot" if outcome.unavailable else mark
    return (
        f"{mark:6} {outcome.case.fault[:58]:58} {phase or outcome.case.phase:9} "
        f"{outcome.outcome:12} {outcome.stall_ms:7.0f} ms {outcome.seconds:6.1f} s"
    )


HEADING = f"{'':6} {'fault':58} {'phase':9} {'outcome':12} {'stall':>10} {'took':>8}"


def show(outcome: Outcome, phase: Optional[str] = None) -> None:
    """Print the row, and under it what did not hold."""
    with _printing:
        print(row(outcome, phase))
        if outcome.unavailable:
            print(f"       {outcome.case.name} cannot run here: {outcome.unavailable}")
        elif not outcome.passed:
            print(f"       {outcome.case.name}")
            for problem in outcome.problems:
                print("       " + problem.replace("\n", "\n       "))
            print("       the run said: " + outcome.detail.replace("\n", "\n       "))
            print(f"       kept: {outcome.kept or 'nothing'}")
        sys.stdout.flush()


def run_all(cases: Sequence[Case], jobs: int) -> List[Outcome]:
    """Run the cases, C(jobs) at a time, and print the table as it grows."""
    print(HEADING)
    with ground() as (azurite, tree), workers(jobs) as pool:

        def one(case: Case) -> Outcome:
            outcome = run_case(case, azurite, tree)
            show(outcome)
            return outcome

        outcomes = list(pool.map(one, cases))
    print(summary(outcomes))
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> str:
    """The last line; it names the folder with what is known of cases that failed."""
    passed = sum(outcome.passed for outcome in outcomes)
    unavailable = sum(bool(outcome.unavailable) for outcome in outcomes)
    skipped = f", {unavailable} that cannot run here" if unavailable else ""
    kept = f"; see {KEPT}" if any(outcome.kept for outcome in outcomes) else ""
    return f"{passed} passed, {len(outcomes) - passed - unavailable} failed{skipped}{kept}"
