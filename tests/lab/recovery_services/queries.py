# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`$filter` and `$skipToken` of lists."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import quote

from tests.lab.recovery_services.errors import invalid_input

#: What the service gives in one answer.
PAGE_SIZE = 200

_TERM = re.compile(r"\s*(\w+)\s+(eq|ge|le|gt|lt)\s+('(?:[^']|'')*'|[\w.:+-]+)\s*", re.IGNORECASE)
_AND = re.compile(r"and\b", re.IGNORECASE)


@dataclass(frozen=True)
class Filter:
    """The terms of a filter, joined by `and`; names in lower case."""

    terms: Tuple[Tuple[str, str, str], ...] = ()

    def get(self, name: str) -> Optional[str]:
        """Return the value that the filter demands, if it does."""
        for term, _operator, value in self.terms:
            if term == name.lower():
                return value
        return None

    def permits(self, values: Mapping[str, Optional[str]]) -> bool:
        """Return True if a resource with these values is listed; missing names are ignored."""
        known = {name.lower(): value for name, value in values.items()}
        return all(
            term not in known or (known[term] or "").lower() == value.lower()
            for term, _operator, value in self.terms
        )


def parse_filter(text: Optional[str], names: Sequence[str]) -> Filter:
    """Read a filter in which only these names are known."""
    text = (text or "").strip()
    terms: List[Tuple[str, str, str]] = []
    permitted = {name.lower() for name in names}
    at = 0
    while at < len(text):
        found = _TERM.match(text, at)
        if not found or found[1].lower() not in permitted:
            raise invalid_input(f"The filter is not supported at: {text[at : at + 60]}")
        value = found[3]
        plain = value[1:-1].replace("''", "'") if value.startswith("'") else value
        terms.append((found[1].lower(), found[2].lower(), plain))
        at = found.end()
        if at < len(text):
            joined = _AND.match(text, at)
            if not joined:
                raise invalid_input(f"The filter is not supported at: {text[at : at + 60]}")
            at = joined.end()
    return Filter(tuple(terms))


def page(
    things: Sequence[Dict[str, Any]], query: Mapping[str, str], address: str, size: int = PAGE_SIZE
) -> Dict[str, Any]:
    """Return one page of a list, and the address of the next one; `address` is this one's path."""
    begin = _offset(query.get("$skiptoken"))
    body: Dict[str, Any] = {"value": list(things[begin : begin + size])}
    if begin + size < len(things):
        token = base64.urlsafe_b64encode(str(begin + size).encode()).decode()
        kept = {name: value for name, value in query.items() if name != "$skiptoken"}
        pairs = {**kept, "$skipToken": token}
        body["nextLink"] = f"{address}?" + "&".join(
            f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in pairs.items()
        )
    return body


def _offset(token: Optional[str]) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except (binascii.Error, ValueError):
        raise invalid_input("The skip token is not valid.") from None
