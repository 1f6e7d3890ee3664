# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the desired policy of the options of backup_policy, and the refused options."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.desired import (
    check_options,
    desired_policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.limits import (
    check_name,
    check_policy,
    time_of_day,
    warnings_of,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.model import (
    Dates,
    Monthly,
    Policy,
    Retention,
    Schedule,
    Tiering,
    Weekly,
    Yearly,
)

DAILY = Policy("standard", Schedule("daily", "18:30"), Retention(30), instant_restore_days=2)
WEEKLY = Policy(
    "standard",
    Schedule("weekly", "18:30", ("monday", "friday")),
    Retention(weekly=Weekly(12, ("monday",))),
    instant_restore_days=5,
)
HOURLY = Policy(
    "enhanced",
    Schedule("hourly", interval_hours=4, window_start="08:00", window_hours=12),
    Retention(30),
    instant_restore_days=7,
)
FIRST_SUNDAY = Dates(days_of_week=("sunday",), weeks_of_month=("first",))


def daily(**suboptions: Any) -> Dict[str, Any]:
    return {"retention": {"daily": suboptions}}


# --- the desired policy --------------------------------------------------------------------------


def test_desired_new_policy_has_azures_defaults() -> None:
    assert desired_policy({}, None) == DAILY
    hourly = desired_policy({"policy_type": "enhanced", "schedule": {"frequency": "hourly"}}, None)
    assert hourly == replace(HOURLY, instant_restore_days=2)
    weekly = desired_policy({"schedule": {"frequency": "weekly"}}, None)
    assert weekly.schedule == Schedule("weekly", "18:30", ("sunday",))
    assert weekly.retention == Retention(weekly=Weekly(12, ("sunday",)))
    assert weekly.instant_restore_days == 5
    for policy in (DAILY, hourly, weekly):
        check_policy(policy)


@pytest.mark.parametrize("present", [DAILY, WEEKLY, HOURLY], ids=["daily", "weekly", "hourly"])
def test_desired_shown_options_change_nothing(present: Policy) -> None:
    options = present.to_options()
    check_options(options)
    assert desired_policy(options, None) == present
    assert desired_policy(options, present) == present
    # Without options nothing changes.
    assert desired_policy({}, present) == present
    assert desired_policy(dict.fromkeys(options), present) == present


def test_desired_old_policy_is_unchanged() -> None:
    odd = Policy("standard", Schedule("daily", "19:19"), Retention(5))
    assert desired_policy({}, odd) == odd
    assert desired_policy({"schedule": {"frequency": "daily"}}, odd) == odd
    assert desired_policy({"instant_restore_days": 3}, odd) == replace(odd, instant_restore_days=3)


def test_desired_one_option_changes_one_value() -> None:
    changed = desired_policy({"schedule": {"time": "6:00"}}, WEEKLY)
    assert changed == replace(WEEKLY, schedule=replace(WEEKLY.schedule, time="06:00"))
    changed = desired_policy(daily(days=60), DAILY)
    assert changed == replace(DAILY, retention=Retention(60))
    changed = desired_policy({"schedule": {"window_hours": 24}}, HOURLY)
    assert changed == replace(HOURLY, schedule=replace(HOURLY.schedule, window_hours=24))
    changed = desired_policy({"time_zone": "utc"}, DAILY)
    assert changed == DAILY
    changed = desired_policy({"instant_restore_resource_group": {"prefix": "snap"}}, DAILY)
    assert changed == replace(DAILY, resource_group_prefix="snap")
    changed = desired_policy({"archive_tiering": {"mode": "after", "duration": 3}}, DAILY)
    assert changed == replace(DAILY, tiering=Tiering("after", 3, "months"))


def test_desired_rules_are_added_kept_and_removed() -> None:
    monthly = {"monthly": {"months": 12}}
    more = desired_policy({"retention": monthly}, DAILY)
    assert more.retention == Retention(30, monthly=Monthly(12, FIRST_SUNDAY))
    dates = {"months": 12, "days_of_month": [15, 1, 1], "last_day_of_month": True}
    assert desired_policy({"retention": {"monthly": dates}}, more).retention.monthly == Monthly(
        12, Dates((1, 15), True)
    )
    # The dates stay if only the count is set.
    kept = desired_policy({"retention": {"monthly": {"months": 24}}}, more)
    assert kept.retention.monthly == Monthly(24, FIRST_SUNDAY)
    yearly = desired_policy({"retention": {"yearly": {"years": 7}}}, more)
    assert yearly.retention.yearly == Yearly(7, ("january",), FIRST_SUNDAY)
    assert yearly.retention.monthly == more.retention.monthly
    gone = {"monthly": {"months": 0}, "yearly": {"years": 0}, "weekly": {"weeks": 0}}
    assert desired_policy({"retention": gone}, yearly) == DAILY


def test_desired_weekly_schedule_sets_weekdays_of_new_rules() -> None:
    rules = {"monthly": {"months": 12}, "yearly": {"years": 1}}
    wanted = desired_policy({"retention": rules}, WEEKLY)
    monday = Dates(days_of_week=("monday",), weeks_of_month=("first",))
    assert wanted.retention.monthly == Monthly(12, monday)
    check_policy(wanted)


def test_desired_other_frequency_needs_other_retention() -> None:
    weekly = {"schedule": {"frequency": "weekly", "days_of_week": ["friday", "monday"]}}
    with pytest.raises(SettingsError, match=r"retention\.daily\.days 30 .*weekly"):
        check_policy(desired_policy(weekly, DAILY))
    options = {**weekly, "retention": {"daily": {"days": 0}, "weekly": {"weeks": 12}}}
    wanted = desired_policy(options, DAILY)
    assert wanted == replace(WEEKLY, retention=Retention(weekly=Weekly(12, ("monday", "friday"))))
    check_options(options)
    check_policy(wanted)
    with pytest.raises(SettingsError, match=r"daily needs retention\.daily"):
        check_policy(desired_policy({"schedule": {"frequency": "daily"}}, WEEKLY))


# --- refused options ---------------------------------------------------------------------------

ALWAYS_REFUSED: Dict[str, Any] = {
    "daily 6": (daily(days=6), "retention.daily.days 6 must be from 7 to 9999"),
    "daily 10000": (daily(days=10000), "retention.daily.days 10000 must be from 7 to 9999"),
    "daily -1": (daily(days=-1), "retention.daily.days -1"),
    "weekly 5164": (
        {"retention": {"weekly": {"weeks": 5164}}},
        "weeks 5164 must be from 1 to 5163",
    ),
    "monthly 1189": (
        {"retention": {"monthly": {"months": 1189}}},
        "months 1189 must be from 1 to 1188",
    ),
    "yearly 100": ({"retention": {"yearly": {"years": 100}}}, "years 100 must be from 1 to 99"),
    "no months": (
        {"retention": {"yearly": {"years": 1, "months_of_year": []}}},
        "months_of_year is empty",
    ),
    "29th": (
        {"retention": {"monthly": {"months": 1, "days_of_month": [29]}}},
        "days_of_month 29 must be from 1 to 28 (last_day_of_month is the last)",
    ),
    "dates and weekdays": (
        {"retention": {"monthly": {"months": 1, "days_of_month": [1], "days_of_week": ["monday"]}}},
        "both by dates and by weekdays",
    ),
    "weekdays without weeks": (
        {"retention": {"monthly": {"months": 1, "days_of_week": ["monday"]}}},
        "has only one of days_of_week and weeks_of_month",
    ),
    "no weekdays": ({"retention": {"weekly": {"weeks": 1, "days_of_week": []}}}, "is empty"),
    "dates and weekly": (
        {
            "schedule": {"frequency": "weekly"},
            "retention": {"yearly": {"years": 1, "last_day_of_month": True}},
        },
        "retention.yearly selects backups by dates",
    ),
    "daily retention and weekly": (
        {"schedule": {"frequency": "weekly"}, **daily(days=7)},
        "retention.daily.days 7 conflicts with schedule.frequency weekly",
    ),
    "no retention": (
        {"schedule": {"frequency": "daily"}, **daily(days=0)},
        "frequency daily needs retention.daily",
    ),
    "no weekly retention": (
        {"schedule": {"frequency": "weekly"}, "retention": {"weekly": {"weeks": 0}}},
        "needs retention.weekly",
    ),
    "foreign weekday": (
        {
            "schedule": {"frequency": "weekly", "days_of_week": ["monday"]},
            "retention": {"weekly": {"weeks": 1, "days_of_week": ["monday", "sunday"]}},
        },
        "has sunday, on which the weekly schedule makes no backup",
    ),
    "hourly and standard": (
        {"policy_type": "standard", "schedule": {"frequency": "hourly"}},
        "frequency hourly needs policy_type enhanced",
    ),
    "every 5 hours": (
        {"schedule": {"frequency": "hourly", "interval_hours": 5}},
        "interval_hours 5 must be 4, 6, 8 or 12",
    ),
    "window of 25 hours": (
        {"schedule": {"window_hours": 25}},
        "schedule.window_hours 25 must be from 4 to 24",
    ),
    "window below the interval": (
        {"schedule": {"frequency": "hourly", "interval_hours": 8, "window_hours": 6}},
        "window_hours 6 is less than schedule.interval_hours 8",
    ),
    "weekdays and daily": (
        {"schedule": {"frequency": "daily", "days_of_week": ["monday"]}},
        "schedule.days_of_week (['monday']) has no effect with schedule.frequency daily",
    ),
    "time and hourly": (
        {"schedule": {"frequency": "hourly", "time": "08:00"}},
        "schedule.time (08:00) has no effect",
    ),
    "no weekday": ({"schedule": {"frequency": "weekly", "days_of_week": []}}, "is empty"),
    "quarter past": ({"schedule": {"time": "18:15"}}, "must be on the hour or half past"),
    "standard 6 days": (
        {"policy_type": "standard", "instant_restore_days": 6},
        "instant_restore_days 6 must be from 1 to 5 (with policy_type standard)",
    ),
    "31 days": ({"instant_restore_days": 31}, "instant_restore_days 31 must be from 1 to 30"),
    "0 days": ({"instant_restore_days": 0}, "instant_restore_days 0"),
    "weekly 4 days": (
        {"schedule": {"frequency": "weekly"}, "instant_restore_days": 4},
        "instant_restore_days 4 conflicts with schedule.frequency weekly",
    ),
    "crash and standard": (
        {"policy_type": "standard", "snapshot_consistency_type": "only_crash_consistent"},
        "needs policy_type enhanced",
    ),
    "time zone": ({"time_zone": "Europe/Berlin"}, "'Europe/Berlin' must be a Windows time zone"),
    "no time zone": ({"time_zone": ""}, "time_zone ''"),
    "2 months": (
        {"archive_tiering": {"mode": "after", "duration": 2, "unit": "months"}},
        "archive_tiering.duration 2 months is too short",
    ),
    "duration without after": (
        {"archive_tiering": {"mode": "recommended", "duration": 5}},
        "have no effect with archive_tiering.mode recommended",
    ),
}


@pytest.mark.parametrize(("options", "words"), ALWAYS_REFUSED.values(), ids=ALWAYS_REFUSED.keys())
def test_check_options_invalid_are_refused(options: Dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_options(options)
    assert words in caught.value.failure.message
    assert caught.value.failure.recommended_action
    assert caught.value.failure.name in ("InvalidOption", "ConflictingOptions")


@pytest.mark.parametrize(
    ("options", "present"),
    [
        (daily(days=7), DAILY),
        (daily(days=9999), DAILY),
        (daily(days=0), WEEKLY),
        ({"retention": {"weekly": {"weeks": 0}}}, replace(DAILY, retention=Retention(7))),
        ({"retention": {"weekly": {"weeks": 5163, "days_of_week": ["friday"]}}}, WEEKLY),
        ({"retention": {"monthly": {"months": 1188, "days_of_month": [28]}}}, HOURLY),
        ({"retention": {"yearly": {"years": 99}}}, DAILY),
        ({"schedule": {"days_of_week": ["monday", "sunday"]}}, WEEKLY),
        ({"schedule": {"interval_hours": 12}}, HOURLY),
        ({"schedule": {"window_hours": 4}}, HOURLY),
        ({"instant_restore_days": 30}, HOURLY),
        ({"instant_restore_days": 5}, DAILY),
        ({"snapshot_consistency_type": "only_crash_consistent"}, HOURLY),
        ({"archive_tiering": {"mode": "after", "duration": 1, "unit": "years"}}, DAILY),
    ],
)
def test_check_policy_valid_change_is_accepted(options: Dict[str, Any], present: Policy) -> None:
    check_options(options)
    check_policy(desired_policy(options, present))


@pytest.mark.parametrize(
    ("options", "present", "words"),
    [
        ({"instant_restore_days": 6}, DAILY, "from 1 to 5"),
        ({"schedule": {"frequency": "hourly"}}, DAILY, "needs policy_type enhanced"),
        ({"schedule": {"days_of_week": ["friday"]}}, WEEKLY, "has monday, on which"),
        ({"schedule": {"time": "01:00"}}, HOURLY, "has no effect with schedule.frequency hourly"),
        (
            {"schedule": {"window_hours": 4}},
            replace(HOURLY, schedule=replace(HOURLY.schedule, interval_hours=8)),
            "less than schedule.interval_hours 8",
        ),
        (daily(days=7), WEEKLY, "conflicts with schedule.frequency weekly"),
    ],
)
def test_check_policy_invalid_change_is_refused(
    options: Dict[str, Any], present: Policy, words: str
) -> None:
    check_options(options)
    with pytest.raises(SettingsError) as caught:
        check_policy(desired_policy(options, present))
    assert words in caught.value.failure.message


@pytest.mark.parametrize(
    ("text", "time"),
    [("18:30", "18:30"), ("6:00", "06:00"), (" 00:00 ", "00:00"), ("23:30:00", "23:30")],
)
def test_time_of_day_valid_is_normalized(text: str, time: str) -> None:
    assert time_of_day("schedule.time", text) == time


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1110", "quotes"),
        ("24:00", None),
        ("18", "quotes"),
        ("", None),
        ("6pm", None),
        ("-1:00", None),
    ],
)
def test_time_of_day_invalid_is_refused(text: str, hint: Optional[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        time_of_day("schedule.time", text)
    assert repr(text) in caught.value.failure.message
    assert (hint or "HH:MM") in caught.value.failure.recommended_action


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "../x", "..", "a?b", "a#b", "a%2Fb", "a;b", "a\nb"]
)
def test_check_name_invalid_is_refused(name: str) -> None:
    for to_make in (False, True):
        with pytest.raises(SettingsError, match="cannot be the name"):
            check_name(name, to_make)


@pytest.mark.parametrize("name", ["1st", "ab", "größe", "with space", "a" * 151, "dot.ted"])
def test_check_name_invalid_new_name_is_refused(name: str) -> None:
    check_name(name)
    with pytest.raises(SettingsError, match="3 to 150"):
        check_name(name, to_make=True)


def test_warnings_of_policies() -> None:
    assert warnings_of(DAILY) == ()
    crash = replace(HOURLY, snapshot_consistency_type="only_crash_consistent")
    (warning,) = warnings_of(crash)
    assert "no pre-script" in warning
    (warning,) = warnings_of(replace(HOURLY, retention=Retention(7), instant_restore_days=30))
    assert "30 days" in warning
