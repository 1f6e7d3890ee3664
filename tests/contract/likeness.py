# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Comparison of two answers: status, header names, and the shape and words of the body.

Parts that differ from one day to the next are first made the same: times, durations, ids, sizes,
and sentences. All other text must be equal, including its case.
"""

from __future__ import annotations

import re
from typing import Any, Dict, Iterator, List, Tuple
from urllib.parse import unquote, urlsplit

from tests.contract.evidence import Exchange

#: The only header names that the recordings were left with; that of `errors.jsonl` with one more.
HEADERS = (
    "azure-asyncoperation",
    "location",
    "x-ms-ratelimit-remaining-subscription-resource-requests",
)
_LINKS = ("azure-asyncoperation", "location")
_GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

#: Applied in this order. The times that stand for "never" are words of their own.
_CHANGING: Tuple[Tuple[str, str], ...] = (
    (r"W/\"datetime'.*'\"", "<etag>"),
    (r"(?!0001-01-01|2001-01-01)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", "<time>"),
    (r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M", "<time>"),
    (r"\d+\.\d\d:\d\d:\d\d(\.\d+)?", "<time span>"),
    (r"^PT(\d+H)?(\d+M)?(\d+(\.\d+)?S)?$", "<duration>"),
    (r"(?!00000000-0000-0000-0000-000000000000)" + _GUID, "<id>"),
    (r"\bM(?:jA0Nz|TAyMz)[A-Za-z0-9+/]+={0,2}", "<id>"),
    (r"https://(management\.azure\.com|127\.0\.0\.1:\d+)", "<host>"),
    (r"^\d+ MB$", "<size>"),
    (r"-[0-9a-f]{32}\b", "-<id>"),
    (r"clitestvmp2l6o", "clitest-vm000003"),  # The recorder did not hide this one.
    (r"^\d+(\.\d+)? GBs / \d+ GBs", "<size>"),
    (r"\d{9,}", "<number>"),
)
_A_SENTENCE = 5  # words
#: Numbers that are the same every day; of others only the type counts.
_FIXED = (
    ".errorCode",
    ".code",
    "InDays",
    "Frequency",
    ".count",
    "Interval",
    ".protectedItemsCount",
)


def plain(text: str) -> str:
    """Return the text without what changes."""
    for pattern, word in _CHANGING:
        text = re.sub(pattern, word, text, flags=re.IGNORECASE)
    return "<text>" if len(text.split()) >= _A_SENTENCE else text


def link(url: str) -> str:
    """Return where a header points to, without its host and the service's signature."""
    parts = urlsplit(url)
    query = [one for one in parts.query.split("&") if one.startswith("api-version=")]
    return plain("?".join([unquote(parts.path), *query]))


def differences(recorded: Exchange, ours: Exchange) -> List[str]:
    """Return what is different, each with its place; empty when the answers are alike."""
    if recorded.status != ours.status:
        return [f"status {ours.status}, recorded {recorded.status}: {ours.response}"[:300]]
    found = []
    for name in HEADERS:
        if (name in recorded.headers) != (name in ours.headers):
            there = "is missing" if name in recorded.headers else "is not in the recording"
            found.append(f"header {name} {there}")
        elif name in _LINKS and name in recorded.headers:
            here, there = link(ours.headers[name]), link(recorded.headers[name])
            if here != there:
                found.append(f"header {name}: {here}, recorded {there}")
    return found + list(_compare("$", recorded.response, ours.response))


def _compare(path: str, recorded: Any, ours: Any) -> Iterator[str]:
    if _kind(recorded) != _kind(ours):
        yield f"{path}: {ours!r:.80}, recorded {recorded!r:.80}"
    elif isinstance(recorded, dict):
        for key in recorded:
            if key not in ours:
                yield f"{path}.{key} is missing (recorded {recorded[key]!r:.60})"
            else:
                yield from _compare(f"{path}.{key}", recorded[key], ours[key])
        for key in ours:
            if key not in recorded:
                yield f"{path}.{key} is not in the recording ({ours[key]!r:.60})"
    elif isinstance(recorded, list):
        if len(recorded) != len(ours):
            yield f"{path}: {len(ours)} elements, recorded {len(recorded)}"
        for number, (one, other) in enumerate(zip(in_order(recorded), in_order(ours))):
            yield from _compare(f"{path}[{number}]", one, other)
    elif isinstance(recorded, str):
        if plain(recorded) != plain(ours):
            yield f"{path}: {plain(ours)!r:.90}, recorded {plain(recorded)!r:.90}"
    elif recorded != ours and (isinstance(recorded, bool) or path.endswith(_FIXED)):
        yield f"{path}: {ours!r}, recorded {recorded!r}"


def in_order(elements: List[Any]) -> List[Any]:
    """Resources by their name, the others as they came; jobs by their kind, their names change."""
    if not all(isinstance(one, dict) and "name" in one for one in elements):
        return elements

    def key(one: Dict[str, Any]) -> Tuple[str, str]:
        properties = one.get("properties") or {}
        kind = str(properties.get("operation", ""))
        return kind, "" if kind else plain(one["name"]).lower()

    return sorted(elements, key=key)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def progress(exchange: Exchange) -> Tuple[Any, ...]:
    """Return how far things have come, as the answer tells: what only time changes."""
    return (exchange.status, *_words(exchange.response))


#: Properties that change by themselves.
_STATES = (
    "status",
    "provisioningState",
    "protectionState",
    "lastBackupStatus",
    "isScheduledForDeferredDelete",
    "registrationStatus",
    "progressPercentage",
    "taskExecutionDetails",
    "recoveryPointTierDetails",
)


def _words(value: Any) -> Iterator[Any]:
    if isinstance(value, list):
        yield len(value)
        for one in in_order(value):
            yield from _words(one)
    elif isinstance(value, dict):
        for name in _STATES:
            word = value.get(name)
            # How many percent it is does not matter.
            yield word if isinstance(word, (str, bool)) else word is not None
        for name in ("value", "properties", "extendedInfo", "tasksList"):
            if name in value:
                yield from _words(value[name])
