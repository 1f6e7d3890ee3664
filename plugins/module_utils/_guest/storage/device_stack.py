# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""On which block devices and files the filesystems lie.

PRIVATE: for this collection only. A filesystem is one superblock, whatever number of places it is
mounted at; it is named by the device number that C(mountinfo) gives, which the bind mounts and the
subvolumes of one filesystem share.
"""

from __future__ import annotations

from typing import Dict, FrozenSet, List, Sequence, Set, Tuple

from .block_devices import BlockDevices
from .mountinfo import Mount
from .paths import is_below, may_hang


class Stack:
    """Filesystems over block devices over files over filesystems."""

    def __init__(
        self, mounts: Sequence[Mount], blocks: BlockDevices, elsewhere: Sequence[Mount] = ()
    ) -> None:
        """C(elsewhere): mounts that only other mount namespaces have."""
        self.blocks = blocks
        #: The mounts of each superblock; those of other namespaces where only they have any.
        self.filesystems: Dict[int, List[Mount]] = {}
        for mount in mounts:
            self.filesystems.setdefault(mount.dev, []).append(mount)
        hidden: Dict[int, List[Mount]] = {}
        for mount in elsewhere:
            if mount.dev not in self.filesystems:
                hidden.setdefault(mount.dev, []).append(mount)
        self.filesystems.update(hidden)
        self._own = tuple(mounts)
        self._elsewhere = tuple(elsewhere)

    def devices(self, dev: int) -> Tuple[int, ...]:
        """The block devices that a filesystem itself uses; none for tmpfs, NFS and the like."""
        mount = self.filesystems[dev][0]
        if mount.fstype == "btrfs":
            return self.blocks.btrfs_members(mount.source)
        if not self.blocks.exists(dev):
            return ()
        # XFS may keep its log and its real-time data on devices of their own.
        others = [
            self.blocks.number_at(option.partition("=")[2])
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
            waiting.extend(self.image_holders(current))
        return frozenset(found)

    def image_holders(self, number: int) -> Tuple[int, ...]:
        """Return the filesystem that holds the image file of a loop device, by the file's path.

        Several where mounts lie over each other: the file is in any of them. A path that leads
        deeper into mounts of another namespace may be one of that namespace.
        """
        path = self.blocks.backing_file(number)
        if path is None:
            return ()
        own = _deepest(path, self._own)
        depth = max((len(mount.mount_point) for mount in own), default=0)
        other = [
            mount
            for mount in _deepest(path, self._elsewhere)
            if len(mount.mount_point) > max(depth, 1)
        ]
        # The filesystem in the image does not hold the image.
        found = (mount.dev for mount in (*own, *other) if number not in self.devices(mount.dev))
        return tuple(dict.fromkeys(found))

    def may_hang(self, number: int) -> bool:
        """Return True if a filesystem or a device lies on a filesystem that may not answer."""
        return any(
            may_hang(self.filesystems[one][0])
            for one in self.beneath(number)
            if one in self.filesystems
        )


def own_stack(mounts: Sequence[Mount], blocks: BlockDevices) -> Stack:
    """Return the stack of this machine, and have C(blocks) look at no path that may hang."""
    stack = Stack(mounts, blocks)
    blocks.paths.hanging_filesystems = frozenset(
        dev
        for dev, points in stack.filesystems.items()
        if stack.may_hang(dev) and all(mount.mount_point != "/" for mount in points)
    )
    return stack


def _deepest(path: str, mounts: Sequence[Mount]) -> List[Mount]:
    """The mounts at the deepest mount point that the path lies below, or is."""
    above = [mount for mount in mounts if is_below(path, mount.mount_point)]
    depth = max((len(mount.mount_point) for mount in above), default=0)
    return [mount for mount in above if len(mount.mount_point) == depth]
