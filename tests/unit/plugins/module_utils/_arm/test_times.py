# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times of the service and of options."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.times import (
    format_duration,
    format_for_filter,
    format_utc,
    parse_duration,
    parse_time,
    parse_time_option,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-06-03T05:57:46.0329409Z", "2026-06-03T05:57:46Z"),
        ("2026-06-03T05:57:46", "2026-06-03T05:57:46Z"),
        ("2026-06-03T05:57:46+02:00", "2026-06-03T03:57:46Z"),
        ("0001-01-01T00:00:00", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("2026-02-30T00:00:00Z", None),
        ("9999-12-31T23:59:59-05:00", None),
        ("0001-01-01T00:00:00+05:00", None),
    ],
)
def test_parse_time_of_the_service(text: Any, time: Optional[str]) -> None:
    assert format_utc(parse_time(text)) == time


def test_parse_time_keeps_fractions_of_a_second() -> None:
    found = parse_time("2026-06-03T05:57:46.0329409Z")
    assert found is not None and found.microsecond == 32940


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT50.5474374S", 50.547437),
        ("PT1H6M58.39S", 4018.39),
        ("P1DT2H", 93600.0),
        ("PT0S", 0.0),
        ("", None),
        (None, None),
        ("an hour", None),
    ],
)
def test_parse_duration_of_the_service(text: Any, seconds: Optional[float]) -> None:
    found = parse_duration(text)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_format_for_filter_is_12_hour_utc() -> None:
    noon = datetime(2026, 11, 1, 12, 5, 6, tzinfo=timezone.utc)
    assert format_for_filter(noon) == "2026-11-01 12:05:06 PM"
    zone = timezone(timedelta(hours=2))
    assert format_for_filter(datetime(2026, 11, 1, 1, 0, tzinfo=zone)) == "2026-10-31 11:00:00 PM"


@pytest.mark.parametrize(
    ("text", "end_of_day", "time"),
    [
        ("2026-12-31", False, "2026-12-31T00:00:00Z"),
        ("2026-12-31", True, "2026-12-31T23:59:59Z"),
        (" 2026-12-31T10:00:00+01:00 ", True, "2026-12-31T09:00:00Z"),
        ("2026-12-31 10:00", False, "2026-12-31T10:00:00Z"),
        ("", False, None),
        (None, False, None),
    ],
)
def test_parse_time_option_in_utc(
    text: Optional[str], end_of_day: bool, time: Optional[str]
) -> None:
    assert format_utc(parse_time_option("option", text, end_of_day)) == time


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow",
        "2026-13-01",
        "2026-12-31T25:00:00Z",
        "20261231",
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+05:00",
    ],
)
def test_invalid_time_option_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match="some_option"):
        parse_time_option("some_option", text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59, "59 s"), (60, "1 min"), (185, "3 min 5 s"), (4020, "1 h 7 min")],
)
def test_format_duration_by_size(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
