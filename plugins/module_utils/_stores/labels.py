# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata by which snapshots can be told and found again.

PRIVATE: for this collection only. The rules: Microsoft's page on naming and referencing metadata.
"""

from __future__ import annotations

import re
from typing import Dict, Mapping, Optional, Sequence
from urllib.parse import quote

from .._disks import Disk
from .._errors import refuse

SET_LABEL = "quiesce_set"
TASK_LABEL = "quiesce_task"
DISK_LABEL = "quiesce_disk"
#: How many disks the whole set has.
COUNT_LABEL = "quiesce_disks"
_OURS = (SET_LABEL, TASK_LABEL, DISK_LABEL, COUNT_LABEL)
#: All names and values of one blob, in bytes.
LIMIT_BYTES = 8 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def disk_labels(
    disks: Sequence[Disk], task_id: Optional[str], set_id: str, more: Mapping[str, str]
) -> Dict[str, Dict[str, str]]:
    """The metadata of each disk's snapshot, by the disk's name.

    What has no value is left out, for the service takes no empty ones.
    Raises C(SettingsError) for what the service does not take.
    """
    check_labels(more)
    found = {}
    for disk in disks:
        labels = {name: value for name, value in more.items() if value}
        labels[SET_LABEL] = set_id
        labels[DISK_LABEL] = _ascii(disk.name)
        labels[COUNT_LABEL] = str(len(disks))
        if task_id:
            labels[TASK_LABEL] = _ascii(task_id)
        size = sum(len(name) + len(value) for name, value in labels.items())
        if size > LIMIT_BYTES:
            refuse(
                "MetadataTooLarge",
                f"The metadata of a snapshot of {disk.name} would be {size} bytes, and the store "
                f"takes {LIMIT_BYTES}.",
                "Shorten metadata.",
            )
        found[disk.name] = labels
    return found


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise C(SettingsError) for names and values that the service does not take."""
    seen: Dict[str, str] = {}
    for name, value in labels.items():
        if not _NAME.match(name):
            refuse(
                "InvalidMetadata",
                f"metadata: {name!r} cannot be a name.",
                "A name is of ASCII letters, digits and underscores and begins with no digit.",
            )
        if name.lower() in _OURS:
            refuse(
                "InvalidMetadata",
                f"metadata: {name} is what the collection itself writes.",
                "Use another name.",
            )
        if name.lower() in seen:
            refuse(
                "InvalidMetadata",
                f"metadata: {seen[name.lower()]} and {name} are one name to the store.",
                "Use names that differ in more than upper and lower case.",
            )
        seen[name.lower()] = name
        if not _is_header(value):
            refuse(
                "InvalidMetadata",
                f"metadata: the value of {name} cannot be sent.",
                "A value is of printable ASCII characters, with no space at either end.",
            )


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


def _ascii(value: str) -> str:
    """A name as a label: percent-encoded where a header cannot hold it."""
    return value if _is_header(value) else quote(value, safe=" ")
