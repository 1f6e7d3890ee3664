# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill or stop any two of run, guard and watchdog: all thaws, and the post-script runs once."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import value
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import (
    Faults,
    FreezeHarness,
    outcomes,
    run_cases,
    script,
    until,
)

pytestmark = pytest.mark.root

_ROLES = ("run", "guard", "watchdog")
_SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
_SINGLE: list[Faults] = [{role: signum} for role, signum in itertools.product(_ROLES, _SIGNALS)]
_DOUBLE: list[Faults] = [
    {one: first, other: second}
    for one, other in itertools.combinations(_ROLES, 2)
    for first, second in itertools.product(_SIGNALS, _SIGNALS)
]


def _finish(harness: FreezeHarness, faults: Faults) -> None:
    """Let the run end, and check that no process is left and the post-script has run once."""
    signum = faults.get("run")
    if signum == signal.SIGSTOP:
        until(lambda: harness.post_script_starts() == 1, "the post-script of a run that is stopped")
        harness.send("run", signal.SIGCONT)
        assert harness.do("is_taken_over") is True
        assert harness.ask("freeze")["error"] == "RunTakenOver"
        assert harness.ask("stage 1")["error"] == "RunTakenOver"
    if signum != signal.SIGKILL:
        harness.do("thaw")
        assert harness.do("run_once")["rc"] == 0
        harness.do("stop")
        harness.run.kill()
    harness.wait_ended()
    assert harness.post_script_starts() == 1


def _in_the_window(folder: Path, faults: Faults) -> None:
    with FreezeHarness(folder, ("ext4", "xfs")) as harness:
        harness.start(post=harness.post)
        harness.do("mark_due", "freeze")
        harness.hit(faults)
        harness.wait_writable()
        _finish(harness, faults)


def _before_the_freeze(folder: Path, faults: Faults) -> None:
    with FreezeHarness(folder) as harness:
        harness.start(post=harness.post)
        harness.do("mark_due")
        harness.hit(faults)
        if "run" not in faults:
            answer = harness.ask("freeze")
            if signal.SIGKILL in faults.values():
                assert answer["error"] == "SupervisorLost"
            elif "guard" in faults:
                assert answer["error"] == "FreezeTimeout"
        harness.wait_writable()
        _finish(harness, faults)


@pytest.mark.parametrize("cases", [_SINGLE, _DOUBLE], ids=["one", "two"])
def test_in_the_window(tmp_path: Path, cases: list[Faults]) -> None:
    """Send the signals while all is frozen."""
    run_cases(tmp_path, _in_the_window, cases)


@pytest.mark.parametrize("cases", [_SINGLE, _DOUBLE], ids=["one", "two"])
def test_before_the_freeze(tmp_path: Path, cases: list[Faults]) -> None:
    """Send the signals while the post-script is due: no freeze without both supervisors."""
    run_cases(tmp_path, _before_the_freeze, cases)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_supervisors_ignore_signal(tmp_path: Path, number: signal.Signals) -> None:
    with FreezeHarness(tmp_path) as harness:
        harness.start(post=harness.post)
        harness.do("mark_due", "freeze")
        for role in ("guard", "watchdog"):
            harness.send(role, number)
        assert outcomes(harness.do("thaw")) == [("held", "guard")]
        harness.do("run_once", "stop")
        harness.wait_ended("guard", "watchdog")


def test_pre_script_group_of_killed_run_is_killed(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path) as harness:
        pids = tmp_path / "pids"
        body = f"sleep 1000 & echo $$ $! > '{pids}.new'; mv '{pids}.new' '{pids}'; wait"
        harness.start(post=harness.post, pre=script(tmp_path / "pre.sh", body, timeout_s=1000))
        harness.do("mark_due")
        harness.send_line("pre")
        until(pids.exists, "the pre-script")
        harness.run.kill()
        harness.wait_ended()
        for pid in map(int, pids.read_text().split()):
            harness.pids[f"script {pid}"] = pid
            harness.wait_ended(f"script {pid}")
            del harness.pids[f"script {pid}"]
        assert harness.post_script_starts() == 1


def test_stopped_run_is_taken_over_and_starts_nothing_more(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path) as harness:
        started = tmp_path / "started"
        body = f"echo >> '{started}'; sleep 1000"
        pre = script(tmp_path / "pre.sh", body, timeout_s=1000, retries=3)
        harness.start(post=harness.post, pre=pre)
        harness.do("mark_due", "stage 8")
        harness.send_line("pre")
        until(started.exists, "the pre-script")
        harness.send("run", signal.SIGSTOP)
        until(lambda: harness.post_script_starts() == 1, "the post-script")
        harness.send("run", signal.SIGCONT)
        assert harness.answer()["value"]["rc"] != 0
        assert harness.do("is_taken_over") is True
        assert harness.do("run_once")["run_by"] in ("guard", "watchdog")
        assert len(started.read_text().splitlines()) == 1
        assert harness.post_script_starts() == 1


def _runner_fails(folder: Path, faults: Faults) -> None:
    ((runner, signum),) = faults.items()
    with FreezeHarness(folder) as harness:
        harness.start(post=harness.waiting_post(timeout_s=8))
        harness.do("mark_due")
        if runner == "run":
            harness.do("stage 8")
            harness.send_line("run_once")
        else:
            if runner == "watchdog":
                harness.hit({"guard": signal.SIGKILL})
            harness.hit({"run": signal.SIGSTOP})
        until(lambda: harness.post_script_starts() == 1, "the start of the post-script")
        harness.send(runner, signum)
        if runner != "run":
            harness.send("run", signal.SIGCONT)
            outcome: dict[str, Any] = harness.do("run_once")
            assert (outcome["run_by"], outcome["rc"]) == (runner, None)
            assert runner in outcome["tail"]
            harness.do("stop")
            harness.run.kill()
        elif signum == signal.SIGSTOP:
            harness.wait_ended("guard", "watchdog")
            harness.send("run", signal.SIGCONT)
            assert harness.answer()["value"]["run_by"] == "run"
            harness.run.kill()
        harness.wait_ended()
        assert harness.post_script_starts() == 1


def test_runner_fails_while_the_script_runs(tmp_path: Path) -> None:
    """Check that the script runs to its end or its timeout, and is not started again."""
    run_cases(tmp_path, _runner_fails, _SINGLE)


def test_all_three_killed_stays_frozen(tmp_path: Path) -> None:
    # The one case beyond the guarantee shows that these tests can fail.
    with FreezeHarness(tmp_path) as harness:
        harness.start()
        harness.do("freeze")
        # The guard restores it right after the freeze, and no process is left to do so later.
        until(lambda: value(harness.paths) == 0, "the setting that is restored")
        # Stopped first, so that none of them can react to the end of another.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for role in reversed(_ROLES):
                harness.send(role, number)
        harness.wait_ended()
        assert harness.guarded.thaw(harness.disks[0].mount_point), (
            "an unknown process has thawed it"
        )
