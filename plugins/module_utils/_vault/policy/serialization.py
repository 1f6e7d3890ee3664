# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup policy on the wire: Azure's JSON to our words and back.

What we have no word for is kept: C(to_azure) lays a policy over the JSON that Azure gave, and leaves
each part that says the same already exactly as it was.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, Optional

from ..._arm.ids import equals_ignoring_case
from .model import (
    AFTER,
    BEST,
    DAILY,
    DO_NOT_TIER,
    ENHANCED,
    HOURLY,
    MONTHS,
    ONLY_CRASH,
    RECOMMENDED,
    STANDARD,
    WEEKDAYS,
    WEEKLY,
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

Wire = Dict[str, Any]
MANAGEMENT_TYPE = "AzureIaasVM"
# What the counts of the rules are of, unless another client has put it otherwise.
_DAYS, _WEEKS, _MONTHS, _YEARS = "Days", "Weeks", "Months", "Years"
# Azure takes the time of day of a date and passes over its day.
_ANY_DAY = "2020-01-01"
_TIERING = {"TierRecommended": RECOMMENDED, "TierAfter": AFTER, "DoNotTier": DO_NOT_TIER}
_TIERING_TO_WIRE = {ours: theirs for theirs, ours in _TIERING.items()}
_READ_ONLY = ("protectedItemsCount", "resourceGuardOperationRequests")
_TIME = re.compile(r"T(\d\d):(\d\d)(?::\d\d)?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)


# --- from the wire -----------------------------------------------------------------------------


def from_azure(properties: Mapping[str, Any]) -> Policy:
    """The policy of the properties that Azure gave. A part that is missing is an empty one."""
    details = _part(properties, "instantRPDetails")
    only_crash = properties.get("snapshotConsistencyType") == "OnlyCrashConsistent"
    return Policy(
        # A vault of long ago does not say it.
        policy_type=ENHANCED if properties.get("policyType") == "V2" else STANDARD,
        schedule=_schedule_of(_part(properties, "schedulePolicy")),
        retention=_retention_of(_part(properties, "retentionPolicy")),
        time_zone=properties.get("timeZone") or "UTC",
        instant_restore_days=properties.get("instantRpRetentionRangeInDays"),
        snapshot_consistency_type=ONLY_CRASH if only_crash else BEST,
        resource_group_prefix=details.get("azureBackupRGNamePrefix") or "",
        resource_group_suffix=details.get("azureBackupRGNameSuffix") or "",
        tiering=_tiering_of(_part(_part(properties, "tieringPolicy"), "ArchivedRP")),
    )


def _schedule_of(wire: Mapping[str, Any]) -> Schedule:
    frequency = str(wire.get("scheduleRunFrequency") or "").lower()
    if frequency == HOURLY:
        hourly = _part(wire, "hourlySchedule")
        return Schedule(
            frequency,
            interval_hours=hourly.get("interval"),
            window_start=_time_of(hourly.get("scheduleWindowStartTime")),
            window_hours=hourly.get("scheduleWindowDuration"),
        )
    # The enhanced policies have a part for each frequency, the standard ones have not.
    part = _part(wire, f"{frequency}Schedule") or wire
    times = part.get("scheduleRunTimes") or []
    days = (part.get("scheduleRunDays") or []) if frequency == WEEKLY else []
    return Schedule(
        frequency,
        time=_time_of(times[0]) if times else None,
        days_of_week=in_order(days, WEEKDAYS),
    )


def _retention_of(wire: Mapping[str, Any]) -> Retention:
    daily, weekly = wire.get("dailySchedule"), wire.get("weeklySchedule")
    monthly, yearly = wire.get("monthlySchedule"), wire.get("yearlySchedule")
    return Retention(
        daily_days=_count(daily) if daily else None,
        weekly=Weekly(_count(weekly), _weekdays(weekly), _unit(weekly, _WEEKS)) if weekly else None,
        monthly=Monthly(_count(monthly), _dates_of(monthly), _unit(monthly, _MONTHS))
        if monthly
        else None,
        yearly=Yearly(
            _count(yearly),
            in_order(yearly.get("monthsOfYear") or [], MONTHS),
            _dates_of(yearly),
            _unit(yearly, _YEARS),
        )
        if yearly
        else None,
        daily_unit=_unit(daily, _DAYS) if daily else None,
    )


def _dates_of(wire: Mapping[str, Any]) -> Dates:
    if str(wire.get("retentionScheduleFormatType")) == "Daily":
        days = _part(wire, "retentionScheduleDaily").get("daysOfTheMonth") or []
        return Dates(
            tuple(sorted({day.get("date") or 0 for day in days if not day.get("isLast")})),
            any(day.get("isLast") for day in days),
        )
    weekly = _part(wire, "retentionScheduleWeekly")
    return Dates(
        days_of_week=_weekdays(weekly),
        weeks_of_month=in_order(weekly.get("weeksOfTheMonth") or [], WEEKS),
    )


def _tiering_of(wire: Mapping[str, Any]) -> Tiering:
    mode = _TIERING.get(str(wire.get("tieringMode")), DO_NOT_TIER)
    if mode != AFTER:
        return Tiering(mode)
    return Tiering(mode, wire.get("duration"), str(wire.get("durationType") or "").lower() or None)


def _count(rule: Mapping[str, Any]) -> int:
    return int(_part(rule, "retentionDuration").get("count") or 0)


def _unit(rule: Mapping[str, Any], usual: str) -> Optional[str]:
    """What the count is of, where that is not the usual."""
    unit = str(_part(rule, "retentionDuration").get("durationType") or usual)
    return None if equals_ignoring_case(unit, usual) else unit


def _weekdays(wire: Mapping[str, Any]) -> Any:
    return in_order(wire.get("daysOfTheWeek") or [], WEEKDAYS)


def _part(wire: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return wire.get(name) or {}


def _time_of(text: Optional[str]) -> Optional[str]:
    """The time of day, in C(HH:MM), of a date and time; what is none stays as it is."""
    found = _TIME.search(text or "")
    if not found:
        return text
    moment = datetime(2020, 1, 1, int(found[1]), int(found[2]))
    zone = (found[3] or "Z").replace(":", "").upper()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        moment += offset if zone[0] == "-" else -offset
    return f"{moment.hour:02d}:{moment.minute:02d}"


# --- to the wire -------------------------------------------------------------------------------


def to_azure(policy: Policy, base: Optional[Mapping[str, Any]] = None) -> Wire:
    """The properties to send; C(base) are those that Azure gave for the policy to be changed."""
    old = dict(base or {})
    was = from_azure(old) if base else None
    wire: Wire = {key: value for key, value in old.items() if key not in _READ_ONLY}
    wire["backupManagementType"] = MANAGEMENT_TYPE
    if not was or was.policy_type != policy.policy_type:
        wire["policyType"] = "V2" if policy.policy_type == ENHANCED else "V1"
    if not was or was.schedule != policy.schedule:
        wire["schedulePolicy"] = _schedule_to(policy)
    if not was or was.retention != policy.retention or was.schedule != policy.schedule:
        wire["retentionPolicy"] = _retention_to(policy, was, _part(old, "retentionPolicy"))
    if not was or was.time_zone != policy.time_zone:
        wire["timeZone"] = policy.time_zone
    if not was or was.instant_restore_days != policy.instant_restore_days:
        wire["instantRpRetentionRangeInDays"] = policy.instant_restore_days
    if not was or was.snapshot_consistency_type != policy.snapshot_consistency_type:
        wire.pop("snapshotConsistencyType", None)
        if policy.snapshot_consistency_type == ONLY_CRASH:
            wire["snapshotConsistencyType"] = "OnlyCrashConsistent"
    _details_to(wire, policy, was)
    if policy.tiering != (was.tiering if was else Tiering()):
        # Azure keeps the tiering that it has where none is sent, so that none is sent as such.
        wire["tieringPolicy"] = {**_part(old, "tieringPolicy"), "ArchivedRP": _tiering_to(policy)}
    return wire


def _details_to(wire: Wire, policy: Policy, was: Optional[Policy]) -> None:
    wanted = (policy.resource_group_prefix, policy.resource_group_suffix)
    if was and (was.resource_group_prefix, was.resource_group_suffix) == wanted:
        return
    details = dict(_part(wire, "instantRPDetails"))
    for key, value in zip(("azureBackupRGNamePrefix", "azureBackupRGNameSuffix"), wanted):
        details.pop(key, None)
        if value:
            details[key] = value
    wire["instantRPDetails"] = details


def _schedule_to(policy: Policy) -> Wire:
    schedule = policy.schedule
    times = _times(schedule.run_time)
    days = [day.capitalize() for day in schedule.days_of_week]
    wire: Wire = {"scheduleRunFrequency": schedule.frequency.capitalize()}
    if policy.policy_type == STANDARD:
        wire.update(schedulePolicyType="SimpleSchedulePolicy", scheduleRunTimes=times)
        wire["scheduleWeeklyFrequency"] = 0
        if schedule.frequency == WEEKLY:
            wire["scheduleRunDays"] = days
        return wire
    wire["schedulePolicyType"] = "SimpleSchedulePolicyV2"
    if schedule.frequency == HOURLY:
        wire["hourlySchedule"] = {
            "interval": schedule.interval_hours,
            "scheduleWindowStartTime": times[0] if times else None,
            "scheduleWindowDuration": schedule.window_hours,
        }
    elif schedule.frequency == DAILY:
        wire["dailySchedule"] = {"scheduleRunTimes": times}
    else:
        wire["weeklySchedule"] = {"scheduleRunDays": days, "scheduleRunTimes": times}
    return wire


def _retention_to(policy: Policy, was: Optional[Policy], old: Mapping[str, Any]) -> Wire:
    new, times = policy.retention, _times(policy.schedule.run_time)
    before = was.retention if was else Retention()
    same_times = was is not None and was.schedule.run_time == policy.schedule.run_time
    wire: Wire = {**old, "retentionPolicyType": "LongTermRetentionPolicy"}
    rules = {
        "dailySchedule": (_daily(new), _daily(before), _daily_to),
        "weeklySchedule": (new.weekly, before.weekly, _weekly_to),
        "monthlySchedule": (new.monthly, before.monthly, _monthly_to),
        "yearlySchedule": (new.yearly, before.yearly, _yearly_to),
    }
    for key, (rule, rule_before, put) in rules.items():
        if rule is None:
            wire.pop(key, None)
        elif rule != rule_before:
            wire[key] = {**put(rule), "retentionTimes": times}
        elif not same_times:
            wire[key] = {**wire[key], "retentionTimes": times}
    return wire


def _daily(retention: Retention) -> Any:
    if retention.daily_days is None:
        return None
    return retention.daily_days, retention.daily_unit


def _daily_to(rule: Any) -> Wire:
    days, unit = rule
    return {"retentionDuration": {"count": days, "durationType": unit or _DAYS}}


def _weekly_to(rule: Any) -> Wire:
    return {
        "daysOfTheWeek": [day.capitalize() for day in rule.days_of_week],
        "retentionDuration": {"count": rule.weeks, "durationType": rule.unit or _WEEKS},
    }


def _monthly_to(rule: Any) -> Wire:
    duration = {"count": rule.months, "durationType": rule.unit or _MONTHS}
    return {**_dates_to(rule.dates), "retentionDuration": duration}


def _yearly_to(rule: Any) -> Wire:
    return {
        **_dates_to(rule.dates),
        "monthsOfYear": [month.capitalize() for month in rule.months_of_year],
        "retentionDuration": {"count": rule.years, "durationType": rule.unit or _YEARS},
    }


def _dates_to(dates: Dates) -> Wire:
    if dates.by_date:
        days: List[Wire] = [{"date": date, "isLast": False} for date in dates.days_of_month]
        if dates.last_day_of_month:
            days.append({"date": 0, "isLast": True})
        return {
            "retentionScheduleFormatType": "Daily",
            "retentionScheduleDaily": {"daysOfTheMonth": days},
        }
    return {
        "retentionScheduleFormatType": "Weekly",
        "retentionScheduleWeekly": {
            "daysOfTheWeek": [day.capitalize() for day in dates.days_of_week],
            "weeksOfTheMonth": [week.capitalize() for week in dates.weeks_of_month],
        },
    }


def _tiering_to(policy: Policy) -> Wire:
    tiering = policy.tiering
    return {
        "tieringMode": _TIERING_TO_WIRE[tiering.mode],
        "duration": tiering.duration or 0,
        "durationType": (tiering.unit or "invalid").capitalize(),
    }


def _times(time: Optional[str]) -> List[str]:
    return [f"{_ANY_DAY}T{time}:00Z"] if time else []
