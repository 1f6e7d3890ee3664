# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The evidence of a case that fails, captured while its processes and mounts exist.

A case that passes costs a timeline in memory. At the first problem the witness captures the state
of the whole machine, before anything is thawed, killed or unmounted. The engine writes it to files
at the end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pprint
import re
import subprocess
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import _processes as processes
from tests.lab._process import LAB

if TYPE_CHECKING:
    from tests.faults._case import Outcome
    from tests.faults._harness import Harness

#: The folder of failed cases: one for each invocation, and in it one for each case.
KEPT = LAB / "failed" / f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}"
_MAX_BYTES = 1 << 20
_MAX_CAPTURES = 12
_MACHINE = (
    "/proc/loadavg",
    "/proc/uptime",
    "/proc/meminfo",
    "/proc/pressure/cpu",
    "/proc/pressure/io",
    "/proc/pressure/memory",
    "/proc/locks",
    "/sys/kernel/rcu_expedited",
)
_SHARED_MEMORY = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-s .*/dev/zero \(deleted\)$")


class Witness:
    """The evidence of one case: a timeline, captures of the machine, and the case's files."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._began_ns = time.monotonic_ns()
        self._wall = time.time()
        self._timeline: list[tuple[int, str]] = []
        self._files: dict[str, bytes] = {}
        self._captures = 0
        self._seen: BaseException | None = None

    def note(self, text: str) -> None:
        """Add a line to the timeline."""
        self._timeline.append((time.monotonic_ns(), text))

    def capture(self, why: str, error: BaseException | None = None) -> None:
        """Capture the whole machine and the case's files; the same `error` only once."""
        self.note(f"capture: {why}")
        if self._captures >= _MAX_CAPTURES or (error is not None and error is self._seen):
            return
        self._captures += 1
        self._seen = error
        try:
            self._take_machine(f"capture-{self._captures:02}", why)
        except Exception:  # An error here must not hide the first problem.
            self.note(traceback.format_exc())
        self.gather()

    def gather(self) -> None:
        """Capture the case's files, requests and pauses as they are now."""
        try:
            self._take_files()
        except Exception:  # An error here must not hide the first problem.
            self.note(traceback.format_exc())

    def _take_machine(self, name: str, why: str) -> None:
        self._files[f"{name}.txt"] = "\n".join(self._machine(why)).encode()
        for pid in self._own():
            for number, content in enumerate(_shared_memory(pid)):
                self._files[f"{name}-shared-{pid}-{number}.bin"] = content

    def _take_files(self) -> None:
        harness = self._harness
        for path in sorted(harness.folder.rglob("*")):
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    name = f"files/{path.relative_to(harness.folder)}"
                    self._files[name] = path.read_bytes()[-_MAX_BYTES:]
        self._files["modified.txt"] = self._modified().encode()
        self._files["result.txt"] = pprint.pformat(harness.result(), width=100).encode()
        if hasattr(harness, "proxy"):
            lines = [
                f"{self._at(item.ns)} {item.status or 'no answer'} {item.method} {item.path} "
                f"({item.operation})"
                for item in list(harness.proxy.seen)
            ]
            self._files["requests.txt"] = "\n".join(lines).encode()
        if hasattr(harness, "writers"):
            self._files["pauses.txt"] = "\n".join(self._pauses()).encode()

    def keep(self, folder: Path, outcome: Outcome) -> None:
        """Write all evidence below the folder, with the case's secrets replaced."""
        case = outcome.case
        plan = getattr(case.inject, "plan", None)
        parts = {
            "name": case.name,
            "fault": case.fault,
            "phase": case.phase,
            "plan": dataclasses.asdict(plan) if plan is not None else repr(case.inject),
            "struck": getattr(case.inject, "where", None),
            "expect": case.expect,
            "outcome": outcome.outcome,
            "problems": outcome.problems,
            "stall_ms": outcome.stall_ms,
            "seconds": outcome.seconds,
            "setting": repr(case.setting),
            "token": self._harness.token,
            "began": {"monotonic_ns": self._began_ns, "wall_s": self._wall},
            "disks": [
                f"{disk.device} {disk.fstype} {getattr(disk, 'mount_point', '')}"
                for disk in self._harness.disks
            ],
        }
        lines = [f"{self._at(ns)} {text}" for ns, text in self._timeline]
        found = {
            **self._files,
            "case.json": json.dumps(parts, indent=1).encode(),
            "timeline.txt": "\n".join(lines).encode(),
        }
        for name, content in found.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._without_secrets(content) + b"\n")

    def _without_secrets(self, content: bytes) -> bytes:
        for number, secret in enumerate(sorted(set(self._harness.secrets), key=len, reverse=True)):
            content = content.replace(secret.encode(), b"<secret %d>" % number)
        return content

    def _at(self, ns: int) -> str:
        return f"{(ns - self._began_ns) / 1e9:+10.4f} s"

    def _modified(self) -> str:
        """Return when each file of the case was last written, in seconds since the case began."""
        lines = []
        for path in sorted(self._harness.folder.rglob("*")):
            with contextlib.suppress(OSError):
                found = path.lstat()
                lines.append(f"{found.st_mtime - self._wall:+10.4f} s {found.st_size:8} {path}")
        return "\n".join(lines)

    def _pauses(self) -> Iterator[str]:
        writers = self._harness.writers
        named = [("the machine", writers.machine_pauses())]
        named += [(folder, writers.pauses(folder)) for folder in writers.folders]
        for name, pauses in named:
            yield f"{name}:"
            yield from (
                f"  {self._at(begin)} to {self._at(end)}: {(end - begin) / 1e6:.1f} ms"
                for begin, end in pauses
            )

    def _own(self) -> list[int]:
        harness = self._harness
        found = {item.pid for item in processes.marked(harness.token)}
        return sorted(found | {item.pid for item in processes.mentions(str(harness.folder))})

    def _machine(self, why: str) -> Iterator[str]:
        yield f"{why}\n{self._at(time.monotonic_ns())} after the case began, {time.time():.4f}"
        for name in _MACHINE:
            yield f"--- {name}\n{_text(Path(name))}"
        yield "--- mounts of the harness"
        yield _text(Path("/proc/self/mountinfo"))
        yield "--- loop devices"
        for path in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
            yield f"{path.parts[3]} {_text(path)}"
        own = set(self._own())
        yield "--- processes: number, parent, group, session, state, niceness, start, name, command"
        stuck: set[int] = set()
        for pid in _numbers():
            line, state = _described(pid)
            if line:
                yield ("* " if pid in own else "  ") + line
            if state == "D":
                stuck.add(pid)
        for pid in sorted(own | stuck):
            yield from _in_depth(pid)
        yield "--- the kernel's last lines"
        yield _kernel_log()


def _text(path: Path) -> str:
    try:
        return path.read_bytes()[:_MAX_BYTES].decode(errors="replace").rstrip("\n")
    except OSError as error:
        return f"({error.strerror})"


def _numbers() -> list[int]:
    return sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _described(pid: int) -> tuple[str, str]:
    """Return the process as a line of a table, and its state; both empty if it has ended."""
    stat = _text(Path(f"/proc/{pid}/stat"))
    if not stat[:1].isdigit():
        return "", ""
    comm = stat[stat.index("(") + 1 : stat.rindex(")")]
    fields = stat[stat.rindex(")") + 2 :].split()
    command = _text(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")[:400]
    numbers = " ".join(f"{field:>7}" for field in fields[1:4])
    return f"{pid:>7} {numbers} {fields[0]} {fields[16]:>3} {fields[19]:>9} {comm:16} {command}", (
        fields[0]
    )


def _in_depth(pid: int) -> Iterator[str]:
    """Yield the threads, with system calls and kernel stacks, and the open files of a process."""
    home = Path(f"/proc/{pid}")
    yield f"--- process {pid}"
    yield _text(home / "status")
    yield f"cgroup: {_text(home / 'cgroup')}"
    with contextlib.suppress(OSError):
        for entry in sorted((home / "fd").iterdir(), key=lambda item: int(item.name)):
            with contextlib.suppress(OSError):
                yield f"descriptor {entry.name}: {entry.readlink()}"
    for task in _tasks(home):
        yield f"thread {task.name}: {_text(task / 'comm')}"
        for name in ("wchan", "syscall", "stack"):
            yield f"{name}: {_text(task / name)}"
    yield f"its mounts:\n{_text(home / 'mountinfo')}"


def _tasks(home: Path) -> Iterable[Path]:
    try:
        return sorted((home / "task").iterdir(), key=lambda item: int(item.name))
    except OSError:
        return []


def _shared_memory(pid: int) -> Iterator[bytes]:
    """Yield the memory that the run and its supervisors share, as this process has it."""
    for line in _text(Path(f"/proc/{pid}/maps")).splitlines():
        found = _SHARED_MEMORY.match(line)
        if found is None:
            continue
        begin, end = (int(part, 16) for part in found.groups())
        try:
            with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
                memory.seek(begin)
                yield memory.read(min(end - begin, _MAX_BYTES))
        except (OSError, ValueError):
            continue


def _kernel_log() -> str:
    try:
        done = subprocess.run(["dmesg"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"({error})"
    return "\n".join(done.stdout.splitlines()[-100:])
