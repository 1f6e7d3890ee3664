# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Conversion of a backup policy from Azure's JSON and back.

Unknown parts are kept: `to_azure` lays a policy over Azure's JSON, and leaves each part that
means the same exactly as it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Callable

from ..._arm.ids import equals_ignoring_case
from ..filters import MANAGEMENT_TYPE
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

Payload = dict[str, Any]
# The usual units of the rules; another client may have set others.
_DAYS, _WEEKS, _MONTHS, _YEARS = "Days", "Weeks", "Months", "Years"
# Azure uses the time of day and ignores the date.
_ANY_DAY = "2020-01-01"
_TIERING = {"TierRecommended": RECOMMENDED, "TierAfter": AFTER, "DoNotTier": DO_NOT_TIER}
_TIERING_TO_AZURE = {option: value for value, option in _TIERING.items()}
_READ_ONLY = ("protectedItemsCount", "resourceGuardOperationRequests")
_TIME = re.compile(r"T(\d\d):(\d\d)(?::\d\d)?(?:\.\d+)?(Z|[+-]\d\d:?\d\d)?$", re.IGNORECASE)


# --- from Azure --------------------------------------------------------------------------------


def from_azure(properties: Mapping[str, Any]) -> Policy:
    """Return the policy of Azure's properties; a missing part counts as empty."""
    details = _part(properties, "instantRPDetails")
    only_crash = properties.get("snapshotConsistencyType") == "OnlyCrashConsistent"
    return Policy(
        # Old vaults omit the type.
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


def _schedule_of(payload: Mapping[str, Any]) -> Schedule:
    frequency = str(payload.get("scheduleRunFrequency") or "").lower()
    if frequency == HOURLY:
        hourly = _part(payload, "hourlySchedule")
        return Schedule(
            frequency,
            interval_hours=hourly.get("interval"),
            window_start=_time_of(hourly.get("scheduleWindowStartTime")),
            window_hours=hourly.get("scheduleWindowDuration"),
        )
    # Enhanced policies have a part for each frequency, standard policies do not.
    part = _part(payload, f"{frequency}Schedule") or payload
    times = part.get("scheduleRunTimes") or []
    days = (part.get("scheduleRunDays") or []) if frequency == WEEKLY else []
    return Schedule(
        frequency,
        time=_time_of(times[0]) if times else None,
        days_of_week=in_order(days, WEEKDAYS),
    )


def _retention_of(payload: Mapping[str, Any]) -> Retention:
    daily, weekly = payload.get("dailySchedule"), payload.get("weeklySchedule")
    monthly, yearly = payload.get("monthlySchedule"), payload.get("yearlySchedule")
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


def _dates_of(payload: Mapping[str, Any]) -> Dates:
    if str(payload.get("retentionScheduleFormatType")) == "Daily":
        days = _part(payload, "retentionScheduleDaily").get("daysOfTheMonth") or []
        return Dates(
            tuple(sorted({day.get("date") or 0 for day in days if not day.get("isLast")})),
            any(day.get("isLast") for day in days),
        )
    weekly = _part(payload, "retentionScheduleWeekly")
    return Dates(
        days_of_week=_weekdays(weekly),
        weeks_of_month=in_order(weekly.get("weeksOfTheMonth") or [], WEEKS),
    )


def _tiering_of(payload: Mapping[str, Any]) -> Tiering:
    mode = _TIERING.get(str(payload.get("tieringMode")), DO_NOT_TIER)
    if mode != AFTER:
        return Tiering(mode)
    return Tiering(
        mode, payload.get("duration"), str(payload.get("durationType") or "").lower() or None
    )


def _count(rule: Mapping[str, Any]) -> int:
    return int(_part(rule, "retentionDuration").get("count") or 0)


def _unit(rule: Mapping[str, Any], usual: str) -> str | None:
    """Return the unit of the count, or None for the usual unit."""
    unit = str(_part(rule, "retentionDuration").get("durationType") or usual)
    return None if equals_ignoring_case(unit, usual) else unit


def _weekdays(payload: Mapping[str, Any]) -> tuple[str, ...]:
    return in_order(payload.get("daysOfTheWeek") or [], WEEKDAYS)


def _part(payload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return payload.get(name) or {}


def _time_of(text: str | None) -> str | None:
    """Return the time of day of a date and time as `HH:MM`; other texts stay as they are."""
    found = _TIME.search(text or "")
    if not found:
        return text
    moment = datetime(2020, 1, 1, int(found[1]), int(found[2]))
    zone = (found[3] or "Z").replace(":", "").upper()
    if zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        moment += offset if zone[0] == "-" else -offset
    return f"{moment.hour:02d}:{moment.minute:02d}"


# --- to Azure ----------------------------------------------------------------------------------


def to_azure(policy: Policy, base: Mapping[str, Any] | None = None) -> Payload:
    """Return the properties to send; `base` are Azure's properties of the present policy."""
    old = dict(base or {})
    was = from_azure(old) if base else None
    payload: Payload = {key: value for key, value in old.items() if key not in _READ_ONLY}
    payload["backupManagementType"] = MANAGEMENT_TYPE
    if not was or was.policy_type != policy.policy_type:
        payload["policyType"] = "V2" if policy.policy_type == ENHANCED else "V1"
    if not was or was.schedule != policy.schedule:
        payload["schedulePolicy"] = _schedule_to(policy)
    if not was or was.retention != policy.retention or was.schedule != policy.schedule:
        payload["retentionPolicy"] = _retention_to(policy, was, _part(old, "retentionPolicy"))
    if not was or was.time_zone != policy.time_zone:
        payload["timeZone"] = policy.time_zone
    if not was or was.instant_restore_days != policy.instant_restore_days:
        payload["instantRpRetentionRangeInDays"] = policy.instant_restore_days
    if not was or was.snapshot_consistency_type != policy.snapshot_consistency_type:
        payload.pop("snapshotConsistencyType", None)
        if policy.snapshot_consistency_type == ONLY_CRASH:
            payload["snapshotConsistencyType"] = "OnlyCrashConsistent"
    _details_to(payload, policy, was)
    if policy.tiering != (was.tiering if was else Tiering()):
        # Azure keeps its tiering if none is sent, so "do not tier" is sent explicitly.
        payload["tieringPolicy"] = {
            **_part(old, "tieringPolicy"),
            "ArchivedRP": _tiering_to(policy),
        }
    return payload


def _details_to(payload: Payload, policy: Policy, was: Policy | None) -> None:
    names = (policy.resource_group_prefix, policy.resource_group_suffix)
    if was and (was.resource_group_prefix, was.resource_group_suffix) == names:
        return
    details = dict(_part(payload, "instantRPDetails"))
    for key, value in zip(("azureBackupRGNamePrefix", "azureBackupRGNameSuffix"), names):
        details.pop(key, None)
        if value:
            details[key] = value
    payload["instantRPDetails"] = details


def _schedule_to(policy: Policy) -> Payload:
    schedule = policy.schedule
    times = _times(schedule.run_time)
    days = [day.capitalize() for day in schedule.days_of_week]
    payload: Payload = {"scheduleRunFrequency": schedule.frequency.capitalize()}
    if policy.policy_type == STANDARD:
        payload.update(schedulePolicyType="SimpleSchedulePolicy", scheduleRunTimes=times)
        payload["scheduleWeeklyFrequency"] = 0
        if schedule.frequency == WEEKLY:
            payload["scheduleRunDays"] = days
        return payload
    payload["schedulePolicyType"] = "SimpleSchedulePolicyV2"
    if schedule.frequency == HOURLY:
        payload["hourlySchedule"] = {
            "interval": schedule.interval_hours,
            "scheduleWindowStartTime": times[0] if times else None,
            "scheduleWindowDuration": schedule.window_hours,
        }
    elif schedule.frequency == DAILY:
        payload["dailySchedule"] = {"scheduleRunTimes": times}
    else:
        payload["weeklySchedule"] = {"scheduleRunDays": days, "scheduleRunTimes": times}
    return payload


def _retention_to(policy: Policy, was: Policy | None, old: Mapping[str, Any]) -> Payload:
    new, times = policy.retention, _times(policy.schedule.run_time)
    before = was.retention if was else Retention()
    same_times = was is not None and was.schedule.run_time == policy.schedule.run_time
    payload: Payload = {**old, "retentionPolicyType": "LongTermRetentionPolicy"}
    rules: dict[str, tuple[Any, Any, Callable[[Any], Payload]]] = {
        "dailySchedule": (_daily(new), _daily(before), _daily_to),
        "weeklySchedule": (new.weekly, before.weekly, _weekly_to),
        "monthlySchedule": (new.monthly, before.monthly, _monthly_to),
        "yearlySchedule": (new.yearly, before.yearly, _yearly_to),
    }
    for key, (rule, rule_before, convert) in rules.items():
        if rule is None:
            payload.pop(key, None)
        elif rule != rule_before:
            payload[key] = {**convert(rule), "retentionTimes": times}
        elif not same_times:
            payload[key] = {**payload[key], "retentionTimes": times}
    return payload


def _daily(retention: Retention) -> tuple[int, str | None] | None:
    if retention.daily_days is None:
        return None
    return retention.daily_days, retention.daily_unit


def _daily_to(rule: tuple[int, str | None]) -> Payload:
    days, unit = rule
    return {"retentionDuration": {"count": days, "durationType": unit or _DAYS}}


def _weekly_to(rule: Weekly) -> Payload:
    return {
        "daysOfTheWeek": [day.capitalize() for day in rule.days_of_week],
        "retentionDuration": {"count": rule.weeks, "durationType": rule.unit or _WEEKS},
    }


def _monthly_to(rule: Monthly) -> Payload:
    duration = {"count": rule.months, "durationType": rule.unit or _MONTHS}
    return {**_dates_to(rule.dates), "retentionDuration": duration}


def _yearly_to(rule: Yearly) -> Payload:
    return {
        **_dates_to(rule.dates),
        "monthsOfYear": [month.capitalize() for month in rule.months_of_year],
        "retentionDuration": {"count": rule.years, "durationType": rule.unit or _YEARS},
    }


def _dates_to(dates: Dates) -> Payload:
    if dates.by_date:
        days: list[Payload] = [{"date": date, "isLast": False} for date in dates.days_of_month]
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


def _tiering_to(policy: Policy) -> Payload:
    tiering = policy.tiering
    return {
        "tieringMode": _TIERING_TO_AZURE[tiering.mode],
        "duration": tiering.duration or 0,
        "durationType": (tiering.unit or "invalid").capitalize(),
    }


def _times(time: str | None) -> list[str]:
    return [f"{_ANY_DAY}T{time}:00Z"] if time else []
