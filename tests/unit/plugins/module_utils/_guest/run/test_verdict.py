# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bounds of the window, to the nanosecond."""

from __future__ import annotations

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    FREEZE_LATE,
    HELD,
    THAWED_EARLY,
    FilesystemRecord,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.verdict import (
    Window,
    in_window,
    window_of,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)

TARGET = Target("/srv/a", "/dev/sdc1", "xfs", 1)


def filesystem(*times: int | None, outcome: str = HELD) -> FilesystemRecord:
    started, frozen, thaw, thawed = times
    return FilesystemRecord(TARGET, outcome, started, frozen, thaw, thawed)


def test_window_is_from_the_last_freeze_to_the_first_thaw() -> None:
    window = window_of([filesystem(10, 30, 70, 75), filesystem(11, 20, 60, 90)])
    assert window == Window(opened_ns=10, frozen_ns=30, thaw_ns=60, closed_ns=90)


def test_foreign_thaw_still_has_a_window() -> None:
    window = window_of([filesystem(10, 30, 70, None, outcome=THAWED_EARLY)])
    assert window == Window(10, 30, 70, 70)


@pytest.mark.parametrize("times", [(10, None, 70, 80), (10, 30, None, None), (None,) * 4])
def test_filesystem_not_frozen_has_no_window(times: tuple[int | None, ...]) -> None:
    late = filesystem(*times, outcome=FREEZE_LATE)
    assert window_of([filesystem(10, 30, 70, 75), late]) is None
    assert window_of([]) is None


@pytest.mark.parametrize(
    ("requested", "acknowledged", "inside"),
    [
        (30, 60, True),
        (29, 60, False),
        (30, 61, False),
        (None, 60, False),
        (30, None, False),
    ],
)
def test_in_window(requested: int | None, acknowledged: int | None, inside: bool) -> None:
    window = Window(10, 30, 60, 70)
    outcome = SnapshotOutcome("disk", "a snapshot", "uri", requested, acknowledged)
    assert in_window(outcome, window) is inside
    assert in_window(outcome, None) is False
    assert in_window(SnapshotOutcome("disk", None, None, requested, acknowledged), window) is False
