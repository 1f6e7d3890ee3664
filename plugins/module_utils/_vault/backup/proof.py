# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof of a backup: its job, its recovery point, its consistency and its disks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..._arm.errors import VaultError
from ..._arm.ids import VmId
from ..._consistency import APPLICATION, FILE_SYSTEM, reaches
from ..._errors import Failure
from ..resources.jobs import Job, failure_of
from ..resources.protected_items import ProtectedItem
from ..resources.recovery_points import RecoveryPoint

_CHECK_SCRIPTS = (
    "Check the pre-script and the post-script on the VM with "
    "quiesce.azure_backup.snapshot_scripts_info, fix the problems that it reports, and back up "
    "again."
)
_CHECK_AGENT = (
    "Check the VM agent and the VMSnapshotLinux extension with "
    "quiesce.azure_backup.vm_extension_info. Check the policy too: with "
    "snapshot_consistency_type only_crash_consistent every recovery point is crash-consistent."
)


def unproven(
    vm: VmId,
    job: Job | None,
    point: RecoveryPoint | None,
    wait: bool,
    required: str | None = None,
) -> Failure | None:
    """Return the failure of a backup that is not proven, or None for a success."""
    if job is None:
        return Failure(
            "JobNotFound",
            f"Azure accepted the backup of VM {vm.name}, but its job was not found.",
            "Look for the job with quiesce.azure_backup.backup_job_info and for the recovery "
            "point with quiesce.azure_backup.recovery_point_info before you back up again.",
            vm=vm.id,
        )
    if not wait:
        return None
    if not job.succeeded:
        return failure_of(job, vm)
    if point is None or not point.is_restorable:
        return no_point(vm, job, point)
    return shortfall(vm, job, point, required) if required else None


def no_point(
    vm: VmId,
    job: Job | None,
    point: RecoveryPoint | None,
    error: VaultError | None = None,
) -> Failure:
    """Return the failure of a backup without a recovery point that can be restored."""
    done = f"Job {job.id if job else ''} has backed up VM {vm.name}, but"
    if point is not None and error is None:
        tiers = ", ".join(f"{kind or 'a tier'} is {status!r}" for kind, status in point.tiers)
        return Failure(
            "RecoveryPointNotValid",
            f"{done} Azure does not report recovery point {point.id} as restorable: "
            f"{tiers or 'it names no tier that holds the data'}.",
            "Check it later with quiesce.azure_backup.recovery_point_info, or back up again.",
            vm=vm.id,
        )
    reason = error.failure.message if error else "The vault does not list it."
    return Failure(
        error.failure.name if error else "RecoveryPointNotFound",
        f"{done} its recovery point was not found. {reason}",
        "Look for it later with quiesce.azure_backup.recovery_point_info.",
        vm=vm.id,
    )


def shortfall(vm: VmId, job: Job, point: RecoveryPoint, required: str) -> Failure | None:
    """Return the failure of a recovery point that is less consistent than required."""
    if reaches(point.consistency, required):
        return None
    reached = f"{point.consistency}-consistent" if point.consistency else f"{point.type!r}"
    reason = f" Azure reports: {job.explained}" if job.error_message or job.error_name else ""
    advice = []
    if required == APPLICATION:
        advice.append(_CHECK_SCRIPTS)
    if point.consistency not in (FILE_SYSTEM, APPLICATION):
        advice.append(_CHECK_AGENT)
    return Failure(
        "ConsistencyNotReached",
        f"VM {vm.name} was backed up, job {job.id}, but recovery point {point.id} is {reached}, "
        f"and {required} was required.{reason}",
        " ".join(advice),
        job.error_code,
        vm=vm.id,
    )


def disk_warning(item: ProtectedItem, point: RecoveryPoint, cause: str = "") -> str:
    """Return a warning about disks that a recovery point lacks, or an empty string.

    `cause` is the error of reading the point by its id, the only read that names the disks.
    """
    included, attached = point.included_disk_count, point.attached_disk_count
    left_out = point.excluded_disks or []
    start = f"VM {item.vm.name}: recovery point {point.id}"
    names = f"it lacks {_names(left_out)}" if left_out else "Azure does not name the others"
    ending = f"{names}." + (f" {cause}" if cause else "")
    if included is not None and attached is not None and included < attached:
        return f"{start} holds {included} of the {attached} disks of the VM; {ending}"
    if left_out:
        return f"{start} lacks disks of the VM; {ending}"
    if (included is None or attached is None) and not item.disks.is_everything:
        luns = ", ".join(map(str, item.disks.luns)) or "none"
        choice = "includes only data disks of LUN" if item.disks.inclusive else "excludes LUN"
        return (
            f"{start} lacks disks of the VM: its protection {choice} {luns}. Azure "
            f"does not name the disks in the point.{f' {cause}' if cause else ''}"
        )
    if cause:
        return f"{start}: its disks could not be read. {cause}"
    return ""


def _names(disks: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{disk.get('name') or 'a disk'} (LUN {disk.get('lun')})" for disk in disks)
