# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times and durations as the service writes them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

#: What the service writes for a time that has not come.
NEVER = "0001-01-01T00:00:00"


def stamp(moment: datetime) -> str:
    """Format a time as `2025-05-28T12:41:44.5931501Z`: up to seven digits, no trailing zeros."""
    digits = f"{moment.microsecond:06d}{moment.microsecond % 9 + 1}"
    digits = digits.rstrip("0") if moment.microsecond else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + digits if digits else ''}Z"


def duration(seconds: float) -> str:
    """Format a duration as `PT1H7M15.7568853S`."""
    seconds = max(0.0, seconds)
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    text = f"{rest:.7f}".rstrip("0").rstrip(".")
    hours_minutes = f"{int(hours)}H" if hours else ""
    hours_minutes += f"{int(minutes)}M" if minutes else ""
    return f"PT{hours_minutes}{text}S" if text != "0" or not hours_minutes else f"PT{hours_minutes}"


def time_span(left: timedelta) -> str:
    """Format a time span as `13.23:59:42.8270305`."""
    seconds = max(0, int(left.total_seconds()))
    days, seconds = divmod(seconds, 86400)
    hours, seconds = divmod(seconds, 3600)
    clock = f"{hours:02d}:{seconds // 60:02d}:{seconds % 60:02d}.{left.microseconds:06d}5"
    return f"{days}.{clock}" if days else clock


def american(moment: datetime) -> str:
    """Format a time as `7/3/2025 12:00:00 AM`, which property bags and vault operations carry."""
    hour = moment.hour % 12 or 12
    half = "AM" if moment.hour < 12 else "PM"
    return f"{moment.month}/{moment.day}/{moment.year} {hour}:{moment:%M:%S} {half}"


def parse_time(text: str) -> datetime:
    """Return an ISO 8601 time as clients send it; raises `ValueError`."""
    plain = re.sub(r"\.(\d{1,6})\d*", lambda found: f".{found[1]:0<6}", text.strip())
    moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", plain))
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def parse_query_time(text: str) -> datetime:
    """Return a time in a filter, `2025-06-03 05:58:46 AM` as documented, or ISO 8601."""
    try:
        moment = datetime.strptime(text.strip().upper(), "%Y-%m-%d %I:%M:%S %p")
    except ValueError:
        return parse_time(text)
    return moment.replace(tzinfo=timezone.utc)
