# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that is asked to end: it ends at a safe place, with nothing left to do."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRecord,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.result import build
from tests.unit.plugins.module_utils._guest.run.fake_run import FakeRun


@pytest.fixture(name="fake")
def _fake(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path)


def failed(record: RunRecord) -> str | None:
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
        ("post-script", True, ["pre", "post"], 2),
    ],
)
def test_signal_ends_the_run_safely(
    fake: FakeRun, number: int, what: str, frozen: bool, scripts: Any, kept: int
) -> None:
    before = signal.getsignal(number)
    fake.events[what] = send(number)
    record = fake.run()
    assert failed(record) == "Interrupted"
    assert signal.Signals(number).name in str(record.failure)
    assert ("thaw" in fake.log) == frozen
    assert fake.ran() in (scripts, scripts[1:])
    assert len(fake.store.snapshots) == kept == len(build(record)["snapshot_set"]["left_behind"])
    assert fake.log[-1] == "unlock"
    assert signal.getsignal(number) is before


def test_signal_ends_the_pre_script(fake: FakeRun) -> None:
    fake.pre = f"kill -TERM {os.getpid()}; exec sleep 1000"
    record = fake.run()
    assert failed(record) == "Interrupted"
    assert record.pre is not None and (record.pre.rc, record.pre.timed_out) == (None, False)
    assert fake.ran() == ["pre", "post"]
