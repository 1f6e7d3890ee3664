# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for snapshots that fail in the window, and what becomes of them after it."""

from __future__ import annotations

import time
from typing import Callable, Iterator, List, Optional, Tuple

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
from tests.unit.plugins.module_utils._stores.page_blob.bench import LONG_S, Bench, answer_and_close


@pytest.fixture(name="bench")
def _bench(azurite: Azurite, proxy: FaultProxy) -> Iterator[Bench]:
    bench = Bench(azurite, proxy)
    yield bench
    bench.store.close()


def _others_succeeded(takes: List[SnapshotOutcome]) -> None:
    assert all(take.snapshot for take in takes if take.disk != "d1")


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
def test_the_service_refuses_one_disk(bench: Bench, refusal: Tuple[int, str, str, int]) -> None:
    status, reason, name, code = refusal
    bench.fault(reply(status, reason, name, extra="Retry-After: 1\r\n"))
    bench.ready()
    takes = bench.take()
    _others_succeeded(takes)
    failed = takes[1]
    assert failed.failure is not None
    assert (failed.failure.name, failed.failure.code) == (name, code)
    assert str(status) in failed.failure.message
    assert failed.failure.recommended_action or status == 412
    assert not failed.unknown
    assert failed.snapshot is None
    assert len(bench.proxy.requests("snapshot")) == 3, "tried once, and not again"
    assert bench.store.resolve_unknown(takes, LONG_S) == takes, "what is known needs no settling"


def test_a_code_that_is_only_in_the_body(bench: Bench) -> None:
    body = b"<Error><Code>SnapshotCountExceeded</Code></Error>"
    head = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(body)
    bench.fault(raw(head + body))
    bench.ready()
    failure = bench.take()[1].failure
    assert failure is not None
    assert failure.code == 85


def test_a_refusal_whose_body_never_comes(bench: Bench) -> None:
    def act(exchange: Exchange) -> None:
        exchange.answer(
            b"HTTP/1.1 409 Conflict\r\nContent-Length: 100\r\n"
            b"x-ms-error-code: SnapshotCountExceeded\r\n\r\n"
        )
        exchange.sleep(60)

    bench.fault(act)
    bench.ready()
    takes = bench.take(5)
    failure = takes[1].failure
    assert failure is not None
    assert failure.code == 85
    assert not takes[1].unknown


def test_a_success_whose_body_never_comes(bench: Bench) -> None:
    gate = Gate()

    def act(exchange: Exchange) -> None:
        head, _end, _body = exchange.forward().partition(b"\r\n\r\n")
        lines = [
            one for one in head.split(b"\r\n") if b"ength" not in one and b"ncoding" not in one
        ]
        exchange.answer(b"\r\n".join([*lines, b"Content-Length: 100", b"", b""]))
        gate.pass_through(exchange)

    bench.fault(act)
    bench.ready()
    limit_ns = time.monotonic_ns() + int(600e9)
    takes = bench.store.take(limit_ns)
    # The body comes only when this lets it.
    assert time.monotonic_ns() < limit_ns, "it waited for a body that nobody needs"
    gate.open()
    assert takes[1].snapshot
    assert bench.store.discard(takes) == {}


UNUSABLE = {
    "garbage": b"\x00\xff garbage\r\n\r\n",
    "empty-201": b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    "cut head": b"HTTP/1.1 201 Cre",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n",
    "no code": b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", UNUSABLE.values(), ids=UNUSABLE)
def test_an_answer_that_is_of_no_use(bench: Bench, answer: bytes) -> None:
    bench.fault(raw(answer))
    bench.ready()
    takes = bench.take()
    _others_succeeded(takes)
    assert takes[1].snapshot is None
    assert takes[1].failure is not None
    assert takes[1].failure.name
    assert takes[1].failure.message.endswith(".")
    known = answer.startswith((b"HTTP/1.1 302", b"HTTP/1.1 418"))
    assert takes[1].unknown == (not known)
    bench.assert_secret(takes)
    settled = bench.store.resolve_unknown(takes, LONG_S)[1]
    assert not settled.unknown, "the store was asked, and has none"
    assert settled.failure is not None


@pytest.mark.parametrize("disk", [1, None], ids=["one", "all"])
@pytest.mark.parametrize("cut", [reset_before, reset_after], ids=["before", "after"])
def test_a_connection_that_is_cut(
    bench: Bench, cut: Callable[[], Action], disk: Optional[int]
) -> None:
    bench.fault(cut(), disk=disk)
    bench.ready()
    takes = bench.take()
    failed = [take for take in takes if take.failure is not None]
    assert len(failed) == (3 if disk is None else 1)
    for take in failed:
        assert take.failure is not None
        assert take.failure.name == "ConnectionLost"
        assert take.failure.code == 76
        assert take.unknown, "nobody here can know what the store did"
    settled = bench.store.resolve_unknown(takes, LONG_S)
    for number, take in enumerate(settled):
        assert not take.unknown
        assert [one.snapshot for one in bench.snapshots(number)] == [take.snapshot] * bool(
            take.snapshot
        )
    if cut is reset_after:
        assert all(take.snapshot for take in settled)
        assert bench.store.discard(settled) == {}
        assert not bench.snapshots(1)


def test_connections_that_were_closed_just_before_the_window(bench: Bench) -> None:
    bench.store.prepare(600, {})
    bench.proxy.rules.append(Rule(answer_and_close, operation="head"))
    bench.store.refresh()
    takes = bench.take()
    for take in takes:
        assert take.failure is not None
        assert take.failure.name == "ConnectionLost"
    assert not bench.proxy.requests("snapshot"), "nothing is connected anew in the window"
    assert not any(take.unknown for take in bench.store.resolve_unknown(takes, LONG_S))


def test_no_answer_by_the_deadline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_LATE_ANSWER_S", 1.0)
    bench.fault(hang())
    bench.ready()
    takes = bench.take(10)
    _others_succeeded(takes)
    assert takes[1].unknown
    assert takes[1].failure is not None
    assert takes[1].failure.name == "NoAnswer"
    settled = bench.store.resolve_unknown(takes, LONG_S)
    assert settled[1].unknown, "it may still come"
    assert settled[1].failure is not None
    assert "may yet come" in settled[1].failure.message
    assert (settled[0], settled[2]) == (takes[0], takes[2])
    assert bench.store.discard(settled) == {}
    assert not bench.snapshots(0)


def test_an_answer_after_the_deadline_is_told_apart(bench: Bench) -> None:
    gate = Gate()
    bench.fault(hold(gate))
    bench.ready()
    takes = bench.take(1)
    thawed_ns = time.monotonic_ns()
    assert takes[1].unknown
    gate.open()
    settled = bench.store.resolve_unknown(takes, LONG_S)
    late = settled[1]
    assert late.snapshot == bench.snapshots(1)[0].snapshot
    assert late.failure is None
    assert not late.unknown
    assert late.acknowledged_ns is not None
    assert late.acknowledged_ns > thawed_ns
    assert late.request_ns == takes[1].request_ns
    assert bench.store.discard(settled) == {}
    assert not bench.snapshots(1)


def test_a_snapshot_made_late_whose_answer_is_lost(bench: Bench) -> None:
    gate = Gate()

    def act(exchange: Exchange) -> None:
        gate.pass_through(exchange)
        exchange.forward()
        exchange.reset()

    bench.fault(act)
    bench.ready()
    takes = bench.take(1)
    gate.open()
    settled = bench.store.resolve_unknown(takes, LONG_S)
    assert settled[1].snapshot == bench.snapshots(1)[0].snapshot
    assert settled[1].acknowledged_ns is None
    assert not settled[1].unknown


def test_what_cannot_be_listed_stays_unknown(azurite: Azurite, proxy: FaultProxy) -> None:
    bench = Bench(azurite, proxy, sas="rwd")
    bench.fault(reset_after())
    bench.ready()
    settled = bench.store.resolve_unknown(bench.take(), LONG_S)
    assert settled[1].unknown
    assert settled[1].failure is not None
    assert "could not be listed" in settled[1].failure.message
    bench.assert_secret(settled)
    bench.store.close()


def test_an_error_inside_the_service_may_have_made_one(bench: Bench) -> None:
    def act(exchange: Exchange) -> None:
        exchange.forward()
        reply(500, "Internal", "OperationTimedOut")(exchange)

    bench.fault(act)
    bench.ready()
    takes = bench.take()
    assert takes[1].unknown
    settled = bench.store.resolve_unknown(takes, LONG_S)
    assert settled[1].snapshot == bench.snapshots(1)[0].snapshot


def test_other_snapshots_are_not_taken_for_ours(bench: Bench) -> None:
    with bench.azurite.client(bench.urls[1]) as blob:
        blob.create_snapshot(metadata={"quiesce_set": "another"})
        blob.create_snapshot()
        blob.set_blob_metadata({"quiesce_set": bench.set_id})
    _account, _slash, path = bench.urls[1].partition("/disks/")
    with bench.azurite.client(bench.azurite.page_blob(f"{path}-2", 512)) as other:
        other.create_snapshot(metadata={"quiesce_set": bench.set_id})
    bench.fault(reset_before())
    bench.ready()
    settled = bench.store.resolve_unknown(bench.take(), LONG_S)
    assert settled[1].snapshot is None
    assert not settled[1].unknown


def test_looks_twice_before_it_says_that_there_is_none(bench: Bench) -> None:
    def act(exchange: Exchange) -> None:
        listed = exchange.forward()
        with bench.azurite.client(bench.urls[1]) as blob:
            blob.create_snapshot(metadata={"quiesce_set": bench.set_id})
        exchange.answer(listed)

    bench.fault(reset_before())
    bench.proxy.rules.append(Rule(act, operation="get:list", times=1))
    bench.ready()
    settled = bench.store.resolve_unknown(bench.take(), LONG_S)
    assert settled[1].snapshot == bench.snapshots(1)[0].snapshot


# --- deleting ---------------------------------------------------------------------------------


def test_discards_only_the_snapshots_and_only_these(bench: Bench) -> None:
    bench.azurite.client(bench.urls[0]).create_snapshot()
    bench.ready()
    takes = bench.take()
    assert bench.store.discard(takes[:2]) == {}
    assert len(bench.snapshots(0)) == 1
    assert not bench.snapshots(1)
    assert len(bench.snapshots(2)) == 1
    assert all(bench.azurite.exists(url) for url in bench.urls)
    assert bench.store.discard(takes) == {}, "what is gone already counts as deleted"


def test_says_when_the_sas_does_not_permit_to_delete(azurite: Azurite, proxy: FaultProxy) -> None:
    bench = Bench(azurite, proxy, sas="rw")
    bench.ready()
    (warning,) = bench.store.warnings
    assert "d0, d1, d2" in warning
    takes = bench.take()
    problems = bench.store.discard(takes)
    assert set(problems) == {"d0", "d1", "d2"}
    assert "does not permit to delete" in problems["d0"]
    bench.assert_secret(problems)
    assert bench.snapshots(0)
    bench.store.close()


def test_discard_tries_again_when_the_connection_is_cut(bench: Bench) -> None:
    bench.ready()
    takes = bench.take()
    bench.proxy.rules.append(Rule(reset_after(), operation="delete", path="disk0.vhd", times=1))
    assert bench.store.discard(takes) == {}
    assert not bench.snapshots(0)


def test_discard_says_what_the_store_says(bench: Bench) -> None:
    bench.ready()
    takes = bench.take()
    bench.proxy.rules.append(Rule(reply(503, "Busy", "ServerBusy"), operation="delete"))
    assert all("ServerBusy" in problem for problem in bench.store.discard(takes).values())


def test_slow_but_in_time(bench: Bench) -> None:
    bench.fault(delay_request(0.5), disk=None)
    bench.ready()
    assert all(take.snapshot for take in bench.take())


@pytest.mark.parametrize("late", ["over", "deadline"])
def test_a_window_that_is_over(bench: Bench, late: str) -> None:
    """No snapshot is asked for then, and nothing is unknown; the connections are given up."""
    bench.ready()
    limit_ns = 0 if late == "deadline" else 60_000_000_000
    takes = bench.store.take(time.monotonic_ns() + limit_ns, lambda: late == "over")
    assert [take.failure.name for take in takes if take.failure] == ["NotAskedInTime"] * 3
    assert not any(take.unknown or take.request_ns for take in takes)
    assert bench.store.resolve_unknown(takes, LONG_S) == takes
    assert bench.proxy.requests("snapshot") == []
    assert [bench.snapshots(disk) for disk in range(3)] == [[], [], []]
