# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scripted HTTP proxy in front of a blob store: it delays, holds, cuts and answers by rule.

A client's connection is kept open as the store would keep it. It has its own connection to the
store, so that a connection that the client has warmed stays warm. Times are monotonic nanoseconds.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import Callable, Iterator, List, Optional, Tuple
from urllib.parse import parse_qs, urlsplit, urlunsplit

_BUFFER = 1 << 16
_LIMIT_S = 120.0


class PeerClosedError(Exception):
    """The other side closed its connection."""


@dataclass
class Seen:
    """One request that reached the proxy; its query is not kept, for it may hold a signature."""

    ns: int
    method: str
    path: str
    #: `snapshot`, `delete`, `get`, `head`, `put` or `put:COMP` for other operations.
    operation: str
    #: What the client was answered; None when it was not answered.
    status: Optional[int] = None


class _Stream:
    """A socket that is read by heads and bodies."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._rest = b""

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _end, self._rest = self._rest.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._more()
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def chunked(self) -> bytes:
        whole = b""
        while True:
            while b"\r\n" not in self._rest:
                self._more()
            line, _end, self._rest = self._rest.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            whole += line + b"\r\n" + self.exactly(size + 2)
            if size == 0:
                return whole

    def body(self, head: bytes) -> bytes:
        headers = _headers(head)
        if "chunked" in headers.get("transfer-encoding", ""):
            return self.chunked()
        return self.exactly(int(headers.get("content-length") or 0))

    def _more(self) -> None:
        data = self.sock.recv(_BUFFER)
        if not data:
            raise PeerClosedError
        self._rest += data


def _headers(head: bytes) -> "dict[str, str]":
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:] if line)
    return {name.strip().lower(): value.strip().lower() for name, _colon, value in pairs}


class Exchange:
    """One request and what may be done with it."""

    def __init__(self, proxy: FaultProxy, seen: Seen, request: bytes, link: _Link) -> None:
        self.proxy, self.seen, self._request, self._link = proxy, seen, request, link

    def forward(self) -> bytes:
        """Send the request to the store and return its whole answer."""
        return self._link.ask(self._request, self.seen.method)

    def answer(self, data: bytes) -> None:
        """Send these bytes to the client."""
        with contextlib.suppress(IndexError, ValueError):
            self.seen.status = int(data.split(b" ", 2)[1])
        self._link.client.sock.sendall(data)

    def reset(self) -> None:
        """Cut the client's connection with a reset."""
        linger = struct.pack("ii", 1, 0)
        self._link.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        raise PeerClosedError

    def sleep(self, seconds: float) -> None:
        """Wait, but not after the proxy was stopped."""
        self.proxy.stopping.wait(seconds)


class _Link:
    """A client's connection and the one to the store that belongs to it."""

    def __init__(self, client: socket.socket, upstream: Tuple[str, int]) -> None:
        self.client = _Stream(client)
        self._address = upstream
        self._store: Optional[_Stream] = None

    def ask(self, request: bytes, method: str) -> bytes:
        for attempt in (1, 2):
            if self._store is None:
                sock = socket.create_connection(self._address, timeout=_LIMIT_S)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._store = _Stream(sock)
            try:
                self._store.sock.sendall(request)
                head = self._store.head()
                break
            except (PeerClosedError, OSError):  # The store closed an idle connection: once more.
                self._store.sock.close()
                self._store = None
                if attempt == 2:
                    raise
        assert self._store is not None
        status = int(head.split(b" ", 2)[1])
        if method == "HEAD" or status in (204, 304):
            return head
        return head + self._store.body(head)

    def close(self) -> None:
        for stream in (self.client, self._store):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.sock.close()


Action = Callable[[Exchange], None]


@dataclass
class Rule:
    """Which requests get which treatment. The first rule that matches and is not used up counts."""

    action: Action
    #: The operation as in `Seen`; empty for every one.
    operation: str = "snapshot"
    #: The end of the path, such as a blob's name; empty for every one.
    path: str = ""
    #: How many requests it is for; None for all.
    times: Optional[int] = None
    #: So many matching requests pass before the rule begins to count.
    skip: int = 0
    used: int = field(default=0, compare=False)


class Gate:
    """A place where requests wait: the test sees them arrive and lets them go on."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._open = threading.Event()

    def wait_arrived(self, limit_s: float) -> bool:
        """Return True if a request arrives within `limit_s`."""
        return self._arrived.wait(limit_s)

    def open(self) -> None:
        """Let all requests go on, also those to come."""
        self._open.set()

    def pass_through(self, exchange: Exchange) -> None:
        """Wait at the gate (called by the proxy)."""
        self._arrived.set()
        while not self._open.wait(0.05) and not exchange.proxy.stopping.is_set():
            pass


def hold(gate: Gate) -> Action:
    """Wait at the gate before the store sees the request, then do as usual."""

    def act(exchange: Exchange) -> None:
        gate.pass_through(exchange)
        exchange.answer(exchange.forward())

    return act


def delay_request(seconds: float) -> Action:
    """Pass the request to the store after a delay."""

    def act(exchange: Exchange) -> None:
        exchange.sleep(seconds)
        exchange.answer(exchange.forward())

    return act


def delay_answer(seconds: float) -> Action:
    """Pass the request to the store at once, and its answer to the client after a delay."""

    def act(exchange: Exchange) -> None:
        data = exchange.forward()
        exchange.sleep(seconds)
        exchange.answer(data)

    return act


def hang() -> Action:
    """Drop the request and never answer it; the connection stays open."""
    return delay_request(_LIMIT_S)


def reset_before() -> Action:
    """Cut the connection before the store gets the request."""
    return lambda exchange: exchange.reset()


def reset_after() -> Action:
    """Let the store execute the request, and cut the connection instead of answering."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.reset()

    return act


def reply(status: int, reason: str, code: str, message: str = "", extra: str = "") -> Action:
    """Answer as the blob service answers an error; `extra` is more header lines."""
    text = message or f"The scripted store says {code}."
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>'
        f"<Message>{text}</Message></Error>"
    ).encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nServer: Windows-Azure-Blob/1.0\r\n"
        f"x-ms-error-code: {code}\r\nx-ms-request-id: 0\r\n{extra}"
        f"Content-Type: application/xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    return lambda exchange: exchange.answer(head + body)


def raw(data: bytes) -> Action:
    """Answer these bytes, which need not be HTTP, and close."""

    def act(exchange: Exchange) -> None:
        exchange.answer(data)
        raise PeerClosedError

    return act


class FaultProxy:
    """The proxy on a free port of 127.0.0.1; a context manager.

    `latency_s` is added to every answer of the store that no rule is for.
    """

    def __init__(self, upstream: str, latency_s: float = 0.0) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.latency_s = latency_s
        self.rules: List[Rule] = []
        self.seen: List[Seen] = []
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._links: List[_Link] = []
        self._threads: List[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._server.getsockname()[1])

    def __enter__(self) -> FaultProxy:
        self._start(self._accept)
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        with self._lock:
            links, threads = list(self._links), list(self._threads)
        for link in links:
            with contextlib.suppress(OSError):
                link.client.sock.shutdown(socket.SHUT_RDWR)
            link.close()
        for thread in threads:
            thread.join(10)

    def url(self, address: str) -> str:
        """Return the same address, by way of the proxy."""
        parts = urlsplit(address)
        return urlunsplit((parts.scheme, f"127.0.0.1:{self.port}", *parts[2:]))

    def requests(self, operation: str, since_ns: int = 0) -> List[Seen]:
        """Return the requests of this operation that arrived since then."""
        with self._lock:
            return [one for one in self.seen if one.operation == operation and one.ns >= since_ns]

    def _start(self, work: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                client, _address = self._server.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = _Link(client, self._upstream)
            with self._lock:
                self._links.append(link)
            self._start(self._serve, link)

    def _serve(self, link: _Link) -> None:
        try:
            for request in self._requests(link):
                exchange = Exchange(self, _seen(request), request, link)
                rule = self._note(exchange.seen)
                if rule is not None:
                    rule.action(exchange)
                    continue
                data = exchange.forward()
                if self.latency_s:
                    exchange.sleep(self.latency_s)
                exchange.answer(data)
        except (PeerClosedError, OSError, ValueError):
            pass
        finally:
            link.close()

    def _requests(self, link: _Link) -> Iterator[bytes]:
        while not self.stopping.is_set():
            head = link.client.head()
            if _headers(head).get("expect") == "100-continue":
                link.client.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            yield head + link.client.body(head)

    def _note(self, seen: Seen) -> Optional[Rule]:
        with self._lock:
            self.seen.append(seen)
            for rule in self.rules:
                if rule.operation not in ("", seen.operation) or not seen.path.endswith(rule.path):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.times is None or rule.used < rule.times:
                    rule.used += 1
                    return rule
        return None


def _seen(request: bytes) -> Seen:
    now = time.monotonic_ns()
    method, target, _version = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
    parts = urlsplit(target)
    comp = (parse_qs(parts.query).get("comp") or [""])[0]
    operation = method.lower()
    if comp:
        operation = "snapshot" if (method, comp) == ("PUT", "snapshot") else f"{operation}:{comp}"
    return Seen(now, method, parts.path, operation)
