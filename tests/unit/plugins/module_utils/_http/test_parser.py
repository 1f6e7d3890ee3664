# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the HTTP parser with responses in pieces of any size."""

from __future__ import annotations

from typing import Iterator, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._http.parser import (
    ProtocolError,
    ResponseParser,
)

PLAIN = b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\nX-Ms-Error-Code: TooMany\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n"
    b"5;ext=1\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n"
)


def _pieces(data: bytes) -> Iterator[List[bytes]]:
    """Yield the same bytes whole, in two parts cut at every place, and one by one."""
    yield [data]
    for cut in range(1, len(data)):
        yield [data[:cut], data[cut:]]
    yield [data[at : at + 1] for at in range(len(data))]


def _read(pieces: List[bytes], bodiless: bool = False) -> ResponseParser:
    reader = ResponseParser(bodiless)
    for piece in pieces:
        assert not reader.complete
        reader.feed(piece)
    return reader


def test_response_in_any_pieces_is_parsed() -> None:
    for pieces in _pieces(PLAIN):
        reader = _read(pieces)
        assert reader.complete
        assert (reader.status, reader.reason, reader.body) == (409, "Conflict", b"hello")
        assert reader.error_code == "TooMany"
        assert reader.keeps_open


def test_chunks_in_any_pieces_are_parsed() -> None:
    for pieces in _pieces(CHUNKED):
        reader = _read(pieces)
        assert reader.complete
        assert reader.body == b"hello 0123456789"


def test_interim_responses_are_skipped() -> None:
    for pieces in _pieces(b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN):
        assert _read(pieces).status == 409


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_responses_without_body_complete_at_the_head(status: bytes) -> None:
    reader = _read([b"HTTP/1.1 " + status + b"\r\n\r\n"])
    assert reader.complete
    head = ResponseParser(bodiless=True)
    head.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n")
    assert head.complete
    assert head.body == b""


def test_body_without_length_ends_with_the_connection() -> None:
    reader = _read([b"HTTP/1.1 200\r\n\r\nhel", b"lo"])
    assert not reader.complete
    reader.end()
    assert reader.complete
    assert reader.body == b"hello"
    assert not reader.keeps_open


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close, TE\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: TE ,\tClose\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_keeps_open_is_false_if_the_server_closes(head: bytes) -> None:
    assert not _read([head]).keeps_open


@pytest.mark.parametrize("cut", [0, 5, 30, len(PLAIN) - 1])
def test_early_end_is_a_protocol_error(cut: int) -> None:
    reader = ResponseParser()
    reader.feed(PLAIN[:cut])
    with pytest.raises(ProtocolError):
        reader.end()


def test_end_within_chunks_is_a_protocol_error() -> None:
    reader = ResponseParser()
    reader.feed(CHUNKED[:-2])
    with pytest.raises(ProtocolError):
        reader.end()


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff garbage",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 999 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        *(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
            for body in (
                b"-5\r\nhello\r\n",
                b"-0\r\n\r\n",
                b"+5\r\nhello\r\n",
                b"0x5\r\nhello\r\n",
                b"1_0\r\n0123456789abcdef\r\n",
                b"\r\n",
                b"7fffffffffffffff\r\n",
                b"2000001\r\n",
                b"4\r\nhello\r\n",
                b"5;" + b"x" * 5000,
            )
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    ],
)
def test_invalid_bytes_are_an_error_at_once(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        _read([data])


@pytest.mark.parametrize("bodiless", [False, True])
def test_extra_bytes_close_the_connection(bodiless: bool) -> None:
    reader = _read([PLAIN + PLAIN], bodiless)
    assert reader.complete
    assert reader.status == 409
    assert reader.body == (b"" if bodiless else b"hello")
    assert not reader.keeps_open


@pytest.mark.slow
def test_endless_body_is_a_protocol_error() -> None:
    reader = ResponseParser()
    reader.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(ProtocolError, match="too long"):
        for _try in range(40):
            reader.feed(b"x" * (1 << 20))


def test_error_code_is_read_from_the_body() -> None:
    body = b"<?xml?><Error><Code>SnapshotCountExceeded</Code><Message>no</Message></Error>"
    head = b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert _read([head + body]).error_code == "SnapshotCountExceeded"


def test_invalid_error_code_is_ignored() -> None:
    reader = _read([b"HTTP/1.1 409 C\r\nContent-Length: 0\r\nx-ms-error-code: a b\x1b[0m\r\n\r\n"])
    assert reader.error_code == ""
