# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is said when a freeze does not succeed.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import errno
import os
from typing import Dict, Iterable, Optional, Sequence

from ..._errors import Failure, FreezeError
from ..model import BUSY, FREEZE_FAILED, FREEZE_LATE, NOT_THAWED, FilesystemRecord, Target
from .shared_state import SharedState

_WORDS: Dict[int, str] = {
    errno.EPERM: "not permitted: the run lacks CAP_SYS_ADMIN",
    errno.EOPNOTSUPP: "this type of filesystem cannot be frozen",
    errno.EIO: "an input/output error of its device",
    errno.ESTALE: "the mount point is not the filesystem any more that was to be frozen",
    errno.ENOSPC: "no space left on it",
    errno.EROFS: "it is read-only",
}


def describe_errno(number: int) -> str:
    """What an errno of FIFREEZE or syncfs means, for people."""
    return _WORDS.get(number) or os.strerror(number)


def freeze_error(
    records: Sequence[FilesystemRecord], timeout_s: float, *, in_time: bool
) -> FreezeError:
    """The error of a freeze that failed, from what happened to each filesystem.

    C(in_time): the window was ended for another reason than its deadline.
    """
    stuck = thaw_failure(records)
    if stuck is not None:
        return FreezeError(stuck)
    busy = [record for record in records if record.outcome == BUSY]
    if busy:
        names = _names(record.target for record in busy)
        return FreezeError(
            Failure(
                "FrozenByAnother",
                f"Somebody else has frozen {names}. It was left alone; what this run had frozen "
                "is thawed.",
                "Find out which backup or person froze it. Thaw it with 'fsfreeze -u' only if you "
                "know that nobody relies on it, then run again.",
            )
        )
    failed = [record for record in records if record.outcome == FREEZE_FAILED]
    if failed:
        said = "; ".join(
            f"{_name(record.target)}: {describe_errno(record.freeze_errno or 0)}"
            for record in failed
        )
        return FreezeError(
            Failure(
                "FreezeFailed",
                f"The kernel refused to freeze {said}. What this run had frozen is thawed.",
                "See the kernel's log, or leave the filesystem out with the option 'freeze'.",
            )
        )
    late = [record for record in records if record.outcome == FREEZE_LATE]
    if late and not in_time:
        return _late_error(_names(record.target for record in late), timeout_s)
    return FreezeError(
        Failure(
            "FreezeTimeout" if not in_time else "FreezeAbandoned",
            f"Not all filesystems were frozen within {timeout_s:g} s; everything is thawed.",
            "Run again when the machine has less to do.",
        )
    )


def _late_error(names: str, timeout_s: float) -> FreezeError:
    return FreezeError(
        Failure(
            "FreezeTimeout",
            f"The freeze of {names} had not returned after {timeout_s:g} s. It is thawed the "
            "moment it returns; everything else is thawed.",
            "Look whether the storage answers and who writes so much; run again when it is "
            "quiet, or raise the option 'freeze_timeout'.",
        )
    )


def thaw_failure(records: Sequence[FilesystemRecord]) -> Optional[Failure]:
    """What is to be said of filesystems that are still frozen; None when none is."""
    stuck = [record for record in records if record.outcome == NOT_THAWED]
    if not stuck:
        return None
    said = "; ".join(
        f"{_name(one.target)}: "
        + (describe_errno(one.thaw_errno) if one.thaw_errno else "the kernel has not answered")
        for one in stuck
    )
    return Failure(
        "ThawFailed",
        f"Still frozen, because the thaw has not succeeded: {said}. The guard and the watchdog "
        "go on trying.",
        "Look at the kernel's log and whether the storage answers; try 'fsfreeze -u' by hand.",
    )


def flush_error(
    state: SharedState, targets: Sequence[Target], limit_s: float, short_s: float
) -> FreezeError:
    """The error of a flush that failed or had always more to write."""
    pairs = list(zip(state.filesystems, targets))
    failed = [(filesystem, target) for filesystem, target in pairs if filesystem.flush_errno]
    if failed:
        said = "; ".join(
            f"{_name(target)}: {describe_errno(filesystem.flush_errno)}"
            for filesystem, target in failed
        )
        return FreezeError(
            Failure("FlushFailed", f"Flushing failed on {said}.", "See the kernel's log.")
        )
    slow = _names(
        target for filesystem, target in pairs if filesystem.flush_round != state.flush_round
    )
    return FreezeError(
        Failure(
            "FlushTimeout",
            f"After {limit_s:g} s of flushing, {slow} still had more to write than can be written "
            f"in {short_s:g} s, so a freeze would stall its writers for long. Nothing was frozen.",
            "Have the pre-script stop what writes so much, look whether the storage answers, or "
            "raise the option 'freeze_timeout'.",
        )
    )


def supervisor_lost(what: str, message: str) -> FreezeError:
    """The error when guard or watchdog are not there."""
    return FreezeError(
        Failure(
            "SupervisorLost",
            f"{message} Nothing may be frozen without it, so {what} was given up; everything is "
            "thawed.",
            "Find out what killed it (the kernel's log, the service manager's), and run again.",
        )
    )


def run_taken_over(what: str, supervisor: str) -> FreezeError:
    """The error of a run that comes back after it was silent for too long."""
    return FreezeError(
        Failure(
            "RunTakenOver",
            f"The run did not go on for longer than a stage of it may last, so the {supervisor} "
            f"thawed everything and ran the post-script if it was owed; {what} was given up.",
            "Find out what stopped or delayed the process, and run again.",
        )
    )


def _name(target: Target) -> str:
    return f"{target.mount_point} ({target.device}, {target.fstype})"


def _names(targets: Iterable[Target]) -> str:
    return ", ".join(_name(target) for target in targets)
