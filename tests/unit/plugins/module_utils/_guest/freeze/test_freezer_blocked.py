# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A FIFREEZE that does not return, because its disk lies on a frozen filesystem."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
)
from tests.lab.disk import LoopDisk
from tests.lab.frozen import Guarded
from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import value
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import (
    LONG_S,
    PATIENCE_S,
    SAFETY_S,
    Faults,
    FreezeHarness,
    hangs,
    run_cases,
    target,
    until,
)

pytestmark = pytest.mark.root

#: The signals that are sent while FIFREEZE blocks.
_FAULTS: list[Faults] = [
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
    """A harness whose first disk blocks its writers until `release`."""

    def __init__(
        self, harness: FreezeHarness, outer: LoopDisk, inner: LoopDisk, guarded: Guarded
    ) -> None:
        self.harness = harness
        self.inner = inner
        self._outer = outer
        self._guarded = guarded
        self.writer: subprocess.Popen[bytes] | None = None

    def block(self) -> None:
        """Freeze the filesystem that the disk's image lies on."""
        self._guarded.freeze(self._outer.mount_point)

    def release(self) -> None:
        """Thaw the filesystem that the disk's image lies on."""
        assert self._guarded.thaw(self._outer.mount_point)

    def start(self, **plan: Any) -> None:
        """Start the run over the blocked filesystem and a second one."""
        targets = [target(self.inner), target(self.harness.disks[0])]
        self.harness.start(targets=targets, **plan)
        self.harness.disks.append(self.inner)


@contextlib.contextmanager
def _blocked(folder: Path) -> Iterator[Blocked]:
    """Make the harness; the test starts it."""
    with contextlib.ExitStack() as stack:
        outer = stack.enter_context(LoopDisk(size=96 << 20))
        inner = stack.enter_context(LoopDisk(size=16 << 20, folder=outer.mount_point))
        points = [outer.mount_point, inner.mount_point]
        guarded = stack.enter_context(Guarded(points, limit_s=SAFETY_S))
        harness = stack.enter_context(FreezeHarness(folder))
        yield Blocked(harness, outer, inner, guarded)
        # In a test that passed, the safety process had nothing to thaw.
        stack.pop_all().close()
        assert guarded.had_to_thaw == 0


def _blocked_late(folder: Path, faults: Faults) -> None:
    """Let FIFREEZE wait for the disk, holding a lock that FITHAW waits for."""
    _released_after_the_deadline(folder, faults, lambda blocked: blocked.block())


def _blocked_early(folder: Path, faults: Faults) -> None:
    """Let FIFREEZE wait for a writer that waits for the disk; FITHAW returns EINVAL until then."""

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
        harness = blocked.harness
        blocked.start(post=harness.post)
        harness.do("mark_due")
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        block(blocked)
        harness.send_line("freeze")
        until(lambda: hangs(harness.pids["guard"]), "the FIFREEZE that blocks")
        assert value(harness.paths) == MARK, "FIFREEZE is at work and was not made short"
        for role, signum in faults.items():
            harness.send(role, signum)
        if "run" not in faults:
            answer = harness.answer()
            assert answer["error"] in ("FreezeTimeout", "SupervisorLost")
            if not faults:
                assert blocked.inner.mount_point in answer["message"]
                assert harness.disks[0].mount_point not in answer["message"]
            first, second = harness.do("thaw")
            assert first["outcome"] == "freeze_late"
            # A guard that is killed may not have recorded that the second one was frozen.
            assert second["outcome"] in (("held", "freeze_late") if faults else ("held",))
            assert second["thaw_errno"] == 0
        harness.wait_writable(harness.disks[:1])
        until(
            lambda: value(harness.paths) == 0, "the setting that is restored while FIFREEZE blocks"
        )
        if "run" not in faults:
            harness.send_line("stop")
        blocked.release()
        harness.wait_writable()
        if "run" not in faults:
            assert "error" not in harness.answer()
            harness.run.kill()
        harness.wait_ended()
        assert harness.post_script_starts() == 1
        if blocked.writer is not None:
            assert blocked.writer.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("case", [_blocked_late, _blocked_early], ids=["late", "early"])
def test_released_after_the_deadline(tmp_path: Path, case: Callable[[Path, Faults], None]) -> None:
    """Check that the other filesystem thaws in time, and the blocked one when it can."""
    run_cases(tmp_path, case, _FAULTS)


def test_released_before_the_deadline(tmp_path: Path) -> None:
    with _blocked(tmp_path) as blocked:
        harness = blocked.harness
        blocked.start(freeze_timeout_s=LONG_S)
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        blocked.block()
        harness.send_line("freeze")
        until(lambda: hangs(harness.pids["guard"]), "the FIFREEZE that blocks")
        blocked.release()
        assert "error" not in harness.answer()
        assert [record["outcome"] for record in harness.do("thaw")] == ["held", "held"]
        harness.do("stop")


def test_run_without_supervisors_waits_for_its_own_thaw(tmp_path: Path) -> None:
    with _blocked(tmp_path) as blocked:
        harness = blocked.harness
        blocked.start(freeze_timeout_s=3)
        blocked.block()
        harness.send_line("freeze")
        until(lambda: hangs(harness.pids["guard"]), "the FIFREEZE that blocks")
        harness.send("watchdog", signal.SIGKILL)
        harness.send("guard", signal.SIGSTOP)
        assert "error" in harness.answer()
        harness.send_line("stop")
        assert not harness.has_answer_within(3)
        blocked.release()
        assert "error" not in harness.answer()
        harness.run.kill()
        harness.wait_ended()


def test_flush_that_blocks_fails_without_a_freeze(tmp_path: Path) -> None:
    with _blocked(tmp_path) as blocked:
        harness = blocked.harness
        blocked.start(flush_limit_s=1)
        (blocked.inner.path / "dirty").write_bytes(b"x" * 100_000)
        blocked.block()
        answer = harness.ask("flush")
        assert answer["error"] == "FlushTimeout"
        assert blocked.inner.mount_point in answer["message"]
        assert harness.disks[0].mount_point not in answer["message"]
        assert [record["outcome"] for record in harness.do("thaw")] == ["not_frozen"] * 2
        harness.do("stop")
        blocked.release()
        harness.wait_writable()
        harness.run.kill()
        harness.wait_ended()
