# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard turns the setting on for FIFREEZE only; `FreezeHarness` checks it at each end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
    Setting,
)
from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import value
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import (
    FreezeHarness,
    outcomes,
    until,
)

pytestmark = pytest.mark.root


def test_on_during_fifreeze_only(tmp_path: Path) -> None:
    """Check that it is restored before the thaw, and that the result has the time it was on."""
    with FreezeHarness(tmp_path, ("ext4", "xfs")) as harness:
        harness.start()
        assert harness.do("expedited")["words"] == "The freeze did not begin."
        harness.do("freeze")
        until(lambda: value(harness.paths) == 0, "the setting that is restored")
        assert harness.do("is_window_over") is False
        assert outcomes(harness.do("thaw")) == [("held", "guard")] * 2
        result = harness.do("expedited")
        assert (result["used"], result["words"]) == (
            True,
            "Grace periods of RCU were expedited during FIFREEZE.",
        )
        assert result["on_ms"] > 0
        harness.do("stop")


def test_failed_freeze_restores_the_setting(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path) as harness:
        harness.start()
        harness.guarded.freeze(harness.disks[0].mount_point)
        assert harness.ask("freeze")["error"] == "FrozenByAnother"
        assert value(harness.paths) == 0
        assert harness.do("expedited")["used"] is True
        harness.do("stop")
        assert harness.guarded.thaw(harness.disks[0].mount_point)


def test_foreign_value_is_left_alone(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path) as harness:
        harness.setting_at_end = 1
        harness.start()
        Path(harness.paths.value).write_text("1\n")
        harness.do("freeze")
        assert value(harness.paths) == 1
        harness.do("thaw", "stop")


def test_last_of_two_runs_restores_the_setting(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path) as harness:
        other = Setting("yes", harness.paths)
        harness.start()
        other.turn_on()
        harness.do("freeze", "thaw")
        result = harness.do("expedited")
        assert result["used"] and result["on_ms"]
        assert value(harness.paths) == MARK
        other.restore()
        assert value(harness.paths) == 0
        other.close()
        harness.do("stop")
