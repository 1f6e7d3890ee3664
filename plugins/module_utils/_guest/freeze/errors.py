# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Error messages for failed freezes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

from ..._errors import Failure, FreezeError
from ..model import BUSY, FREEZE_FAILED, FREEZE_LATE, NOT_THAWED, FilesystemRecord, Target
from .shared_state import SharedState

_EXPLANATIONS: dict[int, str] = {
    errno.EPERM: "not permitted: the run lacks CAP_SYS_ADMIN",
    errno.EOPNOTSUPP: "this type of filesystem cannot be frozen",
    errno.EIO: "input/output error on its device",
    errno.ESTALE: "it is no longer the filesystem that the run planned to freeze",
    errno.ENOSPC: "no space left on it",
    errno.EROFS: "it is read-only",
}


def describe_errno(number: int) -> str:
    """Return a description of an errno of FIFREEZE, FITHAW or syncfs."""
    return _EXPLANATIONS.get(number) or os.strerror(number)


def freeze_error(
    records: Sequence[FilesystemRecord], timeout_s: float, *, in_time: bool
) -> FreezeError:
    """Return the error of a failed freeze, by the outcome of each filesystem.

    `in_time`: the window ended before its deadline, for another reason.
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
                f"Another process has frozen {names}. This run left that alone and thawed "
                "everything that it had frozen itself.",
                "Find out which backup or person froze it. If nothing relies on that freeze, thaw "
                "it with 'fsfreeze -u'. Then run again.",
            )
        )
    failed = [record for record in records if record.outcome == FREEZE_FAILED]
    if failed:
        return _refused_error(failed)
    if in_time:
        return FreezeError(
            Failure(
                "FreezeAbandoned",
                "The freeze was abandoned before all filesystems were frozen; everything is "
                "thawed.",
                "Run again when the machine is less busy.",
            )
        )
    late = [record for record in records if record.outcome == FREEZE_LATE]
    if late:
        return _late_error(_names(record.target for record in late), timeout_s)
    return FreezeError(
        Failure(
            "FreezeTimeout",
            f"Not all filesystems were frozen within {timeout_s:g} s; everything is thawed.",
            "Run again when the machine is less busy, or raise freeze_timeout.",
        )
    )


def _refused_error(failed: Sequence[FilesystemRecord]) -> FreezeError:
    reasons = "; ".join(
        f"{_name(record.target)}: {describe_errno(record.freeze_errno or 0)}" for record in failed
    )
    return FreezeError(
        Failure(
            "FreezeFailed",
            f"The kernel refused to freeze {reasons}. Everything that this run had frozen is "
            "thawed.",
            "Read the kernel log, or set freeze to a list without this filesystem.",
        )
    )


def _late_error(names: str, timeout_s: float) -> FreezeError:
    return FreezeError(
        Failure(
            "FreezeTimeout",
            f"The freeze of {names} had not returned after {timeout_s:g} s. The supervisors thaw "
            "it as soon as it returns; everything else is thawed.",
            "Check the storage and the write load. Run again when the load is lower, or raise "
            "freeze_timeout.",
        )
    )


def thaw_failure(records: Sequence[FilesystemRecord]) -> Failure | None:
    """Return the failure that names the filesystems still frozen; None if all are thawed."""
    stuck = [record for record in records if record.outcome == NOT_THAWED]
    if not stuck:
        return None
    reasons = "; ".join(
        f"{_name(record.target)}: "
        + (
            describe_errno(record.thaw_errno)
            if record.thaw_errno
            else "the kernel has not answered"
        )
        for record in stuck
    )
    return Failure(
        "ThawFailed",
        f"Still frozen, because no thaw has succeeded: {reasons}. The guard and the watchdog keep "
        "trying.",
        "Read the kernel log and check the storage. Try 'fsfreeze -u' by hand.",
    )


def flush_error(
    state: SharedState, targets: Sequence[Target], limit_s: float, short_s: float
) -> FreezeError:
    """Return the error of a flush that failed or never became short."""
    pairs = list(zip(state.filesystems, targets))
    failed = [(filesystem, target) for filesystem, target in pairs if filesystem.flush_errno]
    if failed:
        reasons = "; ".join(
            f"{_name(target)}: {describe_errno(filesystem.flush_errno)}"
            for filesystem, target in failed
        )
        return FreezeError(
            Failure("FlushFailed", f"Flushing failed on {reasons}.", "Read the kernel log.")
        )
    slow = _names(
        target for filesystem, target in pairs if filesystem.flush_round != state.flush_round
    )
    return FreezeError(
        Failure(
            "FlushTimeout",
            f"After {limit_s:g} s of flushing, {slow} still had more to write than fits in "
            f"{short_s:g} s, so a freeze would stall its writers. Nothing was frozen.",
            "Stop heavy writers in the pre-script, check the storage, or raise freeze_timeout.",
        )
    )


def supervisor_lost(operation: str, message: str) -> FreezeError:
    """Return the error of a run whose guard or watchdog is missing."""
    return FreezeError(
        Failure(
            "SupervisorLost",
            f"{message} Nothing may be frozen without both supervisors, so {operation} was "
            "abandoned; everything is thawed.",
            "Find out what killed it (kernel log, service manager log), then run again.",
        )
    )


def run_taken_over(operation: str, supervisor: str) -> FreezeError:
    """Return the error of a run that continues after a supervisor has taken it over."""
    return FreezeError(
        Failure(
            "RunTakenOver",
            f"The run made no progress for longer than its stage may last. The {supervisor} thawed "
            f"everything and ran the post-script if it was due; {operation} was abandoned.",
            "Find out what stopped or delayed the process, then run again.",
        )
    )


def _name(target: Target) -> str:
    return f"{target.mount_point} ({target.device}, {target.fstype})"


def _names(targets: Iterable[Target]) -> str:
    return ", ".join(_name(target) for target in targets)
