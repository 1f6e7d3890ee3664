# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies: what every vault begins with, how they are kept, and their bounds."""

from __future__ import annotations

import copy
from typing import Any, Callable, Dict

import pytest

from tests.lab.recovery_services import policies
from tests.lab.recovery_services.bodies import policy_body
from tests.lab.recovery_services.errors import AzureError
from tests.lab.recovery_services.estate import Estate
from tests.unit.lab.recovery_services.helpers import pass_time, protect, the_vault

_TIME = "2026-03-01T18:30:00.000Z"
_Change = Callable[[Dict[str, Any]], Any]


def _kept(count: int, unit: str, **more: Any) -> Dict[str, Any]:
    duration = {"count": count, "durationType": unit}
    return {"retentionTimes": [_TIME], "retentionDuration": duration, **more}


def _daily() -> Dict[str, Any]:
    return {
        "backupManagementType": "AzureIaasVM",
        "policyType": "V1",
        "schedulePolicy": {
            "schedulePolicyType": "SimpleSchedulePolicy",
            "scheduleRunFrequency": "Daily",
            "scheduleRunTimes": [_TIME],
        },
        "retentionPolicy": {
            "retentionPolicyType": "LongTermRetentionPolicy",
            "dailySchedule": _kept(30, "Days"),
        },
        "instantRpRetentionRangeInDays": 2,
        "timeZone": "W. Europe Standard Time",
    }


def _weekly() -> Dict[str, Any]:
    body = _daily()
    body["schedulePolicy"].update(scheduleRunFrequency="Weekly", scheduleRunDays=["Sunday"])
    weekly = _kept(12, "Weeks", daysOfTheWeek=["Sunday"])
    body["retentionPolicy"] = {
        "retentionPolicyType": "LongTermRetentionPolicy",
        "weeklySchedule": weekly,
    }
    body["instantRpRetentionRangeInDays"] = 5
    return body


def _hourly() -> Dict[str, Any]:
    body = _daily()
    body["policyType"] = "V2"
    body["schedulePolicy"] = {
        "schedulePolicyType": "SimpleSchedulePolicyV2",
        "scheduleRunFrequency": "Hourly",
        "hourlySchedule": {
            "interval": 4,
            "scheduleWindowStartTime": _TIME,
            "scheduleWindowDuration": 12,
        },
    }
    return body


def _put(estate: Estate, body: Dict[str, Any], name: str = "Gold") -> Any:
    return policies.put(estate, the_vault(estate), name, {"properties": body})


@pytest.mark.parametrize("make", [_daily, _weekly, _hourly])
def test_good_policies(estate: Estate, make: Callable[[], Dict[str, Any]]) -> None:
    assert _put(estate, make()) is None
    name, kept = policies.find(the_vault(estate), "GOLD")
    assert name == "Gold"
    assert kept["timeZone"] == "W. Europe Standard Time"
    assert ".000Z" not in str(kept)


def test_what_a_new_vault_has(estate: Estate) -> None:
    vault = the_vault(estate)
    names = [name for name, _body in vault.policies.values()]
    assert names == ["HourlyLogBackup", "DefaultPolicy", "EnhancedPolicy"]
    for name in ("DefaultPolicy", "EnhancedPolicy"):
        _name, body = policies.find(vault, name)
        assert _put(estate, copy.deepcopy(body), f"Copy-of-{name}") is None


def test_what_is_left_out_is_filled_in(estate: Estate) -> None:
    body = _daily()
    for name in ("policyType", "instantRpRetentionRangeInDays", "timeZone"):
        del body[name]
    _put(estate, body)
    kept = policy_body(the_vault(estate), *policies.find(the_vault(estate), "Gold"))["properties"]
    assert (kept["policyType"], kept["instantRpRetentionRangeInDays"]) == ("V1", 2)
    assert (kept["timeZone"], kept["instantRPDetails"]) == ("UTC", {})
    assert kept["protectedItemsCount"] == 0


def _schedule(**changes: Any) -> _Change:
    return lambda body: body["schedulePolicy"].update(changes)


def _hours(**changes: Any) -> _Change:
    return lambda body: body["schedulePolicy"]["hourlySchedule"].update(changes)


def _retention(**changes: Any) -> _Change:
    return lambda body: body["retentionPolicy"].update(changes)


def _top(**changes: Any) -> _Change:
    return lambda body: body.update(changes)


_MONTHLY = {"retentionScheduleFormatType": "Daily"}


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (_daily, _schedule(scheduleRunFrequency="Hourly")),
        (_daily, _schedule(scheduleRunTimes=["2026-03-01T18:15:00Z"])),
        (_daily, _schedule(scheduleRunTimes=[])),
        (_daily, _schedule(scheduleRunTimes=["evening"])),
        (_daily, _schedule(schedulePolicyType="LongTermSchedulePolicy")),
        (_daily, _retention(dailySchedule=_kept(6, "Days"))),
        (_daily, _retention(dailySchedule=_kept(10000, "Days"))),
        (_daily, _retention(dailySchedule=_kept(30, "Weeks"))),
        (_daily, _retention(dailySchedule=None)),
        (_daily, _retention(weeklySchedule=_kept(5164, "Weeks", daysOfTheWeek=["Sunday"]))),
        (_daily, _retention(weeklySchedule=_kept(4, "Weeks", daysOfTheWeek=[]))),
        (_daily, _retention(monthlySchedule=_kept(1189, "Months", **_MONTHLY))),
        (_daily, _retention(monthlySchedule=_kept(3, "Months", **_MONTHLY))),
        (_daily, _retention(yearlySchedule=_kept(100, "Years"))),
        (_daily, _retention(retentionPolicyType="SimpleRetentionPolicy")),
        (_daily, _top(instantRpRetentionRangeInDays=6)),
        (_daily, _top(instantRpRetentionRangeInDays=0)),
        (_daily, _top(timeZone="Europe/Amsterdam")),
        (_daily, _top(policyType="V2")),
        (_daily, _top(snapshotConsistencyType="OnlyCrashConsistent")),
        (_hourly, _top(snapshotConsistencyType="Other")),
        (_daily, _top(backupManagementType="MAB")),
        (_daily, _top(tieringPolicy={"ArchivedRP": {"tieringMode": "Sometimes"}})),
        (
            _daily,
            _top(
                tieringPolicy={
                    "ArchivedRP": {
                        "tieringMode": "TierAfter",
                        "duration": 2,
                        "durationType": "Months",
                    }
                }
            ),
        ),
        (_daily, _top(instantRPDetails={"azureBackupRGNameSuffix": "x"})),
        (_weekly, _schedule(scheduleRunDays=[])),
        (_weekly, _top(instantRpRetentionRangeInDays=4)),
        (_weekly, _retention(dailySchedule=_kept(30, "Days"))),
        (_weekly, _retention(weeklySchedule=_kept(4, "Weeks", daysOfTheWeek=["Monday"]))),
        (_hourly, _hours(interval=5)),
        (_hourly, _hours(scheduleWindowDuration=25)),
        (_hourly, _hours(interval=12, scheduleWindowDuration=8)),
        (_hourly, _top(instantRpRetentionRangeInDays=31)),
    ],
)
def test_what_is_out_of_bounds(
    estate: Estate, make: Callable[[], Dict[str, Any]], change: _Change
) -> None:
    body = make()
    change(body)
    with pytest.raises(AzureError, match="400 BMSUserErrorInvalidPolicyInput"):
        _put(estate, body)
    assert "gold" not in the_vault(estate).policies


@pytest.mark.parametrize("name", ["ab", "1st", "a" * 151, "with space", "a/b"])
def test_names_that_are_refused(estate: Estate, name: str) -> None:
    with pytest.raises(AzureError, match="BMSUserErrorInvalidPolicyInput"):
        _put(estate, _daily(), name)


def test_a_policy_in_use_changes_later_and_is_not_deleted(estate: Estate) -> None:
    vault = the_vault(estate)
    protect(estate)
    body = _daily()
    assert _put(estate, body, "defaultpolicy") is not None
    assert policies.find(vault, "DefaultPolicy")[1]["timeZone"] == "UTC"
    pass_time(estate, 15)
    assert policies.find(vault, "DefaultPolicy")[1]["timeZone"] == body["timeZone"]
    assert policies.find(vault, "DefaultPolicy")[0] == "DefaultPolicy"
    with pytest.raises(AzureError, match="400 BMSUserErrorPolicyObjectInUse"):
        policies.delete(vault, "DefaultPolicy")


def test_a_policy_is_deleted(estate: Estate) -> None:
    vault = the_vault(estate)
    assert policies.delete(vault, "enhancedpolicy")
    assert not policies.delete(vault, "enhancedpolicy")
    with pytest.raises(AzureError, match="404"):
        policies.find(vault, "EnhancedPolicy")


def test_the_type_of_a_policy_stays(estate: Estate) -> None:
    _put(estate, _daily())
    with pytest.raises(AzureError, match="cannot be changed"):
        _put(estate, _hourly())
