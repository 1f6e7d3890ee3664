# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""backup_policy and backup_policy_info against the lab's Azure."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_policy import (
    BACKUP_POLICY,
    manage_policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import TaskContext
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.connection import connect
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policies import apply
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policy.desired import (
    desired_policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.policies import (
    find_policy,
)
from tests.integration.guest_rig import warnings
from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services import seed
from tests.lab.recovery_services.lab import RecoveryServices

POLICIES = "/backupPolicies"

#: Every kind of policy, in the words of the options.
KINDS: Dict[str, Dict[str, Any]] = {
    "no options": {},
    "daily with all rules": {
        "schedule": {"frequency": "daily", "time": "01:30"},
        "time_zone": "W. Europe Standard Time",
        "instant_restore_days": 5,
        "retention": {
            "daily": {"days": 7},
            "weekly": {"weeks": 5163, "days_of_week": ["sunday", "wednesday"]},
            "monthly": {"months": 1188, "days_of_month": [1, 28], "last_day_of_month": True},
            "yearly": {
                "years": 99,
                "months_of_year": ["december", "january"],
                "days_of_week": ["sunday"],
                "weeks_of_month": ["first", "last"],
            },
        },
        "instant_restore_resource_group": {"prefix": "snap", "suffix": "rg"},
        "archive_tiering": {"mode": "after", "duration": 3},
    },
    "weekly": {
        "schedule": {"frequency": "weekly", "time": "23:30", "days_of_week": ["friday", "monday"]},
        "retention": {
            "weekly": {"weeks": 4},
            "monthly": {"months": 6, "days_of_week": ["monday"], "weeks_of_month": ["second"]},
        },
    },
    "hourly": {
        "policy_type": "enhanced",
        "schedule": {
            "frequency": "hourly",
            "interval_hours": 6,
            "window_start": "06:00",
            "window_hours": 12,
        },
        "retention": {"daily": {"days": 30}, "yearly": {"years": 1}},
        "instant_restore_days": 30,
        "snapshot_consistency_type": "only_crash_consistent",
        "archive_tiering": {"mode": "recommended"},
    },
    "enhanced daily": {"policy_type": "enhanced", "schedule": {"frequency": "daily"}},
    "enhanced weekly": {"policy_type": "enhanced", "schedule": {"frequency": "weekly"}},
}


def put(azure: RecoveryServices, check: bool = False, **options: Any) -> ModuleRun:
    """Run backup_policy on the policy `gold`, with a new record of requests."""
    azure.forget_requests()
    return run_module(
        "backup_policy", {**azure.options(), "name": "gold", **options}, check=check, diff=True
    )


def info(azure: RecoveryServices, **options: Any) -> List[Dict[str, Any]]:
    done = run_module("backup_policy_info", {**azure.options(), **options})
    assert not done.failed, done
    found: List[Dict[str, Any]] = done["policies"]
    return found


def only(azure: RecoveryServices, name: str = "gold") -> Dict[str, Any]:
    (found,) = info(azure, name=name)
    return found


def requests(azure: RecoveryServices) -> List[str]:
    """Return the methods of the requests for policies, in order."""
    return [one.method for one in azure.requests() if POLICIES in one.path]


def sent(azure: RecoveryServices) -> Dict[str, Any]:
    """Return the properties of the one policy that was sent."""
    (request,) = [one for one in azure.requests() if one.method == "PUT"]
    properties: Dict[str, Any] = request.body["properties"]
    return properties


def within(wanted: Any, found: Any) -> bool:
    """Return True if all that is wanted is found, lists in any order."""
    if isinstance(wanted, dict):
        return all(within(value, found[key]) for key, value in wanted.items())
    if isinstance(wanted, list):
        return sorted(wanted) == sorted(found)
    return bool(wanted == found)


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS.keys())
def test_create_look_and_do_nothing(
    recovery_services: RecoveryServices, options: Dict[str, Any]
) -> None:
    azure = recovery_services
    tried = put(azure, check=True, **options)
    assert tried["changed"] and requests(azure) == ["GET"] and not azure.writes()
    assert tried["id"] is None
    made = put(azure, **options)
    assert not made.failed, made
    assert made["changed"] and requests(azure) == ["GET", "PUT"]
    assert made["policy"] == tried["policy"] and made["diff"] == tried["diff"]
    assert made["diff"]["before"] == {}
    assert {"name": "gold", **made["diff"]["after"]} == made["policy"]
    assert within(options, made["policy"])
    shown = only(azure)
    assert shown["policy"] == made["policy"] and shown["id"] == made["id"]
    for again in (options, {}, made["policy"], {"name": "GOLD"}):
        done = put(azure, **again)
        assert not done.failed, done
        assert not done["changed"] and requests(azure) == ["GET"] and not azure.writes()
        assert done["diff"]["before"] == done["diff"]["after"]
        assert done["policy"] == made["policy"]
    # What is shown makes the same policy elsewhere.
    other = put(azure, **{**made["policy"], "name": "copy"})
    assert other["changed"]
    assert {**only(azure, "copy")["policy"], "name": "gold"} == made["policy"]
    gone = put(azure, check=True, state="absent")
    assert gone["changed"] and requests(azure) == ["GET"] and not azure.writes()
    assert put(azure, state="absent")["changed"] and requests(azure) == ["GET", "DELETE"]
    assert info(azure, name="gold") == []
    assert not put(azure, state="absent")["changed"] and not azure.writes()


CHANGES: Dict[str, Any] = {
    "time": ({"schedule": {"time": "02:00"}}, ("schedule", "time")),
    "time zone": ({"time_zone": "Pacific Standard Time"}, ("time_zone",)),
    "instant restore": ({"instant_restore_days": 1}, ("instant_restore_days",)),
    "daily": ({"retention": {"daily": {"days": 8}}}, ("retention", "daily")),
    "weekly": ({"retention": {"weekly": {"weeks": 1}}}, ("retention", "weekly", "weeks")),
    "no weekly": ({"retention": {"weekly": {"weeks": 0}}}, ("retention", "weekly")),
    "dates": (
        {"retention": {"monthly": {"months": 1188, "days_of_month": [2]}}},
        ("retention", "monthly"),
    ),
    "weekdays for dates": (
        {
            "retention": {
                "monthly": {"months": 9, "days_of_week": ["friday"], "weeks_of_month": ["third"]}
            }
        },
        ("retention", "monthly"),
    ),
    "months": (
        {"retention": {"yearly": {"years": 99, "months_of_year": ["may"]}}},
        ("retention", "yearly", "months_of_year"),
    ),
    "snapshots' group": (
        {"instant_restore_resource_group": {"suffix": ""}},
        ("instant_restore_resource_group", "suffix"),
    ),
    "tiering": ({"archive_tiering": {"mode": "do_not_tier"}}, ("archive_tiering",)),
}


@pytest.mark.parametrize(("options", "where"), CHANGES.values(), ids=CHANGES.keys())
def test_one_change_changes_nothing_else(
    recovery_services: RecoveryServices, options: Dict[str, Any], where: List[str]
) -> None:
    azure = recovery_services
    before = put(azure, **KINDS["daily with all rules"])["policy"]
    tried = put(azure, check=True, **options)
    assert tried["changed"] and not azure.writes()
    done = put(azure, **options)
    assert not done.failed, done
    assert done["changed"] and requests(azure) == ["GET", "PUT"]
    assert done["diff"] == tried["diff"] and not warnings(done)
    after = only(azure)["policy"]
    assert after == done["policy"] != before
    blanked = [blank(before, where), blank(after, where)]
    assert blanked[0] == blanked[1]
    assert not put(azure, **options)["changed"]


def blank(policy: Dict[str, Any], where: List[str]) -> Dict[str, Any]:
    """Return the policy without the one value."""
    first, *rest = where
    others = {key: value for key, value in policy.items() if key != first}
    return {**others, first: blank(policy[first], rest)} if rest else others


def test_every_rule_goes_by_the_time_of_the_run(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    put(azure, **KINDS["daily with all rules"])
    assert put(azure, schedule={"time": "03:30"})["changed"]
    properties = sent(azure)
    times = {time[11:16] for time in properties["schedulePolicy"]["scheduleRunTimes"]}
    for rule in properties["retentionPolicy"].values():
        if isinstance(rule, dict):
            times.update(time[11:16] for time in rule["retentionTimes"])
    assert times == {"03:30"}
    assert properties["policyType"] == "V1" and properties["timeZone"] == "W. Europe Standard Time"


def test_another_frequency(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    put(azure)
    weekly = {"schedule": {"frequency": "weekly"}}
    refused = put(azure, **weekly)
    assert refused.failed and not azure.writes()
    assert "retention.daily.days 30" in refused["msg"]
    done = put(azure, **weekly, retention={"daily": {"days": 0}, "weekly": {"weeks": 3}})
    assert not done.failed, done
    assert done["policy"]["retention"].keys() == {"weekly"}
    assert done["policy"]["instant_restore_days"] == 5
    assert done["policy"]["schedule"]["time"] == "18:30"


def test_what_there_is_no_option_for_stays(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    estate = seed.default()
    put(azure)
    (stored,) = [policy["properties"] for policy in raw(azure) if policy["name"] == "gold"]
    stored["schedulePolicy"]["scheduleWeeklyFrequency"] = 2
    stored["schedulePolicy"]["scheduleRunTimes"] = ["2018-07-30T18:30:00Z"]
    stored.pop("policyType")
    seed.add_policy(estate["vaults"][0], "gold", stored)
    azure.reset(seed=estate)
    # A policy of long ago does not say its type.
    assert not put(azure, policy_type="standard")["changed"]
    assert put(azure, instant_restore_days=4)["changed"]
    properties = sent(azure)
    assert properties["schedulePolicy"] == stored["schedulePolicy"]
    assert properties["instantRpRetentionRangeInDays"] == 4


def raw(azure: RecoveryServices) -> List[Dict[str, Any]]:
    """Return the policies as Azure gives them."""
    connection = connect(azure.options())
    return connection.items(
        "list policies", lambda: connection.backup.backup_policies.list(**connection.vault_keywords)
    )


REFUSED: Dict[str, Any] = {
    "days": ({"retention": {"daily": {"days": 6}}}, "from 7 to 9999"),
    "weeks": ({"retention": {"weekly": {"weeks": 5164}}}, "from 1 to 5163"),
    "months": ({"retention": {"monthly": {"months": 1189}}}, "from 1 to 1188"),
    "years": ({"retention": {"yearly": {"years": 100}}}, "from 1 to 99"),
    "snapshots": ({"policy_type": "standard", "instant_restore_days": 6}, "from 1 to 5"),
    "hourly": ({"policy_type": "standard", "schedule": {"frequency": "hourly"}}, "enhanced"),
    "time": ({"schedule": {"time": 1110}}, "quotes"),
    "zone": ({"time_zone": "Europe/Berlin"}, "Windows"),
    "name": ({"name": "a/b"}, "cannot be the name"),
}


@pytest.mark.parametrize(("options", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_any_request(
    recovery_services: RecoveryServices, options: Dict[str, Any], words: str
) -> None:
    done = put(recovery_services, **options)
    assert done.failed and words in done["msg"]
    assert done["failure"]["recommended_action"]
    assert recovery_services.requests() == []


@pytest.mark.parametrize(
    ("name", "options", "failure"),
    [
        ("DefaultPolicy", {"policy_type": "enhanced"}, "PolicyTypeCannotChange"),
        ("HourlyLogBackup", {}, "PolicyOfAnotherKind"),
        ("HourlyLogBackup", {"state": "absent"}, "PolicyOfAnotherKind"),
        ("no such name, with spaces", {}, "InvalidPolicyName"),
        ("fresh", {"schedule": {"frequency": "hourly"}}, "ConflictingOptions"),
    ],
)
def test_refused_after_a_look(
    recovery_services: RecoveryServices, name: str, options: Dict[str, Any], failure: str
) -> None:
    for check in (True, False):
        done = put(recovery_services, check=check, name=name, **options)
        assert done.failed and done["failure"]["name"] == failure
        assert not recovery_services.writes()


def test_only_crash_consistent_is_warned_of(recovery_services: RecoveryServices) -> None:
    done = put(recovery_services, **KINDS["hourly"])
    assert any("no pre-script" in text for text in warnings(done))


def in_use(azure: RecoveryServices) -> None:
    """Reset the lab to two VMs under a policy."""
    estate = seed.default()
    for vm in ("app-rg/db01", "app-rg/db02"):
        seed.add_item(estate["vaults"][0], vm)
    azure.reset(seed=estate)


def test_a_policy_in_use_is_not_deleted(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    in_use(azure)
    tried = put(azure, check=True, name="DefaultPolicy", state="absent")
    assert any("2 protected items use it" in text for text in warnings(tried))
    assert not azure.writes()
    done = put(azure, name="DefaultPolicy", state="absent")
    assert done.failed and "2 protected items use it" in done["failure"]["message"]
    assert "protected_vm" in done["failure"]["recommended_action"]
    assert done["failure"]["http_status"] == 400 and done["failure"]["correlation_id"]
    assert only(azure, "DefaultPolicy")["protected_items_count"] == 2
    # Azure's list of all policies does not say it.
    counts = {one["name"]: one["protected_items_count"] for one in info(azure)}
    assert counts == {"DefaultPolicy": 2, "EnhancedPolicy": 0}


def test_a_change_that_azure_carries_to_the_vms_is_waited_for(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    in_use(azure)
    done = put(azure, name="defaultpolicy", retention={"daily": {"days": 60}})
    assert not done.failed, done
    (written,) = azure.writes()
    assert (written.method, written.status) == ("PUT", 202)
    # The policy is read again when the operation has ended.
    assert requests(azure)[0] == "GET" and requests(azure)[-1] == "GET"
    rows = {one["name"]: (one["status"], one["failure"]) for one in done["vms"]}
    assert rows == {"db01": ("Completed", None), "db02": ("Completed", None)}
    jobs = azure.state()["vaults"]["vault1"]["jobs"]
    assert {one["job_id"] for one in done["vms"]} == {job["name"] for job in jobs}
    assert only(azure, "DefaultPolicy")["policy"]["retention"]["daily"] == {"days": 60}
    assert done["protected_items_count"] == 2 and done["policy"]["name"] == "DefaultPolicy"


def test_vms_that_did_not_get_a_change_are_named(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    in_use(azure)
    azure.next_job("db02", "ConfigureBackup", result="failed", code="UserErrorVmNotFoundV2")
    done = put(azure, name="DefaultPolicy", retention={"daily": {"days": 60}})
    assert done.failed and done["changed"] is True
    assert done["failure"]["name"] == "UserErrorVmNotFoundV2"
    for word in ("DefaultPolicy is stored", "1 of 2 VMs", "db02"):
        assert word in done["failure"]["message"], done["failure"]
    assert "db01" not in done["failure"]["message"] and done["failure"]["recommended_action"]
    failures = {one["name"]: one["failure"] for one in done["vms"]}
    assert failures["db01"] is None and failures["db02"]["name"] == "UserErrorVmNotFoundV2"
    # The policy itself has changed, and the result and the difference say so.
    assert done["policy"]["retention"]["daily"] == {"days": 60}
    assert only(azure, "DefaultPolicy")["policy"]["retention"]["daily"] == {"days": 60}


class Fast(Clock):
    """A clock whose hours pass at once."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.mark.parametrize(
    ("status", "error", "name"),
    [
        ("InProgress", None, "OperationTimedOut"),
        ("Failed", {"code": "BMSUserErrorInvalidPolicyInput", "message": "No"}, None),
        ("Canceled", None, "OperationCanceled"),
    ],
)
def test_an_operation_that_does_not_end_well(
    recovery_services: RecoveryServices, status: str, error: Optional[Dict[str, Any]], name: str
) -> None:
    azure = recovery_services
    in_use(azure)
    body = {"id": "x", "name": "x", "status": status, **({"error": error} if error else {})}
    azure.fault(method="GET", path="/operations/", status=200, body=body, times=1000)
    connection = connect(azure.options(), clock=Fast())
    present = find_policy(connection, "DefaultPolicy")
    assert present is not None
    wanted = desired_policy({"instant_restore_days": 4}, present.policy)
    with pytest.raises(VaultError) as caught:
        apply.put_policy(connection, "DefaultPolicy", wanted, present)
    failure = caught.value.failure
    assert failure.name == (name or "BMSUserErrorInvalidPolicyInput")
    assert "DefaultPolicy" in failure.message and failure.recommended_action
    # Azure permits 300 reads an hour: as many as four operations that never end.
    polls = [request for request in azure.requests() if "/operations/" in request.path]
    assert 4 * len(polls) <= 300


class Lab(Fast):
    """The same; the lab's clock goes with it."""

    def __init__(self, azure: RecoveryServices) -> None:
        super().__init__()
        self._azure = azure

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._azure.advance(seconds)


def change(azure: RecoveryServices) -> Dict[str, Any]:
    """Change DefaultPolicy, the lab's clock standing; the result, with `failed`."""
    params = {**azure.options(), "name": "DefaultPolicy", "state": "present"}
    params["instant_restore_days"] = 4
    arguments = {**dict.fromkeys(BACKUP_POLICY.argument_spec), **params}
    connection = connect(params, clock=Lab(azure))
    try:
        return {**manage_policy(connection, TaskContext(arguments)), "failed": None}
    except QuiesceError as error:
        result: Dict[str, Any] = getattr(error, "result", {})
        return {**result, "failed": error.failure.name, "msg": str(error)}


@pytest.mark.parametrize(
    ("of", "name"),
    [
        ({}, "OperationNamesNoJob"),
        ({"properties": None}, "OperationNamesNoJob"),
        ({"properties": {"jobIds": None, "failedJobsError": None}}, "OperationNamesNoJob"),
        ({"properties": {"jobIds": [], "failedJobsError": {}}}, "OperationNamesNoJob"),
        ({"properties": {"jobIds": ["nosuch"]}}, "JobNotFound"),
        ({"properties": {"jobIds": [], "failedJobsError": {"j1": "UserErrorX"}}}, "UserErrorX"),
        ({"properties": {"jobIds": ["j1"], "failedJobsError": {"j1": ""}}}, "JobFailed"),
    ],
)
def test_a_change_without_a_job_that_succeeded_is_none(
    recovery_services: RecoveryServices, of: Dict[str, Any], name: str
) -> None:
    azure = recovery_services
    in_use(azure)
    azure.run_at(0)
    # The lab stores the policy during these polls.
    going = {"id": "x", "name": "x", "status": "InProgress"}
    azure.fault(method="GET", path="/operations/", status=200, body=going, times=40)
    body = {**going, "status": "Succeeded", **of}
    azure.fault(method="GET", path="/operations/", status=200, body=body, times=1000)
    done = change(azure)
    assert done["failed"] == name, done
    assert done["changed"] is True and "DefaultPolicy is stored" in done["msg"]
    assert done["policy"]["instant_restore_days"] == 4


def test_a_change_that_cannot_be_followed_may_come(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    in_use(azure)
    azure.run_at(0)
    azure.fault(
        method="GET", path="/operations/", status=403, code="AuthorizationFailed", times=1000
    )
    done = change(azure)
    assert done["failed"] == "AuthorizationFailed" and done["changed"] is True
    # The lab has not stored it yet.
    assert done["policy"]["instant_restore_days"] == 2


def test_a_change_whose_policy_cannot_be_read_may_be_there(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    in_use(azure)
    azure.run_at(0)
    azure.fault(
        method="GET",
        path=f"{POLICIES}/DefaultPolicy$",
        status=403,
        code="AuthorizationFailed",
        skip=1,
        times=1000,
    )
    done = change(azure)
    assert done["failed"] == "AuthorizationFailed" and done["changed"] is True


def test_an_operation_that_is_not_named_is_no_proof(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    in_use(azure)
    azure.run_at(0)
    azure.fault(method="PUT", path=POLICIES, status=202, body="", headers={})
    done = change(azure)
    assert done["failed"] == "NotStored" and "did not change the policy" in done["msg"]
    azure.fault(method="PUT", path=POLICIES, status=202, body="", headers={}, after=True)
    stored = {"status": 200, "method": "GET", "path": f"{POLICIES}/", "skip": 1}
    properties = azure.state()["vaults"]["vault1"]["policies"]["DefaultPolicy"]
    changed = {**properties, "instantRpRetentionRangeInDays": 4}
    azure.fault(body={"id": "x", "name": "DefaultPolicy", "properties": changed}, **stored)
    done = change(azure)
    assert done["failed"] == "OperationNamesNoJob" and "without naming an operation" in done["msg"]


@pytest.mark.parametrize("body", [{}, {"id": "x"}, {"id": "x", "properties": {}}])
def test_an_answer_that_shows_no_policy_is_not_taken_for_one(
    recovery_services: RecoveryServices, body: Dict[str, Any]
) -> None:
    azure = recovery_services
    in_use(azure)
    azure.run_at(0)
    azure.fault(method="PUT", path=POLICIES, status=200, body=body)
    done = change(azure)
    assert done["failed"] == "NotStored" and "did not change the policy" in done["msg"]


def test_a_vault_without_policies_for_vms(recovery_services: RecoveryServices) -> None:
    names = [one["name"] for one in info(recovery_services)]
    assert names == ["DefaultPolicy", "EnhancedPolicy"]
    assert info(recovery_services, name="HourlyLogBackup") == []


def test_policies_of_many_pages(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    estate = seed.default()
    (default,) = [one["properties"] for one in raw(azure) if one["name"] == "DefaultPolicy"]
    for number in range(450):
        seed.add_policy(estate["vaults"][0], f"policy-{number:03}", default)
    azure.reset(seed=estate)
    found = info(azure)
    assert len(found) == len({one["id"] for one in found}) == 452
