# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The values that the parts of a snapshot run hand to each other.

PRIVATE: for this collection only. All times are nanoseconds of the system's monotonic clock
(C(time.monotonic_ns)), which all processes of one machine share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple


@dataclass(frozen=True)
class Target:
    """One filesystem that is to be frozen."""

    mount_point: str
    #: What C(/proc/self/mountinfo) calls the source, such as C(/dev/sdc1).
    device: str
    fstype: str
    #: C(st_dev) of the mount point; a descriptor that has another one is another mount.
    dev: int
    #: Targets are frozen in ascending order of rank, those of one rank at once, root last.
    rank: int = 0


#: Outcomes of one filesystem in the window.
HELD = "held"  # frozen by us, and FITHAW proved that it stayed so until we thawed it
THAWED_EARLY = "thawed_early"  # frozen by us, and FITHAW said EINVAL: another process thawed it
HELD_BY_ANOTHER = "held_by_another"  # the same, and device-mapper is seen to keep it frozen
NOT_THAWED = "not_thawed"  # frozen by us, and no FITHAW has succeeded yet
BUSY = "busy"  # somebody else had frozen it (FIFREEZE said EBUSY); left alone
FREEZE_FAILED = "freeze_failed"  # FIFREEZE said another error
FREEZE_LATE = "freeze_late"  # FIFREEZE had not returned when the window had to end
NOT_FROZEN = "not_frozen"  # never tried


@dataclass(frozen=True)
class FilesystemRecord:
    """What happened to one filesystem in the window."""

    target: Target
    outcome: str
    freeze_started_ns: Optional[int] = None
    frozen_ns: Optional[int] = None
    thaw_started_ns: Optional[int] = None
    thawed_ns: Optional[int] = None
    #: errno of FIFREEZE and of FITHAW; 0 for success, None when not called.
    freeze_errno: Optional[int] = None
    thaw_errno: Optional[int] = None
    #: C(run), C(guard) or C(watchdog).
    thawed_by: Optional[str] = None


@dataclass(frozen=True)
class ScriptSpec:
    """A script that was checked and may run: how, how often and how long."""

    #: C(pre) or C(post).
    kind: str
    path: str
    params: Tuple[str, ...] = ()
    #: Attempts after the first one.
    retries: int = 0
    #: One budget over all attempts, in seconds.
    timeout_s: float = 30.0
    #: The identity of the file that was checked: (st_dev, st_ino, st_ctime_ns, st_size).
    #: A file that is another one when it is to run does not run.
    identity: Tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class ScriptOutcome:
    """What a script did."""

    kind: str
    attempts: int
    #: Exit status of the last attempt; negative for the number of a signal; None if it never ended
    #: by itself or never started.
    rc: Optional[int]
    duration_ms: float
    #: The last 64 KiB of what all attempts wrote, invalid UTF-8 replaced.
    tail: str = ""
    timed_out: bool = False
    #: Why no attempt could be started, for example because the file changed since the check.
    not_started: str = ""
    #: C(run), C(guard) or C(watchdog).
    run_by: str = "run"
    #: When the script had ended, processes of its group had not; they were killed.
    left_processes: bool = False

    @property
    def succeeded(self) -> bool:
        """Whether the last attempt ended with exit status 0 within the budget."""
        return self.rc == 0 and not self.timed_out and not self.not_started
