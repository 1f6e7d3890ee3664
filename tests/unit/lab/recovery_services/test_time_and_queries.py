# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service's clock, how it writes times, and its filters and pages."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.errors import AzureError
from tests.lab.recovery_services.queries import page, parse_filter
from tests.lab.recovery_services.times import (
    american,
    duration,
    parse_query_time,
    parse_time,
    stamp,
    time_span,
)

_MOMENT = datetime(2025, 5, 28, 12, 41, 44, 593150, tzinfo=timezone.utc)


def test_the_clock_runs_at_its_speed_and_never_back() -> None:
    real = [100.0]
    clock = VirtualClock(60.0, _MOMENT, lambda: real[0])
    real[0] += 2
    assert clock.now() == _MOMENT + timedelta(minutes=2)
    clock.advance(30)
    clock.run_at(1.0)
    real[0] += 10
    assert clock.now() == _MOMENT + timedelta(minutes=2, seconds=40)
    with pytest.raises(ValueError, match="never goes back"):
        clock.advance(-1)


def test_a_stepped_clock_moves_by_waiting_only() -> None:
    real = [100.0]
    clock = VirtualClock(60.0, _MOMENT, lambda: real[0], stepped=True)
    real[0] += 1000
    assert clock.now() == _MOMENT
    assert clock.wait(2) == 0.0
    clock.advance(5)
    assert clock.now() == _MOMENT + timedelta(seconds=125)
    clock.run_at(1.0)
    assert clock.stepped and clock.wait(3) == 0.0
    assert clock.now() == _MOMENT + timedelta(seconds=128)
    clock.run_at(1.0, stepped=False)
    real[0] += 10
    assert clock.wait(7) == 7.0
    assert clock.now() == _MOMENT + timedelta(seconds=138)


@pytest.mark.parametrize(
    ("speed", "virtual", "real"), [(1, 60, 60), (200, 60, 1), (10, 324, 33), (1, 0.2, 1)]
)
def test_a_client_waits_whole_seconds(speed: float, virtual: float, real: int) -> None:
    assert VirtualClock(speed).real_seconds(virtual) == real


def test_times_are_written_as_the_service_writes_them() -> None:
    assert stamp(_MOMENT).startswith("2025-05-28T12:41:44.593150")
    assert stamp(_MOMENT).endswith("Z")
    assert stamp(_MOMENT.replace(microsecond=0)) == "2025-05-28T12:41:44Z"
    assert duration(4035.7568853) == "PT1H7M15.7568853S"
    assert duration(1.5) == "PT1.5S"
    assert duration(0) == "PT0S"
    assert duration(3600) == "PT1H"
    assert time_span(timedelta(days=13, hours=23, seconds=59)).startswith("13.23:00:59.")
    assert american(_MOMENT.replace(hour=0)) == "5/28/2025 12:41:44 AM"
    assert american(_MOMENT) == "5/28/2025 12:41:44 PM"


def test_what_was_written_is_read_back() -> None:
    assert parse_time(stamp(_MOMENT)) == _MOMENT
    assert parse_query_time("2025-06-03 05:58:46 PM").hour == 17
    assert parse_query_time("2025-06-03T05:58:46Z").hour == 5
    with pytest.raises(ValueError):
        parse_query_time("yesterday")


def test_a_filter_demands_all_its_terms_in_any_case() -> None:
    wanted = parse_filter(
        "Status eq 'inprogress' and operation eq 'Backup'", ("status", "operation")
    )
    assert wanted.permits({"status": "InProgress", "operation": "Backup"})
    assert not wanted.permits({"status": "InProgress", "operation": "Restore"})
    assert not wanted.permits({"status": None})
    assert wanted.permits({"another": "x"})


def test_a_filter_may_hold_quotes_and_the_word_and() -> None:
    wanted = parse_filter("name eq 'it''s this and that'", ("name",))
    assert wanted.get("NAME") == "it's this and that"


@pytest.mark.parametrize("text", ["status", "status eq", "colour eq 'red'", "status eq 'a' or"])
def test_a_filter_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AzureError, match="BMSUserErrorInvalidInput"):
        parse_filter(text, ("status",))


def test_a_list_comes_in_pages() -> None:
    things = [{"n": number} for number in range(201)]
    query = {"api-version": "2025-02-01", "$filter": "a eq 'b c'"}
    first = page(things, query, "https://host/path")
    address = urlsplit(first["nextLink"])
    again = {name.lower(): value for name, value in parse_qsl(address.query)}
    assert again["$filter"] == "a eq 'b c'"
    second = page(things, again, "https://host/path")
    assert len(first["value"]) == 200
    assert second == {"value": [{"n": 200}]}
    assert "nextLink" not in page(things[:200], query, "https://host/path")


def test_a_strange_skip_token_is_refused() -> None:
    with pytest.raises(AzureError, match="skip token"):
        page([], {"$skiptoken": "!"}, "https://host/path")
