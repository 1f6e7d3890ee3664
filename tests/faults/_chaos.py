# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Many runs under load, each with one or two of the three processes killed at a random moment.

The seed alone decides which processes are killed and when, so a seed repeats the same faults. The
phase that they hit also depends on the machine. Most faults aim at the phases from the pre-script
on.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from dataclasses import dataclass

from tests.faults import _engine as engine
from tests.faults import _processes as processes
from tests.faults._case import ANY_VERDICT, DIED, FAILED, POST, PRE, Case, Outcome, Setting
from tests.faults._harness import Harness
from tests.lab.proxy import Rule, delay_answer

_ROLES: tuple[tuple[str, ...], ...] = (
    ("run",),
    ("guard",),
    ("watchdog",),
    ("run", "guard"),
    ("run", "watchdog"),
    ("guard", "watchdog"),
)


@dataclass(frozen=True)
class Plan:
    """One run of the chaos."""

    roles: tuple[str, ...]
    #: The event to wait for: `start`, `pre` (the pre-script's start), `window` (the first request).
    aim: str
    #: The delay after that event, in seconds.
    after_s: float
    #: The delay of the store's answers, in seconds.
    store_s: float
    #: The delay between the two kills, in seconds.
    apart_s: float


def plans(runs: int, seed: int) -> list[Plan]:
    """Return the plans of a seed."""
    numbers = random.Random(seed)
    found = []
    for _run in range(runs):
        aim = numbers.choice(("start", "pre", "pre", "window", "window", "window"))
        found.append(
            Plan(
                roles=numbers.choice(_ROLES),
                aim=aim,
                after_s=numbers.uniform(0.0, {"start": 1.2, "pre": 0.5, "window": 0.4}[aim]),
                store_s=numbers.uniform(0.05, 0.4),
                apart_s=numbers.choice((0.0, numbers.uniform(0.0, 0.1))),
            )
        )
    return found


class Striker:
    """Carries out a plan and records the phase that it hit."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.where = "before"

    def __call__(self, harness: Harness) -> None:
        plan = self.plan
        harness.proxy.rules.append(Rule(delay_answer(plan.store_s)))
        load = subprocess.Popen(
            ["sh", "-c", _LOAD, harness.mount_points[0]],
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        harness.on_exit(_end, load)
        harness.start()
        if plan.aim != "start":
            processes.wait_for(lambda: self._reached(harness), 60, 0.002)
        harness.witness.note(f"{plan.aim} was reached")
        time.sleep(plan.after_s)
        living = harness.roles()
        self.where = _where(harness)
        harness.witness.note(f"{self.where}; alive: {living}")
        for role in plan.roles:
            if role in living:
                sent = processes.send(living[role], harness.token, signal.SIGKILL)
                harness.witness.note(f"SIGKILL to {role}{'' if sent else ', which had ended'}")
                time.sleep(plan.apart_s)

    def _reached(self, harness: Harness) -> bool:
        reached = (
            harness.proxy.requests("snapshot")
            if self.plan.aim == "window"
            else harness.started(PRE)
        )
        return bool(reached) or processes.process(harness.run_pid) is None


_LOAD = 'i=0; while :; do i=$((i+1)); echo $i > "$0/load.$((i%50))"; sleep 0.005; done'


def _end(load: subprocess.Popen[bytes]) -> None:
    load.kill()
    load.wait(60)


def _where(harness: Harness) -> str:
    if harness.run is None or harness.run.poll() is not None:
        return "over"
    if harness.started(POST):
        return "resume"
    if harness.proxy.requests("snapshot"):
        return "window"
    return "quiesce" if harness.started(PRE) else "before"


def case_of(number: int, plan: Plan, seed: int = 0) -> Case:
    """Return the plan as a case."""
    expect: tuple[str, ...] = (*ANY_VERDICT, FAILED)
    if "run" in plan.roles:
        expect = (*expect, DIED)
    return Case(
        name=f"chaos/{seed}/{number}",
        fault=f"{number}: SIGKILL to {' and '.join(plan.roles)}, "
        f"{plan.after_s:.2f} s after {plan.aim}",
        phase="random",
        inject=Striker(plan),
        expect=expect,
        setting=Setting(freeze_timeout=3, pre="sleep 0.1", post="sleep 0.1"),
    )


def run(runs: int, seed: int, jobs: int) -> list[Outcome]:
    """Run all plans; show each failure with its number."""
    print(f"chaos: {runs} runs, --seed {seed}")
    print(engine.HEADING)
    began = time.monotonic()
    with engine.ground() as (azurite, tree), engine.workers(jobs) as pool:

        def run_and_show(numbered: tuple[int, Plan]) -> Outcome:
            case = case_of(*numbered, seed)
            outcome = engine.run_case(case, azurite, tree)
            engine.show(outcome, getattr(case.inject, "where", None))
            return outcome

        outcomes = list(pool.map(run_and_show, enumerate(plans(runs, seed), 1)))
    _count(outcomes)
    print(f"seed {seed}, {time.monotonic() - began:.0f} s")
    print(engine.summary(outcomes))
    return outcomes


def _count(outcomes: list[Outcome]) -> None:
    where: dict[str, int] = {}
    for outcome in outcomes:
        phase: str | None = getattr(outcome.case.inject, "where", None)
        where[phase or "?"] = where.get(phase or "?", 0) + 1
    longest = max((outcome.stall_ms for outcome in outcomes), default=0.0)
    struck = ", ".join(f"{count} {phase}" for phase, count in sorted(where.items()))
    print(f"struck: {struck}; the longest stall of a writer: {longest:.0f} ms")
