# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `vm_backup`: start backups, wait for their jobs and check the recovery points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from .._arm.clock import Backoff
from .._arm.connection import AcceptedOperation, map_concurrently
from .._arm.errors import VaultError
from .._arm.ids import FABRIC, VmId
from .._arm.options import chosen_vms
from .._arm.times import format_utc, parse_time_option
from .._consistency import APPLICATION, CRASH, FILE_SYSTEM
from .._errors import Failure, SettingsError
from .._vault.backup.proof import disk_warning, no_point, unproven
from .._vault.connection import VaultConnection
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
    RecoveryPoint,
    get_point,
    least,
    list_points,
    point_of_job,
)
from .._vault.vm_failures import VmFailuresError
from .argument_spec import ArgumentSpec
from .base import TaskContext
from .vault_base import VAULT, VMS, wait_spec

_TIMEOUT_S = 28800
VM_BACKUP = VAULT.merge(
    VMS,
    wait_spec(_TIMEOUT_S),
    ArgumentSpec(
        {
            "retain_until": {"type": "str"},
            "require_consistency": {"type": "str", "choices": [APPLICATION, FILE_SYSTEM, CRASH]},
        }
    ),
)
_LONGEST_RETENTION_YEARS = 99
# A recovery point may be listed later than its job ends.
_POLLS_FOR_POINTS = 8
# After a failure of these kinds it is not known whether the request took effect.
_OUTCOME_UNKNOWN = frozenset({"service", "connection", "answer"})
_LONGEST_BACKUP = timedelta(days=7)
_UNKNOWN = "Azure may still have started the backup."
_SEE_FIRST = (
    "Check with quiesce.azure_backup.backup_job_info whether a backup of the VM has started. If "
    "not, run the task again."
)


class BackupRequest(NamedTuple):
    """The options of a backup."""

    retain_until: datetime | None
    require_consistency: str | None
    wait: bool
    poll_interval_s: float


class _Backup:
    """The progress of the backup of one VM."""

    def __init__(self, vm: VmId, items: Mapping[str, ProtectedItem], vault: str) -> None:
        self.vm = vm
        self.item = items.get(vm.key)
        self.failure = unfit(vm, self.item, vault, namesakes(vm, items))
        self.changed = False
        self.expected: PendingJob | None = None
        self.job: Job | None = None
        self.point: RecoveryPoint | None = None
        self.warnings: list[str] = []

    @property
    def protected_item(self) -> ProtectedItem:
        """The item. Raises `LookupError` for a VM that cannot be backed up."""
        if self.item is None:
            raise LookupError(self.vm.id)
        return self.item

    @property
    def found_point(self) -> RecoveryPoint:
        """The recovery point. Raises `LookupError` if it was not found."""
        if self.point is None:
            raise LookupError(self.vm.id)
        return self.point

    def to_result(self) -> dict[str, Any]:
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


def back_up(connection: VaultConnection, context: TaskContext) -> dict[str, Any]:
    """Back up the VMs that can be backed up, and return the result.

    Raises `VmFailuresError` after all VMs were processed, if a VM was not backed up as required.
    """
    request = read_request(context.params, connection.clock.now())
    vms = chosen_vms(context.params, connection)
    if not vms and request.require_consistency:
        raise SettingsError(
            Failure(
                "MissingVms",
                "vms is empty, so require_consistency has no backup to check.",
                "Add at least one VM to vms, or omit require_consistency.",
            )
        )
    items = list_items(connection) if vms else {}
    backups = [_Backup(vm, items, connection.vault.name) for vm in vms]
    fit = [backup for backup in backups if backup.failure is None]
    if context.check_mode:
        for backup in fit:
            backup.changed = True
    else:
        _trigger(connection, fit, request)
        _follow(connection, [backup for backup in fit if backup.expected], request)
        if request.wait:
            done = [
                each for each in fit if each.failure is None and each.job and each.job.succeeded
            ]
            _find_points(connection, done, request)
            _read_disks(connection, [each for each in done if each.failure is None])
        for backup in fit:
            backup.failure = backup.failure or unproven(
                backup.vm, backup.job, backup.point, request.wait, request.require_consistency
            )
    return _result(backups)


def read_request(params: Mapping[str, Any], now: datetime) -> BackupRequest:
    """Return the backup that the options request. Raises `SettingsError` for invalid options."""
    until = parse_time_option("retain_until", params["retain_until"], end_of_day=True)
    if until is not None and until <= now:
        raise SettingsError(
            Failure(
                "InvalidRetainUntil",
                f"retain_until: {params['retain_until']!r} is not in the future.",
                "Set retain_until to a time after the backup, at which the recovery point expires.",
            )
        )
    if until is not None and until > now + timedelta(days=365.25 * _LONGEST_RETENTION_YEARS):
        raise SettingsError(
            Failure(
                "InvalidRetainUntil",
                f"retain_until: {params['retain_until']!r} is more than 99 years from now, the "
                "longest time for which Azure keeps a recovery point.",
                "Set retain_until to an earlier time.",
            )
        )
    required = params["require_consistency"]
    if required and not params["wait"]:
        raise SettingsError(
            Failure(
                "ContradictoryOptions",
                "require_consistency cannot be checked with wait=false, because the consistency of "
                "a backup is known only after its job has finished.",
                "Omit one of them, or check later with quiesce.azure_backup.recovery_point_info.",
            )
        )
    return BackupRequest(until, required, params["wait"], params["poll_interval"])


def unfit(vm: VmId, item: ProtectedItem | None, vault: str, hint: str = "") -> Failure | None:
    """Return the reason why a VM cannot be backed up in its present state, or None."""
    if item is None:
        name, state, advice = (
            "VmNotProtected",
            "is not protected",
            hint or "Protect it with quiesce.azure_backup.protected_vm, then back up again.",
        )
    elif item.state == SOFT_DELETED:
        until = f", and its data is kept until {format_utc(item.soft_deleted_until)}"
        name, state, advice = (
            "VmSoftDeleted",
            f"is soft-deleted{until if item.soft_deleted_until else ''}",
            "Undelete and protect it with quiesce.azure_backup.protected_vm and state=protected, "
            "then back up again.",
        )
    elif item.state not in (PROTECTED, UNKNOWN):
        name, state, advice = (
            "VmProtectionStopped",
            f"is no longer backed up ({item.protection_state})",
            "Resume its protection with quiesce.azure_backup.protected_vm and a policy, then back "
            "up again.",
        )
    else:
        return None
    return Failure(name, f"Vault {vault}: VM {vm.name} {state}.", advice, vm=vm.id)


def _trigger(
    connection: VaultConnection, backups: Sequence[_Backup], request: BackupRequest
) -> None:
    """Start each backup once. A request that may have taken effect is not repeated."""
    properties = {"objectType": "IaasVMBackupRequest"}
    if request.retain_until:
        until = str(format_utc(request.retain_until))
        properties["recoveryPointExpiryTimeInUTC"] = until.replace("Z", ".000Z")
    before = connection.server_now()

    def start(backup: _Backup) -> AcceptedOperation:
        item = backup.protected_item
        return connection.start(
            f"back up VM {backup.vm.name}",
            lambda **options: connection.backup.backups.trigger(
                **connection.vault_keywords,
                fabric_name=FABRIC,
                container_name=item.container,
                protected_item_name=item.item,
                parameters={"properties": properties},
                **options,
            ),
            backup.vm,
        )

    refused = []
    for outcome in map_concurrently(start, backups):
        backup = outcome.item
        if outcome.error is not None:
            backup.failure = outcome.error.failure
            refused.append((backup, outcome.error))
        else:
            accepted = outcome.value
            backup.changed = True
            backup.expected = PendingJob(backup.vm, "Backup", accepted.at, accepted.operation_id)
    doubtful = [
        (backup, error)
        for backup, error in refused
        if error.is_busy or error.kind in _OUTCOME_UNKNOWN
    ]
    if doubtful:
        _match_jobs(connection, doubtful, before)


def _match_jobs(
    connection: VaultConnection, refused: Sequence[tuple[_Backup, VaultError]], before: datetime
) -> None:
    """Find the job of each request whose response was lost, and the jobs that block the others."""
    started: list[Job] = []
    running: list[Job] = []
    unknown = [error.kind in _OUTCOME_UNKNOWN for _backup, error in refused]
    try:
        # The job may have ended since, so list it with any status.
        if any(unknown) or any(error.is_doubtful for _backup, error in refused):
            started = list_jobs(connection, operation="Backup", started_after=before)
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
        # A retry may be blocked by its own first attempt. The oldest job since then is ours.
        key = backup.vm.container_key
        job = next((job for job in reversed(started) if job.container_key == key), None)
        if job and job.start_time and (is_unknown or error.is_doubtful):
            backup.failure, backup.changed = None, True
            backup.expected = PendingJob(backup.vm, "Backup", job.start_time)
            backup.warnings.append(
                f"{error.failure.message} The module assumes that job {job.id} of VM "
                f"{backup.vm.name}, which started at that time, is the requested backup."
            )
            continue
        job = next((job for job in running if job.container_key == key), None)
        if job and job.start_time and not is_unknown:
            backup.failure = _busy(backup.vm, job, error.failure)


def _busy(vm: VmId, job: Job, failure: Failure) -> Failure:
    return replace(
        failure,
        message=(
            f"VM {vm.name} was not backed up, because job {job.id} ({job.operation}) has been "
            f"running on it since {format_utc(job.start_time)}. {failure.message}"
        ),
        recommended_action=(
            f"Wait for it with quiesce.azure_backup.backup_job, job_id={job.id} and "
            "state=finished. If it is not the backup that you want, back up again afterwards."
        ),
    )


def _follow(
    connection: VaultConnection, backups: Sequence[_Backup], request: BackupRequest
) -> None:
    poller = JobPoller(connection, connection.deadline, request.poll_interval_s)
    expected = [backup.expected for backup in backups if backup.expected]
    outcomes = poller.follow(expected) if request.wait else poller.find(expected)
    for backup in backups:
        outcome = outcomes[backup.vm.key]
        backup.job, backup.failure = outcome.job, outcome.failure
        if outcome.job and outcome.job.warning:
            backup.warnings.append(f"Backup of VM {backup.vm.name}: {outcome.job.warning}")


def _find_points(
    connection: VaultConnection, backups: Sequence[_Backup], request: BackupRequest
) -> None:
    """Find the recovery point of each job. Poll, because the list may lag behind the jobs."""
    backoff = Backoff(connection.clock, connection.deadline, request.poll_interval_s)
    errors: dict[str, VaultError] = {}

    def find(backup: _Backup) -> RecoveryPoint | None:
        if backup.job is None:
            return None
        after = (backup.job.start_time or connection.server_now()) - timedelta(minutes=1)
        points = list_points(connection, backup.protected_item, after)
        return point_of_job(points, backup.job, request.retain_until)

    lacking = list(backups)
    for number in range(_POLLS_FOR_POINTS):
        if not lacking or (number and not backoff.sleep()):
            break
        errors.clear()
        for outcome in map_concurrently(find, lacking):
            if outcome.error is not None:
                errors[outcome.item.vm.key] = outcome.error
            else:
                outcome.item.point = outcome.value
        lacking = [each for each in lacking if each.point is None or not each.point.is_restorable]
    for backup in lacking:
        error = errors.get(backup.vm.key)
        backup.failure = no_point(backup.vm, backup.job, backup.point, error)


def _read_disks(connection: VaultConnection, backups: Sequence[_Backup]) -> None:
    """Read the disks of recovery points that may lack disks, and warn about missing disks.

    These requests count against the hourly limit of the lists. Therefore a recovery point whose
    counts show that it has every disk is not read.
    """

    def read(backup: _Backup) -> RecoveryPoint:
        listed = backup.found_point
        return listed.with_disks_of(get_point(connection, backup.protected_item, listed.id))

    uncertain = [each for each in backups if each.point is not None and each.point.may_lack_disks]
    for outcome in map_concurrently(read, uncertain):
        backup, cause = outcome.item, ""
        if outcome.error is not None:
            cause = outcome.error.failure.message
        else:
            backup.point = outcome.value
        warning = disk_warning(backup.protected_item, backup.found_point, cause)
        if warning:
            backup.warnings.append(warning)


def _result(backups: Sequence[_Backup]) -> dict[str, Any]:
    """Return the result, or raise it as an error if a VM failed."""
    result: dict[str, Any] = {
        "changed": any(backup.changed for backup in backups),
        "vms": [backup.to_result() for backup in backups],
        "consistency": least([each.point.consistency if each.point else None for each in backups]),
        "warnings": [warning for backup in backups for warning in backup.warnings],
    }
    if not backups:
        result["warnings"] = ["vms is empty: no VM was backed up."]
    failed = [(backup.vm.name, backup.failure) for backup in backups if backup.failure]
    if failed:
        raise VmFailuresError(failed, len(backups), result)
    return result
