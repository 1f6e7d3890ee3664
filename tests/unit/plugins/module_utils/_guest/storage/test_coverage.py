# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import Target
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.coverage import (
    Coverage,
    check_coverage,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.freeze_plan import (
    plan_targets,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.paths import Paths
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.proc_scan import (
    foreign_mounts,
    openers,
)
from tests.unit.plugins.module_utils._guest.storage.fake_sysfs import FakeMachine
from tests.unit.plugins.module_utils._guest.storage.loop_devices import LoopDevices
from tests.unit.plugins.module_utils.disks import make_disk


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path / "a machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = Path(os.path.realpath(tmp_path)) / "a folder"
    found.mkdir()
    return found


@pytest.fixture
def loops() -> Iterator[LoopDevices]:
    found = LoopDevices()
    try:
        yield found
    finally:
        found.close()


def disk(machine: FakeMachine, name: str) -> Disk:
    return make_disk(name, device=str(machine.dev / name))


def targets(machine: FakeMachine, *points: str) -> list[Target]:
    found = []
    for point in points:
        place = machine.place_at(point)
        assert place is not None
        found.append(Target(point, "x", "ext4", place.st_dev))
    return found


def covered(machine: FakeMachine, points: list[str], *disks: Disk) -> Coverage:
    return check_coverage(
        targets(machine, *points),
        disks,
        mounts=machine.mounts,
        blocks=machine.blocks,
        proc=str(machine.proc),
        place_at=machine.place_at,
    )


def test_disks_all_filesystems_targets_are_covered(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("sdb1", of="sdb")
    machine.device("sdb2", of="sdb")
    machine.mount("sda", "/")
    machine.mount("sdb1", "/b1")
    machine.mount("sdb2", "/b2", "xfs")
    machine.mount("sdb2", "/bind", "xfs", root="/x")
    found = covered(machine, ["/b1", "/b2"], disk(machine, "sdb"))
    assert found == Coverage(True, (), ())


@pytest.mark.parametrize(
    ("fstype", "words"),
    [("ext4", "is not frozen"), ("vfat", "vfat cannot be frozen"), ("fuseblk", "cannot be frozen")],
)
def test_filesystem_without_target_is_problem(
    machine: FakeMachine, fstype: str, words: str
) -> None:
    machine.device("sdb")
    machine.device("sdb1", of="sdb")
    machine.device("sdb2", of="sdb")
    machine.mount("sdb1", "/b1")
    machine.mount("sdb2", "/b2", fstype)
    found = covered(machine, ["/b1"], disk(machine, "sdb"))
    assert found.covered is False
    (problem,) = found.problems
    assert "/b2 is on disk sdb" in problem
    assert words in problem


def test_filesystem_read_only_or_boot_loader_is_covered(machine: FakeMachine) -> None:
    machine.device("sda")
    for name in ("sda1", "sda2", "sda3"):
        machine.device(name, of="sda")
    machine.mount("sda1", "/")
    machine.mount("sda2", "/boot/efi", "vfat")
    machine.mount("sda3", "/media", "iso9660", extra="ro")
    found = covered(machine, ["/"], disk(machine, "sda"))
    assert found.covered is True
    (warning,) = found.warnings
    assert "/boot/efi" in warning


def test_disk_unknown_leaves_coverage_unknown(machine: FakeMachine) -> None:
    machine.device("sdb")
    machine.mount("sdb", "/b")
    unknown = make_disk("d", lun=7)
    found = covered(machine, ["/b"], disk(machine, "sdb"), unknown)
    assert found.covered is None
    assert "LUN 7" in found.warnings[0]
    assert covered(machine, [], disk(machine, "sdb"), unknown).covered is False


def test_device_missing_is_problem(machine: FakeMachine) -> None:
    found = covered(machine, [], disk(machine, "sdz"))
    assert found.covered is False
    assert "not a block device" in found.problems[0]


def test_target_on_other_disk_warns(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.mount("sda", "/a")
    machine.mount("sdb", "/b")
    found = covered(machine, ["/a", "/b"], disk(machine, "sdb"))
    assert found.covered is True
    assert found.warnings == ("/a is not on any of the given disks; it is frozen anyway.",)


def test_filesystem_partly_on_disks_is_problem(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.device("dm-0", legs=("sda", "sdb"))
    machine.mount("dm-0", "/data")
    found = covered(machine, ["/data"], disk(machine, "sda"))
    assert found.covered is False
    (problem,) = found.problems
    assert str(machine.dev / "sdb") in problem
    assert covered(machine, ["/data"], disk(machine, "sda"), disk(machine, "sdb")).covered is True
    # A volume that is itself a given disk, such as a multipath device, is whole.
    assert covered(machine, ["/data"], disk(machine, "dm-0")).covered is True


def test_btrfs_needs_all_its_devices(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.btrfs("11", "sda", "sdb")
    machine.mount("sda", "/b", "btrfs", number="0:77")
    both = [disk(machine, "sda"), disk(machine, "sdb")]
    assert covered(machine, ["/b"], *both) == Coverage(True, (), ())
    assert covered(machine, [], *both).covered is False
    assert covered(machine, ["/b"], both[1]).covered is False


def test_swap_and_idle_disk_warn(machine: FakeMachine) -> None:
    machine.device("sda")
    device = machine.device("sdb").replace(" ", r"\040")
    machine.mount("sda", "/")
    with (machine.proc / "swaps").open("a") as file:
        file.write(f"{device}\tpartition\t1048572\t0\t-2\n")
    found = covered(machine, ["/"], disk(machine, "sda"), disk(machine, "sdb"))
    assert found.covered is True
    assert "is in use as swap" in found.warnings[0]
    assert "No filesystem on disk sdb is frozen" in found.warnings[1]


def test_mount_in_other_namespace_is_problem(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sda1", of="sda")
    machine.device("sda2", of="sda")
    machine.mount("sda1", "/a")
    own = machine.mounts
    machine.mount("sda2", "/container")
    process = machine.proc / "4711"
    (process / "ns").mkdir(parents=True)
    (process / "ns" / "mnt").symlink_to("mnt:[4026539999]")
    (process / "mountinfo").write_text(machine.mountinfo)
    found = check_coverage(
        targets(machine, "/a"),
        [disk(machine, "sda")],
        mounts=own,
        blocks=machine.blocks,
        proc=str(machine.proc),
        place_at=machine.place_at,
    )
    assert found.covered is False
    (problem,) = found.problems
    assert "process 4711" in problem
    assert "/container" in problem


def test_target_replaced_by_other_mount_is_problem(machine: FakeMachine) -> None:
    machine.device("sda")
    machine.device("sdb")
    machine.mount("sda", "/a")
    planned = targets(machine, "/a")
    machine.mount("sdb", "/a")
    found = check_coverage(
        planned,
        [disk(machine, "sda")],
        mounts=machine.mounts,
        blocks=machine.blocks,
        proc=str(machine.proc),
        place_at=machine.place_at,
    )
    assert found.covered is False
    assert "is on disk sda and is not frozen" in found.problems[0]
    assert found.problems[1] == "The planned filesystem is no longer mounted at /a."


def test_scan_without_time_is_incomplete() -> None:
    assert foreign_mounts(limit_s=0.0)[1] is False
    assert foreign_mounts(limit_s=600.0)[1] is True
    assert openers("/proc", [1], Paths(), limit_s=0.0) == ({}, False)
    assert openers("/proc", [1], Paths(), limit_s=600.0)[1] is True


# --- Real devices ----------------------------------------------------------------------------


def found_on(device: str, points: list[Path], name: str = "d") -> Coverage:
    plan = plan_targets([str(point) for point in points] or "none", [])
    return check_coverage(plan.targets, [make_disk(name, device=device)])


def test_scan_incomplete_leaves_coverage_unknown(loops: LoopDevices, folder: Path) -> None:
    """Check that a disk is not covered while a process may write to it."""
    device = loops.device(folder / "image", "")
    disks = [make_disk("d", device=device)]
    found = check_coverage([], disks, limit_s=0.0)
    assert found.covered is None
    assert "Could not determine all processes" in found.warnings[0]


def test_real_image_on_disk_must_be_target(loops: LoopDevices, folder: Path) -> None:
    outer, inner = folder / "outer point", folder / "inner point"
    outer.mkdir()
    inner.mkdir()
    device = loops.device(folder / "image")
    loops.mount(device, outer)
    assert found_on(device, [outer]) == Coverage(True, (), ())
    assert found_on(device, []).covered is False
    second = loops.device(outer / "inner image", "ext2", mib=4)
    assert found_on(device, [outer]).covered is True
    loops.mount(second, inner)
    found = found_on(device, [outer])
    assert found.covered is False
    assert str(inner) in found.problems[0]
    assert found_on(device, [outer, inner]).covered is True


def found_unused(device: str) -> Coverage:
    """Return the coverage of an unused device once no `losetup` of another test has it open."""
    limit = time.monotonic() + 60
    while True:
        found = found_on(device, [])
        if found.covered or time.monotonic() > limit:
            return found
        time.sleep(0.05)


def test_real_device_opened_by_process_is_problem(loops: LoopDevices, folder: Path) -> None:
    device = loops.device(folder / "image", "")
    assert found_unused(device) == Coverage(True, (), ("No filesystem on disk d is frozen.",))
    with Path(device).open("rb"):
        found = found_on(device, [])
        assert found_unused(loops.device(folder / "other", "")).covered is True
    assert found.covered is False
    assert f"by process {os.getpid()}" in found.problems[0]


def hold_mount(device: str, point: Path, then: str = "") -> subprocess.Popen[str]:
    """Start a process with a filesystem mounted in its own namespace, until its input ends."""
    script = f'mount "$1" "$2" && {then} echo ready && read -r x'
    child = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, "sh", device, str(point)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.parametrize(
    ("then", "words"), [("", "process {}"), ('cd "$2" && umount -l "$2" &&', "the kernel")]
)
def test_real_mount_in_other_namespace_is_problem(
    loops: LoopDevices, folder: Path, then: str, words: str
) -> None:
    point = folder / "point"
    point.mkdir()
    device = loops.device(folder / "image")
    child: subprocess.Popen[str] | None = None
    try:
        child = hold_mount(device, point, then)
        found = found_on(device, [])
        assert found.covered is False
        assert words.format(child.pid) in found.problems[0]
    finally:
        if child is not None:
            child.communicate(timeout=60)
