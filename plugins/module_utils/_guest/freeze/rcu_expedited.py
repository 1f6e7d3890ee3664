# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's setting `rcu_expedited`, which makes FIFREEZE short.

FIFREEZE waits for RCU grace periods. With the setting on, they end in a millisecond instead of
tens. The setting is machine-wide, so it is on only during FIFREEZE.

The value itself identifies its writer. The kernel keeps any whole number and treats each one except
0 as "on". Runs of this collection write a number of their own and never change another one.

Each run holds a shared `flock`, which the kernel drops when the last process of the run has ended.
The run that gets the lock exclusively is the last and writes 0. If every process of a run was
killed, only the number remains, and the next run resets it. A reboot resets the value and empties
`/run`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from ..._errors import Failure, SettingsError
from .shared_state import ExpediteState

AUTO, YES, NO = "auto", "yes", "no"
#: The value that runs of this collection write: `quie` in ASCII.
MARK = 0x71756965

#: Results of an attempt to turn the setting on; a negative number is a negated errno.
ON, FOREIGN, BUSY = 1, 2, 3

#: Attempts to get the lock, and the pause between them, while another run resets the setting.
_TRIES = 50
_RETRY_S = 0.005


@dataclass(frozen=True)
class SettingPaths:
    """Paths of the setting, of the files that it depends on, and of the lock."""

    value: str = "/sys/kernel/rcu_expedited"
    normal: str = "/sys/kernel/rcu_normal"
    realtime: str = "/sys/kernel/realtime"
    #: Lists of CPUs that the kernel keeps free of interruptions.
    reserved: tuple[str, ...] = (
        "/sys/devices/system/cpu/isolated",
        "/sys/devices/system/cpu/nohz_full",
        "/sys/fs/cgroup/cpuset.cpus.isolated",
    )
    #: Outside the folder of the run's lock: a container may have its own copy of that folder.
    lock: str = "/run/quiesce.azure_backup.expedite"


class Setting:
    """The open files of the setting, inherited by all processes of a run, which count as one.

    Only `turn_on` and `restore` may be called while filesystems are frozen: they open nothing and
    never block.
    """

    def __init__(self, wish: str, paths: SettingPaths | None = None, version: str = "") -> None:
        """Decide whether to use the setting, open its files and reset what a dead run left.

        `version`: the kernel version as `uname -v` prints it; by default that of this machine.
        Raises `SettingsError` if the wish is `yes` and cannot be met.
        """
        self._value = self._lock = -1
        self.paths = paths = paths or SettingPaths()
        #: The reason not to use the setting; empty if it will be used.
        self.reason = why_not(wish, paths, version)
        try:
            self._value = os.open(paths.value, os.O_RDWR | os.O_CLOEXEC)
            self._lock = _open_lock(paths.lock)
        except OSError as error:
            self.close()
            if not self.reason:
                self.reason = f"{error.filename or paths.lock}: {error.strerror}."
                _raise_if_required(wish, self.reason)
        else:
            self.restore()

    def close(self) -> None:
        """Close the files. The kernel drops the lock when all processes of the run have done so."""
        for descriptor in (self._value, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._value = self._lock = -1

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Descriptors that must stay open in every process of the run."""
        return tuple(number for number in (self._value, self._lock) if number >= 0)

    def turn_on(self) -> int:
        """Turn the setting on and count this run.

        Return `ON`, `FOREIGN`, `BUSY` or a negated errno. FOREIGN: another program had set the
        value, and it was left as it was.
        """
        try:
            if not self._take_shared_lock():
                return BUSY
            current = self._read()
            if current == 0:
                self._write(MARK)
            elif current != MARK:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
                return FOREIGN
        except OSError as error:
            return -(error.errno or errno.EIO)
        return ON

    def restore(self) -> int:
        """Stop counting this run and turn the setting off if it was the last; return 0 or an errno.

        May be called again, and by several processes of the run.
        """
        try:
            # This drops the shared lock even if it fails.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._read() == MARK:
                self._write(0)
        except BlockingIOError:
            return 0  # another run uses the setting and restores it
        except OSError as error:
            return error.errno or errno.EIO
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        return 0

    def _take_shared_lock(self) -> bool:
        for _try in range(_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
            time.sleep(_RETRY_S)
        return False

    def _read(self) -> int:
        return _number(os.pread(self._value, 64, 0))

    def _write(self, number: int) -> None:
        os.pwrite(self._value, b"%d\n" % number, 0)


def why_not(wish: str, paths: SettingPaths | None = None, version: str = "") -> str:
    """Return the reason not to use the setting; empty if it will be used. Changes nothing.

    Raises `SettingsError` if the wish is `yes` and the setting would have no effect.
    """
    paths = paths or SettingPaths()
    if wish == NO:
        return "expedite is set to no."
    reason = _why_without_effect(paths)
    _raise_if_required(wish, reason)
    if not reason and wish == AUTO:
        reason = _why_unwanted(paths, version or os.uname().version)
    return reason


def expedited(setting: Setting | None, state: ExpediteState) -> dict[str, object]:
    """Return the part of the result about the setting: if it was used, and the reason if not."""
    if setting is None or setting.reason:
        message = setting.reason if setting is not None else "There was nothing to freeze."
    elif not state.returned_ns or not state.answer:
        message = "The freeze did not begin."
    else:
        message = _ANSWERS.get(state.answer) or f"Setting it failed: {os.strerror(-state.answer)}."
    used = state.answer == ON
    if used and state.restore_errno:
        message = (
            f"{SettingPaths.value} may still be {MARK}: {os.strerror(state.restore_errno)}. "
            "Write 0 to it."
        )
    on_ms = (state.restored_ns - state.called_ns) / 1e6 if used and state.restored_ns else None
    return {"used": used, "words": message, "on_ms": on_ms}


_ANSWERS = {
    ON: "Grace periods of RCU were expedited during FIFREEZE.",
    FOREIGN: "Another program had already turned the setting on or changed it; it was left alone.",
    BUSY: "Another run was resetting the setting at that moment.",
}


def _raise_if_required(wish: str, reason: str) -> None:
    if wish == YES and reason:
        raise SettingsError(
            Failure(
                "ExpediteUnavailable",
                f"expedite is yes, but grace periods of RCU cannot be expedited here: {reason}",
                "Set expedite to auto or no; filesystems then freeze tens of milliseconds slower.",
            )
        )


def _why_without_effect(paths: SettingPaths) -> str:
    if _text(paths.value) is None:
        return f"{paths.value} does not exist."
    if not os.access(paths.value, os.W_OK):
        return f"{paths.value} cannot be written to."
    if _number(_text(paths.normal) or b"0"):
        return f"{paths.normal} is set and takes precedence."
    return ""


def _why_unwanted(paths: SettingPaths, version: str) -> str:
    dense = version.replace(" ", "_")
    if _number(_text(paths.realtime) or b"0") or "PREEMPT_RT" in dense:
        return "This is a real-time kernel."
    for path in paths.reserved:
        cpus = (_text(path) or b"").strip()
        if cpus not in (b"", b"(null)"):
            return f"CPUs are kept free of interruptions ({path})."
    return ""


def _text(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _number(text: bytes) -> int:
    """Return the first line as a number; -1, which counts as foreign, if it is not a number."""
    try:
        return int(text.split(b"\n", 1)[0])
    except ValueError:
        return -1


def _open_lock(path: str) -> int:
    """Open the lock that counts the runs; only root may open it, so that no user can hold it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    status = os.fstat(descriptor)
    if (
        not stat.S_ISREG(status.st_mode)
        or status.st_uid != os.geteuid()
        or stat.S_IMODE(status.st_mode) & 0o077
    ):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "not a regular file that only root may open", path)
    return descriptor
