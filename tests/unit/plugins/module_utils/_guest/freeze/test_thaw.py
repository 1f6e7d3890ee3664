# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The thaw workers of one process, with a process that only stands for a guard."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze import (
    thaw as thaw_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.channels import (
    Channels,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.daemon import (
    Children,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.mount_handles import (
    close_all,
    open_all,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
    ON,
    Setting,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.shared_state import (
    GUARD,
    WATCHDOG,
    SharedState,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.thaw import (
    ThawWorkers,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import Target
from tests.lab.disk import LoopDisk
from tests.lab.frozen import Guarded
from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import setting_paths, value
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import PATIENCE_S, until

pytestmark = pytest.mark.root


class Stage:
    """A filesystem, shared memory, and a process that holds the guard's end of its pipe."""

    def __init__(self, disk: LoopDisk, guarded: Guarded) -> None:
        dev = disk.path.stat().st_dev
        self.target = Target(disk.mount_point, disk.device, disk.fstype, dev)
        self.mount_point = disk.mount_point
        self.guarded = guarded
        self.handles = open_all([self.target])
        self.state = SharedState(1)
        self.filesystem = self.state.filesystems[0]
        self.channels = Channels()
        self.guard = Children()

        def hold() -> None:
            self.channels.keep_only(GUARD)
            while True:
                signal.pause()

        self.state.supervisors[GUARD].pid = self.guard.fork(GUARD, hold)
        self.channels.keep_only(WATCHDOG)

    def begin(self) -> None:
        """Announce a FIFREEZE as the guard does right before the call, and end the window."""
        self.filesystem.called_ns = 1
        self.state.end_window()

    def workers(self, setting: Setting | None = None) -> ThawWorkers:
        """Make the workers under test."""
        return ThawWorkers(WATCHDOG, self.state, self.handles, self.channels, setting)

    def close(self) -> None:
        """Kill the guard and wait until everything is resolved."""
        self.guard.kill()
        self.guard.wait(PATIENCE_S)
        until(lambda: self.state.resolved, "the end of the worker")
        close_all(self.handles)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Make the stage; at its end nothing may be frozen."""
    with LoopDisk() as disk, Guarded([disk.mount_point]) as guarded:
        made = Stage(disk, guarded)
        try:
            yield made
        finally:
            made.close()


def _results(stage: Stage) -> list[int]:
    """Return the results of FITHAW that count."""
    thaw = stage.filesystem.thaws[WATCHDOG]
    return [thaw.errno] if thaw.ended_ns else []


def test_guard_stopped_right_before_its_call_is_killed(stage: Stage) -> None:
    # EINVAL proves nothing while the guard may still make the call.
    stage.begin()
    stage.workers().thaw()
    assert stage.guard.wait(PATIENCE_S), "the guard was not killed"
    until(lambda: stage.state.resolved, "the answer")
    assert _results(stage) == [errno.EINVAL]


def test_guard_that_ticks_is_left_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that the workers do not thaw while the guard ticks: it may be a foreign freeze."""
    # Enough polls that a slow machine makes no guard silent, fewer than the loop below.
    monkeypatch.setattr(thaw_module, "_SILENT_POLLS", 100)
    monkeypatch.setattr(thaw_module, "_STOPPED_POLLS", 100)
    stage.guarded.freeze(stage.mount_point)
    stage.begin()
    stage.workers().thaw()
    for heartbeat_ns in range(1, 150):
        stage.state.supervisors[GUARD].heartbeat_ns = heartbeat_ns
        assert not stage.guard.wait(0.02)
    assert _results(stage) == []
    stage.filesystem.freeze_errno = errno.EBUSY
    until(lambda: stage.state.resolved, "the end")
    assert stage.guarded.thaw(stage.mount_point), "a stranger's freeze was thawed"


def test_freeze_of_guard_that_dies_in_its_call_is_thawed(stage: Stage) -> None:
    stage.guarded.freeze(stage.mount_point)
    stage.begin()
    stage.guard.kill()
    stage.workers().thaw()
    until(lambda: stage.state.resolved, "the thaw")
    assert _results(stage) == [0]
    assert not stage.guarded.thaw(stage.mount_point)


def test_filesystem_that_guard_did_not_freeze_is_left_alone(stage: Stage) -> None:
    stage.guarded.freeze(stage.mount_point)
    stage.state.end_window()
    stage.guard.kill()
    stage.workers().thaw()
    assert stage.guard.wait(PATIENCE_S)
    assert _results(stage) == []
    assert stage.guarded.thaw(stage.mount_point)


def test_descriptor_of_another_filesystem_is_not_thawed(stage: Stage, tmp_path: Path) -> None:
    stage.guarded.freeze(stage.mount_point)
    stage.begin()
    stage.filesystem.freeze_errno = 0
    handle = stage.handles[0]
    own = os.dup(handle.descriptor)
    other = os.open(tmp_path, os.O_RDONLY)
    os.dup2(other, handle.descriptor)
    stage.workers().thaw()
    assert not stage.guard.wait(1)
    assert _results(stage) == []
    os.dup2(own, handle.descriptor)
    until(lambda: stage.state.resolved, "the thaw")
    assert _results(stage) == [0]
    os.close(own)
    os.close(other)


def test_setting_that_a_stopped_guard_may_turn_on(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that it is restored at once, and resolved only at the guard's end."""
    monkeypatch.setattr(thaw_module, "_STOPPED_POLLS", 1_000_000)
    setting = Setting("yes", setting_paths(tmp_path))
    expedite = stage.state.expedite
    expedite.called_ns = 1
    assert setting.turn_on() == ON
    stage.state.end_window()
    stage.workers(setting).thaw()
    until(lambda: value(setting.paths) == 0, "the setting that is restored")
    assert not stage.state.resolved
    # As if the guard continued for a moment and turned it on.
    Path(setting.paths.value).write_text(f"{MARK}\n")
    stage.guard.kill()
    until(lambda: stage.state.resolved, "the answer")
    assert (value(setting.paths), expedite.restore_errno) == (0, 0)
    setting.close()


def test_guard_stopped_before_the_setting_is_killed(stage: Stage, tmp_path: Path) -> None:
    # Only its end proves that it will not turn the setting on any more.
    setting = Setting("yes", setting_paths(tmp_path))
    stage.state.expedite.called_ns = 1
    stage.state.end_window()
    stage.workers(setting).thaw()
    assert stage.guard.wait(PATIENCE_S), "the guard was not killed"
    until(lambda: stage.state.resolved, "the answer")
    assert value(setting.paths) == 0
    setting.close()


def test_channel_reports_exit_of_its_process(stage: Stage) -> None:
    assert not stage.channels.has_exited(GUARD)
    stage.guard.kill()
    until(lambda: stage.channels.has_exited(GUARD), "the end of the guard")
