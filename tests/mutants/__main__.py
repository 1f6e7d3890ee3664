# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure the tests by random mutants of `plugins/module_utils`.

A mutant is a copy of the tree with one place changed. It dies when a test fails or the types do. It
meets the fast loop first, then all tests of its module. A sample depends on its seed alone.
"""

from __future__ import annotations

import argparse
import fnmatch
import random
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import List, Tuple

from tests.mutants._copy import Copy
from tests.mutants._mutations import Mutant, mutants
from tests.utils.ansible_test import ROOT

_CODE = "plugins/module_utils"
_UNIT = "tests/unit/plugins"
_INTEGRATION = "tests/integration"

#: Integration tests by the part of the code; they run without the right to freeze.
_MODULES: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("_modules/backup_job", ("test_backup_jobs",)),
    ("_modules/backup_policy", ("test_backup_policy",)),
    ("_modules/protected_vm", ("test_protected_vm*",)),
    ("_modules/recovery_point_info", ("test_vm_backup",)),
    ("_modules/vm_backup", ("test_vm_backup", "test_vault_faults_backup", "test_unproven_backups")),
    ("_modules/vm_extension_info", ("test_vm_extension_info",)),
    ("_modules/vault_base", ("test_vault_client", "test_vault_bad_input")),
    (
        "_arm",
        ("test_vault_client", "test_vault_credentials", "test_vault_faults", "test_vault_tls"),
    ),
    ("_vault/backup", ("test_vm_backup", "test_unproven_backups")),
    ("_vault/jobs", ("test_vm_backup", "test_protected_vm", "test_backup_jobs", "test_progress")),
    ("_vault/policies", ("test_backup_policy",)),
    ("_vault/policy", ("test_backup_policy",)),
    ("_vault/protection", ("test_protected_vm*",)),
    ("_vault/resources", ("test_vm_backup", "test_protected_vm", "test_vm_extension_info")),
    ("_vault", ("test_protected_vm*",)),
)

#: Their tests need the right to freeze, so no mutant of theirs meets more than the fast loop.
_FREEZING = ("_guest/freeze", "_guest/syscalls", "_modules/vm_snapshot", "_guest/run")


@dataclass(frozen=True)
class Verdict:
    """The end of a mutant."""

    mutant: Mutant
    #: "fast loop", "types", "its module's tests", or nothing for one that lives.
    killer: str
    #: The failure, or for a survivor the tests that did not run.
    detail: str


def sample(seed: int, size: int, pattern: str) -> List[Mutant]:
    """Return a sample of the mutants of the files that the pattern names."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / _CODE).rglob("*.py"))
    every: List[Mutant] = []
    for file in files:
        if fnmatch.fnmatch(file, f"{_CODE}/{pattern}"):
            every += mutants(file, (ROOT / file).read_text(encoding="utf-8"))
    chosen = random.Random(seed).sample(every, min(size, len(every)))
    print(f"{len(chosen)} of {len(every)} mutants, seed {seed}", flush=True)
    return chosen


def mirrored(file: str) -> List[str]:
    """Return the test file of a file and the folder of its package, if there are any."""
    path = Path("tests/unit") / file
    candidates = [path.with_name(f"test_{path.name}"), path.parent]
    return [str(place) for place in candidates if (ROOT / place).exists()]


def further_tests(file: str) -> Tuple[List[str], str]:
    """Return the tests of a file's module beside the fast loop, or the reason to run none."""
    inside = file[len(_CODE) + 1 :]
    if inside.startswith(_FREEZING):
        return [], f"not run, because they freeze: {', '.join(_root_tests(inside))}"
    unit = [place for place in mirrored(file) if (ROOT / place).is_dir()]
    return [*unit, *_integration(file)], ""


def _integration(file: str) -> List[str]:
    inside = file[len(_CODE) + 1 :]
    for part, names in _MODULES:
        if inside.startswith(part):
            folder = ROOT / _INTEGRATION
            found = sorted(path for name in names for path in folder.glob(f"{name}.py"))
            return [str(path.relative_to(ROOT)) for path in found]
    return []


def _root_tests(inside: str) -> List[str]:
    folder = ROOT / "tests/unit" / _CODE / Path(inside).parent
    found = [path for path in folder.glob("test_*.py") if "mark.root" in path.read_text()]
    found += (ROOT / _INTEGRATION).glob("test_vm_snapshot*.py")
    return sorted(str(path.relative_to(ROOT)) for path in found)


def judge(copy: Copy, mutant: Mutant, is_fast_only: bool) -> Verdict:
    """Let the tests look for a mutant, the likely ones first."""
    copy.put(mutant)
    try:
        for place in mirrored(mutant.file):
            failure = copy.fast_tests_fail(place)
            if failure:
                return Verdict(mutant, "fast loop", failure)
        failure = copy.types_fail()
        if failure:
            return Verdict(mutant, "types", failure)
        failure = copy.fast_tests_fail(*_integration(mutant.file), _UNIT)
        if failure:
            return Verdict(mutant, "fast loop", failure)
    finally:
        copy.restore(mutant)
    tests, why_none = further_tests(mutant.file)
    if is_fast_only or not tests:
        return Verdict(mutant, "", why_none)
    copy.learn(*tests)
    copy.put(mutant)
    try:
        failure = copy.tests_fail(*tests)
    finally:
        copy.restore(mutant)
    return Verdict(mutant, "its module's tests" if failure else "", failure)


def judge_all(chosen: List[Mutant], jobs: int, limit_s: float, is_fast_only: bool) -> List[Verdict]:
    """Judge the mutants, one in each job at a time."""
    copies = [Copy(limit_s) for _number in range(jobs)]
    try:
        failure = copies[0].fast_tests_fail(_UNIT, _INTEGRATION) or copies[0].types_fail()
        if failure:
            raise SystemExit(f"The fast loop fails without a mutant: {failure}")
        free: SimpleQueue[Copy] = SimpleQueue()
        for copy in copies:
            free.put(copy)

        def one(mutant: Mutant) -> Verdict:
            copy = free.get()
            try:
                verdict = judge(copy, mutant, is_fast_only)
            finally:
                free.put(copy)
            print(f"{verdict.killer or 'LIVES':<18} {mutant}  {verdict.detail}", flush=True)
            return verdict

        with ThreadPoolExecutor(jobs) as pool:
            try:
                return list(pool.map(one, chosen))
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for copy in copies:
                    copy.close()
                raise
    finally:
        for copy in copies:
            copy.close()


def report(verdicts: List[Verdict]) -> None:
    """Print the figures and the survivors."""
    killers = Counter(verdict.killer for verdict in verdicts)
    total, fast = len(verdicts), killers["fast loop"] + killers["types"]
    rest = total - fast
    print(f"\nby the fast loop: {fast} of {total} ({fast / total:.0%}),", end=" ")
    print(f"{killers['types']} of them by types alone")
    module = killers["its module's tests"]
    print(f"by the tests of their module: {module} of the other {rest}")
    print(f"by all: {fast + module} of {total} ({(fast + module) / total:.0%})")
    for verdict in sorted(verdicts, key=lambda verdict: str(verdict.mutant)):
        if not verdict.killer:
            print(f"LIVES {verdict.mutant}")
            if verdict.detail:
                print(f"      {verdict.detail}")


def main() -> int:
    """Judge a sample."""
    # An interrupt cleans up also where a shell started this in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=40, help="how many mutants (default 40)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default 1)")
    parser.add_argument("--only", default="*", help="pattern of files, such as '_vault/*'")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at once (default 2)")
    parser.add_argument("--limit", type=float, default=10, help="minutes a test run (default 10)")
    parser.add_argument("--fast", action="store_true", help="the fast loop alone")
    parser.add_argument("--list", action="store_true", help="show the sample and end")
    given = parser.parse_args()
    chosen = sample(given.seed, given.sample, given.only)
    if given.list:
        print(*chosen, sep="\n")
        return 0
    report(judge_all(chosen, given.jobs, given.limit * 60, given.fast))
    return 0


if __name__ == "__main__":
    sys.exit(main())
