# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs at once, runs after runs, a clock that is stepped, documents that are refused."""

from __future__ import annotations

import json
import signal
from typing import Any, Callable, Dict, List

from tests.faults import _places as places
from tests.faults import _processes as processes
from tests.faults._case import APPLICATION, FAILED, WINDOW, Case, Missed, Setting
from tests.faults._rig import LIMIT_S, Rig
from tests.lab.proxy import Rule, reply

#: Steps the wall clock of the module's process alone, when the case says so; nobody else's.
_CLOCK = """\
import os, time
_real, _mark = time.time, os.environ["QUIESCE_CLOCK_MARK"]
def _stepped():
    return _real() + ({step} if os.path.exists(_mark) else 0)
time.time = _stepped
_ns = time.time_ns
time.time_ns = lambda: _ns() + (int({step} * 1e9) if os.path.exists(_mark) else 0)
"""


def _second_run(rig: Rig) -> None:
    places.window(rig)
    command = rig.command(rig.write_arguments("second", task_id="another"))
    second = rig.spawn("second", command)
    # It must be refused while the first one's window is open, and at once.
    assert processes.wait_for(lambda: second.poll() is not None, LIMIT_S), "the second run waits"
    result = rig.result("second") or {}
    assert result.get("failed"), f"a second run was let in: {result}"
    assert "run" in json.dumps(result.get("failure")), result
    if rig.run is None or rig.run.poll() is not None:
        raise Missed("the first run was over before the second was")
    rig.gate.open()


def _same_task(rig: Rig) -> None:
    rig.start()
    assert rig.run is not None
    rig.run.wait(LIMIT_S)
    second = rig.spawn("second", rig.command(rig.write_arguments("second")))
    second.wait(LIMIT_S)
    result = rig.result("second") or {}
    assert result.get("failed"), f"the same task was run again: {result}"
    assert "task" in json.dumps(result.get("failure")), result


def _after_dead_run(rig: Rig) -> None:
    """All three are killed where nothing is frozen and nothing owed; then another run."""
    first = rig.spawn("first", rig.command(rig.write_arguments("first", task_id="first-of-two")))
    rig.run = first
    rule = Rule(places_hold(rig), operation="", times=1)
    rig.proxy.rules.append(rule)
    rig.need("first request to the store", lambda: rig.gate.wait_arrived(0))
    for one in processes.marked(rig.token):
        processes.send(one.pid, rig.token, signal.SIGKILL)
    first.wait(LIMIT_S)
    processes.wait_for(lambda: not processes.marked(rig.token))
    rig.gate.open()
    rig.start()


def places_hold(rig: Rig) -> Callable[..., None]:
    """An action that waits at the case's gate."""
    return rig.gate.pass_through


def _clock_stepped(rig: Rig) -> None:
    places.window(rig)
    (rig.folder / "step").touch()
    rig.gate.open()


def _clock_case(name: str, step: int) -> Case:
    def inject(rig: Rig) -> None:
        shim = rig.folder / "shim"
        shim.mkdir()
        (shim / "sitecustomize.py").write_text(_CLOCK.format(step=step))
        rig.more_env["PYTHONPATH"] = f"{shim}:{rig.tree}"
        rig.more_env["QUIESCE_CLOCK_MARK"] = str(rig.folder / "step")
        _clock_stepped(rig)

    return Case(
        name=f"run/clock/{name}",
        fault=f"the wall clock stepped by an hour, {name}",
        phase=WINDOW,
        inject=inject,
        expect=(APPLICATION,),
    )


def _documents(refused: str) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        more: Dict[str, Any] = {}
        for option in ("status", "logs"):
            url = rig.azurite.block_blob(option, b"", rig.container)
            rig.documents.append(url)
            more[f"{option}_blob_uri"] = rig.signed(url)
        action = reply(403, "Forbidden", "AuthorizationFailure")
        rig.proxy.rules.append(Rule(action, operation="", path=f"/{refused}"))
        rig.start(**more)

    return inject


def cases() -> List[Case]:
    """All of them."""
    return [
        Case(
            name="run/second",
            fault="a second run at the same time",
            phase=WINDOW,
            inject=_second_run,
            expect=(APPLICATION,),
            fast=True,
        ),
        Case(
            name="run/same-task",
            fault="the same task id again",
            phase="lock",
            inject=_same_task,
            expect=(APPLICATION,),
            fast=True,
        ),
        Case(
            name="run/after-dead",
            fault="a lock left by a dead run",
            phase="lock",
            inject=_after_dead_run,
            expect=(APPLICATION,),
        ),
        _clock_case("forward", 3600),
        _clock_case("back", -3600),
        *(
            Case(
                name=f"run/{document}-refused",
                fault=f"the {document} blob is refused",
                phase="settle",
                inject=_documents(document),
                expect=(APPLICATION,),
                cause=document.rstrip("s"),
            )
            for document in ("status", "logs")
        ),
        Case(
            name="run/clean",
            fault="no fault at all",
            phase="all",
            inject=lambda rig: rig.start(),
            expect=(APPLICATION,),
            setting=Setting(filesystems=("ext4", "xfs", "btrfs")),
            fast=True,
        ),
        Case(
            name="run/not-a-disk",
            fault="a disk's blob is missing",
            phase="prepare",
            inject=_missing_blob,
            expect=(FAILED,),
            cause="BlobNotFound|not found|missing|no blob|not there",
            post_runs=0,
        ),
    ]


def _missing_blob(rig: Rig) -> None:
    disks = rig.options()["disks"]
    disks[0]["blob_uri"] = rig.signed(f"{rig.azurite.account_url}/{rig.container}/nothing")
    rig.start(disks=disks)
