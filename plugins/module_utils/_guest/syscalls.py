# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system calls of a freeze, and those that keep a process able to make them.

The calls return an errno, 0 for success. They are made while filesystems are frozen, where
no caller could handle an exception.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import signal

#: `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)` of `linux/fs.h`, alike on each architecture.
FIFREEZE = 0xC0045877
FITHAW = 0xC0045878

_MCL_CURRENT = 1
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15

_libc = ctypes.CDLL(None, use_errno=True)

#: RLIMIT_CORE at the start of this program; empty until it was changed.
_core_limits: list[tuple[int, int]] = []


def freeze(descriptor: int) -> int:
    """Freeze the filesystem of an open folder; return 0 or an errno.

    EBUSY: it is frozen already. If the storage does not answer, the call may block without limit,
    and SIGKILL does not end it. The call releases the interpreter's lock.
    """
    return _ioctl(descriptor, FIFREEZE)


def thaw(descriptor: int) -> int:
    """Thaw the filesystem of an open folder; return 0 or an errno.

    0 proves that it was frozen until now. EINVAL proves that this process has no freeze of it any
    more: it was not frozen, or (since Linux 6.8) another holder still has it frozen.
    """
    return _ioctl(descriptor, FITHAW)


def _ioctl(descriptor: int, request: int) -> int:
    try:
        fcntl.ioctl(descriptor, request, 0)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def flush(descriptor: int) -> int:
    """Write all dirty data of the filesystem of an open folder; return 0 or an errno."""
    if _libc.syncfs(descriptor) == 0:
        return 0
    return ctypes.get_errno() or errno.EIO


def lock_memory() -> bool:
    """Keep the memory of this process from being paged out; return True on success."""
    return bool(_libc.mlockall(_MCL_CURRENT) == 0)


def name_process(name: str) -> None:
    """Give this process a short name for process lists, at most 15 bytes."""
    _libc.prctl(_PR_SET_NAME, name.encode("ascii")[:15], 0, 0, 0)


def end_with_parent() -> None:
    """Have the kernel kill this process when the thread that forked it ends."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def forbid_core_dumps() -> None:
    """Prevent core dumps of this process: its memory holds addresses with a SAS.

    Forked processes inherit both settings. PR_SET_DUMPABLE also applies where core dumps are piped
    to a program, which ignores RLIMIT_CORE. PR_SET_DUMPABLE ends with an exec; RLIMIT_CORE does
    not, see `restore_core_limit`. The hard limit does not change.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if not _core_limits:
        _core_limits.append((soft, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def restore_core_limit() -> None:
    """Set RLIMIT_CORE to its value at the start of this program; for a script before its exec."""
    if _core_limits:
        resource.setrlimit(resource.RLIMIT_CORE, _core_limits[0])


def spare_from_oom(score: int = -1000) -> bool:
    """Ask the kernel not to kill this process when memory is short; return True on success."""
    try:
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, str(score).encode("ascii"))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def start_time(pid: int) -> int | None:
    """Return when a process started, in clock ticks since the boot; None if none lives.

    Number and start time together identify a process, because the kernel reuses numbers.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.read(descriptor, 4096)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    # proc(5): fields 3 and 22; the name in field 2 may hold spaces and parentheses.
    fields = status.rpartition(b")")[2].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return int(fields[19])
