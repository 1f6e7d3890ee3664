# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._redact import (
    redact,
    register_secret,
    without_query,
)

SECRET = "c2VjcmV0LXNpZ25hdHVyZQ%2F%3D"
URI = f"https://a.example/c/b?sv=1&sig={SECRET}&sp=rw"


@pytest.mark.parametrize(
    "text",
    [
        URI,
        URI.upper(),
        f"sig={SECRET}",
        quote(URI),
        quote(quote(URI)),
        json.dumps({"uri": URI}),
        json.dumps({"uri": URI}).replace("&", "\\u0026"),
        repr(URI.encode()),
    ],
)
def test_signature_is_replaced_in_every_form(text: str) -> None:
    shown = redact(text)
    assert "REDACTED" in shown
    assert "c2vjcmv0" not in shown.lower()


@pytest.mark.parametrize("offset", range(6))
@pytest.mark.parametrize("uri", [URI, quote(URI)])
def test_base64_of_a_signature_is_replaced(uri: str, offset: int) -> None:
    plain = ("x" * offset + json.dumps({"blobSASUri": [uri]})).encode()
    encoded = base64.b64encode(plain).decode()
    lines = base64.encodebytes(plain).decode()
    for text in (encoded, lines, repr(lines), json.dumps([lines]), base64.urlsafe_b64encode(plain)):
        shown = redact(f"the value {text!s} is bad")
        assert "REDACTED" in shown and "is bad" in shown
        assert encoded[60:80] not in shown and len(shown) < 60
    other = base64.b64encode(plain.replace(b"sig", b"sag")).decode()
    assert redact(other) == other


def test_redact_leaves_other_text() -> None:
    assert redact(URI) == "https://a.example/c/b?sv=1&sig=REDACTED&sp=rw"
    text = "design=blue signature=none sig"
    assert redact(text) == text


def test_without_query_drops_user_and_query() -> None:
    assert without_query(URI) == "https://a.example/c/b"
    assert (
        without_query("http://user:word@127.0.0.1:10000/a/c/b#x") == "http://127.0.0.1:10000/a/c/b"
    )
    assert without_query(f"http://[?sig={SECRET}") == "http://["


OPERATION = (
    "https://arm.example/subscriptions/S/operationResults/1?api-version=2019-05-13-preview"
    "&t=638712&c=MIIH-cert_1&s=c2lnbmVk%2F&h=aGFzaA"
)
TOKEN = "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJodHRwcz.c2lnbmF0dXJl_-x"


@pytest.mark.parametrize(
    "text",
    [
        OPERATION,
        OPERATION.replace("&", "&amp;"),
        quote(OPERATION),
        quote(quote(OPERATION)),
        json.dumps({"Location": OPERATION}).replace("&", "\\u0026"),
        OPERATION.upper(),
        f"https://x.example/y?t=638712&h=aGFzaA&c=MIIH-cert_1#{OPERATION}",
    ],
)
def test_signature_of_operation_address_is_replaced(text: str) -> None:
    shown = redact(f"Location: {text} (end)")
    for secret in ("638712", "MIIH", "c2lnbmVk", "aGFzaA"):
        assert secret.lower() not in shown.lower()
    assert shown.endswith("(end)") and "operationresults" in redact(OPERATION).lower()
    assert "api-version=2019-05-13-preview" in redact(OPERATION)


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {TOKEN}",
        f"bearer {TOKEN}",
        "{'Authorization': 'Bearer abcdefghijklmnop'}",
        f"token {TOKEN} is bad",
        f"grant_type=client_credentials&client_secret={TOKEN[5:20]}&scope=x",
        json.dumps({"access_token": TOKEN[5:20], "expires_in": 1}),
        json.dumps(json.dumps({"access_token": TOKEN[5:20]})),
    ],
)
def test_tokens_and_secrets_are_replaced(text: str) -> None:
    shown = redact(text)
    assert "REDACTED" in shown
    for secret in (TOKEN[5:20], "abcdefgh", "c2lnbmF0"):
        assert secret not in shown


def test_registered_secret_is_replaced() -> None:
    register_secret("s3cret~of-a-client")
    register_secret("abc")
    assert redact("x s3cret~of-a-client y abc") == "x REDACTED y abc"


def test_redact_leaves_similar_words() -> None:
    text = "a bearer of news; https://x.example/a?st=1&cs=2&hash=3&at=4; client_secret is wrong"
    assert redact(text) == text
