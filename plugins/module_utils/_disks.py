# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a snapshot set.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Disk:
    """One disk of the set, as the options name it."""

    name: str
    #: With its SAS: never to be shown.
    blob_uri: str = field(repr=False)
    lun: Optional[int] = None
    #: Block device of the disk on the guest, when given.
    device: Optional[str] = None
