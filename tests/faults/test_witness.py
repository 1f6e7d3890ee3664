# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A case that fails leaves its evidence; a case that passes leaves nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Callable

import pytest

from tests.faults import _engine as engine
from tests.faults import _phases as phases
from tests.faults import _witness as witness
from tests.faults._case import APPLICATION, WINDOW, Case, Outcome
from tests.faults._chaos import Plan, Striker, case_of
from tests.faults._harness import Harness

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze filesystems")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which failed cases are kept."""
    folder = tmp_path / "failed"
    monkeypatch.setattr(engine, "KEPT", folder)
    return folder


def _run(inject: Callable[[Harness], None], also: Callable[[Harness], None]) -> Outcome:
    case = Case(
        name="witness/one",
        fault="none",
        phase=WINDOW,
        inject=inject,
        expect=(APPLICATION,),
        setting=phases.SETTINGS[WINDOW],
        also=also,
    )
    with engine.ground() as ground:
        return engine.run_case(case, *ground)


def test_case_that_raises_keeps_state_of_that_moment(kept: Path) -> None:
    """Check that the capture has the stacks of the three processes, which have ended since."""
    secrets = []

    def break_off(harness: Harness) -> None:
        phases.window(harness)
        secrets.extend(harness.secrets)
        raise RuntimeError("broken off on purpose")

    outcome = _run(break_off, lambda harness: None)

    assert not outcome.passed
    folder = kept / "witness-one"
    assert outcome.kept == str(folder)
    assert engine.summary([outcome]) == f"0 passed, 1 failed; see {kept}"
    capture = (folder / "capture-01.txt").read_text()
    assert capture.startswith("the case was broken off: RuntimeError('broken off on purpose')")
    for name in (
        "quiesce-guard",
        "quiesce-watch",
        "stack: [<0>]",
        "wchan: ",
        "/dev/loop",
        "/proc/locks",
    ):
        assert name in capture
    known = json.loads((folder / "case.json").read_text())
    assert "broken off on purpose" in known["problems"][0]
    assert "seen: request for a snapshot" in (folder / "timeline.txt").read_text()
    assert "(snapshot)" in (folder / "requests.txt").read_text()
    assert (folder / "pauses.txt").read_text().startswith("the machine:")
    assert list(folder.glob("capture-01-shared-*.bin"))
    assert '"task_id"' in (folder / "files" / "arguments.json").read_text()
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert secrets
    assert not [secret for secret in secrets if secret.encode() in everything]


def test_failed_check_keeps_the_result(kept: Path) -> None:
    """Check that the result and the message are kept if only a check fails."""

    def refuse(_harness: Harness) -> None:
        raise AssertionError("not as it should be")

    def inject(harness: Harness) -> None:
        phases.window(harness)
        harness.gate.open()

    outcome = _run(inject, refuse)

    folder = kept / "witness-one"
    assert outcome.problems == ["also: not as it should be"]
    assert "not as it should be" in (folder / "capture-01.txt").read_text()
    assert "'consistency': 'application'" in (folder / "result.txt").read_text()
    assert '"consistency"' in (folder / "files" / "run.out").read_text()


def test_process_that_has_ended_is_left_out() -> None:
    """Check that a capture survives processes that end during it."""
    process = subprocess.Popen(["true"])
    process.wait()
    assert witness._described(process.pid) == ("", "")
    assert witness._described(os.getpid())[1] in tuple("RSD")


def test_case_that_passes_keeps_nothing(kept: Path) -> None:
    """Check that a chaos run that passes leaves no folder, and that its name has the seed."""
    plan = Plan(roles=("watchdog",), aim="window", after_s=0.0, store_s=0.2, apart_s=0.0)
    case = case_of(7, plan, 4242)
    assert case.name == "chaos/4242/7"
    assert isinstance(case.inject, Striker)
    with engine.ground() as ground:
        outcome = engine.run_case(case, *ground)
    assert outcome.passed, outcome
    assert outcome.kept == ""
    assert not kept.exists()
