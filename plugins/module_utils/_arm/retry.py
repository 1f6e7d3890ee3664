# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a request is sent again: Azure's pauses, trouble on the way, and the time that is left.

Knows nothing of the SDK; C(_pipeline) asks it.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, Mapping, NamedTuple, Optional
from urllib.parse import urlsplit

from .clock import Clock, Deadline

# Pauses after trouble that soon passes. There is one more attempt than pauses.
_TROUBLE_S = (0.5, 1.0, 2.0, 4.0)
_UNREACHABLE_S = (1.0, 2.0)
_BUSY_TRIES = 10
_LONGEST_S = 60.0
_SHORTEST_ASKED_S = 0.1
# No pause is longer; what asks for more must not end up beyond the calendar.
_A_YEAR_S = 366 * 86400.0
# A pause shorter than this is nobody's business.
_WORTH_SAYING_S = 3.0
_TROUBLE = frozenset({408, 500, 502, 504})
# What may be sent twice: the second does nothing that the first did not do.
_REPLAYABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_READS_BY_POST = re.compile(r"/(backupstatus|backupprevalidateprotection)$", re.IGNORECASE)
_AFTER = re.compile(r"after '(\d+)' seconds", re.IGNORECASE)


def is_replayable(method: str, url: str) -> bool:
    """Whether a request may be sent again although the first may have been carried out."""
    if method.upper() in _REPLAYABLE:
        return True
    return bool(_READS_BY_POST.search(urlsplit(url).path))


def action_of(method: str, url: str) -> str:
    """What Azure counts a request as: the types in its path, and whether it writes."""
    path = urlsplit(url).path
    provider = path.lower().rpartition("/providers/")[2] if "/providers/" in path.lower() else ""
    words = path[len(path) - len(provider) :].split("/") if provider else [path.strip("/")]
    types = words[:1] + words[1::2] if provider else words
    verb = {"GET": "read", "HEAD": "read", "DELETE": "delete", "POST": "action"}
    return "/".join([*types, verb.get(method.upper(), "write")])


def retry_after_s(retry_after: Optional[str], date: Optional[str]) -> Optional[float]:
    """The seconds of a C(Retry-After) header, which may also be a time; None when it is neither."""
    if not retry_after:
        return None
    try:
        return min(max(0.0, float(retry_after)), _A_YEAR_S)
    except ValueError:
        pass
    try:
        then = parsedate_to_datetime(retry_after)
        at = parsedate_to_datetime(date) if date else datetime.now(then.tzinfo)
        return min(max(0.0, (then - at).total_seconds()), _A_YEAR_S)
    except (TypeError, ValueError):
        return None


def seconds_in_words(message: str) -> Optional[float]:
    """The pause that Azure names in the message of a 429, for want of a header."""
    found = _AFTER.search(message)
    return float(found[1]) if found else None


class AzureError(NamedTuple):
    """What the body of an error answer says."""

    code: str
    message: str


def read_body(text: str) -> AzureError:
    """The code and message of a body, in any of Azure's shapes; of another, empty ones."""
    try:
        body = json.loads(text)
    except ValueError:
        return AzureError("", "")
    if not isinstance(body, dict):
        return AzureError("", "")
    error = body.get("error")
    if isinstance(error, dict):
        return AzureError(_text(error.get("code")), _first_message(error))
    if isinstance(error, str):
        # Microsoft Entra's own shape.
        return AzureError(error, _text(body.get("error_description")))
    message = body.get("Message", body.get("message"))
    if isinstance(message, dict):
        message = message.get("Value")
    return AzureError(
        _text(body.get("ErrorCode") or body.get("Code") or body.get("code")), _text(message)
    )


def _first_message(error: Mapping[str, Any]) -> str:
    """The message of an error, or that of the first of its details that has one."""
    message = _text(error.get("message"))
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if message:
            break
        if isinstance(detail, dict):
            message = _text(detail.get("message"))
    return message


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


@dataclass(frozen=True)
class ResponseSummary:
    """The status and headers of an answer."""

    status: int
    headers: Mapping[str, str]


class ResponseLog:
    """The last answer: of any thread, and of this one."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.date = ""

    def note(self, response: Any) -> None:
        """Remember an answer."""
        self._local.last = ResponseSummary(int(response.status_code), response.headers)
        self.date = response.headers.get("Date") or self.date

    @property
    def last(self) -> Optional[ResponseSummary]:
        """The last answer that this thread got."""
        found: Optional[ResponseSummary] = getattr(self._local, "last", None)
        return found

    def lose(self) -> None:
        """Remember that an answer was lost, and the request perhaps carried out."""
        self._local.lost = True

    @property
    def was_lost(self) -> bool:
        """Whether this thread lost one."""
        return bool(getattr(self._local, "lost", False))

    def forget(self) -> None:
        """Begin anew in this thread."""
        self._local.last = None
        self._local.lost = False


class ThrottledError(Exception):
    """A pause that Azure asks for would end after the deadline."""

    def __init__(self, action: str, seconds: float, until: datetime, response: object) -> None:
        super().__init__(f"{action}: {seconds:.0f} s")
        self.action = action
        self.seconds = seconds
        self.until = until
        self.response = response


#: Every action: Azure also counts all that a client does in a subscription or a tenant.
EVERYTHING = "*"
_OF_EVERYTHING = ("subscription", "tenant")


class ThrottleGate:
    """Closed for an action while Azure wants a pause of it, for all threads alike."""

    def __init__(self, clock: Clock, deadline: Deadline, say: Callable[[str], None]) -> None:
        self._clock = clock
        self._deadline = deadline
        self._say = say
        self._lock = threading.Lock()
        self._opens: Dict[str, float] = {}
        self._closed_by: Dict[str, object] = {}

    def wait(self, action: str) -> None:
        """Return when requests of this action may be sent."""
        while True:
            with self._lock:
                key = max(action, EVERYTHING, key=lambda name: self._opens.get(name, 0.0))
                left = self._opens.get(key, 0.0) - self._clock.monotonic()
                response = self._closed_by.get(key)
            if left <= 0:
                return
            if left > self._deadline.left():
                until = self._clock.now() + timedelta(seconds=left)
                raise ThrottledError(action, left, until, response)
            self._clock.sleep(left)

    def close(self, action: str, seconds: float, status: int, response: object) -> None:
        """Let nobody send requests of this action for so long."""
        opens = self._clock.monotonic() + seconds
        with self._lock:
            longer = opens - max(self._opens.get(action, 0.0), self._clock.monotonic())
            self._opens[action] = max(opens, self._opens.get(action, 0.0))
            self._closed_by[action] = response
        if longer >= _WORTH_SAYING_S and seconds <= self._deadline.left():
            of = "all requests" if action == EVERYTHING else action
            self._say(f"Azure asks for a pause of {seconds:.0f} s ({status}, {of}).")


def counted_as(action: str, code: str) -> str:
    """What a 429 with this code concerns: the action, or everything."""
    return EVERYTHING if code.lower().startswith(_OF_EVERYTHING) else action


def busy_pause(status: int, attempt: int, asked: Optional[float], safe: bool) -> Optional[float]:
    """The pause after a 429 or 503, for all who send this action; None for no other attempt.

    A 503 without a pause asked for may come from one who did what was asked, but too slowly. And
    who asks for no pause at all, or one that is over, would otherwise be asked again at once and
    without an end, as no deadline passes where nobody waits.
    """
    if status == 503 and (attempt >= _BUSY_TRIES or (asked is None and not safe)):
        return None
    if asked is not None and asked >= _SHORTEST_ASKED_S:
        return asked
    return min(2.0 ** min(attempt, 10), _LONGEST_S)


def trouble_pause(status: int, attempt: int, safe: bool) -> Optional[float]:
    """The pause after an error of the service; None for no other attempt."""
    if status not in _TROUBLE or not safe:
        return None
    return _nth(_TROUBLE_S, attempt)


def broken_pause(attempt: int, arrived: bool, safe: bool) -> Optional[float]:
    """The pause after a connection that failed or broke; C(arrived): the request may have come."""
    if arrived:
        return _nth(_TROUBLE_S, attempt) if safe else None
    return _nth(_UNREACHABLE_S, attempt)


def _nth(pauses: "tuple[float, ...]", attempt: int) -> Optional[float]:
    return pauses[attempt - 1] if attempt <= len(pauses) else None
