# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Any two of run, guard and watchdog are killed or stopped; nothing stays frozen or unpaid."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.unit.plugins.module_utils._guest.freeze.freeze_rig import (
    Faults,
    Rig,
    at_once,
    outcomes,
    script,
    until,
)

pytestmark = pytest.mark.root

_WHO = ("run", "guard", "watchdog")
_HOW = (signal.SIGKILL, signal.SIGSTOP)
_SINGLE: List[Faults] = [{who: how} for who, how in itertools.product(_WHO, _HOW)]
_DOUBLE: List[Faults] = [
    {one: first, other: second}
    for one, other in itertools.combinations(_WHO, 2)
    for first, second in itertools.product(_HOW, _HOW)
]


def _finish(rig: Rig, faults: Faults) -> None:
    """Let the run end as it can, and see that nobody is left and the debt is paid once."""
    how = faults.get("run")
    if how == signal.SIGSTOP:
        until(lambda: rig.times_paid() == 1, "the post-script of a run that is stopped")
        rig.send("run", signal.SIGCONT)
        assert rig.do("is_taken_over") is True
        assert rig.ask("freeze")["error"] == "RunTakenOver"
        assert rig.ask("stage 1")["error"] == "RunTakenOver"
    if how != signal.SIGKILL:
        rig.do("thaw")
        assert rig.do("run_once")["rc"] == 0
        rig.do("stop")
        rig.run.kill()
    rig.wait_ended()
    assert rig.times_paid() == 1


def _in_the_window(folder: Path, faults: Faults) -> None:
    with Rig(folder, ("ext4", "xfs")) as rig:
        rig.start(post=rig.post)
        rig.do("mark_due", "freeze")
        rig.hit(faults)
        rig.wait_writable()
        _finish(rig, faults)


def _before_the_freeze(folder: Path, faults: Faults) -> None:
    with Rig(folder) as rig:
        rig.start(post=rig.post)
        rig.do("mark_due")
        rig.hit(faults)
        if "run" not in faults:
            answer = rig.ask("freeze")
            if signal.SIGKILL in faults.values():
                assert answer["error"] == "SupervisorLost"
            elif "guard" in faults:
                assert answer["error"] == "FreezeTimeout"
        rig.wait_writable()
        _finish(rig, faults)


@pytest.mark.parametrize("cases", [_SINGLE, _DOUBLE], ids=["one", "two"])
def test_in_the_window(tmp_path: Path, cases: List[Faults]) -> None:
    """All is frozen, and then they go."""
    at_once(tmp_path, _in_the_window, cases)


@pytest.mark.parametrize("cases", [_SINGLE, _DOUBLE], ids=["one", "two"])
def test_before_the_freeze(tmp_path: Path, cases: List[Faults]) -> None:
    """The post-script is owed, and then they go: nothing is frozen without both supervisors."""
    at_once(tmp_path, _before_the_freeze, cases)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1])
def test_signals_that_ask(tmp_path: Path, number: signal.Signals) -> None:
    """Guard and watchdog take no notice."""
    with Rig(tmp_path) as rig:
        rig.start(post=rig.post)
        rig.do("mark_due", "freeze")
        for who in ("guard", "watchdog"):
            rig.send(who, number)
        assert outcomes(rig.do("thaw")) == [("held", "guard")]
        rig.do("run_once", "stop")
        rig.wait_ended("guard", "watchdog")


def test_pre_script_of_a_killed_run(tmp_path: Path) -> None:
    """It is killed with all of its group before the post-script runs."""
    with Rig(tmp_path) as rig:
        pids = tmp_path / "pids"
        body = f"sleep 1000 & echo $$ $! > '{pids}.new'; mv '{pids}.new' '{pids}'; wait"
        rig.start(post=rig.post, pre=script(tmp_path / "pre.sh", body, timeout_s=1000))
        rig.do("mark_due")
        rig.tell_only("pre")
        until(pids.exists, "the pre-script")
        rig.run.kill()
        rig.wait_ended()
        for pid in map(int, pids.read_text().split()):
            rig.pids[f"script {pid}"] = pid
            rig.wait_ended(f"script {pid}")
            del rig.pids[f"script {pid}"]
        assert rig.times_paid() == 1


def test_pre_script_of_a_stopped_run(tmp_path: Path) -> None:
    """A run that overruns its stage is taken over; when it comes back it starts nothing more."""
    with Rig(tmp_path) as rig:
        started = tmp_path / "started"
        body = f"echo >> '{started}'; sleep 1000"
        pre = script(tmp_path / "pre.sh", body, timeout_s=1000, retries=3)
        rig.start(post=rig.post, pre=pre)
        rig.do("mark_due", "stage 8")
        rig.tell_only("pre")
        until(started.exists, "the pre-script")
        rig.send("run", signal.SIGSTOP)
        until(lambda: rig.times_paid() == 1, "the post-script")
        rig.send("run", signal.SIGCONT)
        assert rig.answer()["value"]["rc"] != 0
        assert rig.do("is_taken_over") is True
        assert rig.do("run_once")["run_by"] in ("guard", "watchdog")
        assert len(started.read_text().splitlines()) == 1
        assert rig.times_paid() == 1


def _payer_is_lost(folder: Path, faults: Faults) -> None:
    ((payer, how),) = faults.items()
    with Rig(folder) as rig:
        rig.start(post=rig.held_post(timeout_s=8))
        rig.do("mark_due")
        if payer == "run":
            rig.do("stage 8")
            rig.tell_only("run_once")
        else:
            if payer == "watchdog":
                rig.hit({"guard": signal.SIGKILL})
            rig.hit({"run": signal.SIGSTOP})
        until(lambda: rig.times_paid() == 1, "the start of the post-script")
        rig.send(payer, how)
        if payer != "run":
            rig.send("run", signal.SIGCONT)
            paid: Dict[str, Any] = rig.do("run_once")
            assert (paid["run_by"], paid["rc"]) == (payer, None)
            assert payer in paid["tail"]
            rig.do("stop")
            rig.run.kill()
        elif how == signal.SIGSTOP:
            rig.wait_ended("guard", "watchdog")
            rig.send("run", signal.SIGCONT)
            assert rig.answer()["value"]["run_by"] == "run"
            rig.run.kill()
        rig.wait_ended()
        assert rig.times_paid() == 1


def test_payer_is_lost_while_the_script_runs(tmp_path: Path) -> None:
    """The script runs to its end, or to the end of its budget, and is not run again."""
    at_once(tmp_path, _payer_is_lost, _SINGLE)


def test_all_three(tmp_path: Path) -> None:
    """The one case beyond the guarantee, to show that these tests can fail."""
    with Rig(tmp_path) as rig:
        rig.start()
        rig.do("freeze")
        # Stopped first, so that none of them sees another one die.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for who in reversed(_WHO):
                rig.send(who, number)
        rig.wait_ended()
        assert rig.guarded.thaw(rig.disks[0].mount_point), "it was thawed by nobody that is known"
