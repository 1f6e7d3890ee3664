# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests on a fake sysfs, because the kernel of the tests has no device-mapper."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    HELD,
    HELD_BY_ANOTHER,
    NOT_THAWED,
    THAWED_EARLY,
    FilesystemRecord,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.freeze_holders import (
    classify_early_thaw,
)

DEV = os.makedev(253, 3)


@pytest.mark.parametrize(
    ("outcome", "suspended", "expected"),
    [
        (THAWED_EARLY, "1\n", HELD_BY_ANOTHER),
        (THAWED_EARLY, "0\n", THAWED_EARLY),
        (THAWED_EARLY, None, THAWED_EARLY),
        (HELD, "1\n", HELD),
        (NOT_THAWED, "1\n", NOT_THAWED),
    ],
)
def test_device_suspended_after_early_thaw_is_holder(
    tmp_path: Path, outcome: str, suspended: str | None, expected: str
) -> None:
    folder = tmp_path / "dev" / "block" / "253:3"
    folder.mkdir(parents=True)
    if suspended is not None:
        (folder / "dm").mkdir()
        (folder / "dm" / "suspended").write_text(suspended)
    record = FilesystemRecord(Target("/x", "/dev/mapper/x", "xfs", DEV), outcome)
    assert classify_early_thaw(record, str(tmp_path)).outcome == expected
