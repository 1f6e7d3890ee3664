# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run whose window is over requests no snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from tests.unit.plugins.module_utils._guest.run.fake_run import FakeRun


@pytest.mark.parametrize("freezes", [True, False])
def test_window_over_before_the_requests_sends_none(tmp_path: Path, freezes: bool) -> None:
    """Check that the store gets the right predicate, with and without a freeze."""
    fake = FakeRun(tmp_path, fs_freeze=freezes)

    def end_window() -> None:
        fake.window_over = True

    fake.events["before take"] = end_window
    record = fake.run()
    assert fake.store.snapshots == {}
    assert record.failure is not None and record.failure.name == "NotAskedInTime"
    assert build(record)["consistency"] == "none"
    assert fake.ran() == ["pre", "post"]
