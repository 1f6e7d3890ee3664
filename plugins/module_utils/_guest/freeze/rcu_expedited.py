# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's setting C(rcu_expedited), which makes FIFREEZE short.

PRIVATE: for this collection only. FIFREEZE waits for RCU grace periods, and with the setting on
they end in a millisecond instead of tens. It is a setting of the whole machine, so it is on only
while FIFREEZE is at work.

The value itself says who set it: the kernel keeps any whole number and takes all but 0 for "on",
so the runs of this collection write a number of their own, and never change another one. They
count themselves by a shared C(flock) each, which the kernel drops when the last process of a run
has ended. The one that gets the lock for itself alone is the last, and writes 0. So a run of which
every process was killed leaves nothing but the number, and the next run puts that back. A reboot
resets the value and empties C(/run).
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
from typing import Dict, Optional, Tuple

from ..._errors import refuse
from .shared_state import ExpediteState

AUTO, YES, NO = "auto", "yes", "no"
#: What runs of this collection write: C(quie) in ASCII.
MARK = 0x71756965

#: What became of the attempt to set it; a negative number is an errno with its sign changed.
ON, FOREIGN, BUSY = 1, 2, 3

#: How often and how far apart the lock is tried for, while another run is putting back.
_TRIES = 50
_AGAIN_S = 0.005


@dataclass(frozen=True)
class SettingPaths:
    """The files that this is about."""

    value: str = "/sys/kernel/rcu_expedited"
    normal: str = "/sys/kernel/rcu_normal"
    realtime: str = "/sys/kernel/realtime"
    #: Lists of CPUs that the kernel keeps free of interruptions.
    reserved: Tuple[str, ...] = (
        "/sys/devices/system/cpu/isolated",
        "/sys/devices/system/cpu/nohz_full",
        "/sys/fs/cgroup/cpuset.cpus.isolated",
    )
    #: Not in the folder of the run's lock: containers may have that to themselves.
    lock: str = "/run/quiesce.azure_backup.expedite"


class Setting:
    """The setting, open. Inherited by the processes of one run, which count as one.

    Only C(turn_on) and C(put_back) may be called while filesystems are frozen: they open nothing
    and never block.
    """

    def __init__(self, wish: str, places: Optional[SettingPaths] = None, version: str = "") -> None:
        """Look whether the wish can be met, open the files and put back what a dead run left.

        C(version): the kernel's, as C(uname -v) says it; that of this machine by default. Raises
        C(SettingsError) when the wish is C(yes) and cannot be met.
        """
        self._value = self._lock = -1
        self.places = places = places or SettingPaths()
        #: Why it is not used; empty when it is to be.
        self.reason = why_not(wish, places, version)
        try:
            self._value = os.open(places.value, os.O_RDWR | os.O_CLOEXEC)
            self._lock = _open_lock(places.lock)
        except OSError as error:
            self.close()
            if not self.reason:
                self.reason = f"{error.filename or places.lock}: {error.strerror}."
                _refuse_if_meant(wish, self.reason)
        else:
            self.put_back()

    def close(self) -> None:
        """Close the files; the lock is dropped when all processes of the run have done so."""
        for descriptor in (self._value, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._value = self._lock = -1

    @property
    def descriptors(self) -> Tuple[int, ...]:
        """What must stay open in every process of the run."""
        return tuple(one for one in (self._value, self._lock) if one >= 0)

    def turn_on(self) -> int:
        """Turn it on and count this run; returns C(ON), C(FOREIGN), C(BUSY) or a negative errno.

        FOREIGN: the value was another number than 0, and was left as it was.
        """
        try:
            if not self._count():
                return BUSY
            found = self._read()
            if found == 0:
                self._write(MARK)
            elif found != MARK:
                fcntl.flock(self._lock, fcntl.LOCK_UN)
                return FOREIGN
        except OSError as error:
            return -(error.errno or errno.EIO)
        return ON

    def put_back(self) -> int:
        """Count this run no more, and turn it off if it was the last one; returns 0 or an errno.

        May be called again, and by several processes of the run.
        """
        try:
            # Drops the shared lock in any case.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if self._read() == MARK:
                self._write(0)
        except BlockingIOError:
            return 0  # another run is using it, and puts it back
        except OSError as error:
            return error.errno or errno.EIO
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._lock, fcntl.LOCK_UN)
        return 0

    def _count(self) -> bool:
        for _try in range(_TRIES):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return True
            time.sleep(_AGAIN_S)
        return False

    def _read(self) -> int:
        return _number(os.pread(self._value, 64, 0))

    def _write(self, number: int) -> None:
        os.pwrite(self._value, b"%d\n" % number, 0)


def why_not(wish: str, places: Optional[SettingPaths] = None, version: str = "") -> str:
    """Return why the setting is not to be used; empty when it is. Changes nothing.

    Raises C(SettingsError) when the wish is C(yes) and the setting could have no effect.
    """
    places = places or SettingPaths()
    if wish == NO:
        return "expedite is no."
    reason = _impossible(places)
    _refuse_if_meant(wish, reason)
    if not reason and wish == AUTO:
        reason = _unwanted(places, version or os.uname().version)
    return reason


def expedited(setting: Optional[Setting], boost: ExpediteState) -> Dict[str, object]:
    """Return whether the setting was used and why not, for the result."""
    if setting is None or setting.reason:
        words = setting.reason if setting is not None else "Nothing was to be frozen."
    elif not boost.returned_ns or not boost.answer:
        words = "The freeze did not begin."
    else:
        words = _ANSWERS.get(boost.answer) or f"It could not be set: {os.strerror(-boost.answer)}."
    used = boost.answer == ON
    if used and boost.back_errno:
        words = (
            f"{SettingPaths.value} may have been left at {MARK}: {os.strerror(boost.back_errno)}. "
            "Write 0 to it."
        )
    on_ms = (boost.back_ns - boost.called_ns) / 1e6 if used and boost.back_ns else None
    return {"used": used, "words": words, "on_ms": on_ms}


_ANSWERS = {
    ON: "Grace periods of RCU were expedited during FIFREEZE.",
    FOREIGN: "The setting was on already, or somebody else had changed it; it was left alone.",
    BUSY: "Another run was putting the setting back at that moment.",
}


def _refuse_if_meant(wish: str, reason: str) -> None:
    if wish == YES and reason:
        refuse(
            "ExpediteUnavailable",
            f"expedite is yes, and grace periods of RCU cannot be expedited here: {reason}",
            "Use auto or no; filesystems are frozen all the same, some tens of milliseconds later.",
        )


def _impossible(places: SettingPaths) -> str:
    """Why it would have no effect."""
    if _text(places.value) is None:
        return f"{places.value} is not there."
    if not os.access(places.value, os.W_OK):
        return f"{places.value} cannot be written to."
    if _number(_text(places.normal) or b"0"):
        return f"{places.normal} is set, which wins."
    return ""


def _unwanted(places: SettingPaths, version: str) -> str:
    """Why auto does not want it although it would have an effect."""
    dense = version.replace(" ", "_")
    if _number(_text(places.realtime) or b"0") or "PREEMPT_RT" in dense:
        return "The kernel is one for real time."
    for path in places.reserved:
        cpus = (_text(path) or b"").strip()
        if cpus not in (b"", b"(null)"):
            return f"CPUs are kept free of interruptions ({path})."
    return ""


def _text(path: str) -> Optional[bytes]:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None


def _number(text: bytes) -> int:
    """The first line as a number; what is none counts as set by somebody else."""
    try:
        return int(text.split(b"\n", 1)[0])
    except ValueError:
        return -1


def _open_lock(path: str) -> int:
    """Open the file that counts the runs; only root may, or a stranger could hold it locked."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    found = os.fstat(descriptor)
    if (
        not stat.S_ISREG(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "not a file of root alone", path)
    return descriptor
