# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Evidence on a device for the consistency of its filesystem.

ext4: a frozen filesystem has an empty journal, so `needs_recovery` is absent and a plain read-only
mount of a read-only device succeeds. `e2fsck -fn` and the state `clean` prove nothing: they are the
same for a filesystem that was cut off. XFS: a freeze leaves a few blocks in the log by design, and
a plain read-only mount is refused in either case. The number of these blocks is the evidence.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, Tuple

from tests.lab._process import LabError, run
from tests.lab.disk import mount, unmount

#: The most blocks from the tail to the head of the log of an XFS that was frozen.
XFS_BLOCKS_AT_REST = 8

#: How to look at the files without replaying a log.
_AS_IT_IS = {"ext4": ("ro", "noload"), "xfs": ("ro", "norecovery", "nouuid"), "btrfs": ("ro",)}


@dataclass(frozen=True)
class Ext4State:
    """The state of an ext4 by its superblock and its journal."""

    needs_recovery: bool
    #: The first block of the journal that is in use; 0 when none is.
    journal_start: int


@dataclass(frozen=True)
class XfsLog:
    """Begin and end of the log of an XFS, in blocks of 512 bytes; the log is a ring."""

    tail: int
    head: int
    length: int

    @property
    def blocks(self) -> int:
        """From the tail to the head."""
        return (self.head - self.tail) % self.length


def ext4_state(device: str) -> Ext4State:
    """Read the state of the ext4 on this device or in this file."""
    output = run("dumpe2fs", "-h", device).stdout
    features = re.search(r"^Filesystem features:(.*)$", output, re.M)
    start = re.search(r"^Journal start:\s+(\d+)$", output, re.M)
    if features is None or start is None:
        raise LabError(f"dumpe2fs did not say what was expected of {device}: {output}")
    return Ext4State("needs_recovery" in features[1].split(), int(start[1]))


def xfs_log(device: str) -> XfsLog:
    """Read where the log of the XFS on this device or in this file begins and ends."""
    output = run("xfs_logprint", "-t", device, check=False).stdout
    ends = re.search(r"log tail: (\d+) head: (\d+)", output)
    length = re.search(r"daddr: \d+ length: (\d+)", output)
    if ends is None or length is None:
        raise LabError(f"xfs_logprint did not say what was expected of {device}: {output[:500]}")
    return XfsLog(int(ends[1]), int(ends[2]), int(length[1]))


@contextlib.contextmanager
def looked_into(device: str, fstype: str, *, plain: bool = False) -> Iterator[Path]:
    """Mount the read-only device without replaying its log, for as long as the context lasts.

    `plain` is the usual mount, which is refused with `LabError` when a log would have to be
    replayed.
    """
    options: Tuple[str, ...] = ("ro",) if plain else _AS_IT_IS[fstype]
    point = Path(tempfile.mkdtemp(prefix="quiesce-look-"))
    try:
        mount(device, point, fstype, options)
        try:
            yield point
        finally:
            unmount(point)
    finally:
        point.rmdir()


def accepts_plain_mount(device: str, fstype: str) -> bool:
    """Return True if a plain read-only mount of the read-only device succeeds."""
    try:
        with looked_into(device, fstype, plain=True):
            return True
    except LabError:
        return False


def at_rest(device: str, fstype: str) -> Tuple[bool, str]:
    """Return whether the filesystem was at rest when its device was copied, and the reason."""
    if fstype == "ext4":
        state, mounts = ext4_state(device), accepts_plain_mount(device, fstype)
        words = (
            f"needs_recovery {'set' if state.needs_recovery else 'absent'}, "
            f"journal start {state.journal_start}, "
            f"{'accepts' if mounts else 'refuses'} a plain read-only mount"
        )
        return not state.needs_recovery and state.journal_start == 0 and mounts, words
    log = xfs_log(device)
    words = f"{log.blocks} blocks from log tail to head (at most {XFS_BLOCKS_AT_REST})"
    return log.blocks <= XFS_BLOCKS_AT_REST, words
