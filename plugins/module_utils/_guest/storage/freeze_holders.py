# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tell a filesystem that was thawed early from one that another holder keeps frozen.

PRIVATE: for this collection only. Kernels since 6.6 let the kernel itself and device-mapper freeze
a filesystem that is frozen already, and since 6.8 FITHAW answers EINVAL when it gave up one freeze
and another is left. That is also its answer for a filesystem that is not frozen. There is no
question to the kernel that tells the two apart, but one of the holders shows: a device-mapper
device that is suspended.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..model import HELD_BY_ANOTHER, THAWED_EARLY, FilesystemRecord
from .mountinfo import show_number


def tell_apart(record: FilesystemRecord, sysfs: str = "/sys") -> FilesystemRecord:
    """Return the record, with the other holder as its outcome where that can be seen.

    It proves no hold: another process may have thawed the filesystem before the device was
    suspended. To be called after the thaw; reads sysfs and nothing else.
    """
    if record.outcome != THAWED_EARLY:
        return record
    device = Path(sysfs) / "dev" / "block" / show_number(record.target.dev)
    try:
        suspended = (device / "dm" / "suspended").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return record
    return replace(record, outcome=HELD_BY_ANOTHER) if suspended == "1" else record
