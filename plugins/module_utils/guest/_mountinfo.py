# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted, and on which block devices and files it lies.

PRIVATE: for this collection only. A filesystem is one superblock, whatever number of places it is
mounted at; it is named by the device number that C(mountinfo) gives, which the bind mounts and the
subvolumes of one filesystem share.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils.guest._block_devices import (
    BlockDevices,
    device_number,
    parse_number,
)

#: Filesystems of block devices whose drivers implement FIFREEZE.
FREEZABLE = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs"),
)


@dataclass(frozen=True)
class Mount:
    """One line of C(mountinfo)."""

    mount_id: int
    parent_id: int
    #: Number of the superblock.
    dev: int
    #: The folder of the filesystem that is mounted here; C(/) unless this is a bind mount.
    root: str
    mount_point: str
    fstype: str
    source: str
    options: Tuple[str, ...]
    super_options: Tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written through this mount."""
        return "ro" in self.options or self.filesystem_read_only

    @property
    def filesystem_read_only(self) -> bool:
        """Whether nothing can be written through any mount of the filesystem."""
        return "ro" in self.super_options


def parse_mountinfo(text: str) -> List[Mount]:
    """The mounts in a text in the form of C(/proc/PID/mountinfo), proc(5).

    Lines of another form are left out.
    """
    found = [_parse_line(line) for line in text.split("\n")]
    return [mount for mount in found if mount is not None]


def read_mounts(path: str = "/proc/self/mountinfo") -> List[Mount]:
    """The mounts of the mount namespace that C(path) belongs to, in the order of the kernel.

    Raises C(OSError) when the file cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="surrogateescape") as lines:
        return parse_mountinfo(lines.read())


def _parse_line(line: str) -> Optional[Mount]:
    head, separator, tail = line.partition(" - ")
    first, last = head.split(" "), tail.split(" ")
    # The source may be empty, and then there are two spaces; options have none unescaped.
    if not separator or len(first) < 6 or len(last) < 3:
        return None
    number = parse_number(first[2])
    if number is None or not (first[0].isdigit() and first[1].isdigit()):
        return None
    return Mount(
        mount_id=int(first[0]),
        parent_id=int(first[1]),
        dev=number,
        root=unescape(first[3]),
        mount_point=unescape(first[4]),
        fstype=unescape(last[0]),
        source=unescape(last[1]),
        options=tuple(first[5].split(",")),
        super_options=tuple(unescape(option) for option in last[2].split(",")),
    )


def unescape(text: str) -> str:
    """Undo the kernel's octal escapes; what they stand for are bytes."""
    if "\\" not in text:
        return text
    raw = os.fsencode(text)
    found = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8) & 255]), raw)
    return os.fsdecode(found)


class Place(NamedTuple):
    """What a path leads to."""

    mount_id: int
    st_dev: int
    is_folder: bool


def look_at(path: str) -> Optional[Place]:
    """Which mount a path leads to right now; None when it leads nowhere.

    Of mounts that lie over each other at one path, only the topmost can be reached.
    """
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        found = os.fstat(descriptor)
        info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    match = re.search(r"^mnt_id:\s*(\d+)", info, re.MULTILINE)
    if match is None:
        return None
    return Place(int(match.group(1)), found.st_dev, stat.S_ISDIR(found.st_mode))


class Stack:
    """Filesystems over block devices over files over filesystems."""

    def __init__(self, mounts: Sequence[Mount], blocks: BlockDevices) -> None:
        self.blocks = blocks
        #: The mounts of each superblock.
        self.filesystems: Dict[int, List[Mount]] = {}
        for mount in mounts:
            self.filesystems.setdefault(mount.dev, []).append(mount)

    def devices(self, dev: int) -> Tuple[int, ...]:
        """The block devices that a filesystem itself uses; none for tmpfs, NFS and the like."""
        mount = self.filesystems[dev][0]
        if mount.fstype == "btrfs":
            return self.blocks.btrfs_members(mount.source)
        if not self.blocks.exists(dev):
            return ()
        # XFS may keep its log and its real-time data on devices of their own.
        others = [
            device_number(option.partition("=")[2])
            for option in mount.super_options
            if mount.fstype == "xfs" and option.startswith(("logdev=", "rtdev="))
        ]
        return (dev, *(number for number in others if number is not None))

    def beneath(self, number: int) -> FrozenSet[int]:
        """All that a filesystem or a block device lies on, itself included.

        Block devices and superblocks by their numbers: they cannot be mistaken for each other,
        because a filesystem on one block device has that device's number.
        """
        found: Set[int] = set()
        waiting = [number]
        while waiting:
            current = waiting.pop()
            if current in found:
                continue
            found.add(current)
            if current in self.filesystems:
                waiting.extend(self.devices(current))
            waiting.extend(self.blocks.below(current))
            holder = self.image_holder(current)
            if holder is not None:
                waiting.append(holder)
        return frozenset(found)

    def image_holder(self, number: int) -> Optional[int]:
        """The filesystem that holds the image file of a loop device."""
        backing = self.blocks.backing_file(number)
        if backing is None or backing.dev is None or backing.dev in self.filesystems:
            return backing.dev if backing else None
        # A file in a btrfs has its subvolume's number: the filesystem is found by the path.
        holders = [
            mount
            for mounts in self.filesystems.values()
            for mount in mounts
            if mount.fstype == "btrfs" and is_below(backing.path, mount.mount_point)
        ]
        if not holders:
            return backing.dev
        return max(holders, key=lambda mount: len(mount.mount_point)).dev


def is_below(path: str, folder: str) -> bool:
    """Whether a path is a folder or lies in it, by their names."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")
