# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of `is_single_disk` on fake machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.single_disk import (
    is_single_disk,
)
from tests.unit.plugins.module_utils.disks import make_disk

OS_DISK = make_disk("os")


class FakeSysfs:
    """The part of sysfs that lists block devices."""

    def __init__(self, folder: Path) -> None:
        self.sysfs = folder
        (folder / "block").mkdir()

    def add(
        self,
        name: str,
        bus: str | None = "pci0000:00/virtio1",
        removable: bool = False,
        size: int = 4096,
        model: str = "",
    ) -> None:
        parent = self.sysfs / "devices" / (bus or "virtual")
        entry = parent / "block" / name
        entry.mkdir(parents=True)
        (entry / "size").write_text(f"{size}\n")
        (entry / "removable").write_text(f"{int(removable)}\n")
        if bus is not None:
            (entry / "device").symlink_to(parent)
            if model:
                (parent / "model").write_text(model + "\n")
        (self.sysfs / "block" / name).symlink_to(entry)

    def single(self, *disks: Disk) -> bool:
        return is_single_disk(disks, str(self.sysfs))


@pytest.fixture(name="machine")
def _machine(tmp_path: Path) -> FakeSysfs:
    machine = FakeSysfs(tmp_path)
    machine.add("sda", "vmbus/00000000-0000-8899-0000-000000000000/host0/target0:0:0/0:0:0:0")
    machine.add("sr0", "vmbus/cd/0:0:0:2", removable=True)
    machine.add("loop0", None)
    machine.add("zram0", None)
    machine.add("sdz", "vmbus/empty/0:0:0:9", size=0)
    return machine


def test_one_disk_is_single(machine: FakeSysfs) -> None:
    assert machine.single(OS_DISK)


def test_two_given_disks_are_not_single(machine: FakeSysfs) -> None:
    assert not machine.single(OS_DISK, make_disk("data"))


def test_other_disk_of_guest_counts(machine: FakeSysfs) -> None:
    machine.add("sdc", "vmbus/f8b3781b-1e82-4818-a1c3-63d806ec15bb/host1/target1:0:0/1:0:0:0")
    assert not machine.single(OS_DISK)


@pytest.mark.parametrize(
    ("name", "bus", "model"),
    [
        ("sdb", "vmbus/00000000-0001-8899-0000-000000000000/host1/target1:0:1/1:0:1:0", ""),
        ("sdb", "vmbus/f8b3781a-1e82-4818-a1c3-63d806ec15bb/host0/target0:0:0/0:0:0:1", ""),
        ("nvme0n1", "pci0000:00/nvme/nvme0", "Microsoft NVMe Direct Disk v2"),
    ],
)
def test_temporary_disk_does_not_count(machine: FakeSysfs, name: str, bus: str, model: str) -> None:
    machine.add(name, bus, model=model)
    assert machine.single(OS_DISK)


def test_os_disk_of_second_generation_counts(machine: FakeSysfs) -> None:
    bus = "vmbus/f8b3781a-1e82-4818-a1c3-63d806ec15bb/host0/target0:0:0/0:0:0:0"
    machine.add("sdb", bus)
    assert not machine.single(OS_DISK)


def test_given_loop_device_is_single(machine: FakeSysfs) -> None:
    """Check that the machine's own disks do not count when a loop device is given."""
    machine.add("sdc", "vmbus/data/1:0:0:0")
    loops = [path for path in sorted(Path("/dev").glob("loop[0-9]*")) if path.is_block_device()]
    if not loops:
        pytest.skip("this machine has no loop devices")
    number = loops[0].stat().st_rdev
    folder = machine.sysfs / "dev" / "block"
    folder.mkdir(parents=True)
    name = f"{os.major(number)}:{os.minor(number)}"
    (folder / name).symlink_to(machine.sysfs / "devices" / "virtual" / "block" / "loop0")
    assert machine.single(make_disk("lab", device=str(loops[0])))
