# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of network errors against the installed urllib3 (1.26 or 2): was the request sent?"""

from __future__ import annotations

import os
import socket
import ssl
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline import Pipeline
from azure.core.pipeline.transport import HttpRequest, RequestsTransport

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.network_errors import (
    explain_network,
    is_network_error,
    is_unsent,
)
from tests.unit.plugins.module_utils._http.tls import write_certificate

NO_TLS = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def error_of(url: str, **options: Any) -> Exception:
    """Return what the SDK raises for a GET of this address."""
    with Pipeline(RequestsTransport()) as pipeline, pytest.raises(Exception) as caught:
        pipeline.run(HttpRequest("GET", url), **options)
    return caught.value


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """Serve connections one after another; yield the server's host and port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _address = listener.accept()
                except OSError:
                    return
                with client:
                    serve(client)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture(name="certificate")
def _certificate(tmp_path: Path) -> Path:
    return write_certificate(tmp_path, "localhost")


def test_refused_connection_is_unsent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = error_of(f"http://127.0.0.1:{port}/")
    assert is_network_error(error) and is_unsent(error)
    assert explain_network(error, f"https://127.0.0.1:{port}").name == "ConnectionRefused"


def test_failed_tls_handshake_is_unsent() -> None:
    def refuse(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(NO_TLS)

    with server(refuse) as host:
        error = error_of(f"https://{host}/")
    assert is_unsent(error)
    cause = explain_network(error, f"https://{host}")
    assert cause.name == "TlsFailed" and cause.never_arrived


def test_broken_tls_in_the_response_may_have_arrived(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    requests = []

    def break_off(client: socket.socket) -> None:
        secured = context.wrap_socket(client.dup(), server_side=True)
        requests.append(secured.recv(4096))
        os.write(secured.fileno(), NO_TLS)
        secured.close()

    with server(break_off) as host:
        error = error_of(f"https://{host}/", connection_verify=str(certificate))
    assert requests and requests[0].startswith(b"GET")
    # The class is that of a request that was not sent: only the traceback shows the difference.
    assert isinstance(error, ServiceRequestError) and not is_unsent(error)
    cause = explain_network(error, f"https://{host}")
    assert cause.name == "ConnectionBroken" and not cause.never_arrived


def test_closed_connection_after_the_request_may_have_arrived() -> None:
    def close(client: socket.socket) -> None:
        client.recv(4096)

    with server(close) as host:
        error = error_of(f"http://{host}/")
    assert is_network_error(error) and not is_unsent(error)
