# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A FIFREEZE that blocks, an earlier foreign freeze, and a foreign thaw."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Callable

from tests.faults import _phases as phases
from tests.faults import _processes as processes
from tests.faults._case import (
    ANY_VERDICT,
    CRASH,
    FAILED,
    FREEZING,
    WINDOW,
    Case,
    MissedPhaseError,
    Setting,
)
from tests.faults._harness import Harness

_TIMEOUT = 3


def _blocked(index: int, after: bool, guard_dies: bool) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        phases.freezing(harness, index)
        began = time.monotonic()
        if guard_dies:
            guard = harness.roles().get(processes.GUARD)
            if guard is None or not processes.send(guard, harness.token, signal.SIGKILL):
                raise MissedPhaseError("no guard to kill")
        limit = _TIMEOUT + 1.5 if after else 0.5
        time.sleep(max(0.0, began + limit - time.monotonic()))
        if after:
            _others_write(harness, index)
        harness.unblock_storage()

    return inject


def _others_write(harness: Harness, index: int) -> None:
    """Check that the others take writes while FIFREEZE of one filesystem still blocks."""
    if not processes.tasks_in(harness.token, processes.FIFREEZE):
        raise MissedPhaseError("FIFREEZE does not block any more")
    for mount in harness.writers.folders:
        took = harness.writers.first_write_after(mount, 20)
        assert took < 20, f"(a) {mount} is still frozen while {harness.mount_points[index]} blocks"


def _blocking_cases() -> list[Case]:
    return [
        Case(
            name=f"freeze/blocks/{index}/{'after' if after else 'before'}{'/guard' * guard_dies}",
            fault=f"FIFREEZE blocks on filesystem {index + 1} of 3 until "
            f"{'after' if after else 'before'} the deadline{', guard killed' * guard_dies}",
            phase=FREEZING,
            inject=_blocked(index, after, guard_dies),
            expect=(FAILED,) if after else (*ANY_VERDICT, FAILED),
            cause="froz|freez" if after else "",
            setting=Setting(
                filesystems=("ext4", "xfs" if index == 0 else "ext4", "btrfs"),
                blockable=(index,),
                hold_pre=True,
                freeze_timeout=_TIMEOUT,
            ),
            unjudged=(index,),
            fast=(index, after, guard_dies) in ((0, True, False), (1, True, True)),
        )
        for index in (0, 1)
        for after in (False, True)
        for guard_dies in (False, True)
    ]


def _server_stopped(after: bool) -> Callable[[Harness], None]:
    """Return a fault that stops the server of a disk in FIFREEZE, with dirty data to write."""

    def inject(harness: Harness) -> None:
        load = subprocess.Popen(
            ["sh", "-c", _LOAD, harness.mount_points[0]], start_new_session=True
        )
        harness.on_exit(_end, load)
        phases.quiesce(harness)
        guard = harness.roles().get(processes.GUARD)
        if guard is None:
            raise MissedPhaseError("no guard")
        harness.go("pre")
        # Only the guard's own tasks are polled, which is fast enough to see the call.
        if not processes.wait_for(lambda: processes.is_freezing(guard), 60, 0.0002):
            raise MissedPhaseError("FIFREEZE was not seen")
        harness.servers[0].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        time.sleep(0.5)
        if not processes.is_freezing(guard):
            raise MissedPhaseError("FIFREEZE was over when the server had stopped")
        if after:
            time.sleep(max(0.0, began + _SERVED_TIMEOUT + 1.5 - time.monotonic()))
            _others_write(harness, 0)
        harness.unblock_storage()

    return inject


#: Makes dirty data all the time, little enough for a short pass of `syncfs`.
_LOAD = """\
while :; do
    dd if=/dev/zero of="$0/load" bs=16k count=8 conv=notrunc 2>/dev/null
    sleep 0.02
done
"""
_SERVED_TIMEOUT = 6


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)


def _served_cases() -> list[Case]:
    return [
        Case(
            name=f"freeze/server-stopped/{'after' if after else 'before'}",
            fault="a disk's server stops in FIFREEZE, goes on "
            f"{'after' if after else 'before'} the deadline",
            phase=FREEZING,
            inject=_server_stopped(after),
            expect=(FAILED,) if after else (*ANY_VERDICT, FAILED),
            cause="froz|freez" if after else "",
            setting=Setting(
                filesystems=("ext4", "xfs", "ext4"),
                served=(0,),
                hold_pre=True,
                freeze_timeout=_SERVED_TIMEOUT,
            ),
            unjudged=(0,),
        )
        for after in (False, True)
    ]


def _foreign_freeze(harness: Harness) -> None:
    phases.quiesce(harness)
    harness.guarded.freeze(harness.mount_points[1])
    harness.go("pre")
    # The run must end before the test thaws its freeze.
    if not processes.wait_for(
        lambda: harness.run is not None and harness.run.poll() is not None, 60
    ):
        raise AssertionError("(g) the run did not end while a foreign freeze lasted")
    assert harness.guarded.thaw(harness.mount_points[1]), "a foreign freeze was thawed"


def _foreign_thaw(harness: Harness) -> None:
    phases.window(harness)
    assert harness.guarded.thaw(harness.mount_points[0]), "it was not frozen in the window"
    harness.gate.open()


def _thawed_early(harness: Harness) -> None:
    result = harness.result() or {}
    records = (result.get("freeze") or {}).get("filesystems") or []
    outcomes = {record.get("mount_point"): record.get("outcome") for record in records}
    assert outcomes.get(harness.mount_points[0]) == "thawed_early", (
        f"no evidence of the foreign thaw: {outcomes}"
    )


def cases() -> list[Case]:
    """Return all cases of this file."""
    return [
        *_blocking_cases(),
        *_served_cases(),
        Case(
            name="freeze/foreign-freeze",
            fault="frozen by another process before (EBUSY)",
            phase=FREEZING,
            inject=_foreign_freeze,
            expect=(FAILED,),
            cause="FrozenByAnother",
            setting=Setting(filesystems=("ext4", "xfs", "btrfs"), hold_pre=True),
            unjudged=(1,),
            fast=True,
        ),
        Case(
            name="freeze/foreign-thaw",
            fault="thawed by another process in the window (EINVAL)",
            phase=WINDOW,
            inject=_foreign_thaw,
            expect=(CRASH,),
            cause="thawed",
            also=_thawed_early,
            fast=True,
        ),
    ]
