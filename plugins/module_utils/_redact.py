# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keep secrets out of whatever people may read.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

# A signature's value in a query, also where it was percent-encoded or escaped as JSON once more:
# then a digit stands before it, as in %26sig%3D and \u0026sig=.
_SIGNATURE = re.compile(r"(?i)((?<![a-z_])sig(?:=|%3d|%253d))[^&\s\"'<>\\]+")
# A run of base64, perhaps in lines, perhaps with its line ends escaped; and what it has in it, at
# each of the three offsets, when it encodes sig= or sig%.
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/=_-]|\\[nr]|[\r\n]){40,}")
_LINE_END = re.compile(r"\\[nr]|[\r\n]")
_SIGNATURE_IN_BASE64 = re.compile(r"c2ln[PJ]|NpZz[0-3]|NpZy[U-X]|zaWc[9l]")
HIDDEN = "REDACTED"


def without_query(uri: str) -> str:
    """The address without its query and fragment, where a SAS keeps its signature."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri.split("?", 1)[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def redact(text: str) -> str:
    """The text with the value of every SAS signature in it replaced, and any base64 of one."""
    return _SIGNATURE.sub(rf"\g<1>{HIDDEN}", _BASE64.sub(_without_signature, text))


def _without_signature(found: "re.Match[str]") -> str:
    dense = _LINE_END.sub("", found[0])
    return HIDDEN if _SIGNATURE_IN_BASE64.search(dense) else found[0]
