# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test that the conversion of policies to Azure's JSON and back loses nothing."""

from __future__ import annotations

import copy
import dataclasses
import json
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.desired import (
    desired_policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.limits import (
    check_policy,
    warnings_of,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.model import (
    AFTER,
    BEST,
    DO_NOT_TIER,
    MONTHS,
    ONLY_CRASH,
    RECOMMENDED,
    WEEKDAYS,
    WEEKS,
    Dates,
    Monthly,
    Policy,
    Retention,
    Schedule,
    Tiering,
    Weekly,
    Yearly,
    in_order,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.serialization import (
    from_azure,
    to_azure,
)
from tests.contract import evidence
from tests.contract.judge import documents

# The same examples in every run, however slow the machine is.
steadily = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def some(words: Any) -> Any:
    """Return a strategy for some of the words, in their order."""
    return st.sets(st.sampled_from(words), min_size=1).map(lambda chosen: in_order(chosen, words))


TIMES = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 30]))
COUNTS = st.integers(1, 9999)
DATES = st.one_of(
    st.builds(
        Dates,
        st.sets(st.integers(1, 28), min_size=1).map(lambda days: tuple(sorted(days))),
        st.booleans(),
    ),
    st.just(Dates(last_day_of_month=True)),
    st.builds(Dates, days_of_week=some(WEEKDAYS), weeks_of_month=some(WEEKS)),
)
SCHEDULES = st.one_of(
    st.builds(Schedule, st.just("daily"), TIMES),
    st.builds(Schedule, st.just("weekly"), TIMES, some(WEEKDAYS)),
    st.builds(
        Schedule,
        st.just("hourly"),
        interval_hours=st.sampled_from([4, 6, 8, 12]),
        window_start=TIMES,
        window_hours=st.integers(4, 24),
    ),
)
RETENTIONS = st.builds(
    Retention,
    st.none() | COUNTS,
    st.none() | st.builds(Weekly, COUNTS, some(WEEKDAYS)),
    st.none() | st.builds(Monthly, COUNTS, DATES),
    st.none() | st.builds(Yearly, COUNTS, some(MONTHS), DATES),
)
TIERINGS = st.one_of(
    st.sampled_from([Tiering(DO_NOT_TIER), Tiering(RECOMMENDED)]),
    st.builds(Tiering, st.just(AFTER), COUNTS, st.sampled_from(["months", "years"])),
)
WORDS = st.text("abcXYZ-_", max_size=9)


@st.composite
def policies(draw: Any) -> Policy:
    """Return any policy that JSON can express, with those that Azure would refuse."""
    schedule = draw(SCHEDULES)
    return Policy(
        # A standard policy cannot be hourly.
        "enhanced"
        if schedule.frequency == "hourly"
        else draw(st.sampled_from(["standard", "enhanced"])),
        schedule,
        draw(RETENTIONS),
        draw(st.sampled_from(["UTC", "W. Europe Standard Time"])),
        draw(st.integers(1, 30)),
        draw(st.sampled_from([BEST, ONLY_CRASH])),
        draw(WORDS),
        draw(WORDS),
        draw(TIERINGS),
    )


def as_azure_has_it(payload: Dict[str, Any], draw: Any) -> Dict[str, Any]:
    """Return other JSON of the same policy, as Azure or another client may write it."""
    text = json.dumps(payload)
    day = draw(st.dates()).isoformat()
    ending = draw(st.sampled_from([":00Z", ":00.000Z", ":00+00:00", ":00.0000000Z"]))
    text = text.replace("2020-01-01T", f"{day}T").replace(":00Z", ending)
    found: Dict[str, Any] = json.loads(text)
    for place in (found, found["schedulePolicy"], found["retentionPolicy"]):
        place["newOfAzure"] = draw(st.integers())
    for rule in found["retentionPolicy"].values():
        if isinstance(rule, dict):
            rule["newOfAzure"] = [draw(st.integers())]
            for days in (rule.get("daysOfTheWeek"), rule.get("monthsOfYear")):
                if days:
                    days[:] = draw(st.permutations(days))
    if draw(st.booleans()):
        found["retentionPolicy"].setdefault("yearlySchedule", None)
        found.setdefault("tieringPolicy", {"ArchivedRP": {"tieringMode": "DoNotTier"}})
    return found


def without_unknown(payload: Any) -> Any:
    """Return the JSON without the parts that Azure would not keep."""
    return {key: value for key, value in payload.items() if key != "protectedItemsCount"}


@steadily
@given(policies())
def test_policy_to_azure_and_back_is_equal(policy: Policy) -> None:
    payload = to_azure(policy)
    assert from_azure(json.loads(json.dumps(payload))) == policy


@steadily
@given(policies(), st.data())
def test_azure_policy_unchanged_keeps_its_json(policy: Policy, data: st.DataObject) -> None:
    payload = as_azure_has_it(to_azure(policy), data.draw)
    assert from_azure(payload) == policy
    before = copy.deepcopy(payload)
    assert to_azure(from_azure(payload), {**payload, "protectedItemsCount": 3}) == payload == before


@steadily
@given(policies(), policies(), st.data())
def test_to_azure_changes_any_policy_into_any_other(
    policy: Policy, other: Policy, data: st.DataObject
) -> None:
    payload = as_azure_has_it(to_azure(other), data.draw)
    sent = to_azure(policy, payload)
    assert from_azure(sent) == policy
    # Unknown parts stay.
    assert sent["newOfAzure"] == payload["newOfAzure"]
    assert sent["retentionPolicy"]["newOfAzure"] == payload["retentionPolicy"]["newOfAzure"]
    # Azure requires the time of the run in every rule.
    times = {time_of(text) for text in times_in(sent)}
    assert times <= {policy.schedule.run_time}


@steadily
@given(policies())
def test_options_are_plain_and_distinguish_policies(policy: Policy) -> None:
    options = policy.to_options()
    assert json.loads(json.dumps(options)) == options
    assert from_azure(to_azure(policy)).to_options() == options


def times_in(value: Any) -> List[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in times_in(one)]
    if isinstance(value, list):
        return [text for one in value for text in times_in(one)]
    return [value] if isinstance(value, str) and "T" in value and ":" in value else []


def time_of(text: str) -> str:
    return text.partition("T")[2][:5]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-05-29T17:00:00Z", "17:00"),
        ("2025-05-29T17:30:00.000Z", "17:30"),
        ("2021-12-17T08:00:00+00:00", "08:00"),
        ("2019-08-06T19:00:24+08:00", "11:00"),
        ("2019-08-06T00:30:00+0100", "23:30"),
        ("2019-08-06T23:30:00-05:30", "05:00"),
        ("nonsense", "nonsense"),
        (None, None),
    ],
)
def test_from_azure_time_of_day(text: Optional[str], time: Optional[str]) -> None:
    schedule = {"scheduleRunFrequency": "Daily", "scheduleRunTimes": [text]}
    assert from_azure({"schedulePolicy": schedule}).schedule.time == time


@pytest.mark.parametrize("payload", [{}, {"schedulePolicy": None, "retentionPolicy": None}])
def test_from_azure_incomplete_policy_is_shown(payload: Dict[str, Any]) -> None:
    policy = from_azure(payload)
    assert policy.policy_type == "standard"
    assert policy.retention == Retention()
    assert policy.to_options()["schedule"] == {"frequency": ""}


@pytest.mark.parametrize(
    ("rule", "option", "unit"),
    [
        ("dailySchedule", "daily", "Weeks"),
        ("weeklySchedule", "weekly", "Days"),
        ("monthlySchedule", "monthly", "Years"),
        ("yearlySchedule", "yearly", "Months"),
    ],
)
def test_count_in_another_unit_is_kept(rule: str, option: str, unit: str) -> None:
    dates = Dates(days_of_week=("sunday",), weeks_of_month=("first",))
    usual = Policy(
        "standard",
        Schedule("daily", "18:30"),
        Retention(2, Weekly(2, ("sunday",)), Monthly(2, dates), Yearly(2, ("january",), dates)),
        instant_restore_days=5,
    )
    payload = to_azure(usual)
    payload["retentionPolicy"][rule]["retentionDuration"]["durationType"] = unit
    odd = from_azure(payload)
    assert odd != usual and to_azure(odd, payload) == payload and from_azure(to_azure(odd)) == odd
    assert to_azure(usual, payload) == to_azure(usual)
    shown = odd.to_options()["retention"][option]
    assert shown.pop(unit.lower()) == 2
    (name,) = set(usual.to_options()["retention"][option]) - set(shown)
    assert name in ("days", "weeks", "months", "years")
    # A value that is not set stays; a set value has the usual unit.
    given: Dict[str, Any] = {"daily": None, "weekly": None, "monthly": None, "yearly": None}
    options: Dict[str, Any] = {"name": "gold", "time_zone": "W. Europe Standard Time"}
    kept = desired_policy({**options, "retention": given}, odd)
    assert kept.retention == odd.retention
    assert (option == "daily") is not any("Snapshots" in warning for warning in warnings_of(odd))
    check_policy(dataclasses.replace(kept, retention=kept_for_check(kept.retention, option)))
    other = desired_policy({**options, "retention": {**given, option: {name: 2}}}, odd)
    assert other.retention == usual.retention


def kept_for_check(retention: Retention, option: str) -> Retention:
    """Return the JSON with a valid number of days, unless the days are in another unit."""
    return retention if option == "daily" else dataclasses.replace(retention, daily_days=7)


def test_to_azure_sends_the_end_of_archive_tiering() -> None:
    tiered = Policy(
        "standard", Schedule("daily", "18:30"), Retention(30), tiering=Tiering(AFTER, 3, "months")
    )
    payload = to_azure(tiered)
    assert payload["tieringPolicy"]["ArchivedRP"]["tieringMode"] == "TierAfter"
    plain = Policy("standard", Schedule("daily", "18:30"), Retention(30))
    assert to_azure(plain, payload)["tieringPolicy"]["ArchivedRP"]["tieringMode"] == "DoNotTier"
    assert "tieringPolicy" not in to_azure(plain)


@evidence.needs_evidence
def test_recorded_policies_are_kept() -> None:
    seen = 0
    for name in evidence.recordings():
        for exchange in evidence.exchanges(name):
            for properties in policies_in(exchange.response):
                seen += 1
                policy = from_azure(properties)
                assert to_azure(policy, properties) == without_unknown(properties)
                assert from_azure(to_azure(policy)) == policy
                (time,) = {time_of(text) for text in times_in(properties)}
                assert policy.schedule.run_time == time
                assert policy.retention.daily_days == 30
    assert seen > 20


@evidence.needs_evidence
@steadily
@given(policies())
def test_to_azure_matches_the_openapi_description(policy: Policy) -> None:
    payload = {"properties": to_azure(policy)}
    answer = {**payload, "id": "/policy", "name": "gold", "type": "policies"}
    path = (
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/group/providers"
        "/Microsoft.RecoveryServices/vaults/vault/backupPolicies/gold?api-version=2024-04-01"
    )
    verdict = documents().judge(evidence.Exchange("PUT", path, 200, payload, answer))
    assert verdict.operation
    assert verdict.problems == []


def policies_in(value: Any) -> List[Dict[str, Any]]:
    if isinstance(value, list):
        return [found for one in value for found in policies_in(one)]
    if not isinstance(value, dict):
        return []
    properties = value.get("properties")
    if isinstance(properties, dict) and "schedulePolicy" in properties:
        return [properties] if properties.get("backupManagementType") == "AzureIaasVM" else []
    return policies_in(value.get("value"))
