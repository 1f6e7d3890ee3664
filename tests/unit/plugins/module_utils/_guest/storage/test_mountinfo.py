# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.device_stack import (
    Stack,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.mountinfo import (
    parse_mountinfo,
    read_mounts,
    read_place,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.paths import (
    is_below,
)
from tests.unit.plugins.module_utils._guest.storage.fake_sysfs import FakeMachine


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "a machine")


def test_line_with_optional_fields() -> None:
    (mount,) = parse_mountinfo(
        "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n"
    )
    assert (mount.mount_id, mount.parent_id) == (36, 35)
    assert mount.dev == os.makedev(98, 0)
    assert (mount.root, mount.mount_point) == ("/mnt1", "/mnt2")
    assert (mount.fstype, mount.source) == ("ext3", "/dev/root")
    assert mount.options == ("rw", "noatime")
    assert mount.super_options == ("rw", "errors=continue")
    assert not mount.read_only


def test_line_without_optional_field_and_source() -> None:
    (mount,) = parse_mountinfo("36 35 0:44 / /run rw - tmpfs  rw,size=1k")
    assert (mount.fstype, mount.source, mount.super_options) == ("tmpfs", "", ("rw", "size=1k"))


def test_octal_escapes_decode_to_bytes() -> None:
    (mount,) = parse_mountinfo(
        r"36 35 8:1 / /a\040b\011c\012d\134e rw - ext4 /dev/disk/by-label/x\040y rw"
    )
    assert mount.mount_point == "/a b\tc\nd\\e"
    assert mount.source == "/dev/disk/by-label/x y"


def test_mount_point_not_utf8_is_kept(tmp_path: Path) -> None:
    text = tmp_path / "mountinfo"
    text.write_bytes(b"36 35 8:1 / /d\xff\\303\\251 rw - ext4 /dev/sda1 rw\n")
    (mount,) = read_mounts(str(text))
    assert os.fsencode(mount.mount_point) == b"/d\xff\xc3\xa9"


@pytest.mark.parametrize(
    "line",
    ["", "36 35 8:1 / /x rw ext4 /dev/sda1 rw", "a 35 8:1 / /x rw - ext4 s rw", "1 2 3 / /x - e"],
)
def test_line_malformed_is_skipped(line: str) -> None:
    assert parse_mountinfo(line) == []


def test_read_only_mount_and_read_only_filesystem() -> None:
    bind, whole = parse_mountinfo(
        "1 0 8:1 / /a ro - ext4 /dev/sda1 rw\n2 0 8:2 / /b ro - ext4 /dev/sda2 ro\n"
    )
    assert (bind.read_only, bind.filesystem_read_only) == (True, False)
    assert (whole.read_only, whole.filesystem_read_only) == (True, True)


def test_place_of_proc_on_this_machine() -> None:
    mounts = {mount.mount_id: mount for mount in read_mounts()}
    place = read_place("/proc")
    assert place is not None
    assert place.is_folder
    assert place.st_dev == Path("/proc").stat().st_dev
    assert mounts[place.mount_id].fstype == "proc"


def test_place_of_missing_path_is_none(tmp_path: Path) -> None:
    assert read_place(str(tmp_path / "missing")) is None
    assert read_place("/a\0b") is None


def test_beneath_volume_are_array_partition_and_disks(machine: FakeMachine) -> None:
    for disk in ("sda", "sdb", "sdc"):
        machine.device(disk)
    machine.device("sda1", of="sda")
    machine.device("md0", legs=("sda1", "sdb"))
    machine.device("dm-0", legs=("md0",))
    machine.mount("dm-0", "/data", "xfs")
    stack = Stack(machine.mounts, machine.blocks)
    numbers = {machine.number(name) for name in ("dm-0", "md0", "sda1", "sda", "sdb")}
    assert stack.beneath(machine.number("dm-0")) == numbers
    assert machine.blocks.above(machine.number("sda")) == (machine.number("sda1"),)
    assert machine.blocks.above(machine.number("sda1")) == (machine.number("md0"),)


def test_beneath_loop_is_filesystem_of_image(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("loop5", image="/a b/an image (deleted)")
    machine.mount("sda", "/")
    machine.mount("sdb", "/a b")
    machine.mount("loop5", "/inner")
    holder = machine.number("sdb")
    assert machine.number("sda") not in Stack(machine.mounts, machine.blocks).beneath(
        machine.number("loop5")
    )
    assert holder in Stack(machine.mounts, machine.blocks).beneath(machine.number("loop5"))


def test_devices_of_btrfs_are_all_members(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("sdc")
    machine.btrfs("11", "sda", "sdb")
    machine.btrfs("22", "sdc")
    machine.mount("sdb", "/b", "btrfs", number="0:77")
    stack = Stack(machine.mounts, machine.blocks)
    assert set(stack.devices(os.makedev(0, 77))) == {machine.number("sda"), machine.number("sdb")}


def test_beneath_loop_with_image_in_subvolume_is_btrfs(
    machine: FakeMachine, tmp_path: Path
) -> None:
    image = tmp_path / "sub" / "image"
    image.parent.mkdir()
    image.write_bytes(b"")
    machine.device("sda")
    machine.device("loop5", image=str(image))
    machine.btrfs("11", "sda")
    machine.mount("sda", str(tmp_path), "btrfs", number="0:77")
    machine.mount("loop5", "/inner")
    stack = Stack(machine.mounts, machine.blocks)
    # As in a subvolume, no mount has the device number of the file.
    assert machine.number("sda") in stack.beneath(machine.number("loop5"))


def test_beneath_xfs_is_its_log_device(machine: FakeMachine) -> None:
    machine.device("sda")
    log = machine.device("sdb")
    machine.mount("sda", "/x", "xfs", extra=f"rw,logdev={log},noquota")
    stack = Stack(machine.mounts, machine.blocks)
    assert machine.number("sdb") in stack.beneath(machine.number("sda"))


def test_is_below_compares_whole_names() -> None:
    assert is_below("/a/b", "/a")
    assert is_below("/a", "/a")
    assert is_below("/a", "/")
    assert not is_below("/ab", "/a")
