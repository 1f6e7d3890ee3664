# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What all processes of this machine have mounted and opened.

PRIVATE: for this collection only. Processes come and go meanwhile: what is gone is left out.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Dict, List, Sequence, Set, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils.guest._mountinfo import (
    Mount,
    read_mounts,
)

#: How long one look at all processes may take, in seconds.
LIMIT_S = 5.0


def _processes(proc: str) -> List[int]:
    return sorted(int(one.name) for one in Path(proc).iterdir() if one.name.isdigit())


def foreign_mounts(
    proc: str = "/proc", limit_s: float = LIMIT_S
) -> Tuple[List[Tuple[Mount, int]], bool]:
    """The mounts of all other mount namespaces, each with the id of a process that sees it.

    The second value says whether all processes were looked at within C(limit_s) seconds.
    """
    end = time.monotonic() + limit_s
    found: List[Tuple[Mount, int]] = []
    seen: Set[str] = {_namespace(Path(proc) / "self")}
    for pid in _processes(proc):
        if time.monotonic() >= end:
            return found, False
        namespace = _namespace(Path(proc) / str(pid))
        if not namespace or namespace in seen:
            continue
        try:
            mounts = read_mounts(f"{proc}/{pid}/mountinfo")
        except OSError:
            continue
        seen.add(namespace)
        found.extend((mount, pid) for mount in mounts)
    return found, True


def _namespace(process: Path) -> str:
    try:
        return str((process / "ns" / "mnt").readlink())
    except OSError:
        return ""


def openers(
    proc: str, devices: Sequence[int], limit_s: float = LIMIT_S
) -> Tuple[Dict[int, int], bool]:
    """For each of these block devices that some process has open: the id of one such process.

    The second value says whether all processes were looked at within C(limit_s) seconds.
    """
    end = time.monotonic() + limit_s
    wanted = set(devices)
    found: Dict[int, int] = {}
    for pid in _processes(proc):
        if time.monotonic() >= end:
            return found, False
        try:
            with os.scandir(f"{proc}/{pid}/fd") as entries:
                descriptors = [entry.path for entry in entries]
        except OSError:
            continue
        for descriptor in descriptors:
            number = _block_device(descriptor)
            if number in wanted:
                found.setdefault(number, pid)
    return found, True


def _block_device(link: str) -> int:
    try:
        # The name first: to look at a file on a network filesystem may hang.
        if not os.readlink(link).startswith("/dev/"):  # noqa: PTH115 - may be asked a million times
            return -1
        found = Path(link).stat()
    except OSError:
        return -1
    return found.st_rdev if stat.S_ISBLK(found.st_mode) else -1
