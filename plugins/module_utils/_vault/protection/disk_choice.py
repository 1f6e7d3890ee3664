# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which data disks a task wants backed up, and whether the VMs have them.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Collection, Dict, List, Mapping, Optional, Sequence

from ..._arm.ids import VmId
from ..._errors import Failure, refuse
from ..connection import VaultConnection
from ..resources.protected_items import PROTECTED, DiskSelection, chosen_disks
from ..resources.virtual_machines import attached_luns
from .apply import VmTask
from .plan import DesiredState

INCLUDE, EXCLUDE, EXCLUDE_ALL = (
    "include_disk_luns",
    "exclude_disk_luns",
    "exclude_all_data_disks",
)
DISK_ARGUMENTS: Dict[str, Any] = {
    INCLUDE: {"type": "list", "elements": "int"},
    EXCLUDE: {"type": "list", "elements": "int"},
    EXCLUDE_ALL: {"type": "bool"},
}
_HIGHEST_LUN = 63
_MOST_NAMED = 5


def chosen_options(params: Mapping[str, Any]) -> List[str]:
    """Return the names of the options that choose disks and have a value."""
    lists = [name for name in (INCLUDE, EXCLUDE) if params.get(name) is not None]
    return lists + ([EXCLUDE_ALL] if params.get(EXCLUDE_ALL) else [])


def wanted_disks(params: Mapping[str, Any]) -> Optional[DiskSelection]:
    """Return the disks of the options; None leaves each VM its own."""
    given = chosen_options(params)
    if len(given) > 1:
        refuse(
            "ConflictingDisks",
            f"{' and '.join(given)} cannot be used together.",
            "Set one of them.",
        )
    if not given:
        return None
    if given == [EXCLUDE_ALL]:
        return chosen_disks((), True)
    luns: List[int] = params[given[0]]
    wrong = [lun for lun in luns if not 0 <= lun <= _HIGHEST_LUN]
    if wrong:
        refuse(
            "InvalidLun",
            f"{given[0]}: there is no LUN {wrong[0]}.",
            f"The LUN of a data disk is between 0 and {_HIGHEST_LUN}.",
        )
    if given == [INCLUDE] and not luns:
        refuse(
            "MissingLuns",
            f"{INCLUDE} is empty, which would leave every data disk out of the backups.",
            f"Set {EXCLUDE_ALL} to true to back up the operating system's disk alone. Otherwise "
            "list the LUNs, or omit the option to leave the disks of each VM as they are.",
        )
    return chosen_disks(luns, given == [INCLUDE])


def check_luns(
    connection: VaultConnection, wanted: DesiredState, courses: Sequence[VmTask]
) -> List[str]:
    """Fail the courses of VMs without a disk that is to be backed up; return warnings.

    Compute is asked even where the vault already lists these LUNs: the disk may have been detached.
    """
    disks = wanted.disks
    if wanted.state != PROTECTED or disks is None or not disks.luns:
        return []
    asked = [course for course in courses if course.failure is None]
    attached = attached_luns(connection, [course.vm for course in asked])
    lacking: Dict[int, List[str]] = {}
    for course in asked:
        found = attached[course.vm.key]
        if isinstance(found, Failure):
            course.fail(found)
            continue
        missing = [lun for lun in disks.luns if lun not in found]
        if missing and disks.inclusive:
            course.fail(_lun_not_found(course.vm, missing, found))
            continue
        for lun in missing:
            lacking.setdefault(lun, []).append(course.vm.name)
    return [
        f"{EXCLUDE}: there is no data disk with LUN {lun} to leave out on {_named(names)}."
        for lun, names in sorted(lacking.items())
    ]


def _lun_not_found(vm: VmId, missing: Sequence[int], attached: Collection[int]) -> Failure:
    has = f"Its data disks have {_luns(sorted(attached))}" if attached else "It has no data disks"
    return Failure(
        "LunNotFound",
        f"VM {vm.name} has no data disk with {_luns(missing)}. {has}.",
        f"Correct {INCLUDE}, or attach the disk and run the task again. For the operating system's "
        f"disk alone, set {EXCLUDE_ALL} to true.",
        vm=vm.id,
    )


def _luns(luns: Sequence[int]) -> str:
    """Return LUNs in words: C(LUN 7), C(LUNs 0, 1)."""
    return f"LUN{'s' if len(luns) > 1 else ''} {', '.join(str(lun) for lun in luns)}"


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
