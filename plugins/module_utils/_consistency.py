# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The consistencies of a backup, from the least to the most: none, crash, file-system, application.

They are plain strings, as options and results hold them.
"""

from __future__ import annotations

NONE = "none"
CRASH = "crash"
FILE_SYSTEM = "file-system"
APPLICATION = "application"
#: From the least to the most.
ORDER = (NONE, CRASH, FILE_SYSTEM, APPLICATION)


def reaches(consistency: str | None, required: str) -> bool:
    """Return True if a consistency is at least the required one; unknown ones never are."""
    return consistency in ORDER and ORDER.index(consistency) >= ORDER.index(required)
