# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bring a run to a phase and hold it there, without support in the module.

The pre-script and the post-script of the case hold quiesce and resume; the proxy holds the window.
The storage holds the other three: the disk of the first filesystem is an image on a filesystem that
the case freezes, so every write to it waits. With dirty data `syncfs` waits, otherwise `FIFREEZE`
or `FITHAW`. The kernel shows which call waits in `/proc/PID/task/TID/syscall`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Callable

from tests.faults import _processes as processes
from tests.faults._case import (
    FLUSH,
    FREEZING,
    POST,
    PRE,
    QUIESCE,
    RESUME,
    THAWING,
    WINDOW,
    MissedPhaseError,
    Setting,
)
from tests.faults._harness import LIMIT_S, Harness


def quiesce(harness: Harness) -> None:
    """Start the run and wait until the pre-script waits."""
    harness.start()
    harness.need("pre-script", lambda: harness.started(PRE))


def flush(harness: Harness) -> None:
    """Bring the run to a `syncfs` that waits for the first disk."""
    quiesce(harness)
    # In another process: a write to a blocked filesystem may never return.
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={harness.mount_points[0]}/dirty", "bs=64k", "count=16"],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    harness.block_storage(0)
    harness.go(PRE)
    harness.need("syncfs", lambda: processes.tasks_in_syncfs(harness.token))


def freezing(harness: Harness, index: int = 0) -> None:
    """Bring the run to a `FIFREEZE` that waits for its disk."""
    quiesce(harness)
    harness.block_storage(index)
    harness.go(PRE)
    harness.need("FIFREEZE", lambda: processes.tasks_in(harness.token, processes.FIFREEZE))


def window(harness: Harness) -> None:
    """Bring the run to its window; its request for a snapshot waits at the proxy."""
    harness.hold_snapshots()
    harness.start()
    harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))


def thawing(harness: Harness) -> None:
    """Bring the run to a `FITHAW` that waits for the first disk."""
    window(harness)
    harness.block_storage(0)
    harness.gate.open()
    harness.need("FITHAW", lambda: processes.tasks_in(harness.token, processes.FITHAW))


def resume(harness: Harness) -> None:
    """Start the run and wait until the post-script waits."""
    harness.start()
    harness.need("post-script", lambda: harness.started(POST))


REACH: dict[str, Callable[[Harness], None]] = {
    QUIESCE: quiesce,
    FLUSH: flush,
    FREEZING: freezing,
    WINDOW: window,
    THAWING: thawing,
    RESUME: resume,
}
SETTINGS: dict[str, Setting] = {
    QUIESCE: Setting(hold_pre=True, freeze_timeout=4),
    FLUSH: Setting(hold_pre=True, blockable=(0,), freeze_timeout=4),
    FREEZING: Setting(hold_pre=True, blockable=(0,), freeze_timeout=4),
    WINDOW: Setting(freeze_timeout=4),
    THAWING: Setting(blockable=(0,), freeze_timeout=4),
    RESUME: Setting(hold_post=True, freeze_timeout=4),
}


def signal_to(roles: tuple[str, ...], signum: int, phase: str) -> Callable[[Harness], None]:
    """Return a function that sends a signal to these processes in this phase."""

    def inject(harness: Harness) -> None:
        REACH[phase](harness)
        living = harness.roles()
        absent = [role for role in roles if role not in living]
        if absent:
            raise MissedPhaseError(
                f"{phase}: no process {' and '.join(absent)} (there: {sorted(living)})"
            )
        harness.note_command_lines()
        for role in roles:
            if not processes.send(living[role], harness.token, signum):
                raise MissedPhaseError(f"{phase}: {role} had ended before the signal")
            harness.witness.note(f"signal {signum} to {role} {living[role]}")
        release_after_fault(harness, phase, run_hit="run" in roles)

    return inject


def release_after_fault(harness: Harness, phase: str, run_hit: bool) -> None:
    """Release everything after the fault, unless a supervisor must end the pre-script."""
    if phase == QUIESCE and run_hit:
        return
    # A process that was hit in a call that waits gets 50 ms to react to the signal.
    time.sleep(0.05)
    harness.release()


def finish(harness: Harness, limit_s: float = LIMIT_S, patience_s: float = 30.0) -> list[str]:
    """Wait for the end of the run and of its supervisors; return a problem for each that remains.

    A stopped run is continued when the supervisors have run the post-script without it, or after
    `patience_s`.
    """
    assert harness.run is not None
    run = processes.process(harness.run_pid)
    if run is not None and run.state in "Tt":
        processes.wait_for(lambda: harness.started(POST) or not harness.started(PRE), patience_s)
        time.sleep(1.0)
        harness.release()
        processes.resume_all(harness.token)
    problems = []
    if not processes.wait_for(
        lambda: harness.run is None or harness.run.poll() is not None, limit_s
    ):
        problems.append("(g) the run never ended")
        harness.witness.capture(problems[-1])
        os.kill(harness.run.pid, signal.SIGKILL)
    harness.witness.note(f"the run has ended: {harness.run.poll()}")
    if not processes.wait_for(lambda: not processes.marked(harness.token), limit_s):
        problems += [
            f"(g) {member.comm} {member.pid} is still there ({member.state})"
            for member in processes.marked(harness.token)
        ]
        harness.witness.capture(f"supervisors that did not end within {limit_s:g} s")
        harness.release()
        processes.resume_all(harness.token)
        processes.kill_all(harness.token)
        processes.wait_for(lambda: not processes.marked(harness.token), 30)
    harness.witness.note("all processes of the run have ended")
    return problems
