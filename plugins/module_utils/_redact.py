# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Redaction of secrets in texts that users may read."""

from __future__ import annotations

import re
import threading
from urllib.parse import urlsplit, urlunsplit

# A signature's value in a query, also percent-encoded or escaped as JSON: then a digit stands
# before it, as in %26sig%3D and \u0026sig=.
_SIGNATURE = re.compile(r"(?i)((?<![a-z_])sig(?:=|%3d|%253d))[^&\s\"'<>\\]+")
# A run of base64, also in several lines or with escaped line ends. If it encodes sig= or sig%, it
# contains one of these patterns, one for each of the three offsets.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/=_-]|\\[nr]|[\r\n]){40,}")
_LINE_END = re.compile(r"\\[nr]|[\r\n]")
_SIGNATURE_IN_BASE64 = re.compile(r"c2ln[PJ]|NpZz[0-3]|NpZy[U-X]|zaWc[9l]")
# The signature of the address of an operation's status in Azure Resource Manager: its parameters
# t, c, s and h, also if the address was encoded or escaped.
_OPERATION = re.compile(
    r"(?i)((?:[?&;]|%3f|%26|%253f|%2526|\\u0026)[tcsh](?:=|%3d|%253d))"
    r"(?:(?!%26|%2526)[^&\s\"'<>\\])+"
)
# Credentials of a request: a bearer token, a token by itself (three parts of base64, the first of
# which begins with {"), and a client's secret or token by its name in a form or in JSON.
_BEARER = re.compile(r"(?i)(\bbearer\s+)[A-Za-z0-9._~+/=-]{8,}")
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_NAMED = re.compile(
    r"(?i)((?:client_secret|client_assertion|access_token|refresh_token|id_token)"
    r"(?:=|%3d|\\?[\"']\s*:\s*\\?[\"']))[^&\s\"'<>\\]+"
)
HIDDEN = "REDACTED"
# Shorter values are not secrets, and may be part of any word.
_SHORTEST_SECRET = 6

_secrets: set[str] = set()
_lock = threading.Lock()


def register_secret(secret: str) -> None:
    """Replace this value in every text that is redacted from now on."""
    if len(secret) >= _SHORTEST_SECRET:
        with _lock:
            _secrets.add(secret)


def without_query(uri: str) -> str:
    """Return the address without user, query and fragment: a SAS has its signature in the query."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri.split("?", 1)[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def redact(text: str) -> str:
    """Return the text with every secret replaced.

    Secrets are signatures of a SAS, also in base64, those of an operation's address, tokens, and
    registered values.
    """
    with _lock:
        secrets = sorted(_secrets, key=len, reverse=True)
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    text = _BASE64.sub(_without_signature, _TOKEN.sub(HIDDEN, text))
    for pattern in (_SIGNATURE, _OPERATION, _BEARER, _NAMED):
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _without_signature(found: re.Match[str]) -> str:
    dense = _LINE_END.sub("", found[0])
    return HIDDEN if _SIGNATURE_IN_BASE64.search(dense) else found[0]
