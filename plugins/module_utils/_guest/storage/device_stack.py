# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stack of filesystems, block devices and image files.

A filesystem is one superblock, however often it is mounted. It is identified by the device number
in `mountinfo`, which the bind mounts and the subvolumes of one filesystem share.
"""

from __future__ import annotations

from collections.abc import Sequence

from .block_devices import BlockDevices
from .mountinfo import Mount
from .paths import is_below, may_hang


class Stack:
    """Filesystems over block devices over files over filesystems."""

    def __init__(
        self, mounts: Sequence[Mount], blocks: BlockDevices, elsewhere: Sequence[Mount] = ()
    ) -> None:
        """Build the stack; `elsewhere` are the mounts of other mount namespaces."""
        self.blocks = blocks
        #: The mounts of each superblock: ours, or those of other namespaces if we have none.
        self.filesystems: dict[int, list[Mount]] = {}
        for mount in mounts:
            self.filesystems.setdefault(mount.dev, []).append(mount)
        hidden: dict[int, list[Mount]] = {}
        for mount in elsewhere:
            if mount.dev not in self.filesystems:
                hidden.setdefault(mount.dev, []).append(mount)
        self.filesystems.update(hidden)
        self._own = tuple(mounts)
        self._elsewhere = tuple(elsewhere)

    def devices(self, dev: int) -> tuple[int, ...]:
        """Return the block devices that a filesystem uses; none for tmpfs, NFS and the like."""
        mount = self.filesystems[dev][0]
        if mount.fstype == "btrfs":
            return self.blocks.btrfs_members(mount.source)
        if not self.blocks.exists(dev):
            return ()
        # XFS may keep its log and its real-time data on separate devices.
        others = [
            self.blocks.number_at(option.partition("=")[2])
            for option in mount.super_options
            if mount.fstype == "xfs" and option.startswith(("logdev=", "rtdev="))
        ]
        return (dev, *(number for number in others if number is not None))

    def beneath(self, number: int) -> frozenset[int]:
        """Return the numbers of everything below a filesystem or block device, itself included.

        Block devices and superblocks share one number space: a filesystem on one block device
        has that device's number.
        """
        found: set[int] = set()
        pending = [number]
        while pending:
            current = pending.pop()
            if current in found:
                continue
            found.add(current)
            if current in self.filesystems:
                pending.extend(self.devices(current))
            pending.extend(self.blocks.below(current))
            pending.extend(self.image_holders(current))
        return frozenset(found)

    def image_holders(self, number: int) -> tuple[int, ...]:
        """Return the filesystems that may hold the image file of a loop device, by its path.

        Where mounts hide each other, the file may be in any of them. A path that leads deeper
        into the mounts of another namespace may belong to that namespace.
        """
        path = self.blocks.backing_file(number)
        if path is None:
            return ()
        own = _deepest(path, self._own)
        depth = max((len(mount.mount_point) for mount in own), default=0)
        foreign = [
            mount
            for mount in _deepest(path, self._elsewhere)
            if len(mount.mount_point) > max(depth, 1)
        ]
        # The filesystem in the image does not hold the image.
        holders = (mount.dev for mount in (*own, *foreign) if number not in self.devices(mount.dev))
        return tuple(dict.fromkeys(holders))

    def may_hang(self, number: int) -> bool:
        """Return True if a filesystem or a device is on a filesystem that may not answer."""
        return any(
            may_hang(self.filesystems[below][0])
            for below in self.beneath(number)
            if below in self.filesystems
        )


def own_stack(mounts: Sequence[Mount], blocks: BlockDevices) -> Stack:
    """Return the stack of this machine, and keep `blocks` from paths that may hang."""
    stack = Stack(mounts, blocks)
    blocks.paths.hanging_filesystems = frozenset(
        dev
        for dev, points in stack.filesystems.items()
        if stack.may_hang(dev) and all(mount.mount_point != "/" for mount in points)
    )
    return stack


def _deepest(path: str, mounts: Sequence[Mount]) -> list[Mount]:
    """Return the mounts at the deepest mount point that is the path or a folder above it."""
    above = [mount for mount in mounts if is_below(path, mount.mount_point)]
    depth = max((len(mount.mount_point) for mount in above), default=0)
    return [mount for mount in above if len(mount.mount_point) == depth]
