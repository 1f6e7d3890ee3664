# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The data disks that a task selects for backup, and the check that the VMs have them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..._arm.ids import VmId
from ..._errors import Failure, SettingsError
from ..connection import VaultConnection
from ..resources.protected_items import PROTECTED, DiskSelection, chosen_disks
from ..resources.virtual_machines import attached_luns
from .plan import DesiredState
from .vm_task import VmTask

INCLUDE, EXCLUDE, EXCLUDE_ALL = (
    "include_disk_luns",
    "exclude_disk_luns",
    "exclude_all_data_disks",
)
DISK_ARGUMENTS: dict[str, Any] = {
    INCLUDE: {"type": "list", "elements": "int"},
    EXCLUDE: {"type": "list", "elements": "int"},
    EXCLUDE_ALL: {"type": "bool"},
}
_HIGHEST_LUN = 63
_MOST_NAMED = 5


def chosen_options(params: Mapping[str, Any]) -> list[str]:
    """Return the names of the set options that select disks."""
    lists = [name for name in (INCLUDE, EXCLUDE) if params.get(name) is not None]
    return lists + ([EXCLUDE_ALL] if params.get(EXCLUDE_ALL) else [])


def wanted_disks(params: Mapping[str, Any]) -> DiskSelection | None:
    """Return the disks of the options; None keeps the disks of each VM."""
    given = chosen_options(params)
    if len(given) > 1:
        raise SettingsError(
            Failure(
                "ConflictingDisks",
                f"{' and '.join(given)} cannot be used together.",
                "Set one of them.",
            )
        )
    if not given:
        return None
    if given == [EXCLUDE_ALL]:
        return chosen_disks((), True)
    luns: list[int] = params[given[0]]
    wrong = [lun for lun in luns if not 0 <= lun <= _HIGHEST_LUN]
    if wrong:
        raise SettingsError(
            Failure(
                "InvalidLun",
                f"{given[0]}: LUN {wrong[0]} must be from 0 to {_HIGHEST_LUN}.",
                f"Set {given[0]} to LUNs of data disks.",
            )
        )
    if given == [INCLUDE] and not luns:
        raise SettingsError(
            Failure(
                "MissingLuns",
                f"{INCLUDE} is empty, which would exclude every data disk from the backups.",
                f"Set {EXCLUDE_ALL} to true to back up only the operating system's disk. Otherwise "
                f"set {INCLUDE} to LUNs, or omit it to keep the disks of each VM.",
            )
        )
    return chosen_disks(luns, given == [INCLUDE])


def check_luns(
    connection: VaultConnection, desired: DesiredState, tasks: Sequence[VmTask]
) -> list[str]:
    """Fail the tasks of VMs that lack a selected disk; return warnings.

    Compute is read even if the vault already lists these LUNs: a disk may have been detached.
    """
    disks = desired.disks
    if desired.state != PROTECTED or disks is None or not disks.luns:
        return []
    open_tasks = [task for task in tasks if task.failure is None]
    attached = attached_luns(connection, [task.vm for task in open_tasks])
    lacking: dict[int, list[str]] = {}
    for task in open_tasks:
        found = attached[task.vm.key]
        if isinstance(found, Failure):
            task.fail(found)
            continue
        missing = [lun for lun in disks.luns if lun not in found]
        if missing and disks.inclusive:
            task.fail(_lun_not_found(task.vm, missing, found))
            continue
        for lun in missing:
            lacking.setdefault(lun, []).append(task.vm.name)
    return [
        f"{EXCLUDE}: found no data disk with LUN {lun} to exclude on {_named(names)}."
        for lun, names in sorted(lacking.items())
    ]


def _lun_not_found(vm: VmId, missing: Sequence[int], attached: Collection[int]) -> Failure:
    has = f"Its data disks have {_luns(sorted(attached))}" if attached else "It has no data disks"
    return Failure(
        "LunNotFound",
        f"VM {vm.name} has no data disk with {_luns(missing)}. {has}.",
        f"Correct {INCLUDE}, or attach the disk and run the task again. To back up only the "
        f"operating system's disk, set {EXCLUDE_ALL} to true.",
        vm=vm.id,
    )


def _luns(luns: Sequence[int]) -> str:
    """Return text such as `LUN 7` or `LUNs 0, 1`."""
    return f"LUN{'s' if len(luns) > 1 else ''} {', '.join(str(lun) for lun in luns)}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
