# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock, Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.retry import (
    ThrottledError,
    ThrottleGate,
    action_of,
    broken_pause,
    busy_pause,
    counted_as,
    error_pause,
    is_replayable,
    read_body,
    retry_after_s,
    seconds_in_words,
)

VAULT = "https://h/subscriptions/S/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v"
DATE = "Sat, 21 Nov 2026 12:00:00 GMT"


class FakeClock(Clock):
    """A clock that only moves by sleeping."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += max(0.0, seconds)

    def now(self) -> datetime:
        return datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc) + timedelta(seconds=self.at - 100)


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/backupJobs", "/backupJobs/read"),
        ("GET", "/backupJobs/1?a=b", "/backupJobs/read"),
        (
            "PUT",
            "/backupFabrics/Azure/protectionContainers/c/protectedItems/i",
            "/backupFabrics/protectionContainers/protectedItems/write",
        ),
        (
            "POST",
            "/backupFabrics/Azure/protectionContainers/c/protectedItems/i/backup",
            "/backupFabrics/protectionContainers/protectedItems/backup/action",
        ),
        ("DELETE", "/backupPolicies/p", "/backupPolicies/delete"),
    ],
)
def test_action_of_request_by_method_and_path(method: str, path: str, action: str) -> None:
    assert action_of(method, VAULT + path) == f"Microsoft.RecoveryServices/vaults{action}"


def test_is_replayable_by_method_and_path() -> None:
    item = f"{VAULT}/backupFabrics/Azure/protectionContainers/c/protectedItems/i"
    for method in ("GET", "PUT", "DELETE"):
        assert is_replayable(method, item)
    for path in (f"{item}/backup", f"{VAULT}/backupJobs/1/cancel"):
        assert not is_replayable("POST", path)
    assert is_replayable("POST", "https://h/subscriptions/S/locations/l/backupStatus?a=1")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("9" * 400, 366 * 86400.0),
        ("soon", None),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_parsed(header: Optional[str], seconds: Optional[float]) -> None:
    assert retry_after_s(header, DATE) == seconds


def test_pause_is_parsed_from_words() -> None:
    assert seconds_in_words("Please try again after '324' seconds.") == 324
    assert seconds_in_words("Please wait.") is None
    # Longer pauses would end after the last year of the calendar.
    assert seconds_in_words(f"Please try again after '{'9' * 20}' seconds.") == 366 * 86400


def test_pauses_by_status_and_attempt() -> None:
    assert [busy_pause(429, attempt, None, False) for attempt in (1, 2, 7)] == [2, 4, 60]
    assert busy_pause(429, 99, 5.0, False) == 5.0
    assert busy_pause(503, 1, None, False) is None and busy_pause(503, 1, 3.0, False) == 3.0
    assert busy_pause(503, 99, 3.0, True) is None
    assert [error_pause(500, attempt, True) for attempt in (1, 4, 5)] == [0.5, 4.0, None]
    assert error_pause(500, 1, False) is None and error_pause(400, 1, True) is None
    assert broken_pause(1, True, False) is None and broken_pause(1, True, True) == 0.5
    assert broken_pause(1, False, False) == 1.0 and broken_pause(3, False, False) is None


def test_busy_pause_without_retry_after_backs_off() -> None:
    assert busy_pause(429, 3, 0.0, False) == 8 and busy_pause(503, 3, 0.0, True) == 8
    assert busy_pause(429, 5000, 0.0, True) == 60


def test_gate_closes_one_action_and_reports_it_once() -> None:
    clock, reported = FakeClock(), list[str]()
    gate = ThrottleGate(clock, Deadline(clock, 100), reported.append)
    gate.close("jobs/read", 30, 429, None)
    gate.close("jobs/read", 29, 429, None)
    gate.wait("items/write")
    assert clock.at == 100
    gate.wait("jobs/read")
    assert (
        clock.at == 130
        and len(reported) == 1
        and "30 s" in reported[0]
        and "jobs/read" in reported[0]
    )


def test_gate_closes_all_actions_for_a_subscription_limit() -> None:
    clock, reported = FakeClock(), list[str]()
    gate = ThrottleGate(clock, Deadline(clock, 100), reported.append)
    assert counted_as("jobs/read", "ResourceRequestsThrottled") == "jobs/read"
    everything = counted_as("jobs/read", "SubscriptionRequestsThrottled")
    gate.close("items/write", 10, 429, None)
    gate.close(everything, 30, 429, None)
    gate.wait("items/write")
    assert clock.at == 130 and "all requests" in reported[1]


def test_gate_pause_beyond_deadline_raises() -> None:
    clock, reported = FakeClock(), list[str]()
    gate = ThrottleGate(clock, Deadline(clock, 10), reported.append)
    gate.close("jobs/read", 30, 429, "response")
    with pytest.raises(ThrottledError) as caught:
        gate.wait("jobs/read")
    assert clock.at == 100 and not reported
    assert caught.value.response == "response" and caught.value.until.second == 30


BODIES: List["tuple[str, tuple[str, str]]"] = [
    ('{"error": {"code": "A", "message": "m  n"}}', ("A", "m n")),
    ('{"error": {"code": "A", "message": "", "details": [{"message": "d"}]}}', ("A", "d")),
    ('{"error": {"code": "A", "message": null, "details": null}}', ("A", "")),
    ('{"error": {"code": 7, "message": ["x"], "details": ["y"]}}', ("", "")),
    ('{"ErrorCode": "A", "Message": {"Language": "en", "Value": "m"}}', ("A", "m")),
    ('{"code": "A", "message": "m"}', ("A", "m")),
    ('{"error": "invalid_client", "error_description": "m"}', ("invalid_client", "m")),
    ("", ("", "")),
    ("{", ("", "")),
    ("[1]", ("", "")),
    ("<html>", ("", "")),
]


@pytest.mark.parametrize(("text", "error"), BODIES)
def test_read_body_of_every_format(text: str, error: "tuple[str, str]") -> None:
    assert tuple(read_body(text)) == error
