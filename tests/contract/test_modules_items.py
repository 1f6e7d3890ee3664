# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules say of the items and recovery points of Azure's answers what is in them.

The answers are those of the recordings, and some made by hand, which are there without them too.
What is expected is read off the answer here, by other code than the modules'.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Dict, Iterator, Mapping, Optional, Set, Tuple
from urllib.parse import unquote

import pytest

from tests.contract.evidence import Exchange
from tests.contract.served import (
    ERRORS,
    HANDMADE,
    ITEMS,
    Served,
    Source,
    properties,
    sources,
    time_of,
)

STATES = {"ProtectionStopped": "stopped", "BackupsSuspended": "stopped"}
CONSISTENCIES = {
    "AppConsistent": "application",
    "FileSystemConsistent": "file-system",
    "CrashConsistent": "crash",
}


# --- items --------------------------------------------------------------------------------------


def _state(of: Mapping[str, Any]) -> str:
    if of.get("isScheduledForDeferredDelete"):
        return "soft_deleted"
    return STATES.get(of["protectionState"], "protected")


def _gone_for_good(of: Mapping[str, Any], now: Optional[datetime]) -> Optional[datetime]:
    """Return the time at which soft-deleted data is purged, computed from the time of deletion.

    Until 2022 Azure reported only the time that is left, not the number of days.
    """
    at = time_of(of.get("deferredDeleteTimeInUTC"))
    if at is None or now is None:
        return None
    if "softDeleteRetentionPeriod" in of:
        return at + timedelta(days=of["softDeleteRetentionPeriod"])
    days, hours, minutes, seconds = map(
        int, re.split("[.:]", of["deferredDeleteTimeRemaining"])[:4]
    )
    return now + timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _vms(listed: Exchange) -> Dict[str, Mapping[str, Any]]:
    return {of["virtualMachineId"].lower(): of for of in properties(listed)}


def _lists_of_all_kinds(source: Source) -> Iterator[Exchange]:
    """Yield the lists that have an item unlike those of the lists before."""
    seen: Set[Tuple[str, ...]] = set()
    for listed in source.answers(ITEMS):
        kinds = {
            (_state(of), of["policyName"], of["healthStatus"], of["lastBackupStatus"])
            for of in properties(listed)
        }
        if not kinds <= seen:
            seen |= kinds
            yield listed


@pytest.mark.parametrize("source", sources(ITEMS, [ERRORS]))
def test_items_are_told_as_they_are(source: Source, served: Served) -> None:
    """States, policies, soft-delete dates, health and last backups of every kind of item."""
    for listed in _lists_of_all_kinds(source):
        expected = {
            vm: of for vm, of in _vms(listed).items() if of["backupManagementType"] == "AzureIaasVM"
        }
        served.only(listed)
        done = served.run("protected_vm_info", listed)
        assert not done.failed, (listed.where, done.result)
        assert {vm["id"].lower() for vm in done["vms"]} == set(expected), listed.where
        for vm in done["vms"]:
            of = expected[vm["id"].lower()]
            assert vm["state"] == _state(of), listed.where
            assert vm["protection_state"] == of["protectionState"], listed.where
            assert vm["policy"] == (of["policyName"] or None), listed.where
            assert vm["policy_id"] == (of["policyId"] or None), listed.where
            until = time_of(vm["soft_deleted_until"])
            assert until == _gone_for_good(of, time_of(served.now())), listed.where
            assert vm["health_status"] == of["healthStatus"], listed.where
            assert vm["last_backup_status"] == (of["lastBackupStatus"] or None), listed.where
            assert time_of(vm["last_backup_time"]) == time_of(of["lastBackupTime"]), listed.where
            reported = [(one["code"], one["title"], one["message"]) for one in vm["health_details"]]
            details = of.get("healthDetails") or ()
            assert reported == [(one["code"], one["title"], one["message"]) for one in details]
        assert served.writes() == []


def test_states_and_dates_of_what_is_made_by_hand(served: Served) -> None:
    """Word by word, so that no rule is shared with the test above."""
    (listed,) = HANDMADE.answers(ITEMS)
    served.only(listed)
    done = served.run("protected_vm_info", listed)
    reported = {vm["name"]: (vm["state"], vm["soft_deleted_until"]) for vm in done["vms"]}
    assert reported == {
        "fresh01": ("protected", None),
        "backed01": ("protected", None),
        "ill01": ("protected", None),
        "held01": ("stopped", None),
        "stopped01": ("stopped", None),
        "deleted01": ("soft_deleted", "2026-03-15T10:20:30Z"),
    }


def _one_of_each(source: Source) -> Iterator[Tuple[Exchange, str, Mapping[str, Any]]]:
    """Yield a list, a VM in it, and its properties: one for each state."""
    seen: Set[Tuple[str, ...]] = set()
    for listed in source.answers(ITEMS):
        for vm, of in _vms(listed).items():
            kind = (_state(of), of["protectionState"])
            if kind not in seen:
                seen.add(kind)
                yield listed, vm, of


@pytest.mark.parametrize("source", sources(ITEMS))
def test_a_vm_under_its_policy_is_as_wanted(source: Source, served: Served) -> None:
    """Check in check mode that only VMs without protection need a change."""
    for listed, vm, of in _one_of_each(source):
        policy = of["policyName"] or "AnyPolicy"
        name = f"{listed.path[: -len(ITEMS)]}/backupPolicies/{policy}"
        of_vms = {"properties": {"backupManagementType": "AzureIaasVM", "policyType": "V1"}}
        body = {"id": name, "name": policy, **of_vms}
        served.only(listed, replace(listed, url=name, response=body))
        done = served.run("protected_vm", listed, check=True, vm=vm, policy=policy)
        assert not done.failed, (listed.where, done.result)
        assert done["changed"] is (of["protectionState"] not in ("Protected", "IRPending")), vm
        assert served.writes() == []


@pytest.mark.parametrize("source", sources(ITEMS))
def test_only_what_is_protected_is_backed_up(source: Source, served: Served) -> None:
    """Check in check mode that a VM that is not protected gets a named refusal."""
    for listed, vm, of in _one_of_each(source):
        served.only(listed)
        done = served.run("vm_backup", listed, check=True, vm=vm)
        assert served.writes() == []
        if _state(of) == "protected":
            assert not done.failed and done["changed"] is True, (listed.where, done.result)
        else:
            assert done.failed and not done["changed"], (listed.where, done.result)
            assert done["failure"]["name"], done.result
            assert done["failure"]["recommended_action"], done.result


# --- recovery points ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", sources("/recoveryPoints"))
def test_recovery_points_are_told_as_they_are(source: Source, served: Served) -> None:
    """Consistency, time, expiry and tiers of every point."""
    for listed in source.answers("/recoveryPoints"):
        item = unquote(listed.path.rpartition("/recoveryPoints")[0]).lower()
        holders = [
            items
            for items in source.answers(ITEMS)
            if item in {one["id"].lower() for one in items.response["value"]}
        ]
        served.only(listed, holders[-1])
        vm = next(
            one["properties"]["virtualMachineId"]
            for one in holders[-1].response["value"]
            if one["id"].lower() == item
        )
        done = served.run("recovery_point_info", listed, vm=vm)
        assert not done.failed, (listed.where, done.result)
        points = {one["recovery_point_id"]: one for one in done["vms"][0]["recovery_points"]}
        times = [point["time"] for point in done["vms"][0]["recovery_points"]]
        assert times == sorted(times, reverse=True)
        assert set(points) == {one["name"] for one in listed.response["value"]}
        for one in listed.response["value"]:
            of, point = one["properties"], points[one["name"]]
            assert point["type"] == of["recoveryPointType"]
            assert point["consistency"] == CONSISTENCIES[of["recoveryPointType"]], listed.where
            assert time_of(point["time"]) == time_of(of["recoveryPointTime"])
            expiry = (of.get("recoveryPointProperties") or {}).get("expiryTime")
            assert time_of(point["expiry_time"]) == time_of(expiry)
            tiers = [(tier["type"], tier["status"]) for tier in point["tiers"]]
            wanted = [(tier["type"], tier["status"]) for tier in of["recoveryPointTierDetails"]]
            assert tiers == wanted
            assert point["os_type"] == of["osType"]
            assert point["vm_size"] == of["virtualMachineSize"]
