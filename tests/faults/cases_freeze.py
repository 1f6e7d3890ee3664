# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""FIFREEZE that blocks, a freeze that was there before, a thaw by a stranger."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Callable, List

from tests.faults import _places as places
from tests.faults import _processes as processes
from tests.faults._case import (
    ANY_VERDICT,
    CRASH,
    FAILED,
    FREEZING,
    WINDOW,
    Case,
    Missed,
    Setting,
)
from tests.faults._rig import Rig

_TIMEOUT = 3


def _blocked(index: int, after: bool, guard_dies: bool) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        places.freezing(rig, index)
        began = time.monotonic()
        if guard_dies:
            guard = rig.roles().get(processes.GUARD)
            if guard is None or not processes.send(guard, rig.token, signal.SIGKILL):
                raise Missed("no guard to kill")
        limit = _TIMEOUT + 1.5 if after else 0.5
        time.sleep(max(0.0, began + limit - time.monotonic()))
        if after:
            _others_write(rig, index)
        rig.unblock_storage()

    return inject


def _others_write(rig: Rig, index: int) -> None:
    """While FIFREEZE of one filesystem still blocks, the others are thawed: they take writes."""
    if not processes.tasks_in(rig.token, processes.FIFREEZE):
        raise Missed("FIFREEZE does not block any more")
    for mount in rig.writers.folders:
        took = rig.writers.first_write_after(mount, 20)
        assert took < 20, f"(a) {mount} is still frozen while {rig.mount_points[index]} blocks"


def _blocking_cases() -> List[Case]:
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


def _server_stopped(after: bool) -> Callable[[Rig], None]:
    """The server of a disk is stopped in the middle of FIFREEZE, with dirty data to write."""

    def inject(rig: Rig) -> None:
        load = subprocess.Popen(["sh", "-c", _LOAD, rig.mount_points[0]], start_new_session=True)
        rig.on_exit(_end, load)
        places.quiesce(rig)
        guard = rig.roles().get(processes.GUARD)
        if guard is None:
            raise Missed("no guard")
        rig.go("pre")
        # Only the guard's own tasks are looked at: that is quick enough to see it happen.
        if not processes.wait_for(lambda: processes.is_freezing(guard), 60, 0.0002):
            raise Missed("FIFREEZE was not seen")
        rig.servers[0].send_signal(signal.SIGSTOP)
        began = time.monotonic()
        time.sleep(0.5)
        if not processes.is_freezing(guard):
            raise Missed("FIFREEZE was over when the server had stopped")
        if after:
            time.sleep(max(0.0, began + _SERVED_TIMEOUT + 1.5 - time.monotonic()))
            _others_write(rig, 0)
        rig.unblock_storage()

    return inject


#: Dirty data all the time, little enough for a pass of C(syncfs) to be short.
_LOAD = """\
while :; do
    dd if=/dev/zero of="$0/load" bs=16k count=8 conv=notrunc 2>/dev/null
    sleep 0.02
done
"""
_SERVED_TIMEOUT = 6


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(60)


def _served_cases() -> List[Case]:
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


def _foreign_freeze(rig: Rig) -> None:
    places.quiesce(rig)
    rig.guarded.freeze(rig.mount_points[1])
    rig.go("pre")
    # It is the test's to thaw: the run must end without that.
    if not processes.wait_for(lambda: rig.run is not None and rig.run.poll() is not None, 60):
        raise AssertionError("(g) the run did not end while a stranger's freeze lasted")
    assert rig.guarded.thaw(rig.mount_points[1]), "a stranger's freeze was thawed"


def _foreign_thaw(rig: Rig) -> None:
    places.window(rig)
    assert rig.guarded.thaw(rig.mount_points[0]), "it was not frozen in the window"
    rig.gate.open()


def _thawed_early(rig: Rig) -> None:
    result = rig.result() or {}
    records = (result.get("freeze") or {}).get("filesystems") or []
    outcomes = {one.get("mount_point"): one.get("outcome") for one in records}
    assert outcomes.get(rig.mount_points[0]) == "thawed_early", f"no evidence of it: {outcomes}"


def cases() -> List[Case]:
    """All of them."""
    return [
        *_blocking_cases(),
        *_served_cases(),
        Case(
            name="freeze/foreign-freeze",
            fault="frozen by a stranger before (EBUSY)",
            phase=FREEZING,
            inject=_foreign_freeze,
            expect=(FAILED,),
            cause="somebody else|another|foreign|EBUSY",
            setting=Setting(filesystems=("ext4", "xfs", "btrfs"), hold_pre=True),
            unjudged=(1,),
            fast=True,
        ),
        Case(
            name="freeze/foreign-thaw",
            fault="thawed by a stranger in the window (EINVAL)",
            phase=WINDOW,
            inject=_foreign_thaw,
            expect=(CRASH,),
            cause="thawed",
            also=_thawed_early,
            fast=True,
        ),
    ]
