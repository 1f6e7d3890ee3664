# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The desired policy: the options of `backup_policy`, laid over the present policy.

An omitted option keeps the present value, or takes its default in a new policy. A retention
rule with a count of 0 is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from ..._arm.ids import equals_ignoring_case
from ..._errors import Failure, SettingsError
from .limits import check_policy, time_of_day
from .model import (
    AFTER,
    BEST,
    DAILY,
    ENHANCED,
    HOURLY,
    MONTHS,
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

T = TypeVar("T")
Options = Mapping[str, Any]
# The values of the policies that Azure puts into a new vault.
_DAYS_KEPT, _INSTANT_DAYS, _INSTANT_DAYS_WEEKLY = 30, 2, 5
_RUN_TIME, _WINDOW_START, _INTERVAL_HOURS, _WINDOW_HOURS = "18:30", "08:00", 4, 12
# The portal's proposals.
_WEEKS_KEPT, _DAY, _WEEK, _MONTH = 12, "sunday", "first", "january"
# The suboptions of a schedule that have an effect with each frequency.
_OF_FREQUENCY = {
    DAILY: ("time",),
    WEEKLY: ("time", "days_of_week"),
    HOURLY: ("interval_hours", "window_start", "window_hours"),
}


def check_options(options: Options) -> None:
    """Refuse options that no present policy could make valid, before any request."""
    lenient = dict(options)
    schedule = dict(options.get("schedule") or {})
    if not schedule.get("frequency"):
        schedule["frequency"] = _frequency_of(schedule)
    retention = options.get("retention") or {}
    if schedule["frequency"] == WEEKLY and schedule.get("days_of_week") is None:
        # The present policy may have them.
        schedule["days_of_week"] = list(WEEKDAYS)
    lenient["schedule"] = schedule
    if not options.get("policy_type"):
        lenient["policy_type"] = ENHANCED
    weekly_is_removed = _count(retention.get("weekly"), "weeks") == 0
    daily_is_removed = _count(retention.get("daily"), "days") == 0
    if not (options.get("schedule") or {}).get("frequency") and (
        weekly_is_removed or daily_is_removed
    ):
        # Only the frequency, which is unknown here, decides whether these rules may be removed.
        lenient["retention"] = {
            **retention,
            **({"weekly": None} if weekly_is_removed else {}),
            **({"daily": None} if daily_is_removed else {}),
        }
    check_policy(desired_policy(lenient, None))


def _frequency_of(schedule: Options) -> str:
    """Return the frequency that the suboptions imply."""
    if any(schedule.get(name) is not None for name in _OF_FREQUENCY[HOURLY]):
        return HOURLY
    return WEEKLY if schedule.get("days_of_week") is not None else DAILY


def desired_policy(options: Options, present: Policy | None) -> Policy:
    """Return the desired policy; `present` is the policy that the vault has."""
    policy_type = options.get("policy_type") or (present.policy_type if present else STANDARD)
    schedule = _schedule(options.get("schedule") or {}, present.schedule if present else None)
    return Policy(
        policy_type=policy_type,
        schedule=schedule,
        retention=_retention(options.get("retention") or {}, schedule, present),
        time_zone=_time_zone(options, present),
        instant_restore_days=_instant_days(options, schedule, policy_type, present),
        snapshot_consistency_type=options.get("snapshot_consistency_type")
        or (present.snapshot_consistency_type if present else BEST),
        tiering=_tiering(options.get("archive_tiering"), present),
        **_resource_group(options.get("instant_restore_resource_group") or {}, present),
    )


def _schedule(given: Options, present: Schedule | None) -> Schedule:
    if present and all(value is None for value in given.values()):
        return present
    frequency = given.get("frequency") or (present.frequency if present else DAILY)
    for name in ("time", "days_of_week", "interval_hours", "window_start", "window_hours"):
        if given.get(name) is not None and name not in _OF_FREQUENCY.get(frequency, (name,)):
            raise SettingsError(
                Failure(
                    "ConflictingOptions",
                    f"schedule.{name} ({given[name]}) has no effect with schedule.frequency "
                    f"{frequency}.",
                    f"Set {', '.join(f'schedule.{key}' for key in _OF_FREQUENCY[frequency])}, or "
                    "another schedule.frequency.",
                )
            )
    old = present if present and present.frequency == frequency else Schedule(frequency)
    # The time of day stays when the frequency changes.
    time = present.run_time if present else None
    if frequency == HOURLY:
        start = given.get("window_start")
        return Schedule(
            frequency,
            interval_hours=_first(given.get("interval_hours"), old.interval_hours, _INTERVAL_HOURS),
            window_start=time_of_day("schedule.window_start", start)
            if start is not None
            else time or _WINDOW_START,
            window_hours=_first(given.get("window_hours"), old.window_hours, _WINDOW_HOURS),
        )
    return Schedule(
        frequency,
        time=time_of_day("schedule.time", given["time"])
        if given.get("time") is not None
        else time or _RUN_TIME,
        days_of_week=_words(given.get("days_of_week"), old.days_of_week or (_DAY,), WEEKDAYS)
        if frequency == WEEKLY
        else (),
    )


def _retention(given: Options, schedule: Schedule, present: Policy | None) -> Retention:
    old = present.retention if present else Retention()
    days = _count(given.get("daily"), "days")
    weekly = given.get("weekly")
    if not present:
        # A policy has at least one of the two rules.
        if schedule.frequency == WEEKLY and weekly is None:
            weekly = {"weeks": _WEEKS_KEPT}
        elif schedule.frequency != WEEKLY and given.get("daily") is None:
            days = _DAYS_KEPT
    return Retention(
        daily_days=old.daily_days if days is None else days or None,
        weekly=_weekly(weekly, old.weekly, schedule),
        monthly=_monthly(given.get("monthly"), old.monthly, schedule),
        yearly=_yearly(given.get("yearly"), old.yearly, schedule),
        daily_unit=old.daily_unit if days is None else None,
    )


def _weekly(given: Options | None, old: Weekly | None, schedule: Schedule) -> Weekly | None:
    if given is None:
        return old
    if given["weeks"] == 0:
        return None
    default = old.days_of_week if old else schedule.days_of_week or (_DAY,)
    return Weekly(given["weeks"], _words(given.get("days_of_week"), default, WEEKDAYS))


def _monthly(given: Options | None, old: Monthly | None, schedule: Schedule) -> Monthly | None:
    if given is None:
        return old
    if given["months"] == 0:
        return None
    return Monthly(
        given["months"], _dates("retention.monthly", given, old.dates if old else None, schedule)
    )


def _yearly(given: Options | None, old: Yearly | None, schedule: Schedule) -> Yearly | None:
    if given is None:
        return old
    if given["years"] == 0:
        return None
    default = old.months_of_year if old else (_MONTH,)
    return Yearly(
        given["years"],
        _words(given.get("months_of_year"), default, MONTHS),
        _dates("retention.yearly", given, old.dates if old else None, schedule),
    )


def _dates(option: str, given: Options, old: Dates | None, schedule: Schedule) -> Dates:
    dates = Dates(
        tuple(sorted(set(given.get("days_of_month") or ()))),
        bool(given.get("last_day_of_month")),
        in_order(given.get("days_of_week") or (), WEEKDAYS),
        in_order(given.get("weeks_of_month") or (), WEEKS),
    )
    if dates.by_date and dates.by_week:
        raise SettingsError(
            Failure(
                "ConflictingOptions",
                f"{option} selects backups both by dates and by weekdays.",
                "Set days_of_month and last_day_of_month, or days_of_week and weeks_of_month.",
            )
        )
    if not dates.by_date and not dates.by_week:
        return old or Dates(
            days_of_week=schedule.days_of_week[:1] or (_DAY,), weeks_of_month=(_WEEK,)
        )
    if dates.by_week and not (dates.days_of_week and dates.weeks_of_month):
        raise SettingsError(
            Failure(
                "ConflictingOptions",
                f"{option} has only one of days_of_week and weeks_of_month.",
                f"Set both {option}.days_of_week and {option}.weeks_of_month.",
            )
        )
    return dates


def _time_zone(options: Options, present: Policy | None) -> str:
    given, old = options.get("time_zone"), present.time_zone if present else "UTC"
    return old if given is None or equals_ignoring_case(given, old) else str(given).strip()


def _instant_days(
    options: Options, schedule: Schedule, policy_type: str, present: Policy | None
) -> int | None:
    given = options.get("instant_restore_days")
    if given is not None:
        return int(given)
    weekly = schedule.frequency == WEEKLY
    becomes_weekly = weekly and not (present and present.schedule.frequency == WEEKLY)
    if present and not (becomes_weekly and policy_type == STANDARD):
        return present.instant_restore_days
    # Azure fixes the days of weekly policies.
    return _INSTANT_DAYS_WEEKLY if weekly else _INSTANT_DAYS


def _resource_group(given: Options, present: Policy | None) -> dict[str, str]:
    prefix, suffix = given.get("prefix"), given.get("suffix")
    old_prefix = present.resource_group_prefix if present else ""
    old_suffix = present.resource_group_suffix if present else ""
    return {
        "resource_group_prefix": old_prefix if prefix is None else prefix,
        "resource_group_suffix": old_suffix if suffix is None else suffix,
    }


def _tiering(given: Options | None, present: Policy | None) -> Tiering:
    if not given:
        return present.tiering if present else Tiering()
    mode, duration, unit = given["mode"], given.get("duration"), given.get("unit")
    if mode == AFTER:
        return Tiering(mode, duration, unit or "months")
    if duration is not None or unit is not None:
        raise SettingsError(
            Failure(
                "ConflictingOptions",
                f"archive_tiering.duration and unit have no effect with archive_tiering.mode "
                f"{mode}.",
                "Remove them, or set archive_tiering.mode to after.",
            )
        )
    return Tiering(mode)


def _count(given: Options | None, name: str) -> int | None:
    return None if given is None else given.get(name)


def _words(given: Any, default: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    return default if given is None else in_order(given, known)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
