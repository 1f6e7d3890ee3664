# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of connections: TLS, proxies, and the deadline of requests."""

from __future__ import annotations

import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import StoreError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._http.exchange import (
    Exchange,
    HttpConnection,
    send_all,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.documents import (
    write_document,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
from tests.lab.azurite import Azurite
from tests.unit.plugins.module_utils._http.tls import TlsFront, write_certificate
from tests.unit.plugins.module_utils.disks import make_disk, make_store

LONG_NS = 60_000_000_000


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> Path:
    folder = tmp_path / "with space"
    folder.mkdir()
    return write_certificate(folder, "localhost")


@pytest.fixture(name="front")
def _front(azurite: Azurite, certificate: Path) -> Iterator[TlsFront]:
    with TlsFront(azurite.port, certificate) as front:
        yield front


@pytest.fixture(name="make")
def _make(azurite: Azurite, front: TlsFront) -> Callable[..., PageBlobStore]:
    urls = [azurite.page_blob(f"tls/disk{number}", 512) for number in range(4)]

    def make(host: str = "localhost") -> PageBlobStore:
        uris = [front.url(azurite.account_sas(url), host) for url in urls]
        return make_store([make_disk(f"d{number}", uri) for number, uri in enumerate(uris)])

    return make


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_snapshots_over_tls_with_bundle_succeed(
    make: Callable[..., PageBlobStore],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    monkeypatch.setenv(variable, str(certificate))
    store = make()
    store.prepare(600)
    store.refresh()
    takes = store.take(time.monotonic_ns() + LONG_NS)
    assert all(take.snapshot for take in takes)
    assert store.discard(takes) == {}
    store.close()


def test_connection_serves_several_threads_in_turn(
    make: Callable[..., PageBlobStore], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    store = make()
    takes = []
    store.prepare(600)
    for _run in range(8):
        store.refresh()
        takes += store.take(time.monotonic_ns() + LONG_NS)
    assert len(takes) == 32
    assert store.discard(takes) == {}
    store.close()


def test_documents_over_tls_are_written(
    azurite: Azurite, front: TlsFront, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    url = azurite.block_blob("tls.json", b"old")
    data = b"new" * 1_000_000
    write_document(front.url(azurite.account_sas(url)), data, limit_s=60)
    assert azurite.read(url) == data


def test_untrusted_authority_is_an_error(make: Callable[..., PageBlobStore]) -> None:
    with pytest.raises(StoreError) as caught:
        make().prepare(600)
    assert caught.value.failure.name == "CertificateNotTrusted"


def test_certificate_for_another_name_is_an_error(
    make: Callable[..., PageBlobStore], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(StoreError) as caught:
        make(host="127.0.0.1").prepare(600)
    assert caught.value.failure.name == "CertificateNotTrusted"
    assert "127.0.0.1" in str(caught.value)


def test_missing_bundle_is_an_error(
    make: Callable[..., PageBlobStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "missing.pem"))
    with pytest.raises(StoreError) as caught:
        make().prepare(600)
    assert caught.value.failure.name == "InvalidCertificateBundle"
    assert "missing.pem" in str(caught.value)


def test_proxy_of_the_environment_is_not_used(
    make: Callable[..., PageBlobStore], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    store = make()
    store.prepare(600)
    store.close()


def test_failed_connection_mentions_unused_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    uri = f"https://localhost:{port}/account/vhds/data?sr=b&sp=rcwd&se=2999-01-01&sig=SIGNATURE"
    with pytest.raises(StoreError) as caught:
        make_store([make_disk("d", uri)]).prepare(600)
    assert caught.value.failure.name == "ConnectionFailed"
    assert "HTTPS_PROXY" in str(caught.value)
    assert "SIGNATURE" not in str(caught.value)


@contextmanager
def _pair() -> Iterator[Tuple[HttpConnection, socket.socket]]:
    """Yield a connection and the socket of its peer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = HttpConnection("127.0.0.1", server.getsockname()[1], None)
        connection.open(time.monotonic_ns() + LONG_NS)
        peer, _address = server.accept()
        with peer:
            yield connection, peer
        connection.close()


def test_request_larger_than_buffers_is_sent() -> None:
    size = 8 << 20
    with _pair() as (connection, peer), ThreadPoolExecutor(1) as pool:

        def answer() -> int:
            left = size
            while left:
                left -= len(peer.recv(1 << 20))
            peer.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
            return left

        answered = pool.submit(answer)
        call = Exchange(connection, b"x" * size)
        send_all([call], time.monotonic_ns() + LONG_NS)
        assert (answered.result(), call.answer.status, call.withheld) == (0, 201, False)


def test_send_all_after_deadline_sends_nothing() -> None:
    """Check a process that was stopped before it could send."""
    with _pair() as (connection, peer):
        call = Exchange(connection, b"PUT")
        send_all([call], time.monotonic_ns())
        assert (call.request_ns, call.sent, call.withheld) == (None, False, True)
        # Nor later, while it waits for responses.
        send_all([call], time.monotonic_ns() + LONG_NS)
        assert peer.recv(10) == b""


def test_send_all_stops_when_over() -> None:
    """Check that `over` is called before each send: only the first request is sent."""
    with _pair() as (one, first), _pair() as (other, second):
        calls = [Exchange(one, b"PUT"), Exchange(other, b"PUT")]
        first.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        answers = iter([False, True])
        send_all(calls, time.monotonic_ns() + LONG_NS, over=lambda: next(answers))
        assert [call.sent for call in calls] == [True, False]
        assert [call.answer.status for call in calls] == [201, None]
        assert calls[1].withheld
        assert first.recv(10) == b"PUT"
        assert second.recv(10) == b""


def test_send_all_keeps_rest_of_request_after_deadline() -> None:
    """Check that bytes which did not fit into the buffers in time are never sent."""
    size = 64 << 20
    with _pair() as (connection, peer):
        call = Exchange(connection, b"x" * size)
        send_all([call], time.monotonic_ns() + 50_000_000)
        assert call.withheld
        send_all([call], time.monotonic_ns() + LONG_NS)
        received = 0
        while data := peer.recv(1 << 20):
            received += len(data)
        assert received < size


class FakeContext(ssl.SSLContext):
    """A TLS context that records the time limit of a handshake, and fails it."""

    limit_s: Optional[float] = None

    def wrap_socket(self, sock: socket.socket, *_args: Any, **_options: Any) -> ssl.SSLSocket:
        self.limit_s = sock.gettimeout()
        raise ssl.SSLError("No handshake.")


def test_handshake_has_the_time_that_the_connection_left(monkeypatch: pytest.MonkeyPatch) -> None:
    context = FakeContext(ssl.PROTOCOL_TLS_CLIENT)
    now_ns = [time.monotonic_ns()]
    connect = socket.create_connection

    def connect_slowly(*args: Any) -> socket.socket:
        now_ns[0] += 50_000_000_000
        return connect(*args)

    monkeypatch.setattr(time, "monotonic_ns", lambda: now_ns[0])
    monkeypatch.setattr(socket, "create_connection", connect_slowly)
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = HttpConnection("127.0.0.1", server.getsockname()[1], context)
        with pytest.raises(StoreError):
            connection.open(now_ns[0] + LONG_NS)
    assert context.limit_s == 10


def test_unopened_connection_has_a_known_outcome() -> None:
    call = Exchange(HttpConnection("127.0.0.1", 9, None), b"PUT")
    send_all([call], time.monotonic_ns() + LONG_NS)
    assert call.problem
    assert not call.sent
