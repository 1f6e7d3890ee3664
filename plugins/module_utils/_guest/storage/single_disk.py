# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the given disk is the only disk of the guest.

The documentation of the framework makes an exception for "a VM with a single disk": a failed
script never fails its backup. Microsoft's agent counts the LUNs of the backup. Here the guest must
also have no other disk.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..._disks import Disk
from .block_devices import BlockDevices

#: Azure's temporary disk on the bus of the hypervisor: the second IDE channel of a generation 1
#: machine, LUN 1 of the first SCSI controller of a generation 2 machine; and where disks are NVMe.
_FIRST_GENERATION = "/00000000-0001-"
_SECOND_GENERATION = "/f8b3781a-1e82-"
_NVME = b"Microsoft NVMe Direct Disk"


def is_single_disk(
    disks: Sequence[Disk], sysfs: str = "/sys", blocks: BlockDevices | None = None
) -> bool:
    """Return True if one disk is given and the guest has no other.

    The guest's disks are its hardware disks, including those of a hypervisor. Removable disks,
    Azure's temporary disk, and devices over files or other devices do not count. If the given
    disk is not a hardware disk (a loop device), only the given disk counts.
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


def _hardware(folder: Path) -> set[str]:
    disks: set[str] = set()
    try:
        entries = list(folder.iterdir())
    except OSError:
        return disks
    for entry in entries:
        if not (entry / "device").exists() or _is_temporary(entry):
            continue
        if _number(entry / "removable") or not _number(entry / "size"):
            continue
        disks.add(entry.name)
    return disks


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
    """Return the name in sysfs of a disk, or of the disk of a partition."""
    folder = Path(os.path.realpath(blocks.folder(number)))
    return folder.parent.name if (folder / "partition").exists() else folder.name
