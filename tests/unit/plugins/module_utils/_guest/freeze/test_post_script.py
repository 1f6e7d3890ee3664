# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the post-script exactly once, with several processes at once."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.daemon import (
    Children,
    kill_process_group,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.post_script import (
    PostScript,
    SharedDescriptors,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.shared_state import (
    ACTORS,
    GUARD,
    RUN,
    WATCHDOG,
    SharedState,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import ScriptSpec
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.syscalls import start_time
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import (
    PATIENCE_S,
    lives,
    script,
    until,
)


def _spec(path: Path, body: str, timeout_s: float = 60.0) -> ScriptSpec:
    made = script(path, body, timeout_s=timeout_s)
    return ScriptSpec("post", made["path"], (), 0, timeout_s, made["identity"])


class Runners:
    """Processes that all try to run the script; each sees if the others still live."""

    def __init__(self, spec: ScriptSpec) -> None:
        self.state = SharedState(0)
        self.state.post_due = 1
        self.children = Children()
        self.pids: dict[int, int] = {}
        self._spec = spec
        self._descriptors = SharedDescriptors.make()
        self._gate = os.pipe()

    def fork(self, actors: list[int]) -> None:
        """Fork the processes, which wait at the gate."""
        for actor in actors:
            self.pids[actor] = self.children.fork(actor, self._wait_and_run(actor))

    def _wait_and_run(self, actor: int) -> Callable[[], None]:
        def run_once() -> None:
            os.close(self._gate[1])
            os.read(self._gate[0], 1)
            self.post_script(actor).run_once()

        return run_once

    def post_script(self, actor: int) -> PostScript:
        """Return the post-script for use by `actor`."""
        return PostScript(actor, self.state, self._spec, self._descriptors, self._has_exited)

    def _has_exited(self, actor: int) -> bool:
        return actor in self.pids and not lives(self.pids[actor])

    def locked(self) -> int:
        """Take the lock as a script's process does before it names its runner."""
        lock = os.open(f"/proc/self/fd/{self._descriptors.lock}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def open(self) -> None:
        """Open the gate for all."""
        for end in self._gate:
            os.close(end)

    def close(self) -> None:
        """Kill the processes that are left."""
        self.children.kill()
        self.children.wait(PATIENCE_S)
        self._descriptors.close()


def test_script_runs_once_with_three_processes(tmp_path: Path) -> None:
    for round_ in range(15):
        started = tmp_path / f"started-{round_}"
        runners = Runners(_spec(tmp_path / f"{round_}.sh", f"echo >> '{started}'; echo done"))
        try:
            runners.fork([RUN, GUARD, WATCHDOG])
            runners.open()
            assert runners.children.wait(PATIENCE_S)
            outcome = runners.post_script(RUN).outcome()
            assert outcome is not None
            assert (outcome.rc, outcome.attempts, outcome.not_started) == (0, 1, "")
            assert outcome.run_by in ACTORS.values()
            assert outcome.tail == "done\n"
            assert len(started.read_text().splitlines()) == 1
        finally:
            runners.close()


@pytest.mark.slow
def test_held_lock_delays_the_script(tmp_path: Path) -> None:
    """Check that no process starts the script while another process holds the lock."""
    started = tmp_path / "started"
    runners = Runners(_spec(tmp_path / "post.sh", f"echo >> '{started}'"))
    try:
        runners.fork([GUARD, WATCHDOG])
        lock = runners.locked()
        runners.open()
        time.sleep(3)
        assert not started.exists() and not runners.state.post_runner
        os.close(lock)
        assert runners.children.wait(PATIENCE_S)
        assert len(started.read_text().splitlines()) == 1
    finally:
        runners.close()


def test_runner_that_dies_before_it_starts(tmp_path: Path) -> None:
    started = tmp_path / "started"
    runners = Runners(_spec(tmp_path / "post.sh", f"echo >> '{started}'"))
    try:
        runners.fork([GUARD])
        os.kill(runners.pids[GUARD], signal.SIGKILL)
        runners.open()
        until(lambda: not lives(runners.pids[GUARD]), "the end of the guard")
        runners.post_script(RUN).run_once()
        outcome = runners.post_script(RUN).outcome()
        assert outcome is not None and outcome.run_by == "run"
        assert len(started.read_text().splitlines()) == 1
    finally:
        runners.close()


def test_script_that_cannot_start_is_reported_once(tmp_path: Path) -> None:
    spec = _spec(tmp_path / "post.sh", "true")
    (tmp_path / "post.sh").unlink()
    runners = Runners(spec)
    try:
        runners.fork([RUN, GUARD, WATCHDOG])
        runners.open()
        assert runners.children.wait(PATIENCE_S)
        outcome = runners.post_script(RUN).outcome()
        assert outcome is not None
        assert str(tmp_path) in outcome.not_started and outcome.attempts == 0
    finally:
        runners.close()


@pytest.mark.parametrize("much", [1, 300_000])
def test_output_without_its_runner(tmp_path: Path, much: int) -> None:
    """Check that a script whose runner is dead can write more than the pipe holds."""
    begun, go, end = tmp_path / "begun", tmp_path / "go", tmp_path / "end"
    body = f"echo early; touch '{begun}'; while [ ! -e '{go}' ]; do sleep 0.1; done\n"
    body += f"head -c {much} /dev/zero | tr '\\0' x; echo resumed; touch '{end}'"
    runners = Runners(_spec(tmp_path / "post.sh", body))
    try:
        runners.fork([GUARD])
        runners.open()
        until(begun.exists, "the start of the script")
        os.kill(runners.pids[GUARD], signal.SIGKILL)
        until(lambda: not lives(runners.pids[GUARD]), "the end of the guard")
        go.touch()
        runners.post_script(RUN).run_once()
        outcome = runners.post_script(RUN).outcome()
        assert outcome is not None and not outcome.timed_out
        assert end.exists(), outcome
        assert "xresumed\n" in outcome.tail
    finally:
        runners.close()


@pytest.mark.root
def test_lock_without_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check that an unnamed file replaces `memfd_create` where that is forbidden."""

    def forbidden(_name: str, _flags: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", forbidden)
    descriptors = SharedDescriptors.make()
    try:
        locks = [os.open(f"/proc/self/fd/{descriptors.lock}", os.O_RDWR) for _again in range(2)]
        fcntl.flock(locks[0], fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(locks[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in locks:
            os.close(lock)
    finally:
        descriptors.close()


@pytest.mark.slow
def test_timeout_without_its_runner(tmp_path: Path) -> None:
    """Check that a survivor kills a script whose runner is dead at its timeout."""
    pid = tmp_path / "pid"
    body = f"echo $$ > '{pid}.new'; mv '{pid}.new' '{pid}'; exec sleep 1000"
    runners = Runners(_spec(tmp_path / "post.sh", body, timeout_s=4))
    try:
        runners.fork([GUARD])
        runners.open()
        until(pid.exists, "the start of the script")
        os.kill(runners.pids[GUARD], signal.SIGKILL)
        runners.post_script(WATCHDOG).run_once()
        outcome = runners.post_script(WATCHDOG).outcome()
        assert outcome is not None
        assert outcome.timed_out and outcome.rc is None and outcome.run_by == "guard"
        until(lambda: not lives(int(pid.read_text())), "the end of the script")
    finally:
        runners.close()


def test_group_of_another_process_is_not_killed(tmp_path: Path) -> None:

    def lead_a_group() -> None:
        os.setpgid(0, 0)
        signal.pause()

    children = Children()
    pid = children.fork(0, lead_a_group)
    try:
        until(lambda: os.getpgid(pid) == pid, "the process group")
        born = start_time(pid)
        assert born is not None
        kill_process_group(pid, born - 1)
        assert not children.wait(0.5)
        kill_process_group(pid, born)
        assert children.wait(PATIENCE_S)
    finally:
        children.kill()
        children.wait(PATIENCE_S)
