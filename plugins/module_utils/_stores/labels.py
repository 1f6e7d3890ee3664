# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata of snapshots, by which they can be distinguished and found.

The rules are those of Microsoft's page on naming and referencing metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from .._disks import Disk
from .._errors import SettingsError

SET_LABEL = "quiesce_set"
TASK_LABEL = "quiesce_task"
DISK_LABEL = "quiesce_disk"
#: The number of disks of the whole set.
COUNT_LABEL = "quiesce_disks"
_RESERVED = (SET_LABEL, TASK_LABEL, DISK_LABEL, COUNT_LABEL)
#: All names and values of one blob, in bytes.
LIMIT_BYTES = 8 * 1024
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def disk_labels(
    disks: Sequence[Disk], task_id: str | None, set_id: str, more: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Return the metadata of each disk's snapshot, by the disk's name.

    Empty values are left out, because the service does not accept them.
    Raise `SettingsError` for names and values that the service does not accept.
    """
    check_labels(more)
    labels_of = {}
    for disk in disks:
        labels = {name: value for name, value in more.items() if value}
        labels[SET_LABEL] = set_id
        labels[DISK_LABEL] = _ascii(disk.name)
        labels[COUNT_LABEL] = str(len(disks))
        if task_id:
            labels[TASK_LABEL] = _ascii(task_id)
        size = sum(len(name) + len(value) for name, value in labels.items())
        if size > LIMIT_BYTES:
            raise SettingsError(
                "MetadataTooLarge",
                f"The metadata of a snapshot of {disk.name} would be {size} bytes, and the store "
                f"accepts {LIMIT_BYTES}.",
                "Shorten the names and values in metadata.",
            )
        labels_of[disk.name] = labels
    return labels_of


def check_labels(labels: Mapping[str, str]) -> None:
    """Raise `SettingsError` for names and values that the service does not accept."""
    seen: dict[str, str] = {}
    for name, value in labels.items():
        if not _NAME.match(name):
            raise SettingsError(
                "InvalidMetadata",
                f"metadata: {name!r} is not a valid name.",
                "Use only ASCII letters, digits and underscores, and do not begin with a digit.",
            )
        if name.lower() in _RESERVED:
            raise SettingsError(
                "InvalidMetadata",
                f"metadata: the collection itself writes {name}.",
                "Use another name.",
            )
        if name.lower() in seen:
            raise SettingsError(
                "InvalidMetadata",
                f"metadata: {seen[name.lower()]} and {name} are the same name to the store.",
                "Use names that differ in more than their case.",
            )
        seen[name.lower()] = name
        if not _is_header(value):
            raise SettingsError(
                "InvalidMetadata",
                f"metadata: the value of {name} cannot be sent.",
                "Use only printable ASCII characters, with no space at either end.",
            )


def common_labels(labels: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the labels that the snapshots of all disks share."""
    return {
        name: value
        for of_disk in labels.values()
        for name, value in of_disk.items()
        if name != DISK_LABEL
    }


def _is_header(value: str) -> bool:
    return value.isascii() and value.isprintable() and value == value.strip()


def _ascii(value: str) -> str:
    """Return a name as a label: percent-encoded where a header cannot hold it."""
    return value if _is_header(value) else quote(value, safe=" ")
