# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill the run right before a script's own process becomes the script.

The post-script is due from the moment before the pre-script starts, and the script's process
outlives the run. A lease on the script's file holds that process inside `execve`.
"""

from __future__ import annotations

import fcntl
import os
import signal
from typing import Callable

from tests.faults import _processes as processes
from tests.faults._case import DIED, POST, PRE, QUIESCE, RESUME, Case, Setting, UnavailableError
from tests.faults._harness import Harness
from tests.faults._processes import GUARD, RUN, WATCHDOG


def _hold(harness: Harness, kind: str) -> int:
    """Take a lease on the script's file; return the descriptor that holds it."""
    held = os.open(harness.script_path(kind), os.O_RDONLY | os.O_CLOEXEC)
    harness.on_exit(os.close, held)
    try:
        # The kernel signals the holder of a lease; this signal is ignored by default.
        fcntl.fcntl(held, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError as error:
        raise UnavailableError(
            f"no lease on {harness.script_path(kind)}: {error.strerror}"
        ) from None
    return held


def _killed(kind: str, roles: tuple[str, ...]) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.start()
        # By now the run has read and checked its scripts; it will only start them.
        harness.need("guard and watchdog", lambda: {GUARD, WATCHDOG} <= set(harness.roles()))
        held = _hold(harness, kind)
        harness.need(
            f"execve of the {kind}-script", lambda: processes.tasks_in_execve(harness.token)
        )
        living = harness.roles()
        for role in roles:
            processes.send(living[role], harness.token, signal.SIGKILL)
        harness.witness.note(f"SIGKILL to {' and '.join(roles)}")
        if kind == PRE:
            # The supervisors kill the process that waits there.
            processes.wait_for(lambda: not processes.tasks_in_execve(harness.token))
        fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_UNLCK)

    return inject


def _did_not_begin(harness: Harness) -> None:
    assert not harness.started(PRE), "the pre-script began although its run was killed before"


def cases() -> list[Case]:
    """Return a case for each script, with the run killed alone or with the guard."""
    return [
        Case(
            name=f"post_script/{kind}/{'+'.join(roles)}",
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
