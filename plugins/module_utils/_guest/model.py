# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that the parts of a snapshot run exchange.

All times are nanoseconds of the system's monotonic clock (`time.monotonic_ns`), which all processes
of one machine share.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One filesystem to freeze."""

    mount_point: str
    #: The source in `/proc/self/mountinfo`, such as `/dev/sdc1`.
    device: str
    fstype: str
    #: `st_dev` of the mount point; a descriptor with another `st_dev` is another mount.
    dev: int
    #: Targets are frozen in ascending order of rank, all of one rank at once, root last.
    rank: int = 0


#: Outcomes of one filesystem in the window.
HELD = "held"  # frozen by this run; FITHAW proved that it stayed frozen until then
THAWED_EARLY = "thawed_early"  # frozen by this run; EINVAL of FITHAW: another process thawed it
HELD_BY_ANOTHER = "held_by_another"  # the same, but device-mapper keeps it frozen
NOT_THAWED = "not_thawed"  # frozen by this run; no FITHAW has succeeded yet
BUSY = "busy"  # frozen by another process before (EBUSY of FIFREEZE); left alone
FREEZE_FAILED = "freeze_failed"  # another errno of FIFREEZE
FREEZE_LATE = "freeze_late"  # FIFREEZE had not returned when the window had to end
NOT_FROZEN = "not_frozen"  # FIFREEZE was not called


@dataclass(frozen=True)
class FilesystemRecord:
    """The history of one filesystem in the window."""

    target: Target
    outcome: str
    freeze_started_ns: int | None = None
    frozen_ns: int | None = None
    thaw_started_ns: int | None = None
    thawed_ns: int | None = None
    #: errno of FIFREEZE and of FITHAW; 0 for success, None if not called.
    freeze_errno: int | None = None
    thaw_errno: int | None = None
    #: `run`, `guard` or `watchdog`.
    thawed_by: str | None = None


@dataclass(frozen=True)
class ScriptSpec:
    """A checked script that may run, with its parameters, retries and timeout."""

    #: `pre` or `post`.
    kind: str
    path: str
    params: tuple[str, ...] = ()
    #: Attempts after the first one.
    retries: int = 0
    #: The limit for all attempts together, in seconds.
    timeout_s: float = 30.0
    #: The identity of the checked file: (st_dev, st_ino, st_ctime_ns, st_size). A file whose
    #: identity has changed since the check does not run.
    identity: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class ScriptOutcome:
    """The outcome of a script."""

    kind: str
    attempts: int
    #: Exit status of the last attempt; negative for the number of a signal; None if it did not end
    #: by itself or did not start.
    rc: int | None
    duration_ms: float
    #: The last 64 KiB of the output of all attempts, invalid UTF-8 replaced.
    tail: str = ""
    timed_out: bool = False
    #: The reason why no attempt started, for example that the file changed since the check.
    not_started: str = ""
    #: `run`, `guard` or `watchdog`.
    run_by: str = "run"
    #: Processes of the group outlived the script and were killed.
    left_processes: bool = False

    @property
    def succeeded(self) -> bool:
        """True if the last attempt ended with exit status 0 within the timeout."""
        return self.rc == 0 and not self.timed_out and not self.not_started
