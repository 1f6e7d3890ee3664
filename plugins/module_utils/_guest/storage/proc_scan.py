# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mounts and the open devices of all processes of this machine.

A process that ends during the scan is skipped.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path

from .mountinfo import Mount, read_mounts
from .paths import Paths, may_hang

#: Time limit of one scan of all processes, in seconds.
LIMIT_S = 5.0


def _processes(proc: str) -> list[int]:
    return sorted(int(entry.name) for entry in Path(proc).iterdir() if entry.name.isdigit())


def foreign_mounts(
    proc: str = "/proc", limit_s: float = LIMIT_S
) -> tuple[list[tuple[Mount, int]], bool]:
    """Return the mounts of all other mount namespaces, each with the id of a process that sees it.

    The second value is True if the scan of all processes was completed within `limit_s` seconds.
    """
    end = time.monotonic() + limit_s
    mounts: list[tuple[Mount, int]] = []
    seen: set[str] = {_namespace(Path(proc) / "self")}
    for pid in _processes(proc):
        if time.monotonic() >= end:
            return mounts, False
        namespace = _namespace(Path(proc) / str(pid))
        if not namespace or namespace in seen:
            continue
        try:
            own = read_mounts(f"{proc}/{pid}/mountinfo")
        except OSError:
            continue
        seen.add(namespace)
        mounts.extend((mount, pid) for mount in own)
    return mounts, True


def _namespace(process: Path) -> str:
    try:
        return str((process / "ns" / "mnt").readlink())
    except OSError:
        return ""


def openers(
    proc: str, devices: Sequence[int], paths: Paths, limit_s: float = LIMIT_S
) -> tuple[dict[int, int], bool]:
    """Return each of these block devices that a process has open, with the id of that process.

    The second value is True if the scan of all processes was completed within `limit_s` seconds.
    Files on a filesystem that may not answer are skipped.
    """
    end = time.monotonic() + limit_s
    numbers = set(devices)
    safe = _SafeMounts(paths)
    users: dict[int, int] = {}
    for pid in _processes(proc):
        if time.monotonic() >= end:
            return users, False
        try:
            with os.scandir(f"{proc}/{pid}/fd") as entries:
                descriptors = [entry.name for entry in entries]
        except OSError:
            continue
        for descriptor in descriptors:
            number = safe.block_device(f"{proc}/{pid}", descriptor)
            if number in numbers:
                users.setdefault(number, pid)
    return users, True


class _SafeMounts:
    """The mounts whose files can be accessed without waiting for a server, by demand."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        #: True for a mount whose files may be accessed, by the id of the mount.
        self._safe: dict[int, bool] = {}

    def block_device(self, process: str, descriptor: str) -> int:
        """Return the number of the block device that a process has open; -1 for other files."""
        link = f"{process}/fd/{descriptor}"
        try:
            name = os.readlink(link)  # noqa: PTH115 - may be called a million times
            if not name.startswith("/dev/") or name == "/dev/null":
                return -1
            safe = self._is_safe(process, _mount_id(f"{process}/fdinfo/{descriptor}"))
            if safe is None:
                # Its mount is in no namespace any more, so resolve its name in ours.
                return self._paths.block_device(name) or -1
            status = Path(link).stat() if safe else None
        except OSError:
            return -1
        return status.st_rdev if status is not None and stat.S_ISBLK(status.st_mode) else -1

    def _is_safe(self, process: str, mount_id: int) -> bool | None:
        """Return True if the mount is of a type that answers; None if the mount is unknown."""
        if mount_id not in self._safe:
            for mount in read_mounts(f"{process}/mountinfo"):
                self._safe[mount.mount_id] = not may_hang(mount)
        return self._safe.get(mount_id)


def _mount_id(fdinfo: str) -> int:
    with Path(fdinfo).open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            name, _colon, value = line.partition(":")
            if name == "mnt_id":
                return int(value)
    return -1
