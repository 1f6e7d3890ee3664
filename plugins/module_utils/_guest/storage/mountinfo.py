# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The mounts of a mount namespace, read from the kernel's `mountinfo`.

A device or a superblock is identified by its number, as in `st_rdev` and `os.makedev`.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


def parse_number(text: str) -> int | None:
    """Return the device number in `major:minor`; None for any other text."""
    major, colon, minor = text.strip().partition(":")
    if colon and major.isdigit() and minor.isdigit():
        return os.makedev(int(major), int(minor))
    return None


def format_number(number: int) -> str:
    """Return the device number as `major:minor`."""
    return f"{os.major(number)}:{os.minor(number)}"


@dataclass(frozen=True)
class Mount:
    """One line of `mountinfo`."""

    mount_id: int
    parent_id: int
    #: Number of the superblock.
    dev: int
    #: The folder of the filesystem that is mounted here; `/` unless this is a bind mount.
    root: str
    mount_point: str
    fstype: str
    source: str
    options: tuple[str, ...]
    super_options: tuple[str, ...]

    @property
    def read_only(self) -> bool:
        """Return True if this mount is read-only."""
        return "ro" in self.options or self.filesystem_read_only

    @property
    def filesystem_read_only(self) -> bool:
        """Return True if the filesystem is read-only, through all its mounts."""
        return "ro" in self.super_options


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts in a text in the form of `/proc/PID/mountinfo`, proc(5).

    Lines of another form are skipped.
    """
    mounts = [_parse_line(line) for line in text.split("\n")]
    return [mount for mount in mounts if mount is not None]


def read_mounts(path: str = "/proc/self/mountinfo") -> list[Mount]:
    """Return the mounts of the mount namespace of `path`, in the order of the kernel.

    Raise `OSError` if the file cannot be read.
    """
    with Path(path).open(encoding="utf-8", errors="surrogateescape") as lines:
        return parse_mountinfo(lines.read())


def _parse_line(line: str) -> Mount | None:
    head, separator, tail = line.partition(" - ")
    first, last = head.split(" "), tail.split(" ")
    # An empty source shows as two spaces; spaces in options are escaped.
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
    """Return the text with the kernel's octal escapes decoded; each stands for one byte."""
    if "\\" not in text:
        return text
    raw = text.encode("utf-8", errors="surrogateescape")
    decoded = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match.group(1), 8) & 255]), raw)
    return decoded.decode("utf-8", errors="surrogateescape")


class Place(NamedTuple):
    """The mount and filesystem that a path leads to."""

    mount_id: int
    st_dev: int
    is_folder: bool


def read_place(path: str) -> Place | None:
    """Return the place that a path leads to right now; None if it leads nowhere.

    This call may block, so resolve the path by `paths.Paths.resolve` first.
    """
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(descriptor)
        info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    except OSError:
        return None
    finally:
        os.close(descriptor)
    match = re.search(r"^mnt_id:\s*(\d+)", info, re.MULTILINE)
    if match is None:
        return None
    return Place(int(match.group(1)), status.st_dev, stat.S_ISDIR(status.st_mode))
