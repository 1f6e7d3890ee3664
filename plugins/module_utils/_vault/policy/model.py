# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A backup policy for Azure VMs, in the words of the options of C(backup_policy).

Values only: every tuple is in its natural order and without repeats, so that two policies are the
same exactly when they compare equal.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, Optional, Tuple

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


def in_order(words: Iterable[str], known: Tuple[str, ...]) -> Tuple[str, ...]:
    """Each word once, in the order of C(known); words that are not known come last."""
    given = {str(word).lower() for word in words}
    return (*(word for word in known if word in given), *sorted(given.difference(known)))


def _kept(count: int, unit: str, other: Optional[str]) -> Dict[str, int]:
    """For how long, by the name of the unit; C(other) is the one that Azure has instead of it."""
    return {(other or unit).lower(): count}


def _given(**options: Any) -> Dict[str, Any]:
    """The options that have a value: Ansible takes null for none of those that have choices."""
    return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True)
class Schedule:
    """When backups are taken. Of the fields only those of the frequency are set.

    C(time) is that of daily and weekly backups, C(window_start) the first of a day's hourly ones.
    """

    frequency: str
    time: Optional[str] = None
    days_of_week: Tuple[str, ...] = ()
    interval_hours: Optional[int] = None
    window_start: Optional[str] = None
    window_hours: Optional[int] = None

    @property
    def run_time(self) -> Optional[str]:
        """The time of day that retention goes by: that of the run, or of the first of a day."""
        return self.window_start if self.frequency == HOURLY else self.time

    def to_options(self) -> Dict[str, Any]:
        """The value of the option C(schedule)."""
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
    """Which backups of a month are kept: those of dates, or those of weekdays in weeks."""

    days_of_month: Tuple[int, ...] = ()
    last_day_of_month: bool = False
    days_of_week: Tuple[str, ...] = ()
    weeks_of_month: Tuple[str, ...] = ()

    @property
    def by_date(self) -> bool:
        """Whether dates choose them."""
        return bool(self.days_of_month or self.last_day_of_month)

    @property
    def by_week(self) -> bool:
        """Whether weekdays choose them."""
        return bool(self.days_of_week or self.weeks_of_month)

    def to_options(self) -> Dict[str, Any]:
        """The suboptions of this way to choose."""
        return _given(
            days_of_month=list(self.days_of_month) or None,
            last_day_of_month=self.last_day_of_month if self.by_date else None,
            days_of_week=list(self.days_of_week) or None,
            weeks_of_month=list(self.weeks_of_month) or None,
        )


@dataclass(frozen=True)
class Weekly:
    """How long a week's backups are kept, and which of them."""

    weeks: int
    days_of_week: Tuple[str, ...]
    #: Azure's word for what C(weeks) counts, where that is something else.
    unit: Optional[str] = None

    def to_options(self) -> Dict[str, Any]:
        """The value of C(retention.weekly)."""
        kept = _kept(self.weeks, "weeks", self.unit)
        return {**kept, "days_of_week": list(self.days_of_week)}


@dataclass(frozen=True)
class Monthly:
    """How long a month's backups are kept, and which of them."""

    months: int
    dates: Dates
    #: Azure's word for what C(months) counts, where that is something else.
    unit: Optional[str] = None

    def to_options(self) -> Dict[str, Any]:
        """The value of C(retention.monthly)."""
        return {**_kept(self.months, "months", self.unit), **self.dates.to_options()}


@dataclass(frozen=True)
class Yearly:
    """How long a year's backups are kept, and which of them."""

    years: int
    months_of_year: Tuple[str, ...]
    dates: Dates
    #: Azure's word for what C(years) counts, where that is something else.
    unit: Optional[str] = None

    def to_options(self) -> Dict[str, Any]:
        """The value of C(retention.yearly)."""
        return {
            **_kept(self.years, "years", self.unit),
            "months_of_year": list(self.months_of_year),
            **self.dates.to_options(),
        }


@dataclass(frozen=True)
class Retention:
    """How long backups are kept. None: there is no such rule."""

    daily_days: Optional[int] = None
    weekly: Optional[Weekly] = None
    monthly: Optional[Monthly] = None
    yearly: Optional[Yearly] = None
    #: Azure's word for what C(daily_days) counts, where that is something else.
    daily_unit: Optional[str] = None

    def to_options(self) -> Dict[str, Any]:
        """The value of the option C(retention)."""
        days = self.daily_days
        return _given(
            daily=None if days is None else _kept(days, "days", self.daily_unit),
            weekly=self.weekly and self.weekly.to_options(),
            monthly=self.monthly and self.monthly.to_options(),
            yearly=self.yearly and self.yearly.to_options(),
        )


@dataclass(frozen=True)
class Tiering:
    """When recovery points move to the archive tier; C(duration) only with C(after)."""

    mode: str = DO_NOT_TIER
    duration: Optional[int] = None
    unit: Optional[str] = None

    def to_options(self) -> Dict[str, Any]:
        """The value of the option C(archive_tiering)."""
        return _given(mode=self.mode, duration=self.duration, unit=self.unit)


@dataclass(frozen=True)
class Policy:
    """One policy: all that the options of C(backup_policy) can say of it."""

    policy_type: str
    schedule: Schedule
    retention: Retention
    time_zone: str = "UTC"
    instant_restore_days: Optional[int] = None
    snapshot_consistency_type: str = BEST
    resource_group_prefix: str = ""
    resource_group_suffix: str = ""
    tiering: Tiering = Tiering()

    def to_options(self) -> Dict[str, Any]:
        """The options that make this policy, without its name."""
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
