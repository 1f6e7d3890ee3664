# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is asked to end: it ends at a safe place, with nothing left to do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRecord,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from tests.unit.plugins.module_utils._guest.run.stage import Stage


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def failed(record: RunRecord) -> Optional[str]:
    return record.failure.name if record.failure else None


def send(number: int) -> Any:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize(
    ("what", "frozen", "scripts", "kept"),
    [
        ("examine", False, [], 0),
        ("store prepare", False, [], 0),
        ("stage quiesce", False, ["pre", "post"], 0),
        ("flush", False, ["pre", "post"], 0),
        ("freeze", True, ["pre", "post"], 2),
        ("take", True, ["pre", "post"], 2),
        ("pay", True, ["pre", "post"], 2),
    ],
)
def test_signals(
    stage: Stage, number: int, what: str, frozen: bool, scripts: Any, kept: int
) -> None:
    before = signal.getsignal(number)
    stage.events[what] = send(number)
    record = stage.run()
    assert failed(record) == "Interrupted"
    assert signal.Signals(number).name in str(record.failure)
    assert ("thaw" in stage.log) == frozen
    assert stage.ran() in (scripts, scripts[1:])
    assert len(stage.store.snapshots) == kept == len(build(record)["snapshot_set"]["left_behind"])
    assert stage.log[-1] == "unlock"
    assert signal.getsignal(number) is before


def test_a_signal_ends_the_pre_script(stage: Stage) -> None:
    stage.pre = f"kill -TERM {os.getpid()}; exec sleep 1000"
    record = stage.run()
    assert failed(record) == "Interrupted"
    assert record.pre is not None and (record.pre.rc, record.pre.timed_out) == (None, False)
    assert stage.ran() == ["pre", "post"]
