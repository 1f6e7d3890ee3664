# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Freeze filesystems in tests; every freeze of a test, or of a module in a test, uses this.

Run as a program, this is the safety process: it holds descriptors of the filesystems and thaws them
when its time is over or when the test's process has exited. It thaws by descriptor, never by path,
because a path may mean another filesystem later.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List, Sequence, Set

FIFREEZE = 0xC0045877
FITHAW = 0xC0045878

#: A device name of `/proc/self/mountinfo` that a test may freeze.
_ALLOWED = "/dev/loop"
_DISMISSED = b"."


class RefusedError(Exception):
    """This filesystem must not be frozen on this machine."""


def thaw(fd: int) -> bool:
    """Thaw the filesystem of this descriptor; whether it was frozen."""
    try:
        fcntl.ioctl(fd, FITHAW, 0)
    except OSError as exc:
        if exc.errno == errno.EINVAL:
            return False
        raise
    return True


def forbidden() -> Dict[int, str]:
    """Devices that must never be frozen here, by number, each with a path that lies on it."""
    checkout = Path(__file__).resolve().parents[2]
    paths = ["/", "/dev", "/dev/shm", "/etc", "/home", "/opt", "/root", "/run", "/tmp", "/usr"]
    paths += ["/var", "/var/tmp", tempfile.gettempdir(), str(checkout), str(checkout / ".lab")]
    paths += [sys.prefix, sys.base_prefix, sys.executable, os.path.realpath(sys.executable)]
    paths += [str(Path.cwd()), os.environ.get("HOME", "/root")]
    found: Dict[int, str] = {}
    for path in paths:
        with contextlib.suppress(OSError):
            found.setdefault(Path(path).stat().st_dev, path)
    return found


def _sources() -> Dict[str, str]:
    """Mount point to device, the last mount of each, as the kernel lists them."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _dash, right = line.partition(" - ")
        point = left.split(" ")[4]
        for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(code, char)
        found[point] = right.split(" ")[1]
    return found


def open_safely(mount_point: str) -> int:
    """Open a mount point that may be frozen; raises `RefusedError` for any other."""
    fd = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        holder = forbidden().get(os.fstat(fd).st_dev)
        if holder is not None:
            raise RefusedError(f"{mount_point} is on the same filesystem as {holder}")
        source = _sources().get(os.path.realpath(mount_point))
        if source is None:
            raise RefusedError(f"{mount_point} is not a mount point")
        if not source.startswith(_ALLOWED):
            raise RefusedError(
                f"{mount_point} is on {source}, which is not a loop device of a test"
            )
    except BaseException:
        os.close(fd)
        raise
    return fd


class Guarded:
    """A context in which these mount points may be frozen, by the test or by what it runs.

    Raises `RefusedError` for a filesystem that this machine or the lab uses, and for each that is
    not on a loop device. After `limit_s` seconds, and when the context or the test's process ends,
    a separate process thaws what is still frozen.
    """

    def __init__(self, mount_points: Sequence[str], limit_s: float = 30.0) -> None:
        self.mount_points = [str(point) for point in mount_points]
        self.limit_s = limit_s
        #: How many of the filesystems the safety process had to thaw; known after the context.
        self.had_to_thaw = -1
        self._fds: Dict[str, int] = {}

    def __enter__(self) -> Guarded:
        try:
            for point in self.mount_points:
                self._fds[point] = open_safely(point)
            fds = list(self._fds.values())
            argv = [sys.executable, "-I", "-S", __file__, str(self.limit_s), *map(str, fds)]
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=fds,
                start_new_session=True,
                cwd="/",
            )
            assert self.process.stdout is not None
            # Nothing may be frozen before the safety process is there.
            if self.process.stdout.readline() != b"ready\n":
                raise RuntimeError("The safety process did not start.")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            output, _nothing = self.process.communicate(_DISMISSED, timeout=60)
        except BrokenPipeError:
            output = b""
        finally:
            self._close()
        if not output.strip().isdigit():
            raise RuntimeError("The safety process of a freeze did not end as it should.")
        self.had_to_thaw = int(output)

    def freeze(self, mount_point: str) -> None:
        """Freeze; raises `OSError` as FIFREEZE does."""
        fcntl.ioctl(self._fds[str(mount_point)], FIFREEZE, 0)

    def thaw(self, mount_point: str) -> bool:
        """Thaw; whether it was frozen until then."""
        return thaw(self._fds[str(mount_point)])

    def _close(self) -> None:
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


#: So long after the death of a test what it had started may still freeze.
_AFTER_DEATH_S = 60.0


class _Safety:
    """Code of the safety process."""

    def __init__(self, fds: Sequence[int]) -> None:
        self._fds = fds
        self._thawed: Set[int] = set()

    def sweep(self, limit_s: float = 30.0) -> int:
        """Thaw every frozen filesystem by its own thread, and return how many were ever frozen."""
        threads: List[threading.Thread] = []
        for fd in self._fds:
            threads.append(threading.Thread(target=self._thaw, args=(fd,), daemon=True))
            threads[-1].start()
        until = time.monotonic() + limit_s
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return len(self._thawed)

    def _thaw(self, fd: int) -> None:
        with contextlib.suppress(OSError):
            while thaw(fd):
                self._thawed.add(fd)


def _main(limit_s: float, fds: Sequence[int]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    safety = _Safety(fds)
    os.write(1, b"ready\n")
    if not select.select([0], [], [], limit_s)[0]:
        # Time is over: from now on nothing stays frozen, until the test says that it is done.
        safety.sweep()
        while not select.select([0], [], [], 0.2)[0]:
            safety.sweep()
    dismissed = os.read(0, 1) == _DISMISSED
    count = safety.sweep()
    until = time.monotonic() + min(limit_s, _AFTER_DEATH_S)
    while not dismissed and time.monotonic() < until:
        # The test died; what it had started may still be about to freeze.
        time.sleep(0.2)
        safety.sweep()
    with contextlib.suppress(OSError):
        os.write(1, b"%d\n" % count)
    os._exit(0)


if __name__ == "__main__":
    _main(float(sys.argv[1]), [int(one) for one in sys.argv[2:]])
