# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real filesystems, a run with its guard and watchdog, and the checks at the end of a test.

The setting that makes FIFREEZE short is a file of the test.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable

from tests.lab.disk import LoopDisk
from tests.lab.frozen import Guarded
from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import setting_paths, value

#: The signal that each process gets.
Faults = Mapping[str, signal.Signals]
#: The longest time that a test waits for an event. No test here depends on speed.
PATIENCE_S = 300.0
#: Longer than any test, so that the safety process of a freeze never has to act.
SAFETY_S = 600.0
#: For tests in which only a supervisor thaws; they wait for this long.
FREEZE_TIMEOUT_S = 6.0
#: For tests that end before the deadline.
LONG_S = 300.0
_NAMES = {"quiesce-guard": "guard", "quiesce-watch": "watchdog"}
_RUN = Path(__file__).with_name("freezer_run.py")


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds; fail the test if it does not."""
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit, f"waited in vain: {what}"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Return True if the process has a thread that has not ended."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            status = (task / "stat").read_bytes()
            if status.rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                return True
    return False


def hangs(pid: int) -> bool:
    """Return True if a thread of the process keeps waiting for a disk."""
    waiting: set[str] | None = None
    for _poll in range(10):
        found = set()
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                if (task / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"D":
                    found.add(task.name)
        waiting = found if waiting is None else waiting & found
        time.sleep(0.02)
    return bool(waiting)


def _has_ended(pid: int) -> bool:
    return not lives(pid)


def script(path: Path, body: str, *, timeout_s: float = 30.0, retries: int = 0) -> dict[str, Any]:
    """Write a script; return its description for the run."""
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)
    status = path.lstat()
    identity = (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)
    return {
        "path": str(path),
        "timeout_s": timeout_s,
        "retries": retries,
        "identity": identity,
    }


def target(disk: LoopDisk, rank: int = 0) -> dict[str, Any]:
    """Return the description of a disk for the run."""
    return {
        "mount_point": disk.mount_point,
        "device": disk.device,
        "fstype": disk.fstype,
        "dev": Path(disk.mount_point).stat().st_dev,
        "rank": rank,
    }


class FreezeHarness:
    """Filesystems and a run over them. At the end all must be thawed and all processes ended."""

    def __init__(self, folder: Path, fstypes: Sequence[str] = ("ext4",), **plan: Any) -> None:
        self._stack = contextlib.ExitStack()
        self._fstypes = fstypes
        self._folder = folder
        self._plan = plan
        self._starts = folder / "starts"
        self.paths = setting_paths(folder)
        self.pids: dict[str, int] = {}
        self.disks: list[LoopDisk] = []
        self.thawed_by_itself = True
        #: The required value of the setting that makes FIFREEZE short, at the end.
        self.setting_at_end = 0

    @property
    def post(self) -> dict[str, Any]:
        """A post-script that counts its starts."""
        return script(self._folder / "post.sh", f"echo started >> '{self._starts}'")

    def waiting_post(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return a post-script that counts its starts and waits for `release_post`."""
        body = f"echo started >> '{self._starts}'\n"
        body += f"while [ ! -e '{self._folder}/go' ]; do sleep 0.1; done; echo released"
        return script(self._folder / "held.sh", body, timeout_s=timeout_s)

    def release_post(self) -> None:
        """Let the script of `waiting_post` end."""
        (self._folder / "go").touch()

    def post_script_starts(self) -> int:
        """Return the number of starts of the post-script."""
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0

    def __enter__(self) -> FreezeHarness:
        try:
            for fstype in self._fstypes:
                self.disks.append(self._stack.enter_context(LoopDisk(fstype=fstype)))
            points = [disk.mount_point for disk in self.disks]
            self.guarded = self._stack.enter_context(Guarded(points, limit_s=SAFETY_S))
        except BaseException:
            self._stack.close()
            raise
        return self

    def start(self, move: Callable[[int], None] = lambda _pid: None, **more: Any) -> dict[str, Any]:
        """Start the run with its supervisors; return its answer. `move` may move its process."""
        plan = {
            "targets": [target(disk) for disk in self.disks],
            "freeze_timeout_s": FREEZE_TIMEOUT_S,
            "paths": asdict(self.paths),
            **self._plan,
            **more,
        }
        self.run = subprocess.Popen(
            [sys.executable, str(_RUN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.pids["run"] = self.run.pid
        move(self.run.pid)
        answer = self.request(json.dumps(plan))
        children = Path(f"/proc/{self.run.pid}/task/{self.run.pid}/children").read_text()
        for pid in map(int, children.split()):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name in _NAMES:
                self.pids[_NAMES[name]] = pid
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        """Have the run execute a command; return its answer, a value or an error."""
        return self.request(command)

    def do(self, *commands: str) -> Any:
        """Have the run execute commands that must succeed; return the value of the last."""
        value = None
        for command in commands:
            answer = self.ask(command)
            assert "error" not in answer, answer
            value = answer["value"]
        return value

    def request(self, line: str) -> dict[str, Any]:
        """Write a line to the run and read its answer."""
        self.send_line(line)
        return self.answer()

    def send_line(self, line: str) -> None:
        """Write a line to the run."""
        assert self.run.stdin is not None
        self.run.stdin.write(line + "\n")
        self.run.stdin.flush()

    def has_answer_within(self, seconds: float) -> bool:
        """Return True if there is an answer to read."""
        assert self.run.stdout is not None
        return bool(select.select([self.run.stdout], [], [], seconds)[0])

    def answer(self) -> dict[str, Any]:
        """Read an answer of the run."""
        assert self.has_answer_within(2 * PATIENCE_S), "the run does not answer"
        assert self.run.stdout is not None
        line = self.run.stdout.readline()
        assert line, "the run ended"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def hit(self, faults: Faults) -> None:
        """Send each process its signal, and wait for the end of those that are killed.

        A run that is stopped gets a short stage before, which it overruns.
        """
        if faults.get("run") == signal.SIGSTOP:
            self.do("stage 1")
        for role, number in faults.items():
            self.send(role, number)
        for role, number in faults.items():
            if number == signal.SIGKILL:
                self.wait_ended(role)

    def send(self, role: str, number: signal.Signals) -> None:
        """Send a signal to the run, the guard or the watchdog."""
        os.kill(self.pids[role], number)

    def wait_writable(self, disks: Sequence[LoopDisk] | None = None) -> None:
        """Wait until these filesystems, by default all, take a write."""
        disks = self.disks if disks is None else disks
        done = [threading.Event() for _disk in disks]

        def write(disk: LoopDisk, event: threading.Event) -> None:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                (disk.path / "written").write_bytes(b"x")
            event.set()

        for disk, event in zip(disks, done):
            threading.Thread(target=write, args=(disk, event), daemon=True).start()
        for disk, event in zip(disks, done):
            assert event.wait(PATIENCE_S), f"{disk.mount_point} is still frozen"

    def wait_ended(self, *names: str) -> None:
        """Wait until these processes have ended; without names all three."""
        for name in names or tuple(self.pids):
            if name == "run":
                self.run.wait(PATIENCE_S)
            until(functools.partial(_has_ended, self.pids[name]), f"the end of the {name}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: object,
    ) -> None:
        try:
            for name, pid in self.pids.items():
                if name != "run" and lives(pid):
                    os.kill(pid, signal.SIGKILL)
            if "run" in self.pids:
                self.run.kill()
                self.run.communicate()
        finally:
            self._stack.close()
        if kind is None and self.thawed_by_itself:
            assert self.guarded.had_to_thaw == 0, "the safety process of the test had to thaw"
            assert value(self.paths) == self.setting_at_end, "the setting was not restored"


def run_cases(folder: Path, case: Callable[[Path, Faults], None], cases: Sequence[Faults]) -> None:
    """Run the cases, 12 at a time: they mostly wait."""

    def run_case(faults: Faults) -> None:
        name = "-".join(f"{role}-{signum.name}" for role, signum in faults.items()) or "none"
        (folder / name).mkdir()
        try:
            case(folder / name, faults)
        except BaseException as error:
            raise AssertionError(f"{name}: {error}") from error

    with ThreadPoolExecutor(max_workers=12) as pool:
        for future in [pool.submit(run_case, faults) for faults in cases]:
            future.result()


def outcomes(records: list[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Return the outcome of each filesystem and the process that thawed it."""
    return [(record["outcome"], record["thawed_by"]) for record in records]
