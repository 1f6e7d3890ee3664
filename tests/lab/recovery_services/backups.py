# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backups on demand, the recovery points they make, and restores of disks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, List, Mapping, Optional

from tests.lab.recovery_services import jobs
from tests.lab.recovery_services.errors import busy, gateway, invalid_input, soft_deleted
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import (
    Item,
    Job,
    Operation,
    RecoveryPoint,
    Task,
    Vault,
    new_id,
)
from tests.lab.recovery_services.plans import Plan
from tests.lab.recovery_services.protection import CHANGES
from tests.lab.recovery_services.seed import SNAPSHOT_EXTENSION
from tests.lab.recovery_services.times import american, parse_time

_CRASH = (
    "UserErrorBackupTookCrashConsistentSnapshot",
    "Backup has succeeded with Crash consistent snapshot as Application consistent snapshot "
    "could not be taken.",
    "For Application/File consistent snapshot please select a supported distribution from the list",
)
#: The shares of a backup after which the snapshot's time is set, the snapshot is there, and all
#: data is in the vault.
_TAKEN, _SNAPSHOT, _TRANSFERRED, _VALIDATED = 0.25, 0.49, 0.76, 0.99
#: So long after the snapshot the transfer still shows as not started.
_PAUSE_S = 180.0


def back_up(estate: Estate, vault: Vault, item: Item, properties: Mapping[str, Any]) -> Operation:
    """Back up now."""
    now = estate.now()
    if properties.get("objectType") != "IaasVMBackupRequest":
        raise invalid_input("The request is not one for the backup of a virtual machine.")
    expires = _expiry(properties, now)
    if item.deleted is not None:
        raise soft_deleted()
    running = jobs.running(vault, item.key, *CHANGES, "Backup", "Restore")
    if running:
        raise busy(running.operation)
    if item.state in ("ProtectionStopped", "BackupsSuspended"):
        raise invalid_input(f"The protection of '{item.vm.name}' is stopped.")
    plan = estate.plans.take(item.vm.id, "Backup") or Plan(item.vm.backup_result)
    bag = {"Recovery Point Expiry Time in UTC": american(expires)}
    job = jobs.begin(estate, vault, "Backup", item.vm, bag, plan=plan)
    job.cancellable = True
    job.internal_bag = {"IsInstantRpJob": "True"}
    job.tasks = _tasks(vault, job.takes)
    # Only vaults of the second kind say how far the transfer is.
    job.percent = vault.storage_version == "V2"
    if not (estate.hang or plan.never_ends):
        _let_run(estate, job, item, plan, expires)
    return jobs.follow(estate, vault, job, at_once=True)


def _tasks(vault: Vault, takes: float) -> List[Task]:
    """Return the tasks of a backup: vaults of the second kind also validate it."""
    snapshot, pause = takes * _SNAPSHOT, min(_PAUSE_S, takes / 20)
    take = Task("Take Snapshot", min(1.2, snapshot / 2), snapshot)
    if vault.storage_version == "V1":
        end = takes * _VALIDATED
        return [take, Task("Transfer data to vault", snapshot + pause, end)]
    transferred = takes * _TRANSFERRED
    return [
        take,
        Task("Transfer data to vault", snapshot + pause, transferred),
        Task("Validate Backup", transferred, takes * _VALIDATED),
    ]


def _expiry(properties: Mapping[str, Any], now: datetime) -> datetime:
    text = properties.get("recoveryPointExpiryTimeInUTC")
    if not text:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight + timedelta(days=30)
    try:
        expires = parse_time(str(text))
    except ValueError:
        raise invalid_input(f"'{text}' is not a time.") from None
    if expires <= now:
        raise invalid_input("The recovery point's expiry time is in the past.")
    return expires


def _let_run(estate: Estate, job: Job, item: Item, plan: Plan, expires: datetime) -> None:
    """Schedule the stages of a backup: the snapshot, which makes the recovery point, and the end.

    The function is long because the stages share the state of this backup.
    """
    made: list[RecoveryPoint] = []
    vm = item.vm

    def gone() -> bool:
        return vm.id.lower() not in estate.vms

    def failed(moment: datetime) -> None:
        error = (
            Plan().error(*jobs.VM_GONE)
            if gone()
            else plan.error(
                "UserErrorGuestAgentStatusUnavailable",
                "VM agent unable to communicate with the backup service.",
                "Make sure that the VM agent runs and can reach the network, then try again.",
            )
        )
        jobs.fail(job, moment, error)
        item.last_backup, item.last_backup_status = job.start, "Failed"
        item.health = error

    def snapshot_taken(moment: datetime) -> None:
        if job.over:
            return
        if plan.failed or gone():
            failed(moment)
            return
        time = job.start + timedelta(seconds=job.takes * _TAKEN)
        point = RecoveryPoint(
            str(estate.number("point", vm.id, job.start)),
            time,
            plan.consistency,
            expires,
            {"InstantRP": "Valid"},
            vm.size,
            vm.os_type,
            item.disks_of_point(),
        )
        made.append(point)
        item.points.insert(0, point)
        vm.extensions.setdefault("VMSnapshotLinux", dict(SNAPSHOT_EXTENSION))

    def ended(moment: datetime) -> None:
        if job.over:
            return
        for point in made:
            point.tiers["HardenedRP"] = "Valid"
        status = "CompletedWithWarnings" if plan.result == "warning" else "Completed"
        if plan.result == "warning":
            job.errors.append(plan.error(*_CRASH))
        job.bag["Backup Size"] = f"{2048 + estate.number(job.start, vm.id) % 12000} MB"
        jobs.close(job, moment, status)
        item.backed_up, item.health = True, None
        item.last_backup, item.last_backup_status = job.start, status
        if item.state == "IRPending":
            item.state = "Protected"

    estate.after(job.takes * _SNAPSHOT, snapshot_taken, job.start)
    estate.after(job.takes, ended, job.start)


def point_of(item: Item, name: str) -> RecoveryPoint:
    """Return a recovery point by its name."""
    for point in item.points:
        if point.name == name:
            return point
    raise gateway(404, "RecoveryPointNotFound", f"The recovery point '{name}' was not found.")


def restore(
    estate: Estate, vault: Vault, item: Item, point: RecoveryPoint, properties: Mapping[str, Any]
) -> Operation:
    """Restore the disks of a recovery point; only the job is simulated."""
    if properties.get("objectType") not in (
        "IaasVMRestoreRequest",
        "IaasVMRestoreWithRehydrationRequest",
    ):
        raise invalid_input("The request is not one for the restore of a virtual machine.")
    running: Optional[Job] = jobs.running(vault, item.key, "Restore", *CHANGES)
    if running:
        raise busy(running.operation)
    plan = estate.plans.take(item.vm.id, "Restore") or Plan()
    account = str(properties.get("storageAccountId") or "").rsplit("/", 1)[-1]
    job = jobs.begin(estate, vault, "Restore", item.vm, {}, plan=plan)
    job.bag = {
        "Job Type": "Recover disks",
        "Target Storage Account Name": account,
        "Recovery point time ": american(point.time),
    }
    job.internal_bag = {"restoreLocationType": str(properties.get("recoveryType") or "")}
    job.cancellable = True
    job.percent = True
    job.tasks = [Task("Transfer data from vault", 0.0, job.takes)]
    folder = f"https://{account}.blob.core.windows.net/{item.vm.name}-{new_id().replace('-', '')}"

    def done(_moment: datetime) -> None:
        config = f"config-{item.vm.name}-{job.id}.json"
        job.bag.update(
            {
                "Config Blob Name": config,
                "Config Blob Container Name": folder.rpartition("/")[2],
                "Config Blob Uri": f"{folder}/{config}",
                "Create VM Template Blob Uri": f"{folder}/azuredeploy{job.id}.json",
            }
        )

    jobs.end_after(estate, job, plan, done)
    # The operation of a restore has the id of its job, unlike all others.
    return jobs.follow(estate, vault, job, at_once=True, operation_id=job.id)
