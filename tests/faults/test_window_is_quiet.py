# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system calls of the window: work that can be done before it is done before it.

A call that opens or writes a file may block as long as filesystems are frozen. A new process or
connection may take any time. A real run under `strace` shows all calls.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import _checks as checks
from tests.faults import _engine as engine
from tests.faults import _phases as phases
from tests.faults._case import APPLICATION, Setting
from tests.faults._harness import Harness
from tests.lab.disk import MIB, LoopDisk
from tests.lab.frozen import Guarded

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze filesystems"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="Debian's package strace is missing"),
]

_TRACED = "%file,%desc,%process,%network"
#: Calls that open or change files, make processes or threads, or make connections.
_NOISY = re.compile(
    r"^(open|openat|openat2|creat|truncate|ftruncate|fallocate|mkdir|mkdirat|rmdir|unlink|unlinkat|"
    r"rename|renameat|renameat2|link|linkat|symlink|symlinkat|mknod|mknodat|chmod|fchmod|fchmodat|"
    r"chown|fchown|fchownat|utimensat|mount|umount2|"
    r"fork|vfork|clone|clone3|execve|execveat|"
    r"socket|socketpair|connect|bind|listen|accept|accept4)\("
)
#: Writes are noisy if they go to a file; writes to pipes, sockets and events are not.
_WRITE = re.compile(
    r"^(?:write|writev|pwrite64|pwritev2?|sendfile|copy_file_range|splice)\((\d+)<(.*?)>"
)
_QUIET_TARGET = re.compile(r"^(pipe|socket|anon_inode|TCP|TCPv6|UNIX|UNIX-STREAM|NETLINK):")
#: A variable of the kernel, opened before the window; no frozen filesystem can block it.
_SETTING = "/sys/kernel/rcu_expedited"


def window(trace: list[str]) -> list[str]:
    """Return the lines from the first FIFREEZE to the last FITHAW, without process numbers."""
    calls = [re.sub(r"^(\[pid +\d+\] |\d+ +)", "", line) for line in trace]
    freezes = [index for index, call in enumerate(calls) if _is(call, "FIFREEZE")]
    thaws = [index for index, call in enumerate(calls) if _is(call, "FITHAW")]
    assert freezes, "no FIFREEZE in the trace"
    assert thaws, "no FITHAW in the trace"
    return calls[freezes[0] : thaws[-1] + 1]


def _is(call: str, name: str) -> bool:
    # Old versions of strace show the parts instead of the name.
    parts = {"FIFREEZE": "0x77", "FITHAW": "0x78"}[name]
    return call.startswith("ioctl(") and (name in call or f"_IOC_WRITE, 0x58, {parts}" in call)


def noise(calls: list[str]) -> list[str]:
    """Return the calls that do not belong in a window."""
    found = []
    for call in calls:
        written = _WRITE.match(call)
        quiet = written is None or written[2] == _SETTING or _QUIET_TARGET.match(written[2])
        to_file = not quiet
        if to_file or _NOISY.match(call):
            found.append(call)
    return found


@pytest.fixture
def harness() -> Iterator[Harness]:
    """Make two filesystems, two disks and scripts."""
    setting = Setting(filesystems=("ext4", "xfs"), freeze_timeout=60)
    with engine.ground() as ground:
        azurite, tree = ground
        with Harness(setting, azurite, tree) as made:
            yield made


def test_window_of_real_run_is_quiet(harness: Harness) -> None:
    """Check that a successful run opens, writes, makes and connects nothing in its window."""
    trace = harness.folder / "trace"
    harness.start(
        ("strace", "-f", "-y", "-qq", "-s", "64", "-e", f"trace={_TRACED}", "-o", str(trace))
    )
    assert phases.finish(harness) == []
    assert checks.outcome_of(harness) == APPLICATION, harness.output()
    calls = window(trace.read_text(errors="replace").splitlines())
    sent = [call for call in calls if call.startswith(("sendto(", "sendmsg(", "send("))]
    assert sent, "no request was sent in the window: the trace does not show the run"
    assert noise(calls) == []


def test_noisy_program_is_detected() -> None:
    """Check that a program that opens, writes, forks and connects is detected."""
    program = (
        "import fcntl, os, socket, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
        "fcntl.ioctl(fd, 0xC0045877, 0)\n"
        "try:\n"
        "    open('/proc/self/comm', 'w').write('noisy')\n"
        "    os.fork() or os._exit(0)\n"
        "    socket.socket().connect_ex(('127.0.0.1', 1))\n"
        "finally:\n"
        "    fcntl.ioctl(fd, 0xC0045878, 0)\n"
    )
    with LoopDisk(16 * MIB, "ext4") as disk, Guarded([disk.mount_point], 300):
        trace = Path("/dev/shm") / f"quiesce-trace-{os.getpid()}"
        try:
            words = ["strace", "-f", "-y", "-qq", "-e", f"trace={_TRACED}", "-o", str(trace)]
            command = [*words, sys.executable, "-I", "-S", "-c", program, disk.mount_point]
            subprocess.run(command, check=True, timeout=300)
            heard = noise(window(trace.read_text(errors="replace").splitlines()))
        finally:
            trace.unlink(missing_ok=True)
    for name in ("open", "write", "clone|fork|vfork", "socket", "connect"):
        assert any(re.match(f"({name})", call) for call in heard), f"{name} was not heard: {heard}"
