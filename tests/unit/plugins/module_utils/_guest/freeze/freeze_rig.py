# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real filesystems, a run with its guard and watchdog, and what must hold when all is over.

The setting that makes FIFREEZE short is a file of the test's own.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple, Type

from tests.lab.disk import LoopDisk
from tests.lab.frozen import Guarded
from tests.unit.plugins.module_utils._guest.freeze.expedite_places import places_below, value

#: Who gets which signal.
Faults = Mapping[str, signal.Signals]
#: How long a test waits for anything. The machine may be slow; nothing here is about speed.
PATIENCE_S = 300.0
#: Nothing of the tests takes so long that the safety process of a freeze has to act.
SAFETY_S = 600.0
#: For tests in which nobody but a supervisor thaws; they wait for this long.
FREEZE_TIMEOUT_S = 6.0
#: For tests in which the deadline never comes.
LONG_S = 300.0
_NAMES = {"quiesce-guard": "guard", "quiesce-watch": "watchdog"}
_RUN = Path(__file__).with_name("freezer_run.py")


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until it holds; fails the test when it does not."""
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit, f"waited in vain: {what}"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether there is such a process, with a thread that has not ended."""
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            status = (task / "stat").read_bytes()
            if status.rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                return True
    return False


def hangs(pid: int) -> bool:
    """Whether a thread of the process waits for a disk, and goes on doing so."""
    waiting: Optional[Set[str]] = None
    for _look in range(10):
        found = set()
        for task in Path(f"/proc/{pid}/task").glob("*"):
            with contextlib.suppress(OSError):
                if (task / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"D":
                    found.add(task.name)
        waiting = found if waiting is None else waiting & found
        time.sleep(0.02)
    return bool(waiting)


def _is_gone(pid: int) -> bool:
    return not lives(pid)


def script(path: Path, body: str, *, timeout_s: float = 30.0, retries: int = 0) -> Dict[str, Any]:
    """Write a script; how it is described to the run."""
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o700)
    found = path.lstat()
    identity = (found.st_dev, found.st_ino, found.st_ctime_ns, found.st_size)
    return {
        "path": str(path),
        "timeout_s": timeout_s,
        "retries": retries,
        "identity": identity,
    }


def target(disk: LoopDisk, rank: int = 0) -> Dict[str, Any]:
    """How a disk is described to the run."""
    return {
        "mount_point": disk.mount_point,
        "device": disk.device,
        "fstype": disk.fstype,
        "dev": Path(disk.mount_point).stat().st_dev,
        "rank": rank,
    }


class Rig:
    """Filesystems and a run over them. At its end everything must be thawed, and nobody left."""

    def __init__(self, folder: Path, fstypes: Sequence[str] = ("ext4",), **plan: Any) -> None:
        self._stack = contextlib.ExitStack()
        self._fstypes = fstypes
        self._folder = folder
        self._plan = plan
        self._paid = folder / "paid"
        self.places = places_below(folder)
        self.pids: Dict[str, int] = {}
        self.disks: List[LoopDisk] = []
        self.thawed_by_itself = True
        #: What the setting that makes FIFREEZE short must be at the end.
        self.setting_at_end = 0

    @property
    def post(self) -> Dict[str, Any]:
        """A post-script that notes that it ran."""
        return script(self._folder / "post.sh", f"echo paid >> '{self._paid}'")

    def held_post(self, timeout_s: float = 30.0) -> Dict[str, Any]:
        """A post-script that notes that it ran and goes on until C(let_go)."""
        body = f"echo paid >> '{self._paid}'\n"
        body += f"while [ ! -e '{self._folder}/go' ]; do sleep 0.1; done; echo went"
        return script(self._folder / "held.sh", body, timeout_s=timeout_s)

    def let_go(self) -> None:
        """Let such a script end."""
        (self._folder / "go").touch()

    def times_paid(self) -> int:
        """How often the post-script was started."""
        return len(self._paid.read_text().splitlines()) if self._paid.exists() else 0

    def __enter__(self) -> Rig:
        try:
            for fstype in self._fstypes:
                self.disks.append(self._stack.enter_context(LoopDisk(fstype=fstype)))
            points = [disk.mount_point for disk in self.disks]
            self.guarded = self._stack.enter_context(Guarded(points, limit_s=SAFETY_S))
        except BaseException:
            self._stack.close()
            raise
        return self

    def start(
        self, place: Callable[[int], None] = lambda _pid: None, **more: Any
    ) -> Dict[str, Any]:
        """Start the run with its supervisors; its answer. C(place) puts it where it shall live."""
        plan = {
            "targets": [target(disk) for disk in self.disks],
            "freeze_timeout_s": FREEZE_TIMEOUT_S,
            "places": asdict(self.places),
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
        place(self.run.pid)
        answer = self.tell_line(json.dumps(plan))
        children = Path(f"/proc/{self.run.pid}/task/{self.run.pid}/children").read_text()
        for pid in map(int, children.split()):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            if name in _NAMES:
                self.pids[_NAMES[name]] = pid
        return answer

    def ask(self, command: str) -> Dict[str, Any]:
        """Have the run do something; its answer, a value or an error."""
        return self.tell_line(command)

    def do(self, *commands: str) -> Any:
        """Have the run do things that must succeed; the value of the last."""
        value = None
        for command in commands:
            answer = self.ask(command)
            assert "error" not in answer, answer
            value = answer["value"]
        return value

    def tell_line(self, line: str) -> Dict[str, Any]:
        """Write a line to the run and read its answer."""
        self.tell_only(line)
        return self.answer()

    def tell_only(self, line: str) -> None:
        """Write a line to the run."""
        assert self.run.stdin is not None
        self.run.stdin.write(line + "\n")
        self.run.stdin.flush()

    def answers_within(self, seconds: float) -> bool:
        """Whether there is an answer to read."""
        assert self.run.stdout is not None
        return bool(select.select([self.run.stdout], [], [], seconds)[0])

    def answer(self) -> Dict[str, Any]:
        """Read an answer of the run."""
        assert self.answers_within(2 * PATIENCE_S), "the run does not answer"
        assert self.run.stdout is not None
        line = self.run.stdout.readline()
        assert line, "the run ended"
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def hit(self, faults: Faults) -> None:
        """Send each its signal, and wait until those that are killed are dead.

        A run that is stopped is one that overruns its stage.
        """
        if faults.get("run") == signal.SIGSTOP:
            self.do("stage 1")
        for who, number in faults.items():
            self.send(who, number)
        for who, number in faults.items():
            if number == signal.SIGKILL:
                self.wait_ended(who)

    def send(self, who: str, number: signal.Signals) -> None:
        """Send a signal to the run, the guard or the watchdog."""
        os.kill(self.pids[who], number)

    def wait_writable(self, disks: Optional[Sequence[LoopDisk]] = None) -> None:
        """Wait until these filesystems, or all, take a write."""
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
        """Wait until these processes are gone; without names all three."""
        for name in names or tuple(self.pids):
            if name == "run":
                self.run.wait(PATIENCE_S)
            until(functools.partial(_is_gone, self.pids[name]), f"the end of the {name}")

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        _error: Optional[BaseException],
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
            assert value(self.places) == self.setting_at_end, "the setting was not put back"


def at_once(folder: Path, case: Callable[[Path, Faults], None], cases: Sequence[Faults]) -> None:
    """Go through the cases, several at a time: they wait most of it."""

    def one(faults: Faults) -> None:
        name = "-".join(f"{who}-{how.name}" for who, how in faults.items()) or "none"
        (folder / name).mkdir()
        try:
            case(folder / name, faults)
        except BaseException as error:
            raise AssertionError(f"{name}: {error}") from error

    with ThreadPoolExecutor(max_workers=12) as pool:
        for future in [pool.submit(one, faults) for faults in cases]:
            future.result()


def outcomes(records: List[Dict[str, Any]]) -> List[Tuple[str, Optional[str]]]:
    """What happened to each filesystem, and who thawed it."""
    return [(record["outcome"], record["thawed_by"]) for record in records]
