# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rules of the service for a backup policy of VMs: the documented bounds."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, Optional, Sequence

from tests.lab.recovery_services.errors import invalid_policy, section, unreadable
from tests.lab.recovery_services.times import parse_time

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_WEEKS = ("First", "Second", "Third", "Fourth", "Last")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
#: Of each schedule: the unit, and how many of it may be kept.
_KEPT = {
    "dailySchedule": ("Days", 7, 9999),
    "weeklySchedule": ("Weeks", 1, 5163),
    "monthlySchedule": ("Months", 1, 1188),
    "yearlySchedule": ("Years", 1, 99),
}
_ZONE = re.compile(r"UTC([+-]\d\d)?$|[A-Z][\w. ()-]* Standard Time( \([\w. ]+\))?$")


def check(properties: Mapping[str, Any]) -> None:
    """Refuse what is outside the bounds; raises `AzureError`."""
    schedule = _section(properties, "schedulePolicy")
    kind = _kind(properties, schedule)
    frequency = str(schedule.get("scheduleRunFrequency"))
    days, times = _schedule(schedule, kind, frequency)
    _retention(_section(properties, "retentionPolicy"), frequency, days, times)
    _instant(properties, kind, frequency)
    groups = section(properties, "instantRPDetails")
    if groups.get("azureBackupRGNameSuffix") and not groups.get("azureBackupRGNamePrefix"):
        raise invalid_policy("A suffix of the resource group's name needs a prefix.")
    _tiering(section(properties, "tieringPolicy"))
    zone = properties.get("timeZone", "UTC")
    if not _ZONE.match(str(zone)):
        raise invalid_policy(f"The time zone '{zone}' is not known.")
    consistency = properties.get("snapshotConsistencyType")
    if consistency is not None:
        if consistency != "OnlyCrashConsistent":
            raise invalid_policy(f"The snapshot consistency type '{consistency}' is not known.")
        if kind != "V2":
            raise invalid_policy("OnlyCrashConsistent needs an Enhanced (V2) policy.")


def _kind(properties: Mapping[str, Any], schedule: Mapping[str, Any]) -> str:
    schedule_type = schedule.get("schedulePolicyType")
    kinds = {"SimpleSchedulePolicy": "V1", "SimpleSchedulePolicyV2": "V2"}
    kind = kinds.get(str(schedule_type))
    if kind is None:
        raise invalid_policy(f"The schedule policy type '{schedule_type}' is not supported.")
    if properties.get("policyType", kind) != kind:
        raise invalid_policy(f"A policy of type {properties['policyType']} needs its own schedule.")
    return kind


def _section(properties: Mapping[str, Any], name: str) -> Dict[str, Any]:
    found = properties.get(name)
    if not isinstance(found, dict):
        raise invalid_policy(f"{name} is missing.")
    return found


def _schedule(
    schedule: Mapping[str, Any], kind: str, frequency: str
) -> tuple[Optional[Sequence[str]], List[str]]:
    """Return the days and times of day at which the policy runs."""
    permitted = ("Daily", "Weekly") if kind == "V1" else ("Hourly", "Daily", "Weekly")
    if frequency not in permitted:
        raise invalid_policy(f"The frequency '{frequency}' is not supported by a {kind} policy.")
    if frequency == "Hourly":
        return None, [_hourly(_section(schedule, "hourlySchedule"))]
    place = schedule
    if kind == "V2":
        place = _section(schedule, f"{frequency.lower()}Schedule")
    days = place.get("scheduleRunDays") if frequency == "Weekly" else None
    if frequency == "Weekly":
        _among("scheduleRunDays", days, _DAYS)
    return days, _times("scheduleRunTimes", place.get("scheduleRunTimes"))


def _hourly(schedule: Mapping[str, Any]) -> str:
    interval = schedule.get("interval")
    window = schedule.get("scheduleWindowDuration")
    if interval not in (4, 6, 8, 12):
        raise invalid_policy(f"The interval of {interval} hours is not one of 4, 6, 8 and 12.")
    if not max(4, interval) <= _number(window) <= 24:
        raise invalid_policy(
            f"The window of {window} hours is not as long as the interval, at most 24."
        )
    return _times("scheduleWindowStartTime", [schedule.get("scheduleWindowStartTime")])[0]


def _times(name: str, times: Any) -> List[str]:
    """Return the one time of day, on a full or half hour."""
    if not isinstance(times, list) or len(times) != 1:
        raise invalid_policy(f"{name} must hold one time.")
    try:
        moment = parse_time(str(times[0]))
    except ValueError:
        raise invalid_policy(f"{name} holds '{times[0]}', which is not a time.") from None
    if moment.minute not in (0, 30) or moment.second:
        raise invalid_policy(f"{name} must be on a full or half hour.")
    return [f"{moment:%H:%M}"]


def _retention(
    retention: Mapping[str, Any],
    frequency: str,
    days: Optional[Sequence[str]],
    times: List[str],
) -> None:
    if retention.get("retentionPolicyType") != "LongTermRetentionPolicy":
        raise invalid_policy("The retention policy type must be LongTermRetentionPolicy.")
    needed, barred = ("weekly", "daily") if frequency == "Weekly" else ("daily", "")
    if not retention.get(f"{needed}Schedule"):
        raise invalid_policy(f"The retention policy needs a {needed} schedule.")
    if barred and retention.get(f"{barred}Schedule"):
        raise invalid_policy("A weekly policy keeps no daily recovery points.")
    for name, (unit, least, most) in _KEPT.items():
        schedule = section(retention, name)
        if not schedule:
            continue
        kept = section(schedule, "retentionDuration")
        count = kept.get("count")
        if kept.get("durationType") != unit or not least <= _number(count) <= most:
            raise invalid_policy(f"{name} must keep from {least} to {most} {unit}, not {count}.")
        if _times("retentionTimes", schedule.get("retentionTimes")) != times:
            raise invalid_policy(f"The retention times of {name} are not those of the schedule.")
        if name == "weeklySchedule":
            _among("daysOfTheWeek", schedule.get("daysOfTheWeek"), days or _DAYS)
        elif name != "dailySchedule":
            _format(name, schedule, days)


def _format(name: str, schedule: Mapping[str, Any], days: Optional[Sequence[str]]) -> None:
    """Which recovery points of a month or year are kept."""
    if name == "yearlySchedule":
        _among("monthsOfYear", schedule.get("monthsOfYear"), _MONTHS)
    kind = schedule.get("retentionScheduleFormatType")
    if kind == "Weekly":
        weekly = section(schedule, "retentionScheduleWeekly")
        _among("daysOfTheWeek", weekly.get("daysOfTheWeek"), days or _DAYS)
        _among("weeksOfTheMonth", weekly.get("weeksOfTheMonth"), _WEEKS)
    elif kind == "Daily" and days is None:
        daily = section(schedule, "retentionScheduleDaily").get("daysOfTheMonth")
        if not isinstance(daily, list) or not daily:
            raise invalid_policy(f"daysOfTheMonth of {name} is empty.")
        for day in daily:
            if not isinstance(day, dict):
                raise unreadable()
            date = _number(day.get("date"))
            if not day.get("isLast") and not 1 <= date <= 28:
                raise invalid_policy(f"daysOfTheMonth of {name} must be from 1 to 28, or the last.")
    else:
        raise invalid_policy(f"The format '{kind}' of {name} is not supported.")


def _instant(properties: Mapping[str, Any], kind: str, frequency: str) -> None:
    days = properties.get("instantRpRetentionRangeInDays")
    if days is None:
        return
    most = 5 if kind == "V1" else 30
    least = 5 if frequency == "Weekly" else 1
    if not least <= _number(days) <= most:
        raise invalid_policy(
            f"Snapshots of a {frequency} {kind} policy are kept from {least} to {most} days, "
            f"not {days}."
        )


def _tiering(tiering: Mapping[str, Any]) -> None:
    for name in tiering:
        rule = section(tiering, name)
        mode = rule.get("tieringMode")
        count, unit = rule.get("duration"), rule.get("durationType")
        if name != "ArchivedRP" or mode not in ("TierRecommended", "TierAfter", "DoNotTier"):
            raise invalid_policy(f"The tiering mode '{mode}' of {name} is not supported.")
        if mode != "TierAfter":
            continue
        least = {"Months": 3, "Years": 1}.get(str(unit))
        if least is None or _number(count) < least:
            raise invalid_policy("Recovery points move to the archive after 3 months or more.")


def _among(name: str, values: Any, permitted: Sequence[str]) -> None:
    if not isinstance(values, list) or not values:
        raise invalid_policy(f"{name} is empty.")
    for value in values:
        if value not in permitted:
            raise invalid_policy(f"{name} holds '{value}', which the schedule does not have.")


def _number(value: Any) -> int:
    """Return a whole number, or a number below all bounds for any other value."""
    return value if isinstance(value, int) and not isinstance(value, bool) else -1
