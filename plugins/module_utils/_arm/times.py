# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times and durations: of the service, of its filters, and of options."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, timezone
from typing import Any

from .._errors import SettingsError

# Azure writes up to seven digits of a second, and often no zone, which means UTC.
_TIME = re.compile(
    r"^(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?:\.(?P<part>\d+))?"
    r"\s*(?:[Zz]|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))?)?$",
    re.ASCII,
)
_DURATION = re.compile(
    r"^P(?:(?P<d>\d+)D)?(?:T(?:(?P<h>\d+)H)?(?:(?P<m>\d+)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?$",
    re.ASCII,
)


def parse_time(text: Any) -> datetime | None:
    """Return a time of the service; None for the year 1, which means no time, and other texts."""
    if isinstance(text, datetime):
        found: datetime | None = text if text.tzinfo else text.replace(tzinfo=timezone.utc)
    else:
        found = _parsed(str(text or "").strip())
    return found if found and found.year > 1 else None


def parse_duration(text: Any) -> float | None:
    """Return the seconds of a duration such as `PT1H6M58.39S`; None for other texts."""
    if isinstance(text, timedelta):
        return text.total_seconds()
    found = _DURATION.match(str(text or ""))
    if not found:
        return None
    return float(
        timedelta(
            days=int(found["d"] or 0),
            hours=int(found["h"] or 0),
            minutes=int(found["m"] or 0),
            seconds=float(found["s"] or 0),
        ).total_seconds()
    )


def format_utc(moment: datetime | None) -> str | None:
    """Return a time as results show it: UTC, to the second."""
    return f"{_in_utc(moment).isoformat(timespec='seconds')}Z" if moment else None


def format_for_filter(moment: datetime) -> str:
    """Return a time as the service's filters require it: `2026-11-20 06:31:05 PM`."""
    # Without strftime, whose %p depends on the locale.
    at = _in_utc(moment)
    half = "AM" if at.hour < 12 else "PM"
    return (
        f"{at.date().isoformat()} {at.hour % 12 or 12:02d}:{at.minute:02d}:{at.second:02d} {half}"
    )


def parse_time_option(option: str, text: str | None, end_of_day: bool = False) -> datetime | None:
    """Return the time of an option: a date or an ISO 8601 time, in UTC unless it has a zone.

    Raise `SettingsError` for other texts. With `end_of_day` a date means its last second.
    """
    if text is None or not text.strip():
        return None
    found = _parsed(text.strip())
    if found is None:
        raise SettingsError(
            "InvalidTime",
            f"{option} must be a date or a time, but is {text!r}.",
            f"Set {option} to a date such as 2026-12-31, or a time such as 2026-12-31T18:30:00Z.",
        )
    if end_of_day and len(text.strip()) == len("2026-12-31"):
        found = datetime.combine(found.date(), time(23, 59, 59), tzinfo=timezone.utc)
    return found


def format_duration(seconds: float) -> str:
    """Return a duration for messages: `42 s`, `3 min 5 s`, `1 h 7 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _in_utc(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None)


def _parsed(text: str) -> datetime | None:
    found = _TIME.match(text)
    if not found:
        return None

    def number(name: str) -> int:
        return int(found[name] or 0)

    zone = timedelta(hours=number("hours"), minutes=number("minutes"))
    try:
        moment = datetime(
            number("year"),
            number("month"),
            number("day"),
            number("hour"),
            number("minute"),
            number("second"),
            int((found["part"] or "")[:6].ljust(6, "0")),
            timezone(-zone if found["sign"] == "-" else zone),
        )
        # In UTC, which may be beyond the first or last year.
        return moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
