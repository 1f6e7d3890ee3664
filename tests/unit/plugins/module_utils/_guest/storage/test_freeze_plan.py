# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.freeze_plan import (
    FreezePlan,
    plan_targets,
)
from tests.unit.plugins.module_utils._guest.storage.fake_sysfs import FakeMachine
from tests.unit.plugins.module_utils._guest.storage.loop_devices import LoopDevices, run
from tests.unit.plugins.module_utils.disks import make_disk


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "a machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that is not a mount point, with a path without links."""
    found = Path(os.path.realpath(tmp_path)) / "a folder"
    found.mkdir()
    return found


def plan(machine: FakeMachine, freeze: str | Sequence[str], *disks: Disk) -> FreezePlan:
    return plan_targets(
        freeze, disks, mounts=machine.mounts, blocks=machine.blocks, place_at=machine.place_at
    )


def disk(name: str, **more: object) -> Disk:
    address = f"https://a.example/b/{name}"
    return make_disk(name, address, **more)  # type: ignore[arg-type] - of several types


def points(found: FreezePlan) -> list[str]:
    return [target.mount_point for target in found.targets]


def refused(machine: FakeMachine, freeze: str | Sequence[str], *disks: Disk) -> str:
    with pytest.raises(SettingsError) as caught:
        plan(machine, freeze, *disks)
    return str(caught.value)


def test_freeze_none_has_no_targets(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.mount("sda", "/")
    assert plan(machine, "none") == FreezePlan(())


def test_auto_selects_filesystems_on_disks(machine: FakeMachine) -> None:
    for name in ("sda", "sdb", "sdc"):
        machine.device(name)
    machine.device("sda1", of="sda")
    machine.device("sdb1", of="sdb")
    machine.device("dm-0", legs=("sdb1", "sdc"))
    machine.mount("sda1", "/")
    machine.mount("dm-0", "/data", "xfs")
    found = plan(machine, "auto", disk("d", device=str(machine.dev / "sdc")))
    assert points(found) == ["/data"]
    assert found.targets[0].dev == machine.number("dm-0")
    assert found.targets[0].device == str(machine.dev / "dm-0")
    assert found.warnings == ()


def test_auto_finds_disk_of_lun(machine: FakeMachine) -> None:
    for name in ("sda", "sdb", "nvme0n1"):
        machine.device(name)
    machine.mount("sda", "/a")
    machine.mount("sdb", "/b")
    machine.mount("nvme0n1", "/n")
    links = machine.dev / "disk" / "azure"
    (links / "scsi1").mkdir(parents=True)
    (links / "scsi1" / "lun4").symlink_to("../../../sdb")
    (links / "data" / "by-lun").mkdir(parents=True)
    (links / "data" / "by-lun" / "5").symlink_to("../../../../nvme0n1")
    assert points(plan(machine, "auto", disk("d", lun=4))) == ["/b"]
    assert points(plan(machine, "auto", disk("d", lun=5), disk("e", lun=4))) == ["/b", "/n"]


def test_auto_disk_unknown_selects_everything(machine: FakeMachine) -> None:
    machine.device("sda")
    known = machine.device("sdb")
    machine.device("sdc")
    machine.mount("sda", "/")
    machine.mount("proc", "/proc", "proc", number="0:21")
    machine.mount("sdb", "/b", "xfs")
    machine.mount("sdc", "/boot/efi", "vfat")
    found = plan(machine, "auto", disk("d", device=known), disk("e", lun=9), disk("f"))
    assert points(found) == ["/b", "/"]
    assert [target.rank for target in found.targets] == [0, 1]
    assert "LUN 9" in found.warnings[0]
    assert "Disk f has neither device nor lun" in found.warnings[1]
    assert "every local filesystem" in found.warnings[2]


def test_auto_skips_read_only_filesystems(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.mount("sda", "/a", extra="ro", options="ro")
    found = plan(machine, "auto", disk("d", device=str(machine.dev / "sda")))
    assert found.targets == ()
    assert "no filesystem" in found.warnings[0]


def test_auto_bind_mount_is_not_second_target(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.mount("sda", "/z", root="/folder")
    machine.mount("sda", "/the/whole")
    machine.mount("sda", "/the/whole/again")
    assert points(plan(machine, "auto")) == ["/the/whole"]


def test_auto_hidden_filesystem_warns(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.mount("sda", "/data")
    machine.mount("sdb", "/data")
    found = plan(machine, "auto")
    assert [target.device for target in found.targets] == [str(machine.dev / "sdb")]
    assert "hidden" in found.warnings[-1]


def test_order_image_before_holder_and_root_last(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("sdc")
    machine.device("loop1", image="/outer/folder/image")
    machine.mount("sda", "/")
    machine.mount("sdb", "/other")
    machine.mount("loop1", "/inner")
    machine.mount("sdc", "/outer")
    found = plan(machine, "auto")
    assert {target.mount_point: target.rank for target in found.targets} == {
        "/inner": 0,
        "/other": 0,
        "/outer": 1,
        "/": 2,
    }
    assert points(found)[-2:] == ["/outer", "/"]


def test_order_root_in_image_before_holder(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("loop1", image="/host/image")
    machine.mount("loop1", "/")
    machine.mount("sda", "/data")
    machine.mount("sdb", "/host")
    assert points(plan(machine, "auto")) == ["/data", "/", "/host"]


def test_device_invalid_or_duplicate_is_refused(machine: FakeMachine, folder: Path) -> None:
    device = machine.device("sda")
    (folder / "file").touch()
    text = refused(machine, "auto", disk("d", device=str(folder / "file")))
    assert "Disk d" in text
    assert "not a block device" in text
    text = refused(machine, "auto", disk("d", device=device), disk("e", device=device))
    assert "Disks d and e have the same device" in text
    assert "sig=" not in text


@pytest.mark.parametrize(
    ("freeze", "words"),
    [
        ([], "Set freeze: none"),
        ([""], "not a path"),
        (["a\0b"], "not a path"),
        ([3], "not a path"),
        (["data"], "relative"),
        (["/data/../etc"], ".."),
        ("all", "Set freeze to auto, none or a list"),
    ],
)
def test_mount_point_malformed_is_refused(
    machine: FakeMachine, freeze: list[str], words: str
) -> None:
    assert words in refused(machine, freeze)


def test_path_missing_link_or_folder_is_refused(machine: FakeMachine, folder: Path) -> None:
    machine.device("sda")
    machine.mount("sda", "/")
    (folder / "link").symlink_to(folder)
    assert "No such file" in refused(machine, [str(folder / "missing")])
    assert f"symbolic link to {folder}" in refused(machine, [str(folder / "link")])
    assert "not a mount point" in refused(machine, [str(folder)])


@pytest.mark.parametrize(
    ("fstype", "words"),
    [
        ("tmpfs", "memory"),
        ("nfs4", "another machine"),
        ("vfat", "FAT driver does not support"),
        ("proc", "cannot be frozen"),
    ],
)
def test_type_unfreezable_is_refused(
    machine: FakeMachine, folder: Path, fstype: str, words: str
) -> None:
    machine.mount("x", str(folder), fstype, number="0:50")
    text = refused(machine, [str(folder)])
    assert f"of type {fstype}" in text
    assert words in text


# --- Real mounts -----------------------------------------------------------------------------


@pytest.fixture
def mounted() -> Iterator[LoopDevices]:
    found = LoopDevices()
    try:
        yield found
    finally:
        found.close()


def make(*folders: Path) -> None:
    for path in folders:
        path.mkdir()


def test_real_image_inside_image_is_ranked_first(mounted: LoopDevices, folder: Path) -> None:
    outer, inner, bind = folder / "outer point", folder / "inner point", folder / "bind"
    make(outer, inner, bind)
    outer_device = mounted.device(folder / "outer image")
    mounted.mount(outer_device, outer)
    mounted.mount(mounted.device(outer / "inner image", "ext2", mib=4), inner)
    mounted.mount("--bind", outer, bind)

    found = plan_targets("auto", [disk("d", device=outer_device)])
    assert points(found) == [str(inner), str(outer)]
    assert [target.rank for target in found.targets] == [0, 1]
    assert [target.dev for target in found.targets] == [inner.stat().st_dev, outer.stat().st_dev]

    assert points(plan_targets([f"{outer}/", str(inner)], [])) == [str(inner), str(outer)]
    with pytest.raises(SettingsError, match="one filesystem twice"):
        plan_targets([str(outer), str(bind)], [])
    with pytest.raises(SettingsError, match="not a mount point"):
        plan_targets([str(outer / "lost+found")], [])


def test_real_image_deleted_is_still_ranked_first(mounted: LoopDevices, folder: Path) -> None:
    outer, inner = folder / "outer", folder / "inner"
    make(outer, inner)
    mounted.mount(mounted.device(folder / "image"), outer)
    mounted.mount(mounted.device(outer / "image", "ext2", mib=4), inner)
    (outer / "image").unlink()
    found = plan_targets([str(outer), str(inner)], [])
    assert [target.rank for target in found.targets] == [0, 1]
    assert points(found) == [str(inner), str(outer)]


def test_real_mount_read_only_tmpfs_or_file_is_refused(mounted: LoopDevices, folder: Path) -> None:
    disk_at, again, memory = folder / "d", folder / "ro", folder / "m"
    make(disk_at, again, memory)
    device = mounted.device(folder / "image")
    mounted.mount(device, disk_at)
    mounted.mount("-t", "tmpfs", "-o", "size=64k", "none", memory)
    mounted.mount("--bind", disk_at, again)
    run("mount", "-o", "remount,bind,ro", again)
    (disk_at / "file").touch()
    (folder / "file").touch()
    mounted.mount("--bind", disk_at / "file", folder / "file")

    def text(path: Path) -> str:
        with pytest.raises(SettingsError) as caught:
            plan_targets([str(path)], [])
        return str(caught.value)

    assert f"Use {disk_at} in freeze, where the filesystem is mounted for writing" in text(again)
    assert "is in memory" in text(memory)
    assert "is a file" in text(folder / "file")
    run("mount", "-o", "remount,ro", disk_at)
    assert "cannot be written to" in text(disk_at)


def test_overlay_is_refused_with_holder_of_upper_folder(machine: FakeMachine, folder: Path) -> None:
    machine.device("sda")
    machine.mount("sda", "/upper")
    machine.mount("overlay", str(folder), "overlay", number="0:50", extra="rw,upperdir=/upper/u")
    text = refused(machine, [str(folder)])
    assert "Use /upper in freeze, which holds the upper folder /upper/u" in text
