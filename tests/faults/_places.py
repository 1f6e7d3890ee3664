# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a case gets a run to a phase and holds it there, with nothing in the module to help.

The pre-script and the post-script of the case hold quiesce and resume; the proxy holds the window.
The other three are held by the storage: the disk of the first filesystem is an image on a
filesystem that the case freezes, so whatever must be written to it waits. What then waits is
C(syncfs) where something was dirty, and C(FIFREEZE) and C(FITHAW) otherwise, and the kernel shows
which one in C(/proc/PID/task/TID/syscall).
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import Callable, Dict, Tuple

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
    Missed,
    Setting,
)
from tests.faults._rig import LIMIT_S, Rig


def quiesce(rig: Rig) -> None:
    """The pre-script runs and waits."""
    rig.start()
    rig.need("pre-script", lambda: rig.started(PRE))


def flush(rig: Rig) -> None:
    """C(syncfs) of the first filesystem waits for its disk."""
    quiesce(rig)
    # By another process: one that writes to a blocked filesystem would never come back.
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={rig.mount_points[0]}/dirty", "bs=64k", "count=16"],
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
    rig.block_storage(0)
    rig.go(PRE)
    rig.need("syncfs", lambda: processes.tasks_in_syncfs(rig.token))


def freezing(rig: Rig, index: int = 0) -> None:
    """C(FIFREEZE) of a filesystem waits for its disk."""
    quiesce(rig)
    rig.block_storage(index)
    rig.go(PRE)
    rig.need("FIFREEZE", lambda: processes.tasks_in(rig.token, processes.FIFREEZE))


def window(rig: Rig) -> None:
    """All is frozen, and a request for a snapshot is at the proxy and waits."""
    rig.hold_snapshots()
    rig.start()
    rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))


def thawing(rig: Rig) -> None:
    """C(FITHAW) of the first filesystem waits for its disk."""
    window(rig)
    rig.block_storage(0)
    rig.gate.open()
    rig.need("FITHAW", lambda: processes.tasks_in(rig.token, processes.FITHAW))


def resume(rig: Rig) -> None:
    """The post-script runs and waits."""
    rig.start()
    rig.need("post-script", lambda: rig.started(POST))


REACH: Dict[str, Callable[[Rig], None]] = {
    QUIESCE: quiesce,
    FLUSH: flush,
    FREEZING: freezing,
    WINDOW: window,
    THAWING: thawing,
    RESUME: resume,
}
SETTINGS: Dict[str, Setting] = {
    QUIESCE: Setting(hold_pre=True, freeze_timeout=4),
    FLUSH: Setting(hold_pre=True, blockable=(0,), freeze_timeout=4),
    FREEZING: Setting(hold_pre=True, blockable=(0,), freeze_timeout=4),
    WINDOW: Setting(freeze_timeout=4),
    THAWING: Setting(blockable=(0,), freeze_timeout=4),
    RESUME: Setting(hold_post=True, freeze_timeout=4),
}


def signal_to(roles: Tuple[str, ...], signum: int, phase: str) -> Callable[[Rig], None]:
    """A case's script: in this phase this signal to these processes."""

    def inject(rig: Rig) -> None:
        REACH[phase](rig)
        living = rig.roles()
        absent = [role for role in roles if role not in living]
        if absent:
            raise Missed(f"{phase}: no process {' and '.join(absent)} (there: {sorted(living)})")
        rig.note_command_lines()
        for role in roles:
            if not processes.send(living[role], rig.token, signum):
                raise Missed(f"{phase}: {role} was gone before the signal")
            rig.witness.note(f"signal {signum} to {role} {living[role]}")
        let_go(rig, phase, run_hit="run" in roles)

    return inject


def let_go(rig: Rig, phase: str, run_hit: bool) -> None:
    """Let all go on after the fault; but a pre-script whose run was hit must be ended by others."""
    if phase == QUIESCE and run_hit:
        return
    # What was hit in the middle of a call that waits gets a moment to show what it does then.
    time.sleep(0.05)
    rig.release()


def finish(rig: Rig, limit_s: float = LIMIT_S, patience_s: float = 30.0) -> "list[str]":
    """Wait for the end of the run and of its supervisors; what did not end is named.

    A run that was stopped goes on only when the supervisors have run the post-script without it, or
    after C(patience_s): a stage that may take long is left to it for long.
    """
    assert rig.run is not None
    me = processes.process(rig.run_pid)
    if me is not None and me.state in "Tt":
        processes.wait_for(lambda: rig.started(POST) or not rig.started(PRE), patience_s)
        time.sleep(1.0)
        rig.release()
        processes.resume_all(rig.token)
    problems = []
    if not processes.wait_for(lambda: rig.run is None or rig.run.poll() is not None, limit_s):
        problems.append("(g) the run never ended")
        rig.witness.look(problems[-1])
        os.kill(rig.run.pid, signal.SIGKILL)
    rig.witness.note(f"the run has ended: {rig.run.poll()}")
    if not processes.wait_for(lambda: not processes.marked(rig.token), limit_s):
        problems += [
            f"(g) {one.comm} {one.pid} is still there ({one.state})"
            for one in processes.marked(rig.token)
        ]
        rig.witness.look(f"supervisors that did not end within {limit_s:g} s")
        rig.release()
        processes.resume_all(rig.token)
        processes.kill_all(rig.token)
        processes.wait_for(lambda: not processes.marked(rig.token), 30)
    rig.witness.note("all processes of the run have ended")
    return problems
