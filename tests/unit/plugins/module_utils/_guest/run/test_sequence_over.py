# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that goes on when its window is over asks for no snapshot."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from tests.unit.plugins.module_utils._guest.run.stage import Stage


@pytest.mark.parametrize("freezes", [True, False])
def test_stopped_right_before_the_requests(tmp_path: Path, freezes: bool) -> None:
    """The store is told how to ask, with a freeze and where only the scripts pause."""
    stage = Stage(tmp_path, fs_freeze=freezes)

    def end_window() -> None:
        stage.window_over = True

    stage.events["before take"] = end_window
    record = stage.run()
    assert stage.store.snapshots == {}
    assert record.failure is not None and record.failure.name == "NotAskedInTime"
    assert build(record)["consistency"] == "none"
    assert stage.ran() == ["pre", "post"]
