# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripted proxy does to a client what its rules say, and nothing else."""

from __future__ import annotations

import http.client
import http.server
import threading
import time
from typing import Iterator, List

import pytest

from tests.lab.proxy import (
    Action,
    FaultProxy,
    Gate,
    Rule,
    delay_answer,
    delay_request,
    hold,
    raw,
    reply,
    reset_after,
    reset_before,
)

_SNAPSHOT = "/disks/one?comp=snapshot&sig=secret"


class _Store(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: List[float]

    def do_PUT(self) -> None:
        """Answer what was sent."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(time.monotonic())
        self.send_response(201)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_HEAD(self) -> None:
        """Answer without a body, but with the length that it would have."""
        self.send_response(200)
        self.send_header("Content-Length", "512")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


@pytest.fixture
def asked() -> List[float]:
    """The times of the requests to the store."""
    return []


@pytest.fixture
def proxy(asked: List[float]) -> Iterator[FaultProxy]:
    """A proxy in front of a store that answers at once."""
    handler = type("Store", (_Store,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as store:
        thread = threading.Thread(target=store.serve_forever)
        thread.start()
        try:
            with FaultProxy(f"http://127.0.0.1:{store.server_port}") as made:
                yield made
        finally:
            store.shutdown()
            thread.join()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[http.client.HTTPConnection]:
    """A connection by way of the proxy."""
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    yield connection
    connection.close()


def _ask(client: http.client.HTTPConnection, data: bytes = b"") -> "tuple[int, bytes]":
    client.request("PUT", _SNAPSHOT, data)
    answer = client.getresponse()
    return answer.status, answer.read()


def test_passes_on_what_no_rule_is_for(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Check many requests on one connection, with and without a body."""
    client.request("HEAD", "/disks/one")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert _ask(client) == (201, b"")
    assert _ask(client, b"x" * 100_000) == (201, b"x" * 100_000)
    assert [one.operation for one in proxy.seen] == ["head", "snapshot", "snapshot"]
    assert [one.status for one in proxy.seen] == [200, 201, 201]
    assert "secret" not in repr(proxy.seen)


def test_a_rule_is_for_its_operation_path_and_number(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Check that a rule skips and counts, and passes other requests."""
    busy = reply(503, "Busy", "ServerBusy")
    proxy.rules = [Rule(busy, path="/two"), Rule(busy, path="/one", skip=1, times=1)]
    assert [_ask(client)[0] for _time in range(3)] == [201, 503, 201]


def test_an_error_is_told_as_the_store_tells_it(
    proxy: FaultProxy, client: http.client.HTTPConnection
) -> None:
    """Status, code and text."""
    proxy.rules = [Rule(reply(409, "Conflict", "SnapshotCountExceeded", "Too many."))]
    status, body = _ask(client)
    assert status == 409
    assert b"<Code>SnapshotCountExceeded</Code><Message>Too many.</Message>" in body


@pytest.mark.parametrize(
    ("action", "reached"), [(reset_before(), 0), (reset_after(), 1), (raw(b"no http\r\n\r\n"), 0)]
)
def test_cuts_and_rubbish(
    proxy: FaultProxy,
    client: http.client.HTTPConnection,
    asked: List[float],
    action: Action,
    reached: int,
) -> None:
    """Check that the client gets no answer, and how many requests the store gets."""
    proxy.rules = [Rule(action)]
    with pytest.raises((ConnectionError, http.client.BadStatusLine)):
        _ask(client)
    assert len(asked) == reached


@pytest.mark.parametrize(("action", "early"), [(delay_answer(0.3), True), (delay_request(0.3), 0)])
def test_delays(
    proxy: FaultProxy,
    client: http.client.HTTPConnection,
    asked: List[float],
    action: Action,
    early: bool,
) -> None:
    """Check that the answer is late; the store gets the request at once or after the delay."""
    proxy.rules = [Rule(action)]
    began = time.monotonic()
    assert _ask(client)[0] == 201
    ended = time.monotonic()
    assert ended - began >= 0.3
    if early:
        assert ended - asked[0] >= 0.3
    else:
        assert asked[0] - began >= 0.3


def test_a_gate_holds_until_it_is_opened(
    proxy: FaultProxy, client: http.client.HTTPConnection, asked: List[float]
) -> None:
    """Check that the store gets no request before the release."""
    gate = Gate()
    proxy.rules = [Rule(hold(gate))]
    thread = threading.Thread(target=_ask, args=(client,))
    thread.start()
    assert gate.wait_arrived(60)
    assert asked == []
    gate.open()
    thread.join(60)
    assert len(asked) == 1


def test_the_address_by_way_of_the_proxy(proxy: FaultProxy) -> None:
    """Check that only host and port change."""
    address = f"http://127.0.0.1:{proxy.port}/disks/one?sig=a%2Bb"
    assert proxy.url("http://127.0.0.1:10000/disks/one?sig=a%2Bb") == address
