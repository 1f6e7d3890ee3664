# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts of both kinds that fail, hang, flood, fork and vanish, with both policies."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass

from tests.faults._case import (
    APPLICATION,
    CRASH,
    FAILED,
    FILE_SYSTEM,
    PRE,
    QUIESCE,
    RESUME,
    Case,
    Setting,
)
from tests.faults._harness import Harness
from tests.faults._processes import process

_BUDGET_S = 5


@dataclass(frozen=True)
class _Fault:
    short: str
    words: str
    body: str
    #: The end of the documented name of the failure; empty if the script succeeds.
    error: str = ""
    attempts: int = 1


FAULTS: tuple[_Fault, ...] = (
    _Fault("exit-1", "exits 1", "exit 1", "ExecutionFailed"),
    _Fault(
        "retry",
        "exits 1, then 0 with a retry",
        'test -e "$MARKS/again-$0" || { mkdir -p "$MARKS/again-$0"; exit 1; }',
        attempts=2,
    ),
    _Fault("hang", "hangs", "sleep 1000", "Timeout"),
    _Fault(
        "ignores-term",
        "ignores SIGTERM and hangs",
        "trap '' TERM HUP INT; while :; do sleep 1; done",
        "Timeout",
    ),
    _Fault(
        "daemon",
        "leaves a daemon that holds its output open",
        'setsid sleep 1000 & echo $! > "$MARKS/daemon"; exit 0',
    ),
    _Fault("50-mb", "prints 50 MB", "head -c 50000000 /dev/zero | tr '\\0' x"),
    _Fault("not-utf-8", "prints what is not UTF-8", "printf 'a\\377\\376\\200b\\n'"),
    _Fault("killed", "is killed by a signal", "kill -9 $$", "ExecutionFailed"),
    _Fault("deletes-itself", "deletes itself", 'rm -f "$0"'),
    _Fault(
        "writing-child",
        "leaves a child that writes to the filesystem",
        '(while :; do echo x; sleep 0.01; done) > "$MOUNT/child" 2>/dev/null &',
    ),
)


def _expected(fault: _Fault, kind: str, go_on: bool, disks: int) -> tuple[str, ...]:
    if not fault.error:
        return (APPLICATION,)
    if go_on:
        return (FILE_SYSTEM,)
    if disks == 1:
        # The documented fallback of a guest with a single disk.
        return (CRASH,)
    return (FAILED,)


def _no_child(harness: Harness) -> None:
    """Kill the daemon that left the script's group; the run must leave it alone."""
    path = harness.marks / "daemon"
    if path.exists():
        pid = int(path.read_text())
        found = process(pid)
        if found is not None and found.comm == "sleep":
            os.kill(pid, signal.SIGKILL)


def _tail_is_short(harness: Harness) -> None:
    result = harness.result() or {}
    assert len(json.dumps(result)) < 300_000, "the result has all output of the script"


def _case(fault: _Fault, kind: str, go_on: bool, disks: int) -> Case:
    config = {"continueBackupOnFailure": go_on, f"{kind}ScriptNoOfRetries": fault.attempts - 1}
    return Case(
        name=f"script/{kind}/{fault.short}/{'continue' if go_on else 'stop'}/{disks}",
        fault=f"{kind}-script {fault.words}; {'go on' if go_on else 'stop'}, {disks} disk"
        + "s" * (disks > 1),
        phase=QUIESCE if kind == PRE else RESUME,
        inject=lambda harness: harness.start(),
        expect=_expected(fault, kind, go_on, disks),
        cause=f"{kind}-script{fault.error}" if fault.error else "",
        post_runs=fault.attempts if kind != PRE else None,
        setting=Setting(
            filesystems=("ext4", "xfs")[:disks],
            config=config,
            script_timeout=_BUDGET_S if fault.error == "Timeout" else 20,
            pre=fault.body if kind == PRE else "",
            post=fault.body if kind != PRE else "",
        ),
        also=_no_child if fault.short == "daemon" else _tail_is_short,
        fast=disks == 2 and go_on and fault.short in ("hang", "daemon", "writing-child", "killed"),
    )


def cases() -> list[Case]:
    """Return a case for every fault with every policy, and three without a freeze."""
    found = [
        _case(fault, kind, go_on, disks)
        for kind in ("pre", "post")
        for fault in FAULTS
        for go_on in (True, False)
        for disks in (1, 2)
    ]
    found += [
        _without_freeze(fault, kind)
        for kind in ("pre", "post")
        for fault in (FAULTS[0], FAULTS[1], FAULTS[2])
    ]
    return found


def _without_freeze(fault: _Fault, kind: str) -> Case:
    return Case(
        name=f"script/{kind}/{fault.short}/no-freeze",
        fault=f"{kind}-script {fault.words}; fsFreezeEnabled is false",
        phase=QUIESCE if kind == PRE else RESUME,
        inject=lambda harness: harness.start(),
        expect=(CRASH, FAILED) if fault.error else (APPLICATION,),
        cause=f"{kind}-script{fault.error}" if fault.error else "",
        post_runs=fault.attempts if kind != PRE else None,
        setting=Setting(
            config={"fsFreezeEnabled": False, f"{kind}ScriptNoOfRetries": fault.attempts - 1},
            script_timeout=_BUDGET_S if fault.error == "Timeout" else 20,
            pre=fault.body if kind == PRE else "",
            post=fault.body if kind != PRE else "",
        ),
    )
