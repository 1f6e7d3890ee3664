# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the block devices of this machine lie on each other, as sysfs tells it.

PRIVATE: for this collection only. A device is named by its number, as C(st_rdev) and
C(os.makedev) give it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Tuple

from .mountinfo import parse_number, show_number
from .paths import HangingPathError, Paths

_DELETED = " (deleted)"


class BlockDevices:
    """The block devices below C(sysfs); their nodes are in the folder C(dev)."""

    def __init__(self, sysfs: str = "/sys", dev: str = "/dev") -> None:
        self._sysfs = Path(sysfs)
        self.dev = Path(dev)
        #: Where the nodes are looked at.
        self.paths = Paths()

    def folder(self, number: int) -> Path:
        """The folder of a device in sysfs."""
        return self._sysfs / "dev" / "block" / show_number(number)

    def node(self, number: int) -> Path:
        """The device's node, such as C(/dev/sdc1)."""
        # In a name of sysfs an exclamation mark stands for a slash: cciss!c0d0 is cciss/c0d0.
        name = Path(os.path.realpath(self.folder(number))).name.replace("!", "/")
        return self.dev / name

    def exists(self, number: int) -> bool:
        """Whether there is such a block device."""
        return self.folder(number).is_dir()

    def below(self, number: int) -> Tuple[int, ...]:
        """The devices that this one lies on: the disk of a partition, the legs of a volume."""
        folder = self.folder(number)
        found = self._numbers(_entries(folder / "slaves"))
        if (folder / "partition").exists():
            found += self._numbers([Path(os.path.realpath(folder)).parent])
        return tuple(found)

    def above(self, number: int) -> Tuple[int, ...]:
        """The devices that lie on this one: its partitions, volumes with a leg here."""
        folder = self.folder(number)
        parts = [entry for entry in _entries(folder) if (entry / "partition").exists()]
        return tuple(self._numbers([*parts, *_entries(folder / "holders")]))

    def number_at(self, path: str) -> Optional[int]:
        """Return the number of the block device at a path; None when there is none, or when the
        path leads into a filesystem that may not answer."""
        try:
            return self.paths.block_device(path)
        except HangingPathError:
            return None

    def backing_file(self, number: int) -> Optional[str]:
        """Return the path of the file behind a loop device; None for any other device.

        The path is the one of the file when it was opened. To ask the loop driver which filesystem
        that was is a question to the filesystem, which may not answer.
        """
        text = _read(self.folder(number) / "loop" / "backing_file")
        return (text[: -len(_DELETED)] if text.endswith(_DELETED) else text) or None

    def loops(self) -> Tuple[int, ...]:
        """All loop devices that have a backing file."""
        found = [
            parse_number(entry.name)
            for entry in _entries(self._sysfs / "dev" / "block")
            if (entry / "loop" / "backing_file").exists()
        ]
        return tuple(number for number in found if number is not None)

    def btrfs_members(self, source: str) -> Tuple[int, ...]:
        """All devices of the btrfs that is mounted from C(source), one of them.

        The device number of a btrfs is anonymous: it does not lead to its block devices.
        """
        one = self.number_at(source)
        sets: Dict[str, List[int]] = {
            entry.name: self._numbers(_entries(entry / "devices"))
            for entry in _entries(self._sysfs / "fs" / "btrfs")
            if (entry / "devices").is_dir()
        }
        for members in sets.values():
            if one in members:
                return tuple(members)
        return (one,) if one is not None else ()

    def _numbers(self, folders: Iterable[Path]) -> List[int]:
        found = [parse_number(_read(folder / "dev")) for folder in folders]
        return [number for number in found if number is not None]


def _entries(folder: Path) -> List[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").rstrip("\n")
    except OSError:
        return ""
