# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for snapshots that hang, are cut, are refused or get a malformed answer."""

from __future__ import annotations

from typing import Callable

from tests.faults import _checks as checks
from tests.faults._case import ANY_VERDICT, APPLICATION, CRASH, FAILED, WINDOW, Case, Setting
from tests.faults._harness import Harness
from tests.lab.proxy import (
    Action,
    Rule,
    delay_answer,
    delay_request,
    hang,
    raw,
    reply,
    reset_after,
    reset_before,
)

_TIMEOUT = 3
_LATE_S = _TIMEOUT + 1.5

#: Short name, description, action of the proxy, and the cause that the result must name.
FAULTS: tuple[tuple[str, str, Callable[[], Action], str], ...] = (
    ("hang", "snapshot request hangs", hang, "deadline|answer|time"),
    (
        "late-request",
        "snapshot made after the deadline",
        lambda: delay_request(_LATE_S),
        "deadline|answer|late",
    ),
    (
        "late-answer",
        "snapshot acknowledged after the deadline",
        lambda: delay_answer(_LATE_S),
        "deadline|answer|late",
    ),
    ("reset-before", "connection reset, request unseen", reset_before, "connection|reset|answer"),
    ("reset-after", "connection reset, snapshot made", reset_after, "connection|reset|answer"),
    ("403", "403", lambda: reply(403, "Forbidden", "AuthorizationFailure"), "AuthorizationFailure"),
    ("404", "404", lambda: reply(404, "Not Found", "BlobNotFound"), "BlobNotFound"),
    (
        "409-count",
        "409 SnapshotCountExceeded",
        lambda: reply(409, "Conflict", "SnapshotCountExceeded"),
        "SnapshotCountExceeded",
    ),
    (
        "409-rate",
        "409 SnapshotOperationRateExceeded",
        lambda: reply(409, "Conflict", "SnapshotOperationRateExceeded"),
        "SnapshotOperationRateExceeded",
    ),
    (
        "412",
        "412",
        lambda: reply(412, "Precondition Failed", "ConditionNotMet"),
        "ConditionNotMet|412",
    ),
    (
        "429",
        "429",
        lambda: reply(429, "Too Many Requests", "TooManyRequests", extra="Retry-After: 1\r\n"),
        "TooManyRequests|429",
    ),
    ("500", "500", lambda: reply(500, "Server Error", "InternalError"), "InternalError|500"),
    (
        "503",
        "503",
        lambda: reply(503, "Unavailable", "ServerBusy", extra="Retry-After: 1\r\n"),
        "ServerBusy|503",
    ),
    ("garbage", "an answer that is not HTTP", lambda: raw(b"\x00\xff garbage\r\n\r\n"), "answer"),
    (
        "empty-201",
        "201 without a snapshot's name",
        lambda: raw(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        "answer|snapshot",
    ),
)


def _faulty(action: Callable[[], Action], path: str) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.proxy.rules.append(Rule(action(), path=path))
        harness.start()
        harness.need("request for a snapshot", lambda: harness.proxy.requests("snapshot"))
        harness.note_command_lines()

    return inject


def _timeout(short: str) -> int:
    """Return the freeze timeout: short only if the case is about the deadline."""
    return _TIMEOUT if short in ("hang", "late-request", "late-answer") else 30


def _no_retry(harness: Harness) -> None:
    """Check that each disk has one request: a retry in the window would add one."""
    seen = [request.path for request in harness.proxy.requests("snapshot")]
    assert len(seen) == len(set(seen)), f"more than one request for a disk: {sorted(seen)}"


def _discarded(harness: Harness) -> None:
    """Check that no snapshot is left, as `on_partial` is discard, or that the result warns."""
    _no_retry(harness)
    left = list(checks.snapshots(harness))
    assert not left or "may exist" in harness.output(), f"(d) left behind: {left}"


def _left_and_named(harness: Harness) -> None:
    """Check that the result names the snapshots that could not be discarded."""
    left = list(checks.snapshots(harness))
    assert left, "nothing was left, so nothing could be named"
    behind = ((harness.result() or {}).get("snapshot_set") or {}).get("left_behind")
    assert behind == ["disk0", "disk1", "disk3"], f"left behind and not named: {left} {behind}"


def _kept(harness: Harness) -> None:
    _no_retry(harness)
    assert checks.snapshots(harness), "on_partial keep kept nothing"


def cases() -> list[Case]:
    """Return each fault for one disk of four and for all four; three with `on_partial` keep."""
    found = []
    four = ("ext4", "xfs", "ext4", "ext4")
    for short, words, action, cause in FAULTS:
        for scope, path in (("one", "disk2"), ("all", "")):
            found.append(
                Case(
                    name=f"store/{short}/{scope}",
                    fault=f"{words}, {scope} of four disks",
                    phase=WINDOW,
                    inject=_faulty(action, path),
                    expect=(FAILED,),
                    cause=cause,
                    setting=Setting(filesystems=four, freeze_timeout=_timeout(short)),
                    also=_discarded,
                    fast=(short, scope) in (("late-answer", "one"), ("reset-after", "all")),
                )
            )
    for short, words, action, cause in (FAULTS[2], FAULTS[4], FAULTS[7]):
        found.append(
            Case(
                name=f"store/{short}/one/keep",
                fault=f"{words}, one of four disks, keep",
                phase=WINDOW,
                inject=_faulty(action, "disk2"),
                expect=(FAILED, CRASH),
                cause=cause,
                setting=Setting(
                    filesystems=four,
                    freeze_timeout=_timeout(short),
                    options={"on_partial": "keep"},
                ),
                also=_kept,
            )
        )
    found.append(
        Case(
            name="store/409-count/one/no-delete",
            fault="409 SnapshotCountExceeded, the SAS does not permit to delete",
            phase=WINDOW,
            inject=_faulty(lambda: reply(409, "Conflict", "SnapshotCountExceeded"), "disk2"),
            expect=(FAILED,),
            cause="SnapshotCountExceeded",
            setting=Setting(filesystems=four, permission="rw"),
            also=_left_and_named,
        )
    )
    found.append(
        Case(
            name="store/slow",
            fault="answers 0.5 s late, within the deadline",
            phase=WINDOW,
            inject=_faulty(lambda: delay_answer(0.5), ""),
            expect=(APPLICATION,),
            setting=Setting(filesystems=("ext4", "xfs", "btrfs")),
            also=_held,
            fast=True,
        )
    )
    return found


def _held(harness: Harness) -> None:
    """Check that no writer wrote when a snapshot was requested."""
    result = harness.result() or {}
    assert result.get("consistency") in ANY_VERDICT, result
    for seen in harness.proxy.requests("snapshot"):
        for mount in harness.writers.folders:
            paused = any(begin < seen.ns < end for begin, end in harness.writers.pauses(mount))
            assert paused, f"a writer to {mount} was not paused when the snapshot was requested"
