# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The block devices of this machine and their stacking, read from sysfs.

A device is identified by its number, as in `st_rdev` and `os.makedev`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from .mountinfo import format_number, parse_number
from .paths import HangingPathError, Paths

_DELETED = " (deleted)"


class BlockDevices:
    """The block devices below `sysfs`; their nodes are in the folder `dev`."""

    def __init__(self, sysfs: str = "/sys", dev: str = "/dev") -> None:
        self._sysfs = Path(sysfs)
        self.dev = Path(dev)
        #: Resolves the paths of nodes without blocking.
        self.paths = Paths()

    def folder(self, number: int) -> Path:
        """Return the folder of a device in sysfs."""
        return self._sysfs / "dev" / "block" / format_number(number)

    def node(self, number: int) -> Path:
        """Return the device's node, such as `/dev/sdc1`."""
        # In a name of sysfs an exclamation mark stands for a slash: cciss!c0d0 is cciss/c0d0.
        name = Path(os.path.realpath(self.folder(number))).name.replace("!", "/")
        return self.dev / name

    def exists(self, number: int) -> bool:
        """Return True if the block device exists."""
        return self.folder(number).is_dir()

    def below(self, number: int) -> tuple[int, ...]:
        """Return the devices below this one: the disk of a partition, the legs of a volume."""
        folder = self.folder(number)
        numbers = self._numbers(_entries(folder / "slaves"))
        if (folder / "partition").exists():
            numbers += self._numbers([Path(os.path.realpath(folder)).parent])
        return tuple(numbers)

    def above(self, number: int) -> tuple[int, ...]:
        """Return the devices on top of this one: its partitions, and volumes with a leg here."""
        folder = self.folder(number)
        parts = [entry for entry in _entries(folder) if (entry / "partition").exists()]
        return tuple(self._numbers([*parts, *_entries(folder / "holders")]))

    def number_at(self, path: str) -> int | None:
        """Return the number of the block device at a path, or None.

        None also when the path leads into a filesystem that may not answer.
        """
        try:
            return self.paths.block_device(path)
        except HangingPathError:
            return None

    def backing_file(self, number: int) -> str | None:
        """Return the path of the file behind a loop device; None for any other device.

        The path is the one that the file had when it was opened. The loop driver is not asked for
        the file's filesystem, because it would ask that filesystem, which may not answer.
        """
        text = _read(self.folder(number) / "loop" / "backing_file")
        return (text[: -len(_DELETED)] if text.endswith(_DELETED) else text) or None

    def loops(self) -> tuple[int, ...]:
        """Return all loop devices that have a backing file."""
        numbers = [
            parse_number(entry.name)
            for entry in _entries(self._sysfs / "dev" / "block")
            if (entry / "loop" / "backing_file").exists()
        ]
        return tuple(number for number in numbers if number is not None)

    def btrfs_members(self, source: str) -> tuple[int, ...]:
        """Return all devices of the btrfs that is mounted from `source`, which is one of them.

        The device number of a btrfs is anonymous: it does not lead to its block devices.
        """
        mounted = self.number_at(source)
        sets: dict[str, list[int]] = {
            entry.name: self._numbers(_entries(entry / "devices"))
            for entry in _entries(self._sysfs / "fs" / "btrfs")
            if (entry / "devices").is_dir()
        }
        for members in sets.values():
            if mounted in members:
                return tuple(members)
        return (mounted,) if mounted is not None else ()

    def _numbers(self, folders: Iterable[Path]) -> list[int]:
        numbers = [parse_number(_read(folder / "dev")) for folder in folders]
        return [number for number in numbers if number is not None]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")
    except OSError:
        return ""
