# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Distinguish a filesystem that was thawed early from one that another holder keeps frozen.

Since Linux 6.6 the kernel and device-mapper can freeze a filesystem that is frozen already. Since
Linux 6.8 FITHAW fails with EINVAL when it released one freeze and another is left. It fails with
EINVAL also when the filesystem was not frozen. The kernel offers no call that distinguishes the
two. One holder is visible: a suspended device-mapper device.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..model import HELD_BY_ANOTHER, THAWED_EARLY, FilesystemRecord
from .mountinfo import format_number


def classify_early_thaw(record: FilesystemRecord, sysfs: str = "/sys") -> FilesystemRecord:
    """Return the record, with the outcome `held_by_another` if another holder is visible.

    This does not prove that the freeze held: another process may have thawed the filesystem
    before the device was suspended. Call it after the thaw. It only reads sysfs.
    """
    if record.outcome != THAWED_EARLY:
        return record
    device = Path(sysfs) / "dev" / "block" / format_number(record.target.dev)
    try:
        suspended = (device / "dm" / "suspended").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return record
    return replace(record, outcome=HELD_BY_ANOTHER) if suspended == "1" else record
