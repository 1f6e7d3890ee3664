# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage import (
    paths as paths_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.device_stack import (
    Stack,
    own_stack,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.mountinfo import (
    Mount,
    parse_mountinfo,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.paths import (
    HangingPathError,
    Paths,
)
from tests.unit.plugins.module_utils._guest.storage.fake_sysfs import FakeMachine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = Path(os.path.realpath(tmp_path)) / "a folder"
    found.mkdir()
    return found


def mounts(*lines: str) -> list[Mount]:
    """Return mounts by lines of number, parent, mount point and type; the root is number 1."""
    text = ["1 1 8:1 / / rw - ext4 /dev/sda1 rw"]
    for line in lines:
        number, parent, point, fstype = line.split(":")
        text.append(f"{number} {parent} 0:{number} / {point} rw - {fstype} source rw")
    return parse_mountinfo("\n".join(line.replace("a folder", r"a\040folder") for line in text))


def refused(paths: Paths, path: str) -> str:
    with pytest.raises(HangingPathError) as caught:
        paths.resolve(path)
    return caught.value.mount.mount_point


def test_resolve_agrees_with_realpath(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "link").symlink_to("../a folder/file")
    (folder / "loop").symlink_to("loop")
    (folder / "up").symlink_to("/proc/../..")
    paths = Paths()
    for path in (
        "/",
        "/proc/self/../mounts",
        "/dev/null",
        f"{folder}/link",
        f"{folder}//./up{folder}/file",
        "/..",
        "/proc",
        "/sys",
        "/dev/pts",
    ):
        assert paths.resolve(path) == os.path.realpath(path)
    with pytest.raises(FileNotFoundError):
        paths.resolve(f"{folder}/missing/file")
    with pytest.raises(NotADirectoryError):
        paths.resolve(f"{folder}/file/x")
    with pytest.raises(OSError, match="too many symbolic links"):
        paths.resolve(f"{folder}/loop")


def test_resolve_stops_at_filesystem_that_may_hang(folder: Path) -> None:
    (folder / "hung").mkdir()
    (folder / "to it").symlink_to(folder / "hung" / "x")
    paths = Paths(mounts(f"2:1:{folder}/hung:fuse.sshfs", f"3:2:{folder}/hung/sub:ext4"))
    for path in ("hung", "hung/x", "hung/sub", "hung/sub/x", "to it"):
        at = f"{folder}/{path}"
        assert refused(paths, at) == f"{folder}/hung"
        assert paths.place_at(at) is None
    # `..` leads back to the folder without access to the mount.
    assert paths.resolve(f"{folder}/hung/..") == str(folder)


@pytest.mark.parametrize("fstype", ["nfs4", "fuse", "fuseblk", "cifs", "9p", "ceph", "autofs", "x"])
def test_types_that_may_hang(fstype: str) -> None:
    assert refused(Paths(mounts(f"2:1:/srv:{fstype}")), "/srv/x") == "/srv"


def test_mount_over_autofs_is_reached(folder: Path) -> None:
    """Check that a path leads to the last mount, as after an automount."""
    paths = Paths(mounts(f"2:1:{folder}:autofs", f"3:2:{folder}:ext4"))
    assert paths.resolve(str(folder)) == str(folder)
    assert refused(Paths(mounts(f"2:1:{folder}:ext4", f"3:2:{folder}:nfs")), str(folder))


def test_hidden_mount_is_ignored(folder: Path) -> None:
    """Check a mount in a folder that was hidden later by another mount."""
    (folder / "x").mkdir()
    paths = Paths(mounts(f"2:1:{folder}/x:nfs", f"3:1:{folder}:ext4"))
    assert paths.resolve(f"{folder}/x") == f"{folder}/x"


def test_root_of_any_type_is_resolved(folder: Path) -> None:
    found = parse_mountinfo("1 1 0:9 / / rw - nfs4 server:/root rw")
    assert Paths(found).resolve(str(folder)) == str(folder)


@pytest.mark.root
def test_filesystem_on_hanging_one_gives_only_mount_points(tmp_path: Path) -> None:
    """Check that only names which the kernel has in memory are resolved."""
    machine = FakeMachine(tmp_path / "a machine")
    machine.device("sda")
    machine.device("loop1", image="/hung/image")
    machine.mount("sda", "/")
    machine.mount("server", "/hung", "nfs", number="0:70")
    machine.mount("loop1", "/inner")
    machine.mount("tmpfs", "/inner/a/b", "tmpfs", number="0:71")
    lines = machine.mountinfo.replace("20 1 ", "1 0 ").replace("23 1 ", "23 22 ")
    found = parse_mountinfo(lines)
    machine.blocks.paths = Paths(found)
    stack = own_stack(found, machine.blocks)
    assert stack.may_hang(machine.number("loop1"))
    assert not stack.may_hang(machine.number("sda"))
    paths = machine.blocks.paths
    assert paths.resolve("/inner/a/b") == "/inner/a/b"
    assert paths.resolve("/inner/a") == "/inner/a"
    assert refused(paths, "/inner/c") == "/inner"


@pytest.mark.root
def test_image_below_hidden_mounts_may_be_in_any(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path / "a machine")
    for name in ("sda", "sdb", "sdc"):
        machine.device(name)
    machine.device("loop1", image="/data/image")
    machine.mount("sda", "/")
    machine.mount("sdb", "/data")
    machine.mount("loop1", "/data")
    own = machine.mounts
    stack = Stack(own, machine.blocks)
    # The filesystem in the image is not its holder.
    assert stack.image_holders(machine.number("loop1")) == (machine.number("sdb"),)
    machine.mount("sdc", "/data")
    stack = Stack(machine.mounts, machine.blocks)
    both = {machine.number("sdb"), machine.number("sdc")}
    assert set(stack.image_holders(machine.number("loop1"))) == both


@pytest.mark.root
def test_image_below_mount_of_other_namespace(tmp_path: Path) -> None:
    machine = FakeMachine(tmp_path / "a machine")
    for name in ("sda", "sdb", "sdc"):
        machine.device(name)
    machine.device("loop1", image="/container/data/image")
    machine.device("loop2", image="/var/image")
    machine.mount("sda", "/")
    own = machine.mounts
    machine.mount("sdb", "/container/data")
    machine.mount("sdc", "/")
    stack = Stack(own, machine.blocks, machine.mounts[1:])
    both = {machine.number("sda"), machine.number("sdb")}
    assert set(stack.image_holders(machine.number("loop1"))) == both
    assert stack.image_holders(machine.number("loop2")) == (machine.number("sda"),)


def test_freezable_types_are_local() -> None:
    for fstype in paths_module.FREEZABLE:
        (mount,) = parse_mountinfo(f"2 1 8:2 / /x rw - {fstype} /dev/sdb rw")
        assert not paths_module.may_hang(mount)
