# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the set of disks is the only disk of the guest.

PRIVATE: for this collection only. The documentation of the framework makes an exception for "a VM
with a single disk": a failed script never fails its backup. Microsoft's agent looks at the set (one
LUN in it); here the guest must also have no other disk that the set leaves out.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Sequence, Set

from ..._disks import Disk
from .block_devices import BlockDevices

#: Azure's temporary disk on the bus of the hypervisor: the second IDE channel of a generation 1
#: machine, LUN 1 of the first SCSI controller of a generation 2 machine; and where disks are NVMe.
_FIRST_GENERATION = "/00000000-0001-"
_SECOND_GENERATION = "/f8b3781a-1e82-"
_NVME = b"Microsoft NVMe Direct Disk"


def is_single_disk(
    disks: Sequence[Disk], sysfs: str = "/sys", blocks: Optional[BlockDevices] = None
) -> bool:
    """Whether the set has one disk and the guest has no other.

    The guest's disks are those of its hardware (also the virtual hardware of a hypervisor); not
    removable ones, not Azure's temporary disk, nothing made of files or of other devices. When
    the set's disk is known to be no hardware (a loop device), the set is all there is to count.
    """
    if len(disks) != 1:
        return False
    hardware = _hardware(Path(sysfs) / "block")
    device = disks[0].device
    if device is not None:
        blocks = blocks or BlockDevices(sysfs)
        number = blocks.number_at(device)
        if number is not None:
            name = _disk_name(number, blocks)
            if name not in hardware:
                return True
    return len(hardware) <= 1


def _hardware(folder: Path) -> Set[str]:
    found: Set[str] = set()
    try:
        entries = list(folder.iterdir())
    except OSError:
        return found
    for entry in entries:
        if not (entry / "device").exists() or _is_temporary(entry):
            continue
        if _number(entry / "removable") or not _number(entry / "size"):
            continue
        found.add(entry.name)
    return found


def _is_temporary(entry: Path) -> bool:
    device = os.path.realpath(entry / "device")
    if _FIRST_GENERATION in device:
        return True
    if _SECOND_GENERATION in device and device.endswith(":1"):
        return True
    try:
        return (entry / "device" / "model").read_bytes().startswith(_NVME)
    except (OSError, ValueError):
        return False


def _number(path: Path) -> int:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return 0


def _disk_name(number: int, blocks: BlockDevices) -> str:
    """The name in sysfs of a disk, or of the disk that a partition belongs to."""
    folder = Path(os.path.realpath(blocks.folder(number)))
    return folder.parent.name if (folder / "partition").exists() else folder.name
