# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run is killed at the moment at which a script's process is about to become the script.

The run owes the post-script from the moment before the pre-script starts, and the script's process
outlives the run. A lease on the script's file holds that process inside C(execve).
"""

from __future__ import annotations

import fcntl
import os
import signal
from typing import Callable, List, Tuple

from tests.faults import _processes as processes
from tests.faults._case import DIED, POST, PRE, QUIESCE, RESUME, Case, Setting, Unavailable
from tests.faults._processes import GUARD, RUN, WATCHDOG
from tests.faults._rig import Rig


def _hold(rig: Rig, kind: str) -> int:
    """Let nothing open the script's file; returns the descriptor that holds the lease."""
    held = os.open(rig.script_path(kind), os.O_RDONLY | os.O_CLOEXEC)
    rig.on_exit(os.close, held)
    try:
        # The holder of a lease is told by a signal; this one is ignored.
        fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        raise Unavailable(f"no lease on {rig.script_path(kind)}: {error.strerror}") from None
    return held


def _killed(kind: str, roles: Tuple[str, ...]) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        rig.start()
        # From now on the run only starts its scripts; it has read and checked them before.
        rig.need("guard and watchdog", lambda: {GUARD, WATCHDOG} <= set(rig.roles()))
        held = _hold(rig, kind)
        rig.need(f"execve of the {kind}-script", lambda: processes.tasks_in_execve(rig.token))
        living = rig.roles()
        for role in roles:
            processes.send(living[role], rig.token, signal.SIGKILL)
        rig.witness.note(f"SIGKILL to {' and '.join(roles)}")
        if kind == PRE:
            # Its supervisors kill it there.
            processes.wait_for(lambda: not processes.tasks_in_execve(rig.token))
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    return inject


def _did_not_begin(rig: Rig) -> None:
    assert not rig.started(PRE), "the pre-script began, though its run was killed before"


def cases() -> List[Case]:
    """Either script, and the run alone or with its guard."""
    return [
        Case(
            name=f"debt/{kind}/{'+'.join(roles)}",
            fault=f"SIGKILL to {' and '.join(roles)} right before the {kind}-script begins",
            phase=QUIESCE if kind == PRE else RESUME,
            inject=_killed(kind, roles),
            expect=(DIED,),
            post_runs=1,
            setting=Setting(freeze_timeout=4),
            also=_did_not_begin if kind == PRE else None,
            fast=roles == (RUN,),
        )
        for kind in (PRE, POST)
        for roles in ((RUN,), (RUN, GUARD))
    ]
