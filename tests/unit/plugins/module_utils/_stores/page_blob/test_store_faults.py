# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for snapshots that fail in the window, and their resolution after it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob import store
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)
from tests.lab.azurite import Azurite
from tests.lab.proxy import (
    Action,
    Exchange,
    FaultProxy,
    Gate,
    Rule,
    delay_request,
    hang,
    hold,
    raw,
    reply,
    reset_after,
    reset_before,
)
from tests.unit.plugins.module_utils._stores.page_blob.blob_fixture import (
    LONG_S,
    BlobFixture,
    answer_and_close,
)


@pytest.fixture(name="blobs")
def _blobs(azurite: Azurite, proxy: FaultProxy) -> Iterator[BlobFixture]:
    blobs = BlobFixture(azurite, proxy)
    yield blobs
    blobs.store.close()


def _others_succeeded(outcomes: list[SnapshotOutcome]) -> None:
    assert all(outcome.snapshot for outcome in outcomes if outcome.disk != "d1")


REFUSALS = [
    (403, "Forbidden", "AuthorizationPermissionMismatch", 76),
    (403, "Forbidden", "AuthenticationFailed", 76),
    (404, "Not Found", "BlobNotFound", 76),
    (409, "Conflict", "SnapshotCountExceeded", 85),
    (409, "Conflict", "SnapshotOperationRateExceeded", 173),
    (412, "Precondition Failed", "ConditionNotMet", 76),
    (429, "Too Many Requests", "TooManyRequests", 76),
    (503, "Unavailable", "ServerBusy", 76),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=[one[2] for one in REFUSALS])
def test_refusal_of_one_disk_keeps_the_others(
    blobs: BlobFixture, refusal: tuple[int, str, str, int]
) -> None:
    status, reason, name, code = refusal
    blobs.fault(reply(status, reason, name, extra="Retry-After: 1\r\n"))
    blobs.ready()
    outcomes = blobs.take()
    _others_succeeded(outcomes)
    failed = outcomes[1]
    assert failed.failure is not None
    assert (failed.failure.name, failed.failure.code) == (name, code)
    assert str(status) in failed.failure.message
    assert failed.failure.recommended_action
    assert not failed.unknown
    assert failed.snapshot is None
    assert len(blobs.proxy.requests("snapshot")) == 3, "each request is sent once"
    assert blobs.store.resolve_unknown(outcomes, LONG_S) == outcomes, "known outcomes stay"


def test_error_code_in_the_body_is_read(blobs: BlobFixture) -> None:
    body = b"<Error><Code>SnapshotCountExceeded</Code></Error>"
    head = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(body)
    blobs.fault(raw(head + body))
    blobs.ready()
    failure = blobs.take()[1].failure
    assert failure is not None
    assert failure.code == 85


def test_refusal_without_its_body_is_known(blobs: BlobFixture) -> None:
    def act(exchange: Exchange) -> None:
        exchange.answer(
            b"HTTP/1.1 409 Conflict\r\nContent-Length: 100\r\n"
            b"x-ms-error-code: SnapshotCountExceeded\r\n\r\n"
        )
        exchange.sleep(60)

    blobs.fault(act)
    blobs.ready()
    outcomes = blobs.take(5)
    failure = outcomes[1].failure
    assert failure is not None
    assert failure.code == 85
    assert not outcomes[1].unknown


def test_success_without_its_body_is_known(blobs: BlobFixture) -> None:
    gate = Gate()

    def act(exchange: Exchange) -> None:
        head, _end, _body = exchange.forward().partition(b"\r\n\r\n")
        lines = [
            one for one in head.split(b"\r\n") if b"ength" not in one and b"ncoding" not in one
        ]
        exchange.answer(b"\r\n".join([*lines, b"Content-Length: 100", b"", b""]))
        gate.pass_through(exchange)

    blobs.fault(act)
    blobs.ready()
    limit_ns = time.monotonic_ns() + int(600e9)
    outcomes = blobs.store.take(limit_ns)
    # The gate still holds the body back.
    assert time.monotonic_ns() < limit_ns, "it waited for an unneeded body"
    gate.open()
    assert outcomes[1].snapshot
    assert blobs.store.discard(outcomes) == {}


UNUSABLE = {
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "empty-201": b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    "cut head": b"HTTP/1.1 201 Cre",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "no code": b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_answer_is_resolved(blobs: BlobFixture, answer: bytes) -> None:
    blobs.fault(raw(answer))
    blobs.ready()
    outcomes = blobs.take()
    _others_succeeded(outcomes)
    assert outcomes[1].snapshot is None
    assert outcomes[1].failure is not None
    assert outcomes[1].failure.name
    assert outcomes[1].failure.message.endswith(".")
    known = answer.startswith((b"HTTP/1.1 302", b"HTTP/1.1 418"))
    assert outcomes[1].unknown == (not known)
    blobs.assert_secret(outcomes)
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)[1]
    assert not resolved.unknown, "the store lists no snapshot"
    assert resolved.failure is not None


@pytest.mark.parametrize("disk", [1, None], ids=["one", "all"])
@pytest.mark.parametrize("cut", [reset_before, reset_after], ids=["before", "after"])
def test_cut_connection_is_unknown_then_resolved(
    blobs: BlobFixture, cut: Callable[[], Action], disk: int | None
) -> None:
    blobs.fault(cut(), disk=disk)
    blobs.ready()
    outcomes = blobs.take()
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    assert len(failed) == (3 if disk is None else 1)
    for outcome in failed:
        assert outcome.failure is not None
        assert outcome.failure.name == "ConnectionLost"
        assert outcome.failure.code == 76
        assert outcome.unknown, "the store may have made the snapshot"
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)
    for number, outcome in enumerate(resolved):
        assert not outcome.unknown
        assert [one.snapshot for one in blobs.snapshots(number)] == [outcome.snapshot] * bool(
            outcome.snapshot
        )
    if cut is reset_after:
        assert all(outcome.snapshot for outcome in resolved)
        assert blobs.store.discard(resolved) == {}
        assert not blobs.snapshots(1)


def test_connections_closed_before_the_window_fail(blobs: BlobFixture) -> None:
    blobs.store.prepare(600)
    blobs.proxy.rules.append(Rule(answer_and_close, operation="head"))
    blobs.store.refresh()
    outcomes = blobs.take()
    for outcome in outcomes:
        assert outcome.failure is not None
        assert outcome.failure.name == "ConnectionLost"
    assert not blobs.proxy.requests("snapshot"), "the window opens no connection"
    assert not any(outcome.unknown for outcome in blobs.store.resolve_unknown(outcomes, LONG_S))


def test_no_answer_stays_unknown(blobs: BlobFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_LATE_ANSWER_S", 1.0)
    blobs.fault(hang())
    blobs.ready()
    outcomes = blobs.take(10)
    _others_succeeded(outcomes)
    assert outcomes[1].unknown
    assert outcomes[1].failure is not None
    assert outcomes[1].failure.name == "NoAnswer"
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)
    assert resolved[1].unknown, "the snapshot may still appear"
    assert resolved[1].failure is not None
    assert "may still appear" in resolved[1].failure.message
    assert (resolved[0], resolved[2]) == (outcomes[0], outcomes[2])
    assert blobs.store.discard(resolved) == {}
    assert not blobs.snapshots(0)


def test_late_answer_has_its_time(blobs: BlobFixture) -> None:
    gate = Gate()
    blobs.fault(hold(gate))
    blobs.ready()
    outcomes = blobs.take(1)
    thawed_ns = time.monotonic_ns()
    assert outcomes[1].unknown
    gate.open()
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)
    late = resolved[1]
    assert late.snapshot == blobs.snapshots(1)[0].snapshot
    assert late.failure is None
    assert not late.unknown
    assert late.acknowledged_ns is not None
    assert late.acknowledged_ns > thawed_ns
    assert late.request_ns == outcomes[1].request_ns
    assert blobs.store.discard(resolved) == {}
    assert not blobs.snapshots(1)


def test_late_snapshot_with_lost_answer_is_found(blobs: BlobFixture) -> None:
    gate = Gate()

    def act(exchange: Exchange) -> None:
        gate.pass_through(exchange)
        exchange.forward()
        exchange.reset()

    blobs.fault(act)
    blobs.ready()
    outcomes = blobs.take(1)
    gate.open()
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)
    assert resolved[1].snapshot == blobs.snapshots(1)[0].snapshot
    assert resolved[1].acknowledged_ns is None
    assert not resolved[1].unknown


def test_unlisted_snapshot_stays_unknown(azurite: Azurite, proxy: FaultProxy) -> None:
    blobs = BlobFixture(azurite, proxy, sas="rwd")
    blobs.fault(reset_after())
    blobs.ready()
    resolved = blobs.store.resolve_unknown(blobs.take(), LONG_S)
    assert resolved[1].unknown
    assert resolved[1].failure is not None
    assert "could not be listed" in resolved[1].failure.message
    blobs.assert_secret(resolved)
    blobs.store.close()


def test_internal_error_may_leave_a_snapshot(blobs: BlobFixture) -> None:
    def act(exchange: Exchange) -> None:
        exchange.forward()
        reply(500, "Internal", "OperationTimedOut")(exchange)

    blobs.fault(act)
    blobs.ready()
    outcomes = blobs.take()
    assert outcomes[1].unknown
    resolved = blobs.store.resolve_unknown(outcomes, LONG_S)
    assert resolved[1].snapshot == blobs.snapshots(1)[0].snapshot


def test_foreign_snapshots_are_ignored(blobs: BlobFixture) -> None:
    with blobs.azurite.client(blobs.urls[1]) as blob:
        blob.create_snapshot(metadata={"quiesce_set": "another"})
        blob.create_snapshot()
        blob.set_blob_metadata({"quiesce_set": blobs.set_id})
    _account, _slash, path = blobs.urls[1].partition("/disks/")
    with blobs.azurite.client(blobs.azurite.page_blob(f"{path}-2", 512)) as other:
        other.create_snapshot(metadata={"quiesce_set": blobs.set_id})
    blobs.fault(reset_before())
    blobs.ready()
    resolved = blobs.store.resolve_unknown(blobs.take(), LONG_S)
    assert resolved[1].snapshot is None
    assert not resolved[1].unknown


def test_search_runs_twice(blobs: BlobFixture) -> None:
    def act(exchange: Exchange) -> None:
        listed = exchange.forward()
        with blobs.azurite.client(blobs.urls[1]) as blob:
            blob.create_snapshot(metadata={"quiesce_set": blobs.set_id})
        exchange.answer(listed)

    blobs.fault(reset_before())
    blobs.proxy.rules.append(Rule(act, operation="get:list", times=1))
    blobs.ready()
    resolved = blobs.store.resolve_unknown(blobs.take(), LONG_S)
    assert resolved[1].snapshot == blobs.snapshots(1)[0].snapshot


# --- deleting ---------------------------------------------------------------------------------


def test_discard_deletes_only_given_snapshots(blobs: BlobFixture) -> None:
    blobs.azurite.client(blobs.urls[0]).create_snapshot()
    blobs.ready()
    outcomes = blobs.take()
    assert blobs.store.discard(outcomes[:2]) == {}
    assert len(blobs.snapshots(0)) == 1
    assert not blobs.snapshots(1)
    assert len(blobs.snapshots(2)) == 1
    assert all(blobs.azurite.exists(url) for url in blobs.urls)
    assert blobs.store.discard(outcomes) == {}, "a deleted snapshot counts as discarded"


def test_discard_without_permission_is_reported(azurite: Azurite, proxy: FaultProxy) -> None:
    blobs = BlobFixture(azurite, proxy, sas="rw")
    blobs.ready()
    (warning,) = blobs.store.warnings
    assert "d0, d1, d2" in warning
    outcomes = blobs.take()
    problems = blobs.store.discard(outcomes)
    assert set(problems) == {"d0", "d1", "d2"}
    assert "does not permit to delete" in problems["d0"]
    blobs.assert_secret(problems)
    assert blobs.snapshots(0)
    blobs.store.close()


def test_discard_retries_a_cut_connection(blobs: BlobFixture) -> None:
    blobs.ready()
    outcomes = blobs.take()
    blobs.proxy.rules.append(Rule(reset_after(), operation="delete", path="disk0.vhd", times=1))
    assert blobs.store.discard(outcomes) == {}
    assert not blobs.snapshots(0)


def test_discard_reports_the_error_of_the_store(blobs: BlobFixture) -> None:
    blobs.ready()
    outcomes = blobs.take()
    blobs.proxy.rules.append(Rule(reply(503, "Busy", "ServerBusy"), operation="delete"))
    assert all("ServerBusy" in problem for problem in blobs.store.discard(outcomes).values())


def test_slow_answer_in_time_succeeds(blobs: BlobFixture) -> None:
    blobs.fault(delay_request(0.5), disk=None)
    blobs.ready()
    assert all(outcome.snapshot for outcome in blobs.take())


@pytest.mark.parametrize("late", ["over", "deadline"])
def test_closed_window_sends_no_request(blobs: BlobFixture, late: str) -> None:
    """Check that no request is sent, and that no outcome is unknown."""
    blobs.ready()
    limit_ns = 0 if late == "deadline" else 60_000_000_000
    outcomes = blobs.store.take(time.monotonic_ns() + limit_ns, lambda: late == "over")
    assert [outcome.failure.name for outcome in outcomes if outcome.failure] == [
        "NotAskedInTime"
    ] * 3
    assert not any(outcome.unknown or outcome.request_ns for outcome in outcomes)
    assert blobs.store.resolve_unknown(outcomes, LONG_S) == outcomes
    assert blobs.proxy.requests("snapshot") == []
    assert [blobs.snapshots(disk) for disk in range(3)] == [[], [], []]
