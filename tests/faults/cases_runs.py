# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Concurrent and repeated runs, steps of the wall clock, and refused documents."""

from __future__ import annotations

import json
import signal
from typing import Any, Callable

from tests.faults import _phases as phases
from tests.faults import _processes as processes
from tests.faults._case import APPLICATION, FAILED, WINDOW, Case, MissedPhaseError, Setting
from tests.faults._harness import LIMIT_S, Harness
from tests.lab.proxy import Rule, reply

#: Steps the wall clock of the module's process only, once the case has made a file.
_CLOCK = """\
import os, time
_real, _mark = time.time, os.environ["QUIESCE_CLOCK_MARK"]
def _stepped():
    return _real() + ({step} if os.path.exists(_mark) else 0)
time.time = _stepped
_ns = time.time_ns
time.time_ns = lambda: _ns() + (int({step} * 1e9) if os.path.exists(_mark) else 0)
"""


def _second_run(harness: Harness) -> None:
    phases.window(harness)
    command = harness.command(harness.write_arguments("second", task_id="another"))
    second = harness.spawn("second", command)
    # It must fail while the first run's window is open.
    assert processes.wait_for(lambda: second.poll() is not None, LIMIT_S), "the second run waits"
    result = harness.result("second") or {}
    assert result.get("failed"), f"a second run was accepted: {result}"
    assert "run" in json.dumps(result.get("failure")), result
    if harness.run is None or harness.run.poll() is not None:
        raise MissedPhaseError("the first run was over before the second was")
    harness.gate.open()


def _same_task(harness: Harness) -> None:
    harness.start()
    assert harness.run is not None
    harness.run.wait(LIMIT_S)
    second = harness.spawn("second", harness.command(harness.write_arguments("second")))
    second.wait(LIMIT_S)
    result = harness.result("second") or {}
    assert result.get("failed"), f"the same task was run again: {result}"
    assert "task" in json.dumps(result.get("failure")), result


def _after_dead_run(harness: Harness) -> None:
    """Kill all three while nothing is frozen and no post-script is due; then run again."""
    first = harness.spawn(
        "first", harness.command(harness.write_arguments("first", task_id="first-of-two"))
    )
    harness.run = first
    rule = Rule(wait_at_gate(harness), operation="", times=1)
    harness.proxy.rules.append(rule)
    harness.need("first request to the store", lambda: harness.gate.wait_arrived(0))
    for member in processes.marked(harness.token):
        processes.send(member.pid, harness.token, signal.SIGKILL)
    first.wait(LIMIT_S)
    processes.wait_for(lambda: not processes.marked(harness.token))
    harness.gate.open()
    harness.start()


def wait_at_gate(harness: Harness) -> Callable[..., None]:
    """Return an action that waits at the case's gate."""
    return harness.gate.pass_through


def _clock_stepped(harness: Harness) -> None:
    phases.window(harness)
    (harness.folder / "step").touch()
    harness.gate.open()


def _clock_case(name: str, step: int) -> Case:
    def inject(harness: Harness) -> None:
        shim = harness.folder / "shim"
        shim.mkdir()
        (shim / "sitecustomize.py").write_text(_CLOCK.format(step=step))
        harness.more_env["PYTHONPATH"] = f"{shim}:{harness.tree}"
        harness.more_env["QUIESCE_CLOCK_MARK"] = str(harness.folder / "step")
        _clock_stepped(harness)

    return Case(
        name=f"run/clock/{name}",
        fault=f"the wall clock stepped by an hour, {name}",
        phase=WINDOW,
        inject=inject,
        expect=(APPLICATION,),
    )


def _documents(refused: str) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        more: dict[str, Any] = {}
        for option in ("status", "logs"):
            url = harness.azurite.block_blob(option, b"", harness.container)
            harness.documents.append(url)
            more[f"{option}_blob_uri"] = harness.signed(url)
        action = reply(403, "Forbidden", "AuthorizationFailure")
        harness.proxy.rules.append(Rule(action, operation="", path=f"/{refused}"))
        harness.start(**more)

    return inject


def cases() -> list[Case]:
    """Return all cases of this file."""
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
            inject=lambda harness: harness.start(),
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


def _missing_blob(harness: Harness) -> None:
    disks = harness.options()["disks"]
    disks[0]["blob_uri"] = harness.signed(
        f"{harness.azurite.account_url}/{harness.container}/nothing"
    )
    harness.start(disks=disks)
