# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Connections to a blob store that are opened early, and requests that all go out at once.

PRIVATE: for this collection only; standard library only. Connections go straight to the store: a
proxy of the environment is not used, for what it does to a request in the window is unknown. All
times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Callable, Iterable, List, Optional, Sequence

from .._errors import Failure, StoreError
from .parser import ProtocolError, ResponseParser

#: What Microsoft's agent reports when its requests for snapshots come to nothing.
NO_NETWORK_CODE = 76
_CHUNK = 1 << 16
_BLOCKED = (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def tls_context() -> ssl.SSLContext:
    """What checks the store's certificate and name.

    Trusted are the system's authorities, or those of C(SSL_CERT_FILE) and C(SSL_CERT_DIR), and in
    addition those of C(REQUESTS_CA_BUNDLE). Raises C(StoreError) for a bundle that is none.
    """
    context = ssl.create_default_context()
    bundle = os.environ.get("REQUESTS_CA_BUNDLE", "")
    if bundle:
        where = {"capath" if Path(bundle).is_dir() else "cafile": bundle}
        try:
            context.load_verify_locations(**where)
        except OSError as error:
            message = f"REQUESTS_CA_BUNDLE, {bundle}, cannot be used: {error}."
            raise StoreError(Failure("InvalidCertificateBundle", message)) from None
    return context


class HttpConnection:
    """One connection to a store. C(context) is None for plain HTTP."""

    def __init__(self, host: str, port: int, context: Optional[ssl.SSLContext]) -> None:
        self._host = host
        self._port = port
        self._context = context
        self.sock: Optional[socket.socket] = None

    def open(self, deadline_ns: int) -> None:
        """Connect, unless that is so already. Raises C(StoreError) with no secret in it."""
        if self.sock is not None:
            return
        limit_s = max((deadline_ns - time.monotonic_ns()) / 1e9, 0.001)
        sock: Optional[socket.socket] = None
        try:
            sock = socket.create_connection((self._host, self._port), limit_s)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=self._host)
        except (OSError, ValueError) as error:
            if sock is not None:
                sock.close()
            raise StoreError(self._failure(error)) from None
        sock.setblocking(False)
        self.sock = sock

    def close(self) -> None:
        """Close it. Never raises."""
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
                "Let the machine trust the authority, or name its certificates in SSL_CERT_FILE.",
                NO_NETWORK_CODE,
            )
        advice = "Check name resolution, routes and firewalls from this machine to the store."
        if self._context is not None and _has_proxy(self._host):
            advice += " HTTPS_PROXY is set, but connections to the store never use a proxy."
        words = "timed out" if isinstance(error, socket.timeout) else str(error)
        message = f"No connection to {where}: {words}."
        return Failure("ConnectionFailed", message, advice, NO_NETWORK_CODE)


def _has_proxy(host: str) -> bool:
    return "https" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)


class Exchange:
    """One request on one connection, and what became of it."""

    def __init__(self, connection: HttpConnection, payload: bytes, bodiless: bool = False) -> None:
        self.connection = connection
        self.answer = ResponseParser(bodiless)
        self._unsent = memoryview(payload)
        self._may_send: Callable[[], bool] = bool
        #: Taken right before the first byte is sent.
        self.request_ns: Optional[int] = None
        #: Taken when the head of the answer was read.
        self.answered_ns: Optional[int] = None
        #: At least one byte went out: the store may do what is asked.
        self.sent = False
        #: Not all of it went out in its time, so the store cannot do what is asked.
        self.withheld = False
        #: Why there will be no whole answer.
        self.problem = ""

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.answer.complete or bool(self.problem)

    @property
    def wants(self) -> int:
        """The events of C(selectors) to wait for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def begin(self, may_send: Callable[[], bool]) -> None:
        """Send as much as can be sent at once; calling it again does nothing.

        C(may_send) is asked right before each send; after its first no nothing is sent any more.
        """
        if self.request_ns is None and not self.problem:
            self._may_send = may_send
            if self.connection.sock is None:
                self.problem = "the connection was not open"
            else:
                self.step()

    def withhold(self) -> None:
        """Send nothing more. A request that is not whole is nothing to the store."""
        if self._unsent and not self.done:
            self.withheld = True
            self.problem = "its time was over before it was asked for"
            self.connection.close()

    def step(self) -> None:
        """Send and read what can be sent and read without waiting."""
        try:
            self._send()
            self._receive()
        except OSError as error:
            self.problem = f"the connection was lost ({error.strerror or error})"
        except ProtocolError as error:
            self.problem = f"the answer cannot be used: {error}"
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
    """Send all requests at once and read their answers, until all are there or the deadline comes.

    One thread, which never waits for a single one. Answers to what was sent before are waited for.
    With C(heads_suffice) the body of an answer that says success is not waited for. Right before
    each send it looks at the deadline, and asks whether the time for it is C(over): this process
    may have been stopped in between. What is not sent by then is never sent. Connects nothing,
    retries nothing and raises nothing: the calls say what became of them.
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
    open_calls: List[Exchange] = [call for call in calls if waiting(call)]
    # Asks the kernel once a round and needs no descriptor of its own.
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
    """Close them. Never raises."""
    for connection in connections:
        connection.close()
