# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is mounted, as the kernel lists it.

PRIVATE: for this collection only. A device or a superblock is named by its number, as C(st_rdev)
and C(os.makedev) give it.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import List, NamedTuple, Optional, Tuple


def parse_number(text: str) -> Optional[int]:
    """The device number in C(major:minor); None when the text is something else."""
    major, colon, minor = text.strip().partition(":")
    if colon and major.isdigit() and minor.isdigit():
        return os.makedev(int(major), int(minor))
    return None


def show_number(number: int) -> str:
    """The device number as C(major:minor)."""
    return f"{os.major(number)}:{os.minor(number)}"


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
    raw = text.encode("utf-8", errors="surrogateescape")
    found = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8) & 255]), raw)
    return found.decode("utf-8", errors="surrogateescape")


class Place(NamedTuple):
    """What a path leads to."""

    mount_id: int
    st_dev: int
    is_folder: bool


def look_at(path: str) -> Optional[Place]:
    """Which mount a path leads to right now; None when it leads nowhere.

    The path must be one that C(_paths.Paths.resolve) has followed: this look may block.
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
