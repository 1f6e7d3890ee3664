# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metadata of snapshots."""

from __future__ import annotations

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.labels import disk_labels
from tests.unit.plugins.module_utils.disks import make_disk

DISKS = (make_disk("data"), make_disk("l\u00f6g"))


def test_labels_name_set_task_and_disk() -> None:
    found = disk_labels(DISKS, "task 1", "set1", {"Team": "blue", "empty": ""})
    assert found["data"] == {
        "Team": "blue",
        "quiesce_set": "set1",
        "quiesce_task": "task 1",
        "quiesce_disk": "data",
        "quiesce_disks": "2",
    }
    assert found["l\u00f6g"]["quiesce_disk"] == "l%C3%B6g"
    assert "quiesce_task" not in disk_labels(DISKS, None, "set1", {})["data"]


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"1st": "x"},
        {"with-dash": "x"},
        {"with space": "x"},
        {"uml\u00e4ut": "x"},
        {"end\n": "x"},
        {"a": "x", "A": "y"},
        {"quiesce_set": "x"},
        {"Quiesce_Disk": "x"},
        {"a": "\u00e4"},
        {"a": " x"},
        {"a": "x\r\nx-ms-meta-b: y"},
        {"a": "\x00"},
    ],
)
def test_invalid_metadata_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        disk_labels(DISKS, None, "set1", labels)
    assert caught.value.failure.name == "InvalidMetadata"


def test_too_much_metadata_is_refused() -> None:
    ours = sum(len(k) + len(v) for k, v in disk_labels(DISKS[:1], None, "s", {})["data"].items())
    assert disk_labels(DISKS[:1], None, "s", {"a": "x" * (8192 - ours - 1)})
    with pytest.raises(SettingsError) as caught:
        disk_labels(DISKS[:1], None, "s", {"a": "x" * (8192 - ours)})
    assert caught.value.failure.name == "MetadataTooLarge"
