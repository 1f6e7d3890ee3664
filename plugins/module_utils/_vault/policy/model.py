# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup policy for Azure VMs, named as the options of `backup_policy`.

Every tuple is sorted and without repeats, so that equal policies compare equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
WEEKS = ("first", "second", "third", "fourth", "last")
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
STANDARD, ENHANCED = "standard", "enhanced"
DAILY, WEEKLY, HOURLY = "daily", "weekly", "hourly"
BEST, ONLY_CRASH = "application_or_file_system", "only_crash_consistent"
RECOMMENDED, AFTER, DO_NOT_TIER = "recommended", "after", "do_not_tier"
TIERING_UNITS = ("months", "years")


def in_order(words: Iterable[str], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return each word once, in the order of `known`; unknown words come last."""
    given = {str(word).lower() for word in words}
    return (*(word for word in known if word in given), *sorted(given.difference(known)))


def _kept(count: int, unit: str, other: str | None) -> dict[str, int]:
    """Return the count by the name of its unit; `other` is Azure's unit instead of it."""
    return {(other or unit).lower(): count}


def _given(**options: Any) -> dict[str, Any]:
    """Return the options that have a value: Ansible refuses null for options with choices."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class Schedule:
    """The times of backups. Only the fields of the frequency are set.

    `time` is for daily and weekly backups, `window_start` for the first hourly backup of a day.
    """

    frequency: str
    time: str | None = None
    days_of_week: tuple[str, ...] = ()
    interval_hours: int | None = None
    window_start: str | None = None
    window_hours: int | None = None

    @property
    def run_time(self) -> str | None:
        """The time of day for retention: of the only backup of a day, or of the first."""
        return self.window_start if self.frequency == HOURLY else self.time

    def to_options(self) -> dict[str, Any]:
        """Return the value of the option `schedule`."""
        return _given(
            frequency=self.frequency,
            time=self.time,
            days_of_week=list(self.days_of_week) or None,
            interval_hours=self.interval_hours,
            window_start=self.window_start,
            window_hours=self.window_hours,
        )


@dataclass(frozen=True)
class Dates:
    """The backups of a month to keep: those of dates, or those of weekdays in weeks."""

    days_of_month: tuple[int, ...] = ()
    last_day_of_month: bool = False
    days_of_week: tuple[str, ...] = ()
    weeks_of_month: tuple[str, ...] = ()

    @property
    def by_date(self) -> bool:
        """Return True if dates select the backups."""
        return bool(self.days_of_month or self.last_day_of_month)

    @property
    def by_week(self) -> bool:
        """Return True if weekdays select the backups."""
        return bool(self.days_of_week or self.weeks_of_month)

    def to_options(self) -> dict[str, Any]:
        """Return the suboptions that select these backups."""
        return _given(
            days_of_month=list(self.days_of_month) or None,
            last_day_of_month=self.last_day_of_month if self.by_date else None,
            days_of_week=list(self.days_of_week) or None,
            weeks_of_month=list(self.weeks_of_month) or None,
        )


@dataclass(frozen=True)
class Weekly:
    """The retention of a week's backups."""

    weeks: int
    days_of_week: tuple[str, ...]
    #: Azure's unit of `weeks`, if it counts other units.
    unit: str | None = None

    def to_options(self) -> dict[str, Any]:
        """Return the value of `retention.weekly`."""
        kept = _kept(self.weeks, "weeks", self.unit)
        return {**kept, "days_of_week": list(self.days_of_week)}


@dataclass(frozen=True)
class Monthly:
    """The retention of a month's backups."""

    months: int
    dates: Dates
    #: Azure's unit of `months`, if it counts other units.
    unit: str | None = None

    def to_options(self) -> dict[str, Any]:
        """Return the value of `retention.monthly`."""
        return {**_kept(self.months, "months", self.unit), **self.dates.to_options()}


@dataclass(frozen=True)
class Yearly:
    """The retention of a year's backups."""

    years: int
    months_of_year: tuple[str, ...]
    dates: Dates
    #: Azure's unit of `years`, if it counts other units.
    unit: str | None = None

    def to_options(self) -> dict[str, Any]:
        """Return the value of `retention.yearly`."""
        return {
            **_kept(self.years, "years", self.unit),
            "months_of_year": list(self.months_of_year),
            **self.dates.to_options(),
        }


@dataclass(frozen=True)
class Retention:
    """The retention of backups; a missing rule is None."""

    daily_days: int | None = None
    weekly: Weekly | None = None
    monthly: Monthly | None = None
    yearly: Yearly | None = None
    #: Azure's unit of `daily_days`, if it counts other units.
    daily_unit: str | None = None

    def to_options(self) -> dict[str, Any]:
        """Return the value of the option `retention`."""
        days = self.daily_days
        return _given(
            daily=None if days is None else _kept(days, "days", self.daily_unit),
            weekly=self.weekly and self.weekly.to_options(),
            monthly=self.monthly and self.monthly.to_options(),
            yearly=self.yearly and self.yearly.to_options(),
        )


@dataclass(frozen=True)
class Tiering:
    """The time at which recovery points move to the archive tier; `duration` only with `after`."""

    mode: str = DO_NOT_TIER
    duration: int | None = None
    unit: str | None = None

    def to_options(self) -> dict[str, Any]:
        """Return the value of the option `archive_tiering`."""
        return _given(mode=self.mode, duration=self.duration, unit=self.unit)


@dataclass(frozen=True)
class Policy:
    """One policy, as far as the options of `backup_policy` describe it."""

    policy_type: str
    schedule: Schedule
    retention: Retention
    time_zone: str = "UTC"
    instant_restore_days: int | None = None
    snapshot_consistency_type: str = BEST
    resource_group_prefix: str = ""
    resource_group_suffix: str = ""
    tiering: Tiering = Tiering()

    def to_options(self) -> dict[str, Any]:
        """Return the options that make this policy, without its name."""
        return _given(
            policy_type=self.policy_type,
            schedule=self.schedule.to_options(),
            retention=self.retention.to_options(),
            time_zone=self.time_zone,
            instant_restore_days=self.instant_restore_days,
            snapshot_consistency_type=self.snapshot_consistency_type,
            instant_restore_resource_group={
                "prefix": self.resource_group_prefix,
                "suffix": self.resource_group_suffix,
            },
            archive_tiering=self.tiering.to_options(),
        )
