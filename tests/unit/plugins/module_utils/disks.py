# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks for tests, and stores of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import (
    Disk,
    parse_blob_uri,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.labels import disk_labels
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)

_SAS = "sr=b&sp=rcwd&sig=x"


def make_disk(
    name: str,
    uri: str = "https://store.invalid/vhds/disk",
    lun: int | None = None,
    device: str | None = None,
) -> Disk:
    """Return a disk; an address without a query gets a SAS."""
    signed = uri if "?" in uri else f"{uri}?{_SAS}"
    return Disk(name, parse_blob_uri(signed, f"Disk {name}"), lun, device)


def make_store(
    disks: Sequence[Disk],
    set_id: str = "the-set",
    task_id: str | None = None,
    metadata: Mapping[str, str] | None = None,
    **options: Any,
) -> PageBlobStore:
    """Return a store of the disks, which labels their snapshots."""
    labels = disk_labels(disks, task_id, set_id, metadata or {})
    return PageBlobStore(disks, labels, set_id, **options)
