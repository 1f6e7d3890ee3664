# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of retries: Azure's pauses, backoff after errors, and throttling.

They are free of the SDK; `pipeline` applies them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Callable, NamedTuple
from urllib.parse import urlsplit

from .clock import Clock, Deadline

# Pauses after temporary errors. There is one more attempt than pauses.
_TEMPORARY_S = (0.5, 1.0, 2.0, 4.0)
_UNREACHABLE_S = (1.0, 2.0)
_BUSY_TRIES = 10
_LONGEST_S = 60.0
_SHORTEST_RETRY_AFTER_S = 0.1
# No pause is longer: the time of its end must be a date.
_A_YEAR_S = 366 * 86400.0
# Shorter pauses are not reported.
_REPORTED_S = 3.0
_TEMPORARY = frozenset({408, 500, 502, 504})
# Requests that may be sent twice: the second has no further effect.
_REPLAYABLE = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_READS_BY_POST = re.compile(r"/(backupstatus|backupprevalidateprotection)$", re.IGNORECASE)
_AFTER = re.compile(r"after '(\d+)' seconds", re.IGNORECASE)


def is_replayable(method: str, url: str) -> bool:
    """Return True if a request may be sent again after the first may have taken effect."""
    if method.upper() in _REPLAYABLE:
        return True
    return bool(_READS_BY_POST.search(urlsplit(url).path))


def action_of(method: str, url: str) -> str:
    """Return the action that Azure counts a request as: the types in its path, and its verb."""
    path = urlsplit(url).path
    provider = path.lower().rpartition("/providers/")[2] if "/providers/" in path.lower() else ""
    words = path[len(path) - len(provider) :].split("/") if provider else [path.strip("/")]
    types = words[:1] + words[1::2] if provider else words
    verb = {"GET": "read", "HEAD": "read", "DELETE": "delete", "POST": "action"}
    return "/".join([*types, verb.get(method.upper(), "write")])


def retry_after_s(retry_after: str | None, date: str | None) -> float | None:
    """Return the seconds of a `Retry-After` header, a number or a time; None for anything else."""
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


def seconds_in_words(message: str) -> float | None:
    """Return the pause that the message of a 429 names, which lacks the header."""
    found = _AFTER.search(message)
    return min(float(found[1]), _A_YEAR_S) if found else None


class AzureError(NamedTuple):
    """The code and message in the body of an error response."""

    code: str
    message: str


def read_body(text: str) -> AzureError:
    """Return the code and message of a body in any of Azure's formats; else empty ones."""
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
        # Microsoft Entra's format.
        return AzureError(error, _text(body.get("error_description")))
    message = body.get("Message", body.get("message"))
    if isinstance(message, dict):
        message = message.get("Value")
    return AzureError(
        _text(body.get("ErrorCode") or body.get("Code") or body.get("code")), _text(message)
    )


def _first_message(error: Mapping[str, Any]) -> str:
    """Return the message of an error, or of the first of its details that has one."""
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
    """The status and headers of a response."""

    status: int
    headers: Mapping[str, str]


class ResponseLog:
    """The last response to this thread, and the service's time in the last one to any thread."""

    def __init__(self) -> None:
        self._local = threading.local()
        self.date = ""

    def note(self, response: Any) -> None:
        """Record a response."""
        self._local.last = ResponseSummary(int(response.status_code), response.headers)
        self.date = response.headers.get("Date") or self.date

    @property
    def last(self) -> ResponseSummary | None:
        """The last response to this thread."""
        found: ResponseSummary | None = getattr(self._local, "last", None)
        return found

    def lose(self) -> None:
        """Record a lost response: the request may have taken effect."""
        self._local.lost = True

    @property
    def was_lost(self) -> bool:
        """True if a response to this thread was lost."""
        return bool(getattr(self._local, "lost", False))

    def forget(self) -> None:
        """Forget the responses to this thread."""
        self._local.last = None
        self._local.lost = False


class ThrottledError(Exception):
    """A pause that Azure requires would end after the deadline."""

    def __init__(self, action: str, seconds: float, until: datetime, response: object) -> None:
        super().__init__(f"{action}: {seconds:.0f} s")
        self.action = action
        self.seconds = seconds
        self.until = until
        self.response = response


#: Every action: Azure also has limits for all requests in a subscription or a tenant.
EVERYTHING = "*"
_WIDE_CODES = ("subscription", "tenant")


class ThrottleGate:
    """A gate for all threads, closed for an action while Azure requires a pause of it."""

    def __init__(self, clock: Clock, deadline: Deadline, report: Callable[[str], None]) -> None:
        self._clock = clock
        self._deadline = deadline
        self._report = report
        self._lock = threading.Lock()
        self._opens: dict[str, float] = {}
        self._closed_by: dict[str, object] = {}

    def wait(self, action: str) -> None:
        """Wait until requests of this action may be sent."""
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
        """Block requests of this action for these seconds, in all threads."""
        opens = self._clock.monotonic() + seconds
        with self._lock:
            longer = opens - max(self._opens.get(action, 0.0), self._clock.monotonic())
            self._opens[action] = max(opens, self._opens.get(action, 0.0))
            self._closed_by[action] = response
        if longer >= _REPORTED_S and seconds <= self._deadline.left():
            scope = "all requests" if action == EVERYTHING else action
            self._report(f"Azure requires a pause of {seconds:.0f} s ({status}, {scope}).")


def counted_as(action: str, code: str) -> str:
    """Return the scope of a 429 with this code: the action, or `EVERYTHING`."""
    return EVERYTHING if code.lower().startswith(_WIDE_CODES) else action


def busy_pause(status: int, attempt: int, retry_after: float | None, is_safe: bool) -> float | None:
    """Return the pause of an action, in all threads, after a 429 or 503; None to give up.

    A 503 without Retry-After may follow a request that succeeded, so retry only if it is
    idempotent. Without Retry-After, or with one that has passed, back off exponentially.
    """
    if status == 503 and (attempt >= _BUSY_TRIES or (retry_after is None and not is_safe)):
        return None
    if retry_after is not None and retry_after >= _SHORTEST_RETRY_AFTER_S:
        return retry_after
    return min(2.0 ** min(attempt, 10), _LONGEST_S)


def error_pause(status: int, attempt: int, is_safe: bool) -> float | None:
    """Return the pause after an error of the service; None to give up."""
    if status not in _TEMPORARY or not is_safe:
        return None
    return _nth(_TEMPORARY_S, attempt)


def broken_pause(attempt: int, may_have_arrived: bool, is_safe: bool) -> float | None:
    """Return the pause after a connection failed or broke; None to give up."""
    if may_have_arrived:
        return _nth(_TEMPORARY_S, attempt) if is_safe else None
    return _nth(_UNREACHABLE_S, attempt)


def _nth(pauses: tuple[float, ...], attempt: int) -> float | None:
    return pauses[attempt - 1] if attempt <= len(pauses) else None
