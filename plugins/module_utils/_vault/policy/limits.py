# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits within which Azure accepts a backup policy for VMs.

They are published. A policy is refused here by a message that names the option, not by Azure
as "not in proper format". Sources, of 2026-11:

- `PolicyConstants` and the policy objects of Azure PowerShell's Az.RecoveryServices:
  backups are kept for 7 to 9999 days, 1 to 5163 weeks, 1 to 1188 months, 1 to 99 years;
  dates go up to the 28th; times are on the hour or half past;
  weekdays of retention are among those of a weekly schedule, which allows no dates;
- instant restore 1 to 5 days, fixed to 5 for weekly policies: "Azure Instant Restore Capability" of
  Azure's documentation; 1 to 30 for enhanced policies, hourly backups only with them: "Back up an
  Azure VM using Enhanced policy";
- every 4, 6, 8 or 12 hours: the OpenAPI description, `HourlySchedule`;
- a window from 4 to 24 hours, at least as long as the interval: PowerShell's documentation, and
  that of Terraform's `azurerm_backup_policy_vm`;
- only crash-consistent snapshots with enhanced policies only: "Agentless multi-disk
  crash-consistent backup".
"""

from __future__ import annotations

import re
from typing import Any

from ..._errors import Failure, SettingsError
from .model import AFTER, ENHANCED, HOURLY, ONLY_CRASH, STANDARD, WEEKLY, Dates, Policy

DAYS_KEPT, WEEKS_KEPT, MONTHS_KEPT, YEARS_KEPT = (7, 9999), (1, 5163), (1, 1188), (1, 99)
INSTANT_DAYS = {STANDARD: (1, 5), ENHANCED: (1, 30)}
INSTANT_DAYS_WEEKLY = 5
DATES_OF_MONTH = (1, 28)
INTERVALS, WINDOW_HOURS = (4, 6, 8, 12), (4, 24)
# Archive tiering waits for this many months at least.
TIERING_MONTHS = 3
_NAME = re.compile(r"[A-Za-z][-_!A-Za-z0-9]{2,149}")
_NOT_IN_A_NAME = re.compile(r"[/\\?#%&<>*:;\x00-\x1f\x7f]")
_TIME = re.compile(r"(\d{1,2}):(\d\d)(?::00)?")


def check_name(name: str, to_make: bool = False) -> None:
    """Refuse an invalid name of a policy; the rules for a policy `to_make` are stricter."""
    if to_make and not _NAME.fullmatch(name):
        raise SettingsError(
            Failure(
                "InvalidPolicyName",
                f"{name!r} cannot be the name of a new backup policy.",
                "Use 3 to 150 letters, digits, hyphens and underscores, beginning with a letter.",
            )
        )
    if not name.strip() or name in (".", "..") or _NOT_IN_A_NAME.search(name):
        raise SettingsError(
            Failure(
                "InvalidPolicyName",
                f"{name!r} cannot be the name of a backup policy.",
                "Set the name of the policy alone, without its vault.",
            )
        )


def time_of_day(option: str, text: Any) -> str:
    """Return the time as `HH:MM`; refuse other texts, and times not on the hour or half past."""
    found = _TIME.fullmatch(str(text).strip())
    if not found or int(found[1]) > 23:
        hint = f"Set {option} as HH:MM, from 00:00 to 23:30."
        if str(text).strip().isdigit():
            hint += " Put it in quotes: without them YAML reads 18:30 as a number."
        raise SettingsError(
            Failure("InvalidOption", f"{option} {text!r} must be a time of day.", hint)
        )
    if found[2] not in ("00", "30"):
        raise SettingsError(
            Failure(
                "InvalidOption",
                f"{option} {text!r} must be on the hour or half past.",
                f"Set {option} to a time such as 18:00 or 18:30.",
            )
        )
    return f"{int(found[1]):02}:{found[2]}"


def check_policy(policy: Policy) -> None:
    """Refuse a policy that Azure would refuse."""
    _check_schedule(policy)
    _check_retention(policy)
    _check_instant_restore(policy)
    if policy.snapshot_consistency_type == ONLY_CRASH and policy.policy_type != ENHANCED:
        raise _conflict(
            "snapshot_consistency_type only_crash_consistent needs policy_type enhanced, "
            f"and the policy is {policy.policy_type}.",
            "Set policy_type to enhanced.",
        )
    if "/" in policy.time_zone or not policy.time_zone:
        raise SettingsError(
            Failure(
                "InvalidOption",
                f"time_zone {policy.time_zone!r} must be a Windows time zone.",
                "Set time_zone to a name such as UTC or W. Europe Standard Time.",
            )
        )
    _check_tiering(policy)


def warnings_of(policy: Policy) -> tuple[str, ...]:
    """Return warnings about a policy that Azure accepts."""
    warnings = []
    if policy.snapshot_consistency_type == ONLY_CRASH:
        warnings.append(
            "With snapshot_consistency_type only_crash_consistent Azure Backup runs no pre-script "
            "and no post-script: every recovery point of this policy is crash-consistent."
        )
    kept, instant = policy.retention.daily_days, policy.instant_restore_days
    if policy.retention.daily_unit:
        kept = None
    if kept is not None and instant is not None and instant > kept:
        warnings.append(
            f"Snapshots are kept for {instant} days and daily backups for {kept}: Azure does not "
            "delete a recovery point before its snapshot."
        )
    return tuple(warnings)


def _check_schedule(policy: Policy) -> None:
    schedule = policy.schedule
    if schedule.frequency == HOURLY:
        if policy.policy_type != ENHANCED:
            raise _conflict(
                f"schedule.frequency hourly needs policy_type enhanced, and the policy is "
                f"{policy.policy_type}.",
                "Set policy_type to enhanced, or schedule.frequency to daily or weekly.",
            )
        interval, window = schedule.interval_hours, schedule.window_hours
        if interval not in INTERVALS:
            raise SettingsError(
                Failure(
                    "InvalidOption",
                    f"schedule.interval_hours {interval} must be 4, 6, 8 or 12.",
                    "Set schedule.interval_hours to 4, 6, 8 or 12.",
                )
            )
        _range("schedule.window_hours", window, WINDOW_HOURS)
        if window is not None and interval is not None and window < interval:
            raise _conflict(
                f"schedule.window_hours {window} is less than schedule.interval_hours {interval}.",
                f"Set schedule.window_hours to {interval} or more.",
            )
    elif schedule.frequency == WEEKLY and not schedule.days_of_week:
        raise SettingsError(
            Failure(
                "InvalidOption",
                "schedule.days_of_week is empty, and schedule.frequency is weekly.",
                "Set schedule.days_of_week to at least one weekday.",
            )
        )


def _check_retention(policy: Policy) -> None:
    retention, weekly = policy.retention, policy.schedule.frequency == WEEKLY
    if weekly and retention.daily_days is not None:
        raise _conflict(
            f"retention.daily.days {retention.daily_days} conflicts with schedule.frequency "
            "weekly, which makes no daily backups.",
            "Set retention.daily.days to 0 to remove the rule, and set retention.weekly.",
        )
    if weekly and retention.weekly is None:
        raise _conflict(
            "A policy with schedule.frequency weekly needs retention.weekly.",
            "Set retention.weekly.weeks.",
        )
    if not weekly and retention.daily_days is None:
        raise _conflict(
            f"A policy with schedule.frequency {policy.schedule.frequency} needs retention.daily.",
            "Set retention.daily.days to 7 or more.",
        )
    # A count in another unit comes from Azure, and stays as it is.
    if not retention.daily_unit:
        _range("retention.daily.days", retention.daily_days, DAYS_KEPT)
    among = policy.schedule.days_of_week if weekly else ()
    if retention.weekly:
        if not retention.weekly.unit:
            _range("retention.weekly.weeks", retention.weekly.weeks, WEEKS_KEPT)
        _weekdays("retention.weekly.days_of_week", retention.weekly.days_of_week, among)
    if retention.monthly:
        if not retention.monthly.unit:
            _range("retention.monthly.months", retention.monthly.months, MONTHS_KEPT)
        _check_dates("retention.monthly", retention.monthly.dates, weekly, among)
    if retention.yearly:
        if not retention.yearly.unit:
            _range("retention.yearly.years", retention.yearly.years, YEARS_KEPT)
        if not retention.yearly.months_of_year:
            raise SettingsError(
                Failure(
                    "InvalidOption",
                    "retention.yearly.months_of_year is empty.",
                    "Set retention.yearly.months_of_year to at least one month.",
                )
            )
        _check_dates("retention.yearly", retention.yearly.dates, weekly, among)


def _check_dates(option: str, dates: Dates, weekly: bool, among: tuple[str, ...]) -> None:
    if dates.by_date:
        if weekly:
            raise _conflict(
                f"{option} selects backups by dates, and schedule.frequency weekly makes backups "
                "on weekdays only.",
                f"Set {option}.days_of_week and {option}.weeks_of_month.",
            )
        for date in dates.days_of_month:
            _range(f"{option}.days_of_month", date, DATES_OF_MONTH, "last_day_of_month is the last")
        return
    _weekdays(f"{option}.days_of_week", dates.days_of_week, among)
    if not dates.weeks_of_month:
        raise SettingsError(
            Failure(
                "InvalidOption",
                f"{option}.weeks_of_month is empty.",
                f"Set {option}.weeks_of_month to at least one week.",
            )
        )


def _weekdays(option: str, days: tuple[str, ...], among: tuple[str, ...]) -> None:
    if not days:
        raise SettingsError(
            Failure(
                "InvalidOption", f"{option} is empty.", f"Set {option} to at least one weekday."
            )
        )
    foreign = [day for day in days if among and day not in among]
    if foreign:
        raise _conflict(
            f"{option} has {', '.join(foreign)}, on which the weekly schedule makes no backup.",
            f"Set {option} to days of schedule.days_of_week: {', '.join(among)}.",
        )


def _check_instant_restore(policy: Policy) -> None:
    days, weekly = policy.instant_restore_days, policy.schedule.frequency == WEEKLY
    _range(
        "instant_restore_days",
        days,
        INSTANT_DAYS[policy.policy_type],
        f"with policy_type {policy.policy_type}",
    )
    if weekly and days is not None and days < INSTANT_DAYS_WEEKLY:
        raise _conflict(
            f"instant_restore_days {days} conflicts with schedule.frequency weekly, for which "
            f"Azure keeps snapshots for {INSTANT_DAYS_WEEKLY} days"
            f"{' or more' if policy.policy_type == ENHANCED else ''}.",
            f"Set instant_restore_days to {INSTANT_DAYS_WEEKLY}, or omit it.",
        )
    if policy.resource_group_suffix and not policy.resource_group_prefix:
        raise _conflict(
            "instant_restore_resource_group.suffix is set without prefix.",
            "Set instant_restore_resource_group.prefix too.",
        )


def _check_tiering(policy: Policy) -> None:
    tiering = policy.tiering
    if tiering.mode != AFTER:
        return
    months = (tiering.duration or 0) * (12 if tiering.unit == "years" else 1)
    if months < TIERING_MONTHS:
        raise SettingsError(
            Failure(
                "InvalidOption",
                f"archive_tiering.duration {tiering.duration} {tiering.unit or ''} is too short.",
                f"Set archive_tiering.duration to {TIERING_MONTHS} months or more.",
            )
        )


def _range(option: str, value: int | None, bounds: tuple[int, int], more: str = "") -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        raise SettingsError(
            Failure(
                "InvalidOption",
                f"{option} {value} must be from {low} to {high}{f' ({more})' if more else ''}.",
                f"Set {option} to a number from {low} to {high}.",
            )
        )


def _conflict(message: str, action: str) -> SettingsError:
    return SettingsError(Failure("ConflictingOptions", message, action))
