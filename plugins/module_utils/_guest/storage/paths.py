# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Path resolution that never waits for a filesystem that may not answer.

Resolving a path on FUSE, NFS and the like sends a request to a server. If the server hangs, so
does the call, and every call for a path below. So paths are followed part by part against the
kernel's list of mounts. Resolution stops at the first filesystem of such a type.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import NamedTuple

from .mountinfo import Mount, Place, read_mounts, read_place

#: Filesystems of block devices whose drivers implement FIFREEZE.
FREEZABLE = frozenset(
    ("ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "jfs", "nilfs2", "reiserfs"),
)
#: Types without a server: those of block devices and of the kernel itself.
_LOCAL = FREEZABLE | frozenset(
    (
        *("bcachefs", "bfs", "cramfs", "erofs", "exfat", "hfs", "hfsplus", "iso9660"),
        *("minix", "msdos", "ntfs3", "reiser4", "romfs", "squashfs", "udf", "ufs", "vfat", "zfs"),
        *("overlay", "aufs", "devtmpfs", "ramfs", "rootfs", "tmpfs", "hugetlbfs", "mqueue"),
        *("binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "efivarfs"),
        *("fusectl", "nsfs", "proc", "pstore", "resctrl", "securityfs", "selinuxfs", "sysfs"),
        *("tracefs",),
    )
)
_LINKS_MAX = 40


def may_hang(mount: Mount) -> bool:
    """Return True if accessing this filesystem may wait for a server that does not answer.

    An unknown type may hang. The filesystem at `/` does not: Python was loaded from it.
    """
    return mount.fstype not in _LOCAL and mount.mount_point != "/"


def is_below(path: str, folder: str) -> bool:
    """Return True if a path is a folder or is in it, by their names."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


class HangingPathError(OSError):
    """A path that leads into a filesystem that may not answer."""

    def __init__(self, path: str, mount: Mount) -> None:
        super().__init__(
            f"leads into {mount.mount_point} ({mount.fstype} of {mount.source}), which may not "
            "answer"
        )
        self.path = path
        self.mount = mount


class _Step(NamedTuple):
    """A folder along the path, and the mount that it is in."""

    path: str
    mount: Mount | None


class Paths:
    """The paths of this machine.

    `mounts` are those of its mount namespace; by default they are read at the first use.
    """

    def __init__(self, mounts: Sequence[Mount] | None = None) -> None:
        self._given = mounts
        self._above: dict[int, list[Mount]] | None = None
        self._root: Mount | None = None
        #: Filesystems of a local type on a filesystem that may not answer. Only mount points in
        #: them may be accessed.
        self.hanging_filesystems: frozenset[int] = frozenset()

    def resolve(self, path: str) -> str:
        """Return the path without links; `..` is followed as the kernel does.

        Raise `HangingPathError` if it leads into a filesystem that may not answer, `OSError` if
        it leads nowhere.
        """
        steps = [_Step("", self._first())]
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name in ("", "."):
                continue
            if name == "..":
                del steps[max(len(steps) - 1, 1) :]
                continue
            step, link = self._step(steps[-1], name)
            if link is None:
                steps.append(step)
                continue
            links += 1
            if links > _LINKS_MAX:
                raise OSError(f"{path} leads through too many symbolic links")
            if link.startswith("/"):
                del steps[1:]
            pending += link.split("/")[::-1]
        last = steps[-1].mount
        if last is not None and may_hang(last):
            raise HangingPathError(path, last)
        return steps[-1].path or "/"

    def place_at(self, path: str) -> Place | None:
        """Return the place that a path leads to right now; None if it cannot be accessed.

        Where mounts hide each other at one path, only the topmost can be reached.
        """
        try:
            return read_place(self.resolve(path))
        except (OSError, ValueError):
            return None

    def block_device(self, path: str) -> int | None:
        """Return the number of the block device at a path, or None.

        Raise `HangingPathError` if the path leads into a filesystem that may not answer.
        """
        try:
            status = os.lstat(self.resolve(path))
        except HangingPathError:
            raise
        except (OSError, ValueError):
            return None
        return status.st_rdev if stat.S_ISBLK(status.st_mode) else None

    def _step(self, at: _Step, name: str) -> tuple[_Step, str | None]:
        """Return the step to a name; if the name is a symbolic link, also its target."""
        path = f"{at.path}/{name}"
        if at.mount is not None and may_hang(at.mount):
            raise HangingPathError(path, at.mount)
        top = self._topmost(at.mount, path)
        if top is at.mount and not self._leads_to_mount(at.mount, path):
            if at.mount is not None and at.mount.dev in self.hanging_filesystems:
                raise HangingPathError(path, at.mount)
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                return at, os.readlink(path)  # noqa: PTH115 - `Path` would change it
        return _Step(path, top), None

    def _topmost(self, mount: Mount | None, path: str) -> Mount | None:
        """Return the mount that a path in `mount` reaches: itself, or the topmost one there."""
        while mount is not None:
            upper = [child for child in self._mounted_on(mount) if child.mount_point == path]
            if not upper:
                break
            mount = upper[-1]
        return mount

    def _leads_to_mount(self, mount: Mount | None, path: str) -> bool:
        """Return True if something is mounted below the path, which must then be a folder."""
        return mount is not None and any(
            is_below(child.mount_point, path) for child in self._mounted_on(mount)
        )

    def _mounted_on(self, mount: Mount) -> list[Mount]:
        return (self._above or {}).get(mount.mount_id, [])

    def _first(self) -> Mount | None:
        """Return the mount of the root folder."""
        if self._above is None:
            mounts = read_mounts() if self._given is None else self._given
            self._above = {}
            for mount in mounts:
                # The first mount of a namespace may be its own parent.
                if mount.parent_id != mount.mount_id:
                    self._above.setdefault(mount.parent_id, []).append(mount)
            known = {mount.mount_id for mount in mounts}
            roots = [
                mount
                for mount in mounts
                if mount.mount_point == "/"
                and (mount.parent_id not in known or mount.parent_id == mount.mount_id)
            ]
            self._root = self._topmost(roots[0], "/") if roots else None
        return self._root
