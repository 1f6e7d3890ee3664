# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The debt of the post-script, with several payers at once."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from pathlib import Path
from typing import Callable, Dict, List

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
from tests.unit.plugins.module_utils._guest.freeze.freeze_rig import (
    PATIENCE_S,
    lives,
    script,
    until,
)


def _spec(path: Path, body: str, timeout_s: float = 60.0) -> ScriptSpec:
    made = script(path, body, timeout_s=timeout_s)
    return ScriptSpec("post", made["path"], (), 0, timeout_s, made["identity"])


class Payers:
    """Processes that all try to pay; they believe that the others live while they do."""

    def __init__(self, spec: ScriptSpec) -> None:
        self.state = SharedState(0)
        self.state.post_due = 1
        self.children = Children()
        self.pids: Dict[int, int] = {}
        self._spec = spec
        self._common = SharedDescriptors.make()
        self._gate = os.pipe()

    def fork(self, actors: List[int]) -> None:
        """Fork the payers, which wait at the gate."""
        for actor in actors:
            self.pids[actor] = self.children.fork(actor, self._paying(actor))

    def _paying(self, actor: int) -> Callable[[], None]:
        def run_once() -> None:
            os.close(self._gate[1])
            os.read(self._gate[0], 1)
            self.seen_by(actor).run_once()

        return run_once

    def seen_by(self, actor: int) -> PostScript:
        """The debt as this process sees it."""
        return PostScript(actor, self.state, self._spec, self._common, self._gone)

    def _gone(self, actor: int) -> bool:
        return actor in self.pids and not lives(self.pids[actor])

    def locked(self) -> int:
        """A lock as a script's process takes it before it says that it starts."""
        lock = os.open(f"/proc/self/fd/{self._common.lock}", os.O_RDWR | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return lock

    def open(self) -> None:
        """Open the gate for all."""
        for end in self._gate:
            os.close(end)

    def close(self) -> None:
        """Kill whoever is left."""
        self.children.kill()
        self.children.wait(PATIENCE_S)
        self._common.close()


def test_all_at_once(tmp_path: Path) -> None:
    """However many try at the same moment, the script runs once."""
    for round_ in range(15):
        paid = tmp_path / f"paid-{round_}"
        payers = Payers(_spec(tmp_path / f"{round_}.sh", f"echo >> '{paid}'; echo done"))
        try:
            payers.fork([RUN, GUARD, WATCHDOG])
            payers.open()
            assert payers.children.wait(PATIENCE_S)
            outcome = payers.seen_by(RUN).outcome()
            assert outcome is not None
            assert (outcome.rc, outcome.attempts, outcome.not_started) == (0, 1, "")
            assert outcome.run_by in ACTORS.values()
            assert outcome.tail == "done\n"
            assert len(paid.read_text().splitlines()) == 1
        finally:
            payers.close()


@pytest.mark.slow
def test_lock_of_a_payer_about_to_start(tmp_path: Path) -> None:
    """While another process holds the lock nobody starts the script; then its word counts."""
    paid = tmp_path / "paid"
    payers = Payers(_spec(tmp_path / "post.sh", f"echo >> '{paid}'"))
    try:
        payers.fork([GUARD, WATCHDOG])
        lock = payers.locked()
        payers.open()
        time.sleep(3)
        assert not paid.exists() and not payers.state.post_runner
        os.close(lock)
        assert payers.children.wait(PATIENCE_S)
        assert len(paid.read_text().splitlines()) == 1
    finally:
        payers.close()


def test_payer_that_dies_before_it_starts(tmp_path: Path) -> None:
    """A lock that a dead process held is free, and the debt is open."""
    paid = tmp_path / "paid"
    payers = Payers(_spec(tmp_path / "post.sh", f"echo >> '{paid}'"))
    try:
        payers.fork([GUARD])
        os.kill(payers.pids[GUARD], signal.SIGKILL)
        payers.open()
        until(lambda: not lives(payers.pids[GUARD]), "the end of the guard")
        payers.seen_by(RUN).run_once()
        outcome = payers.seen_by(RUN).outcome()
        assert outcome is not None and outcome.run_by == "run"
        assert len(paid.read_text().splitlines()) == 1
    finally:
        payers.close()


def test_script_that_cannot_start(tmp_path: Path) -> None:
    """All who try find the same; one says so, and the debt is over."""
    spec = _spec(tmp_path / "post.sh", "true")
    (tmp_path / "post.sh").unlink()
    payers = Payers(spec)
    try:
        payers.fork([RUN, GUARD, WATCHDOG])
        payers.open()
        assert payers.children.wait(PATIENCE_S)
        outcome = payers.seen_by(RUN).outcome()
        assert outcome is not None
        assert str(tmp_path) in outcome.not_started and outcome.attempts == 0
    finally:
        payers.close()


@pytest.mark.parametrize("much", [1, 300_000])
def test_output_without_its_payer(tmp_path: Path, much: int) -> None:
    """A script whose payer is dead can go on to write, however much."""
    begun, go, end = tmp_path / "begun", tmp_path / "go", tmp_path / "end"
    body = f"echo early; touch '{begun}'; while [ ! -e '{go}' ]; do sleep 0.1; done\n"
    body += f"head -c {much} /dev/zero | tr '\\0' x; echo resumed; touch '{end}'"
    payers = Payers(_spec(tmp_path / "post.sh", body))
    try:
        payers.fork([GUARD])
        payers.open()
        until(begun.exists, "the start of the script")
        os.kill(payers.pids[GUARD], signal.SIGKILL)
        until(lambda: not lives(payers.pids[GUARD]), "the end of the guard")
        go.touch()
        payers.seen_by(RUN).run_once()
        outcome = payers.seen_by(RUN).outcome()
        assert outcome is not None and not outcome.timed_out
        assert end.exists(), outcome
        assert "xresumed\n" in outcome.tail
    finally:
        payers.close()


@pytest.mark.root
def test_lock_without_files_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the call is missing or forbidden, another file that has no name serves as well."""

    def forbidden(_name: str, _flags: int) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", forbidden)
    common = SharedDescriptors.make()
    try:
        locks = [os.open(f"/proc/self/fd/{common.lock}", os.O_RDWR) for _again in range(2)]
        fcntl.flock(locks[0], fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(locks[1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in locks:
            os.close(lock)
    finally:
        common.close()


@pytest.mark.slow
def test_budget_without_its_payer(tmp_path: Path) -> None:
    """A script whose payer is dead is killed by a survivor when its time is up."""
    pid = tmp_path / "pid"
    body = f"echo $$ > '{pid}.new'; mv '{pid}.new' '{pid}'; exec sleep 1000"
    payers = Payers(_spec(tmp_path / "post.sh", body, timeout_s=4))
    try:
        payers.fork([GUARD])
        payers.open()
        until(pid.exists, "the start of the script")
        os.kill(payers.pids[GUARD], signal.SIGKILL)
        payers.seen_by(WATCHDOG).run_once()
        outcome = payers.seen_by(WATCHDOG).outcome()
        assert outcome is not None
        assert outcome.timed_out and outcome.rc is None and outcome.run_by == "guard"
        until(lambda: not lives(int(pid.read_text())), "the end of the script")
    finally:
        payers.close()


def test_number_of_another_process(tmp_path: Path) -> None:
    """A group is not killed when its number has gone to another process."""

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
