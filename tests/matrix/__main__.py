# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the collection with every ansible-core, Python and set of libraries that it claims."""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from typing import List, Optional, Sequence

from tests.matrix._checks import check
from tests.matrix._combinations import FULL, SHORT, Combination
from tests.matrix._environment import FOLDER, Environment, environment, find_python
from tests.utils.ansible_test import ROOT

_LOGS = ROOT / ".lab" / "log"
_TAIL_LINES = 40
_LIBRARIES = (
    "azure-core",
    "azure-identity",
    "azure-mgmt-recoveryservicesbackup",
    "azure-mgmt-compute",
    "azure-storage-blob",
)


@dataclass
class Outcome:
    """The outcome of one combination."""

    combination: Combination
    python: str = ""
    ansible: str = ""
    libraries: str = ""
    passed: List[str] = field(default_factory=list)
    failed: List[str] = field(default_factory=list)
    why_not: str = ""

    @property
    def word(self) -> str:
        """The outcome in a word."""
        if self.why_not:
            return "NOT RUN"
        whole = len(self.passed) == len(self.combination.checks)
        return "FAILED" if self.failed or not whole else "passed"

    def line(self) -> str:
        """Return the outcome as a line of the table."""
        one = self.combination
        if self.why_not:
            said = self.why_not
        else:
            said = f"passed: {', '.join(self.passed) or 'none'}"
            if self.failed:
                said = f"failed: {', '.join(self.failed)}; {said}"
        if self.libraries:
            said += f" ({self.libraries})"
        return (
            f"{self.ansible or one.ansible:<9}{self.python or '-':<8}{one.libraries:<13}"
            f"{self.word:<9}{said}"
        )


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the combinations; return 1 if one failed or none ran."""
    parser = argparse.ArgumentParser(prog="./dev matrix", description=__doc__)
    parser.add_argument("--short", action="store_true", help="the part that ./dev test runs")
    parser.add_argument("--only", metavar="VERSION", help="one ansible-core, such as 2.18")
    parser.add_argument("--check", metavar="NAME", help="one check, such as sanity")
    parser.add_argument("--list", action="store_true", help="list the combinations")
    options = parser.parse_args(arguments)
    chosen = [
        one for one in (SHORT if options.short else FULL) if options.only in (None, one.ansible)
    ]
    if options.list or not chosen:
        for one in FULL:
            print(f"{one.name:<20} Python {' or '.join(one.pythons)}: {', '.join(one.checks)}")
        return 0 if chosen else 2
    if options.check:
        chosen = [
            replace(one, checks=(options.check,)) for one in chosen if options.check in one.checks
        ]
    outcomes = [run(one) for one in chosen]
    print(f"\n{'core':<9}{'Python':<8}{'libraries':<13}outcome")
    for outcome in outcomes:
        print(outcome.line())
    print(closing(outcomes), flush=True)
    words = [outcome.word for outcome in outcomes]
    return 1 if "FAILED" in words or "passed" not in words else 0


def closing(outcomes: Sequence[Outcome]) -> str:
    """Return the last line."""
    words = [outcome.word for outcome in outcomes]
    counts = [f"{words.count('passed')} of {len(words)} combinations passed"]
    if "FAILED" in words:
        counts.append(f"{words.count('FAILED')} FAILED")
    if "NOT RUN" in words:
        counts.append(f"{words.count('NOT RUN')} NOT RUN, as their Python is missing")
    return f"matrix: {', '.join(counts)}."


def run(combination: Combination) -> Outcome:
    """Run one combination, with a line for each check."""
    outcome = Outcome(combination)
    python = find_python(combination.pythons)
    if python is None:
        versions = " or ".join(combination.pythons)
        outcome.why_not = f"Python {versions} is not on this machine"
        print(f"  {combination.name}: not run, as {outcome.why_not}", flush=True)
        return outcome
    made: Optional[Environment] = None
    title = f"{combination.name}: make .lab/{FOLDER.name}/{combination.name}"
    began = _begin(title)
    try:
        made = environment(combination, python)
    except subprocess.CalledProcessError as error:
        _end(title, began, False, f"{error}\n{error.output}")
        outcome.failed.append("environment")
        return outcome
    _end(title, began, True, "")
    outcome.python = made.purelib.parent.name[len("python") :]
    outcome.ansible = made.version("ansible-core")
    outcome.libraries = ", ".join(
        f"{name.replace('azure-', '').replace('mgmt-', '')} {made.version(name)}"
        for name in _LIBRARIES
    )
    for name in combination.checks:
        title = f"{combination.name}: {name}"
        began = _begin(title)
        passed, said = check(name, made)
        (outcome.passed if passed else outcome.failed).append(name)
        _end(title, began, passed, said)
    return outcome


def _begin(title: str) -> float:
    print(f"  {title:<62}", end="", flush=True)
    return time.monotonic()


def _end(title: str, began: float, passed: bool, said: str) -> None:
    """Finish the line, keep the output, and show its end if the check failed."""
    took = f"{time.monotonic() - began:5.0f} s"
    log = _LOGS / f"matrix-{re.sub('[^a-z0-9.]+', '-', title.lower())}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(said)
    if passed:
        print(took, flush=True)
        return
    print(f"{took}  FAILED")
    print("\n".join(said.splitlines()[-_TAIL_LINES:]))
    print(f"  (all of it: {log})", flush=True)


if __name__ == "__main__":
    sys.exit(main())
