# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back up now: trigger, follow the jobs, find their recovery points, compare the consistency.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from .._arm.clock import Backoff
from .._arm.connection import AcceptedOperation, VaultConnection, map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import FABRIC, VmId
from .._arm.options import chosen_vms, vault_arguments, vms_arguments, wait_arguments
from .._arm.times import format_utc, parse_time_option
from .._errors import Failure, refuse
from .._vault.backup.proof import disk_warning, no_point, unproven
from .._vault.jobs.poller import JobPoller, PendingJob
from .._vault.resources.jobs import IN_PROGRESS, Job, list_jobs
from .._vault.resources.protected_items import (
    PROTECTED,
    SOFT_DELETED,
    UNKNOWN,
    ProtectedItem,
    list_items,
    namesakes,
)
from .._vault.resources.recovery_points import (
    CONSISTENCIES,
    RecoveryPoint,
    get_point,
    least,
    list_points,
    point_of_job,
)
from .._vault.vm_failures import VmFailuresError

VM_BACKUP_ARGUMENTS: Dict[str, Any] = {
    **vault_arguments(),
    **vms_arguments(),
    **wait_arguments(28800),
    "retain_until": {"type": "str"},
    "require_consistency": {"type": "str", "choices": list(reversed(CONSISTENCIES))},
}
_LONGEST_RETENTION_YEARS = 99
# A recovery point may be listed some time after the job is over.
_LOOKS_FOR_POINTS = 8
# Of a request that ended like this, it is not known whether Azure has carried it out.
_FATE_UNKNOWN = frozenset({"service", "connection", "answer"})
_LONGEST_BACKUP = timedelta(days=7)
_UNKNOWN = "Whether Azure has begun the backup all the same is not known."
_SEE_FIRST = (
    "Look with quiesce.azure_backup.backup_job_info whether a backup of the VM has begun; if not, "
    "run the task again."
)


class BackupRequest(NamedTuple):
    """The options of a backup."""

    retain_until: Optional[datetime]
    require_consistency: Optional[str]
    wait: bool
    poll_interval_s: float


class _Backup:
    """One VM's backup, as far as it has come."""

    def __init__(self, vm: VmId, items: Mapping[str, ProtectedItem], vault: str) -> None:
        self.vm = vm
        self.item = items.get(vm.key)
        self.failure = unfit(vm, self.item, vault, namesakes(vm, items))
        self.changed = False
        self.expected: Optional[PendingJob] = None
        self.job: Optional[Job] = None
        self.point: Optional[RecoveryPoint] = None
        self.warnings: List[str] = []

    @property
    def protected_item(self) -> ProtectedItem:
        """The item; raises C(LookupError) for a VM that is not fit to be backed up."""
        if self.item is None:
            raise LookupError(self.vm.id)
        return self.item

    @property
    def found_point(self) -> RecoveryPoint:
        """The point; raises C(LookupError) where none was found."""
        if self.point is None:
            raise LookupError(self.vm.id)
        return self.point

    def to_result(self) -> Dict[str, Any]:
        return {
            "name": self.vm.name,
            "id": self.vm.id,
            "changed": self.changed,
            "job_id": self.job.id if self.job else None,
            "status": self.job.status if self.job else None,
            "consistency": self.point.consistency if self.point else None,
            "recovery_point": self.point.to_result() if self.point else None,
            "warnings": self.warnings,
            "failure": self.failure.to_result() if self.failure else None,
        }


def back_up(
    connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
) -> Dict[str, Any]:
    """Back up the VMs that can be, and fail in the end if any was not, or not as required."""
    wanted = read_wanted(params, connection.clock.now())
    vms = chosen_vms(params, connection)
    if not vms and wanted.require_consistency:
        refuse(
            "MissingVms",
            "vms is empty, so there is no backup whose consistency could be shown.",
            "Give at least one VM, or leave out require_consistency.",
        )
    items = list_items(connection) if vms else {}
    backups = [_Backup(vm, items, connection.vault.name) for vm in vms]
    fit = [backup for backup in backups if backup.failure is None]
    if check_mode:
        for backup in fit:
            backup.changed = True
    else:
        _trigger(connection, fit, wanted)
        _follow(connection, [backup for backup in fit if backup.expected], wanted)
        if wanted.wait:
            done = [one for one in fit if one.failure is None and one.job and one.job.succeeded]
            _find_points(connection, done, wanted)
            _read_disks(connection, [one for one in done if one.failure is None])
        for backup in fit:
            backup.failure = backup.failure or unproven(
                backup.vm, backup.job, backup.point, wanted.wait, wanted.require_consistency
            )
    return _ending(backups)


def read_wanted(params: Mapping[str, Any], now: datetime) -> BackupRequest:
    """The options; raises C(SettingsError) for those that make no sense."""
    until = parse_time_option("retain_until", params["retain_until"], end_of_day=True)
    if until is not None and until <= now:
        refuse(
            "InvalidRetainUntil",
            f"retain_until: {params['retain_until']!r} is not in the future.",
            "Give a time at which the recovery point is to expire, after the backup.",
        )
    if until is not None and until > now + timedelta(days=365.25 * _LONGEST_RETENTION_YEARS):
        refuse(
            "InvalidRetainUntil",
            f"retain_until: {params['retain_until']!r} is more than 99 years from now, which is "
            "the longest that Azure keeps a recovery point.",
        )
    required = params["require_consistency"]
    if required and not params["wait"]:
        refuse(
            "ContradictoryOptions",
            "require_consistency cannot be checked with wait=false: how consistent a backup is "
            "shows when its job is over.",
            "Leave one of them out, or look later with quiesce.azure_backup.recovery_point_info.",
        )
    return BackupRequest(until, required, params["wait"], params["poll_interval"])


def unfit(vm: VmId, item: Optional[ProtectedItem], vault: str, hint: str = "") -> Optional[Failure]:
    """Why a VM cannot be backed up now, by what the vault says of it."""
    if item is None:
        name, what, advice = (
            "VmNotProtected",
            "is not protected by it",
            hint or "Protect it with quiesce.azure_backup.protected_vm, then back up again.",
        )
    elif item.state == SOFT_DELETED:
        until = f", and is kept until {format_utc(item.soft_deleted_until)}"
        name, what, advice = (
            "VmSoftDeleted",
            f"was deleted from it{until if item.soft_deleted_until else ''}",
            "Undelete and protect it with quiesce.azure_backup.protected_vm (state protected does "
            "both), then back up again.",
        )
    elif item.state not in (PROTECTED, UNKNOWN):
        name, what, advice = (
            "VmProtectionStopped",
            f"is not backed up any more ({item.protection_state})",
            "Resume its protection with quiesce.azure_backup.protected_vm and a policy, then back "
            "up again.",
        )
    else:
        return None
    return Failure(name, f"Vault {vault}: VM {vm.name} {what}.", advice, vm=vm.id)


def _trigger(
    connection: VaultConnection, backups: Sequence[_Backup], wanted: BackupRequest
) -> None:
    """Ask for the backups, each once: what is not known to have failed is not asked for again."""
    properties = {"objectType": "IaasVMBackupRequest"}
    if wanted.retain_until:
        until = str(format_utc(wanted.retain_until))
        properties["recoveryPointExpiryTimeInUTC"] = until.replace("Z", ".000Z")
    before = connection.server_now()

    def ask(backup: _Backup) -> AcceptedOperation:
        item = backup.protected_item
        return connection.start(
            f"back up VM {backup.vm.name}",
            lambda **options: connection.backup.backups.trigger(
                **connection.at,
                fabric_name=FABRIC,
                container_name=item.container,
                protected_item_name=item.item,
                parameters={"properties": properties},
                **options,
            ),
            backup.vm,
        )

    refused = []
    for backup, answer in map_concurrently(ask, backups):
        if isinstance(answer, VaultError):
            backup.failure = answer.failure
            refused.append((backup, answer))
        else:
            backup.changed = True
            backup.expected = PendingJob(backup.vm, "Backup", answer.at, answer.operation_id)
    doubtful = [
        (backup, error) for backup, error in refused if error.is_busy or error.kind in _FATE_UNKNOWN
    ]
    if doubtful:
        _look_at_jobs(connection, doubtful, before)


def _look_at_jobs(
    connection: VaultConnection, refused: "Sequence[tuple[_Backup, VaultError]]", before: datetime
) -> None:
    """See what runs on the VMs whose backup was refused, and whether one began of a lost answer."""
    begun: List[Job] = []
    running: List[Job] = []
    unknown = [error.kind in _FATE_UNKNOWN for _backup, error in refused]
    try:
        # It may have ended by now, so its status does not matter.
        if any(unknown) or any(error.is_doubtful for _backup, error in refused):
            begun = list_jobs(connection, operation="Backup", started_after=before)
        if not all(unknown):
            long_ago = connection.server_now() - _LONGEST_BACKUP
            running = list_jobs(connection, status=IN_PROGRESS, started_after=long_ago)
    except VaultError:
        pass
    for (backup, error), is_unknown in zip(refused, unknown):
        if is_unknown:
            backup.failure = replace(
                error.failure,
                message=f"{error.failure.message} {_UNKNOWN}",
                recommended_action=_SEE_FIRST,
            )
        # In the way of a second attempt may be the first. Of those since, ours is the oldest.
        key = backup.vm.container_key
        job = next((job for job in reversed(begun) if job.container_key == key), None)
        if job and job.start_time and (is_unknown or error.is_doubtful):
            backup.failure, backup.changed = None, True
            backup.expected = PendingJob(backup.vm, "Backup", job.start_time)
            backup.warnings.append(
                f"{error.failure.message} Job {job.id} of VM {backup.vm.name}, which began just "
                "then, is taken for the one that was asked for."
            )
            continue
        job = next((job for job in running if job.container_key == key), None)
        if job and job.start_time and not is_unknown:
            backup.failure = _busy(backup.vm, job, error.failure)


def _busy(vm: VmId, job: Job, failure: Failure) -> Failure:
    return replace(
        failure,
        message=(
            f"VM {vm.name} was not backed up, as job {job.id} ({job.operation}) has been running "
            f"on it since {format_utc(job.start_time)}. {failure.message}"
        ),
        recommended_action=(
            f"Wait for it with quiesce.azure_backup.backup_job, job_id {job.id} and state "
            "finished. If that is not the backup that you want, back up again then."
        ),
    )


def _follow(connection: VaultConnection, backups: Sequence[_Backup], wanted: BackupRequest) -> None:
    follower = JobPoller(connection, connection.deadline, wanted.poll_interval_s)
    expected = [backup.expected for backup in backups if backup.expected]
    outcomes = follower.follow(expected) if wanted.wait else follower.find(expected)
    for backup in backups:
        outcome = outcomes[backup.vm.key]
        backup.job, backup.failure = outcome.job, outcome.failure
        if outcome.job and outcome.job.warning:
            backup.warnings.append(f"Backup of VM {backup.vm.name}: {outcome.job.warning}")


def _find_points(
    connection: VaultConnection, backups: Sequence[_Backup], wanted: BackupRequest
) -> None:
    """Find each job's recovery point; a list that lags is read again, a few times."""
    waiting = Backoff(connection.clock, connection.deadline, wanted.poll_interval_s)
    errors: Dict[str, VaultError] = {}

    def look(backup: _Backup) -> Optional[RecoveryPoint]:
        if backup.job is None:
            return None
        after = (backup.job.start_time or connection.server_now()) - timedelta(minutes=1)
        points = list_points(connection, backup.protected_item, after)
        return point_of_job(points, backup.job, wanted.retain_until)

    lacking = list(backups)
    for number in range(_LOOKS_FOR_POINTS):
        if not lacking or (number and not waiting.sleep()):
            break
        errors.clear()
        for backup, found in map_concurrently(look, lacking):
            if isinstance(found, VaultError):
                errors[backup.vm.key] = found
            else:
                backup.point = found
        lacking = [one for one in lacking if one.point is None or not one.point.is_restorable]
    for backup in lacking:
        error = errors.get(backup.vm.key)
        backup.failure = no_point(backup.vm, backup.job, backup.point, error)


def _read_disks(connection: VaultConnection, backups: Sequence[_Backup]) -> None:
    """Find out which disks are in the points, by their ids where the list leaves it open, and warn.

    It counts against the same hourly limit as the lists, so a point whose counts show that every
    disk is in it is not read again.
    """

    def read(backup: _Backup) -> RecoveryPoint:
        listed = backup.found_point
        return listed.with_disks_of(get_point(connection, backup.protected_item, listed.id))

    open_ones = [one for one in backups if one.point is not None and one.point.may_lack_disks]
    for backup, answer in map_concurrently(read, open_ones):
        cause = ""
        if isinstance(answer, VaultError):
            cause = answer.failure.message
        else:
            backup.point = answer
        warning = disk_warning(backup.protected_item, backup.found_point, cause)
        if warning:
            backup.warnings.append(warning)


def _ending(backups: Sequence[_Backup]) -> Dict[str, Any]:
    """The result, or the error that carries it."""
    result: Dict[str, Any] = {
        "changed": any(backup.changed for backup in backups),
        "vms": [backup.to_result() for backup in backups],
        "consistency": least([one.point.consistency if one.point else None for one in backups]),
        "warnings": [warning for backup in backups for warning in backup.warnings],
    }
    if not backups:
        result["warnings"] = ["vms is empty: no VM was backed up."]
    failed = [(backup.vm.name, backup.failure) for backup in backups if backup.failure]
    if failed:
        raise VmFailuresError(failed, len(backups), result)
    return result
