# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An incremental parser of HTTP/1.1 responses.

The standard library's parser waits for its socket. This one is fed, so that one thread can wait for
many responses until one deadline.
"""

from __future__ import annotations

import re

_HEAD_LIMIT = 64 * 1024
_BODY_LIMIT = 32 * 1024 * 1024
_CHUNK_LINE_LIMIT = 4 * 1024
_LENGTH = re.compile(r"[0-9]{1,18}\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: ([^\r\n]*))?\Z")
_ERROR_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9_.-]{1,100})\s*</Code>")


class ProtocolError(Exception):
    """The bytes are not HTTP, or exceed the limits of a response."""


class ResponseParser:
    """One response. Feed it until `complete`; the head sets `status`."""

    def __init__(self, bodiless: bool = False) -> None:
        #: The response to a HEAD request has no body, even if its head has a length.
        self._bodiless = bodiless
        self._pending = b""
        self._length: int | None = None
        self._chunked = False
        self.status: int | None = None
        self.reason = ""
        #: Values by lower-case name.
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False
        #: True if the server keeps the connection open after this response.
        self.keeps_open = True

    @property
    def error_code(self) -> str:
        """The service's own name for the error; empty if it gave none."""
        found = self.headers.get("x-ms-error-code", "")
        if not found and (matched := _ERROR_CODE.search(self.body)):
            found = matched.group(1).decode("ascii")
        return found if re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", found) else ""

    def feed(self, data: bytes) -> None:
        """Parse received bytes. Raise `ProtocolError` if they are invalid."""
        if self.complete:
            raise ProtocolError("more bytes than one response")
        self._pending += data
        while self.status is None:
            head, mark, rest = self._pending.partition(b"\r\n\r\n")
            if len(head) > _HEAD_LIMIT:
                raise ProtocolError("its head is too long")
            if not mark:
                self._check_start()
                return
            self._pending = rest
            self._read_head(head)
        self._read_body()

    def end(self) -> None:
        """Handle the end of the connection. Raise `ProtocolError` if the response is incomplete."""
        if self.complete:
            return
        if self.status is None or self._chunked or self._length is not None:
            raise ProtocolError("it ended too early")
        self.complete = True

    def _check_start(self) -> None:
        """Raise an error early, without waiting for the end of a head."""
        start = self._pending[:5]
        if start != b"HTTP/"[: len(start)]:
            raise ProtocolError("it is not HTTP")

    def _read_head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        matched = _STATUS_LINE.match(first)
        if matched is None:
            raise ProtocolError("it is not HTTP")
        status = int(matched.group(2))
        if status < 200:
            return  # an interim response: the final one follows
        headers: dict[str, str] = {}
        for line in lines:
            name, mark, value = line.decode("latin-1").partition(":")
            if not mark or not name or name != name.strip():
                raise ProtocolError("one of its headers is malformed")
            name, value = name.lower(), value.strip()
            if name == "content-length" and headers.get(name, value) != value:
                raise ProtocolError("its body has two lengths")
            headers[name] = value
        self.status, self.headers = status, headers
        self.reason = (matched.group(3) or b"").decode("latin-1")
        options = [option.strip() for option in headers.get("connection", "").lower().split(",")]
        self.keeps_open = matched.group(1) == b"1" and "close" not in options
        if self._bodiless or status in (204, 304):
            self._length = 0
        elif "transfer-encoding" in headers:
            if headers["transfer-encoding"].lower() != "chunked":
                raise ProtocolError("its body is encoded in an unknown way")
            self._chunked = True
        elif "content-length" in headers:
            if not _LENGTH.match(headers["content-length"]):
                raise ProtocolError("the length of its body must be a number")
            self._length = int(headers["content-length"])
            if self._length > _BODY_LIMIT:
                raise ProtocolError("its body is too long")
        else:
            self.keeps_open = False  # the body ends when the connection does

    def _read_body(self) -> None:
        if self._chunked:
            while self._read_chunk():
                pass
        else:
            self.body += self._pending
            self._pending = b""
            if self._length is not None and len(self.body) > self._length:
                # The extra bytes belong to no known request, so the connection is not used again.
                self.body, self.keeps_open = self.body[: self._length], False
            self.complete = len(self.body) == self._length
        if len(self.body) + len(self._pending) > _BODY_LIMIT:
            raise ProtocolError("its body is too long")

    def _read_chunk(self) -> bool:
        """Return True if a whole chunk was read, and another one may follow."""
        line, mark, rest = self._pending.partition(b"\r\n")
        if len(line) > _CHUNK_LINE_LIMIT:
            raise ProtocolError("the line before a chunk is too long")
        if not mark:
            return False
        number = line.partition(b";")[0].rstrip(b" \t")
        if not _CHUNK_SIZE.match(number):
            raise ProtocolError("its body is not in chunks")
        size = int(number, 16)
        if size > _BODY_LIMIT:
            raise ProtocolError("its body is too long")
        if size == 0:
            return self._read_trailer(rest)
        if len(rest) < size + 2:
            return False
        if rest[size : size + 2] != b"\r\n":
            raise ProtocolError("a chunk of its body is longer than it says")
        self.body += rest[:size]
        self._pending = rest[size + 2 :]
        return True

    def _read_trailer(self, rest: bytes) -> bool:
        if rest.startswith(b"\r\n") or b"\r\n\r\n" in rest:
            self.complete = True
        return False
