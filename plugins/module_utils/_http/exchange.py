# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to a blob store that open early, and requests that start at the same time.

Standard library only. Connections bypass the environment's proxy, which could delay a request in
the window. All times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Callable

from .._errors import Failure, StoreError
from .parser import ProtocolError, ResponseParser

#: The code that Microsoft's agent reports when its snapshot requests get no response.
NO_NETWORK_CODE = 76
_CHUNK = 1 << 16
_BLOCKED = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def tls_context() -> ssl.SSLContext:
    """Return the context that checks the store's certificate and name.

    It trusts the system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, and those
    of `REQUESTS_CA_BUNDLE`. Raise `StoreError` for an unreadable bundle.
    """
    context = ssl.create_default_context()
    bundle = os.environ.get("REQUESTS_CA_BUNDLE", "")
    if bundle:
        where = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
        try:
            context.load_verify_locations(**where)
        except OSError as error:
            message = f"The certificates of REQUESTS_CA_BUNDLE, {bundle}, cannot be read: {error}."
            action = "Set REQUESTS_CA_BUNDLE to a file or folder of certificates, or unset it."
            raise StoreError(Failure("InvalidCertificateBundle", message, action)) from None
    return context


class HttpConnection:
    """One connection to a store. `context` is None for plain HTTP."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._context = context
        self.sock: socket.socket | None = None

    def open(self, deadline_ns: int) -> None:
        """Connect unless connected. Raise `StoreError`, free of secrets, if that fails."""
        if self.sock is not None:
            return
        sock: socket.socket | None = None
        try:
            sock = socket.create_connection((self._host, self._port), _left_s(deadline_ns))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock.settimeout(_left_s(deadline_ns))
                sock = self._context.wrap_socket(sock, server_hostname=self._host)
        except (OSError, ValueError) as error:
            if sock is not None:
                sock.close()
            raise StoreError(self._failure(error)) from None
        sock.setblocking(False)
        self.sock = sock

    def close(self) -> None:
        """Close the connection. Never raises."""
        if self.sock is not None:
            with suppress(OSError):
                self.sock.close()
            self.sock = None

    def _failure(self, error: Exception) -> Failure:
        where = f"{self._host}:{self._port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return Failure(
                "CertificateNotTrusted",
                f"The certificate of {where} is not trusted: {error.verify_message}.",
                "Add the authority to those that the machine trusts, or set SSL_CERT_FILE to its "
                "certificate.",
                NO_NETWORK_CODE,
            )
        advice = "Check name resolution, routes and firewalls from this machine to the store."
        if self._context is not None and _has_proxy(self._host):
            advice += " HTTPS_PROXY is set, but connections to the store never use a proxy."
        words = "timed out" if isinstance(error, socket.timeout) else str(error)
        message = f"The connection to {where} failed: {words}."
        return Failure("ConnectionFailed", message, advice, NO_NETWORK_CODE)


def _left_s(deadline_ns: int) -> float:
    return max((deadline_ns - time.monotonic_ns()) / 1e9, 0.001)


def _has_proxy(host: str) -> bool:
    return "https" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


class Exchange:
    """One request on one connection, and its outcome."""

    def __init__(self, connection: HttpConnection, payload: bytes, bodiless: bool = False) -> None:
        self.connection = connection
        self.answer = ResponseParser(bodiless)
        self._unsent = memoryview(payload)
        self._may_send: Callable[[], bool] = bool
        #: The time right before the first byte is sent.
        self.request_ns: int | None = None
        #: The time when the head of the response was read.
        self.answered_ns: int | None = None
        #: True if a byte was sent: the store may carry out the request.
        self.sent = False
        #: True if some bytes were not sent in time: the store cannot carry out the request.
        self.withheld = False
        #: The reason why the response will stay incomplete.
        self.problem = ""

    @property
    def done(self) -> bool:
        """True if no more bytes are expected."""
        return self.answer.complete or bool(self.problem)

    @property
    def wants(self) -> int:
        """The events of `selectors` to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def begin(self, may_send: Callable[[], bool]) -> None:
        """Send as much as the socket takes without waiting. Further calls have no effect.

        `may_send` is called right before each send; after its first False no more is sent.
        """
        if self.request_ns is None and not self.problem:
            self._may_send = may_send
            if self.connection.sock is None:
                self.problem = "the connection was not open"
            else:
                self.step()

    def withhold(self) -> None:
        """Send no more bytes. The store ignores an incomplete request."""
        if self._unsent and not self.done:
            self.withheld = True
            self.problem = "the time for it was over before it was sent"
            self.connection.close()

    def step(self) -> None:
        """Send and read as much as possible without waiting."""
        try:
            self._send()
            self._receive()
        except OSError as error:
            self.problem = f"the connection was lost ({error.strerror or error})"
        except ProtocolError as error:
            self.problem = f"the response is invalid: {error}"
        if self.problem or (self.answer.complete and not self.answer.keeps_open):
            self.connection.close()

    def _send(self) -> None:
        sock = self.connection.sock
        while sock is not None and self._unsent:
            if not self._may_send():
                self.withhold()
                return
            if self.request_ns is None:
                self.request_ns = time.monotonic_ns()
            try:
                count = sock.send(self._unsent)
            except _BLOCKED:
                return
            self.sent = True
            self._unsent = self._unsent[count:]

    def _receive(self) -> None:
        sock = self.connection.sock
        while sock is not None and not self.answer.complete:
            try:
                data = sock.recv(_CHUNK)
            except _BLOCKED:
                return
            except ssl.SSLEOFError:
                data = b""
            if not data:
                if self.answer.status is None:
                    raise OSError("closed by the store")
                self.answer.end()
                return
            self.answer.feed(data)
            if self.answered_ns is None and self.answer.status is not None:
                self.answered_ns = time.monotonic_ns()


def send_all(
    calls: Sequence[Exchange],
    deadline_ns: int,
    heads_suffice: bool = False,
    over: Callable[[], bool] = bool,
) -> None:
    """Send all requests at once and read their responses, until all are complete or the deadline.

    One thread serves all of them and never waits for a single one. Calls that were sent before
    take part. With `heads_suffice` it does not wait for the body of a response of success. Right
    before each send it checks the deadline and `over`, as this process may have been stopped in
    between. A byte that is not sent by then is never sent. It does not connect, retry or raise:
    the outcome is in the calls.
    """

    def may_send() -> bool:
        return time.monotonic_ns() < deadline_ns and not over()

    def waiting(call: Exchange) -> bool:
        status = call.answer.status
        return not call.done and not (heads_suffice and status is not None and status < 300)

    for call in calls:
        call.begin(may_send)
    _read_answers(calls, deadline_ns, waiting)
    for call in calls:
        call.withhold()


def _read_answers(
    calls: Sequence[Exchange], deadline_ns: int, waiting: Callable[[Exchange], bool]
) -> None:
    open_calls: list[Exchange] = [call for call in calls if waiting(call)]
    # One system call a round, and no descriptor of its own.
    with selectors.PollSelector() as selector:
        for call in open_calls:
            if call.connection.sock is not None:
                selector.register(call.connection.sock, call.wants, call)
        while selector.get_map():
            left_ns = deadline_ns - time.monotonic_ns()
            if left_ns <= 0:
                return
            for key, _events in selector.select(left_ns / 1e9):
                call = key.data
                call.step()
                if not waiting(call):
                    selector.unregister(key.fileobj)
                elif key.events != call.wants:
                    selector.modify(key.fileobj, call.wants, call)


def close_all(connections: Iterable[HttpConnection]) -> None:
    """Close all connections. Never raises."""
    for connection in connections:
        connection.close()
