# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._redact import (
    redact,
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
def test_a_signature_is_replaced_in_every_form(text: str) -> None:
    shown = redact(text)
    assert "REDACTED" in shown
    assert "c2vjcmv0" not in shown.lower()


def test_everything_else_stays() -> None:
    assert redact(URI) == "https://a.example/c/b?sv=1&sig=REDACTED&sp=rw"
    text = "design=blue signature=none sig"
    assert redact(text) == text


def test_without_query() -> None:
    assert without_query(URI) == "https://a.example/c/b"
    assert (
        without_query("http://user:word@127.0.0.1:10000/a/c/b#x") == "http://127.0.0.1:10000/a/c/b"
    )
    assert without_query(f"http://[?sig={SECRET}") == "http://["
