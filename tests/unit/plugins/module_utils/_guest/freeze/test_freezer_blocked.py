# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A FIFREEZE that does not return: its disk lies on a filesystem that is frozen."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
)
from tests.lab.disk import LoopDisk
from tests.lab.frozen import Guarded
from tests.unit.plugins.module_utils._guest.freeze.expedite_places import value
from tests.unit.plugins.module_utils._guest.freeze.freeze_rig import (
    LONG_S,
    PATIENCE_S,
    SAFETY_S,
    Faults,
    Rig,
    at_once,
    hangs,
    target,
    until,
)

pytestmark = pytest.mark.root

#: Whom the blocked FIFREEZE meets, and what the run can still do then.
_FAULTS: List[Faults] = [
    {},
    {"guard": signal.SIGKILL},
    {"guard": signal.SIGSTOP},
    {"watchdog": signal.SIGKILL, "guard": signal.SIGSTOP},
    {"watchdog": signal.SIGSTOP, "guard": signal.SIGKILL},
    {"run": signal.SIGKILL},
    {"run": signal.SIGKILL, "guard": signal.SIGSTOP},
    {"run": signal.SIGKILL, "watchdog": signal.SIGKILL},
    {"run": signal.SIGKILL, "guard": signal.SIGKILL},
]


class Blocked:
    """A rig whose first disk blocks whoever writes to it until C(release)."""

    def __init__(self, rig: Rig, outer: LoopDisk, inner: LoopDisk, guarded: Guarded) -> None:
        self.rig = rig
        self.inner = inner
        self._outer = outer
        self._guarded = guarded
        self.writer: Optional[subprocess.Popen[bytes]] = None

    def block(self) -> None:
        """Freeze the filesystem that the disk's image lies on."""
        self._guarded.freeze(self._outer.mount_point)

    def release(self) -> None:
        """Thaw it."""
        assert self._guarded.thaw(self._outer.mount_point)

    def start(self, **plan: Any) -> None:
        """Start the run over the blocked filesystem and another one."""
        targets = [target(self.inner), target(self.rig.disks[0])]
        self.rig.start(targets=targets, **plan)
        self.rig.disks.append(self.inner)


@contextlib.contextmanager
def _blocked(folder: Path) -> Iterator[Blocked]:
    """The rig, not yet started."""
    with contextlib.ExitStack() as stack:
        outer = stack.enter_context(LoopDisk(size=96 << 20))
        inner = stack.enter_context(LoopDisk(size=16 << 20, folder=outer.mount_point))
        points = [outer.mount_point, inner.mount_point]
        guarded = stack.enter_context(Guarded(points, limit_s=SAFETY_S))
        rig = stack.enter_context(Rig(folder))
        yield Blocked(rig, outer, inner, guarded)
        # At the end of a test that went well nothing was left for the safety process.
        stack.pop_all().close()
        assert guarded.had_to_thaw == 0


def _blocked_late(folder: Path, faults: Faults) -> None:
    """FIFREEZE waits for the disk, holding what FITHAW waits for."""
    _released_after_the_deadline(folder, faults, lambda blocked: blocked.block())


def _blocked_early(folder: Path, faults: Faults) -> None:
    """FIFREEZE waits for a writer who waits for the disk; FITHAW answers EINVAL meanwhile."""

    def block(blocked: Blocked) -> None:
        file = os.open(blocked.inner.path / "sync", os.O_CREAT | os.O_WRONLY | os.O_SYNC)
        blocked.block()
        writer = subprocess.Popen(["/bin/echo", "written"], stdout=file)
        os.close(file)
        until(lambda: hangs(writer.pid), "the writer that hangs")
        blocked.writer = writer

    _released_after_the_deadline(folder, faults, block)


def _released_after_the_deadline(
    folder: Path, faults: Faults, block: Callable[[Blocked], None]
) -> None:
    with _blocked(folder) as blocked:
        rig = blocked.rig
        blocked.start(post=rig.post)
        rig.do("mark_due")
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        block(blocked)
        rig.tell_only("freeze")
        until(lambda: hangs(rig.pids["guard"]), "the FIFREEZE that blocks")
        assert value(rig.places) == MARK, "FIFREEZE is at work and was not made short"
        for who, how in faults.items():
            rig.send(who, how)
        if "run" not in faults:
            answer = rig.answer()
            assert answer["error"] in ("FreezeTimeout", "SupervisorLost")
            if not faults:
                assert blocked.inner.mount_point in answer["message"]
                assert rig.disks[0].mount_point not in answer["message"]
            first, second = rig.do("thaw")
            assert first["outcome"] == "freeze_late"
            # A guard that is killed may not have come to note that the second one was frozen.
            assert second["outcome"] in (("held", "freeze_late") if faults else ("held",))
            assert second["thaw_errno"] == 0
        rig.wait_writable(rig.disks[:1])
        until(lambda: value(rig.places) == 0, "the setting that is put back meanwhile")
        if "run" not in faults:
            rig.tell_only("stop")
        blocked.release()
        rig.wait_writable()
        if "run" not in faults:
            assert "error" not in rig.answer()
            rig.run.kill()
        rig.wait_ended()
        assert rig.times_paid() == 1
        if blocked.writer is not None:
            assert blocked.writer.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("case", [_blocked_late, _blocked_early], ids=["late", "early"])
def test_released_after_the_deadline(tmp_path: Path, case: Callable[[Path, Faults], None]) -> None:
    """The other filesystem thaws in time, the blocked one as soon as it can, whoever is left."""
    at_once(tmp_path, case, _FAULTS)


def test_released_before_the_deadline(tmp_path: Path) -> None:
    """It was slow, and that is all."""
    with _blocked(tmp_path) as blocked:
        rig = blocked.rig
        blocked.start(freeze_timeout_s=LONG_S)
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        blocked.block()
        rig.tell_only("freeze")
        until(lambda: hangs(rig.pids["guard"]), "the FIFREEZE that blocks")
        blocked.release()
        assert "error" not in rig.answer()
        assert [record["outcome"] for record in rig.do("thaw")] == ["held", "held"]
        rig.do("stop")


def test_run_that_is_the_last(tmp_path: Path) -> None:
    """Without supervisors the run does not end before all is thawed; its threads do it."""
    with _blocked(tmp_path) as blocked:
        rig = blocked.rig
        blocked.start(freeze_timeout_s=3)
        blocked.block()
        rig.tell_only("freeze")
        until(lambda: hangs(rig.pids["guard"]), "the FIFREEZE that blocks")
        rig.send("watchdog", signal.SIGKILL)
        rig.send("guard", signal.SIGSTOP)
        assert "error" in rig.answer()
        rig.tell_only("stop")
        assert not rig.answers_within(3)
        blocked.release()
        assert "error" not in rig.answer()
        rig.run.kill()
        rig.wait_ended()


def test_flush_that_blocks(tmp_path: Path) -> None:
    """It is given up, nothing is frozen, and the run goes on without it."""
    with _blocked(tmp_path) as blocked:
        rig = blocked.rig
        blocked.start(flush_limit_s=1)
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        blocked.block()
        answer = rig.ask("flush")
        assert answer["error"] == "FlushTimeout"
        assert blocked.inner.mount_point in answer["message"]
        assert rig.disks[0].mount_point not in answer["message"]
        assert [record["outcome"] for record in rig.do("thaw")] == ["not_frozen"] * 2
        rig.do("stop")
        blocked.release()
        rig.wait_writable()
        rig.run.kill()
        rig.wait_ended()
