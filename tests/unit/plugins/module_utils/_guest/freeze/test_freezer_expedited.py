# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The guard turns the setting on for FIFREEZE and no longer; C(Rig) looks at it at every end."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
    Setting,
)
from tests.unit.plugins.module_utils._guest.freeze.expedite_places import value
from tests.unit.plugins.module_utils._guest.freeze.freeze_rig import Rig, outcomes, until

pytestmark = pytest.mark.root


def test_on_during_fifreeze_only(tmp_path: Path) -> None:
    """It is back while all is frozen, and the result says for how long it was on."""
    with Rig(tmp_path, ("ext4", "xfs")) as rig:
        rig.start()
        assert rig.do("expedited")["words"] == "The freeze did not begin."
        rig.do("freeze")
        until(lambda: value(rig.places) == 0, "the setting that is put back")
        assert rig.do("is_window_over") is False
        assert outcomes(rig.do("thaw")) == [("held", "guard")] * 2
        said = rig.do("expedited")
        assert (said["used"], said["words"]) == (
            True,
            "Grace periods of RCU were expedited during FIFREEZE.",
        )
        assert said["on_ms"] > 0
        rig.do("stop")


def test_freeze_that_fails(tmp_path: Path) -> None:
    """Somebody else has frozen it: nothing of ours was frozen, and the setting is back."""
    with Rig(tmp_path) as rig:
        rig.start()
        rig.guarded.freeze(rig.disks[0].mount_point)
        assert rig.ask("freeze")["error"] == "FrozenByAnother"
        assert value(rig.places) == 0
        assert rig.do("expedited")["used"] is True
        rig.do("stop")
        assert rig.guarded.thaw(rig.disks[0].mount_point)


def test_somebody_elses_value(tmp_path: Path) -> None:
    """It is left alone from the beginning to the end."""
    with Rig(tmp_path) as rig:
        rig.setting_at_end = 1
        rig.start()
        Path(rig.places.value).write_text("1\n")
        rig.do("freeze")
        assert value(rig.places) == 1
        rig.do("thaw", "stop")


def test_another_run_at_the_same_time(tmp_path: Path) -> None:
    """The run that ends first leaves the setting on, and the one that ends last puts it back."""
    with Rig(tmp_path) as rig:
        other = Setting("yes", rig.places)
        rig.start()
        other.turn_on()
        rig.do("freeze", "thaw")
        said = rig.do("expedited")
        assert said["used"] and said["on_ms"]
        assert value(rig.places) == MARK
        other.restore()
        assert value(rig.places) == 0
        other.close()
        rig.do("stop")
