# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run every fault in every phase: `python -m tests.faults`."""

from __future__ import annotations

import argparse
import os
import random
import sys

from tests.faults import _chaos as chaos
from tests.faults._engine import run_all
from tests.faults._matrix import matrix
from tests.lab._process import orderly_end


def main(arguments: list[str] | None = None) -> int:
    """Run the cases that the command line selects; return 0 if all passed."""
    parser = argparse.ArgumentParser(prog="./dev faults", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["matrix", "chaos"], default="matrix")
    parser.add_argument("--fast", action="store_true", help="only the fast part of the matrix")
    parser.add_argument("--only", metavar="PATTERN", help="only cases whose name matches")
    parser.add_argument("--list", action="store_true", help="list the cases and exit")
    parser.add_argument("--jobs", type=int, default=2, help="number of cases at a time")
    parser.add_argument("--runs", type=int, default=300, help="chaos: number of runs")
    parser.add_argument("--seed", type=int, help="chaos: seed of the random numbers")
    chosen = parser.parse_args(arguments)
    cases = matrix(chosen.fast, chosen.only)
    if chosen.list:
        for case in cases:
            print(f"{case.name:44} {case.fault} ({case.phase})")
        print(f"{len(cases)} cases")
        return 0
    if os.geteuid() != 0:
        print("The faults need root: they make and freeze filesystems of their own.")
        return 2
    with orderly_end():
        if chosen.what == "chaos":
            seed = random.SystemRandom().randrange(1 << 32) if chosen.seed is None else chosen.seed
            outcomes = chaos.run(chosen.runs, seed, chosen.jobs)
        elif not cases:
            print(f"No case matches {chosen.only}.")
            return 2
        else:
            outcomes = run_all(cases, chosen.jobs)
    return 0 if all(outcome.passed or outcome.unavailable for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
