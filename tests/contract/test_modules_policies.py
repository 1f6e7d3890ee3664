# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules say of the policies and refusals of Azure what is in them.

The answers are those of the recordings, and some made by hand, which are there without them too.
What is expected is read off the answer here, by other code than the modules'.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import pytest

from tests.contract import handmade
from tests.contract.evidence import Exchange
from tests.contract.served import (
    ERRORS,
    HANDMADE,
    ITEMS,
    Served,
    Source,
    skipped_recordings,
    sources,
)

POLICY = "/backupPolicies/[^/]+"


# --- policies -----------------------------------------------------------------------------------


def _policies(source: Source) -> List[Exchange]:
    """Return each policy for VMs, as the answer to a read of it by name."""
    bodies = [body for one in source.answers("/backupPolicies") for body in one.response["value"]]
    single = re.compile(f"{POLICY}$")
    bodies += [
        one.response
        for one in source.exchanges
        if (one.status, one.method) in ((200, "GET"), (200, "PUT")) and single.search(one.path)
    ]
    found: Dict[str, Exchange] = {}
    for body in bodies:
        of = {**body["properties"], "protectedItemsCount": 0}
        if of["backupManagementType"] == "AzureIaasVM":
            one = Exchange(
                "GET", body["id"], 200, response=body, where=f"{source.name} {body['id']}"
            )
            found.setdefault(json.dumps([body["name"], of], sort_keys=True), one)
    return list(found.values())


def _by_turns(policies: Sequence[Exchange]) -> Iterator[List[Exchange]]:
    """Yield the policies in groups in which each name is there once."""
    left = list(policies)
    while left:
        group = {one.response["name"]: one for one in reversed(left)}
        yield list(group.values())
        left = [one for one in left if one not in group.values()]


@pytest.mark.parametrize(
    "source", [one for one in sources("") if one.marks or _policies(one.values[0])]
)
def test_every_policy_is_as_it_is_told(source: Source, served: Served) -> None:
    """Check that backup_policy changes nothing with the values of backup_policy_info."""
    for group in _by_turns(_policies(source)):
        vault = group[0].path.rpartition("/backupPolicies/")[0]
        listed = replace(
            group[0],
            url=f"{vault}/backupPolicies",
            response={"value": [one.response for one in group]},
        )
        served.only(
            listed, replace(group[0], url=f"{vault}{ITEMS}", response={"value": []}), *group
        )
        reported = served.run("backup_policy_info", listed)
        assert not reported.failed, (group[0].where, reported.result)
        found = {policy["name"]: policy["policy"] for policy in reported["policies"]}
        assert set(found) == {one.response["name"] for one in group}
        for one in group:
            of, options = one.response["properties"], found[one.response["name"]]
            assert options["instant_restore_days"] == of["instantRpRetentionRangeInDays"]
            assert options["time_zone"] == of["timeZone"]
            assert options["policy_type"] == {"V1": "standard", "V2": "enhanced"}[of["policyType"]]
            again = served.run("backup_policy", one, check=True, **options)
            assert not again.failed, (one.where, again.result)
            assert again["changed"] is False, (one.where, again.result)
        other = {**found[group[0].response["name"]], "time_zone": "Samoa Standard Time"}
        changed = served.run("backup_policy", group[0], check=True, **other)
        assert not changed.failed and changed["changed"] is True, changed.result
        assert served.writes() == []


# --- errors -------------------------------------------------------------------------------------


def _said(error: Exchange) -> Tuple[str, str]:
    """Code and message, in either of the two forms that Azure has for them."""
    body = error.response
    if "error" in body:
        return str(body["error"]["code"]), str(body["error"]["message"])
    return str(body["ErrorCode"]), str(body["Message"]["Value"])


def _refusals() -> List[Any]:
    found = {
        f"{kind}-{_said(one)[0]}": one
        for kind, errors in (("handmade", handmade.errors()), ("recorded", ERRORS.exchanges))
        for one in reversed(errors)
        if one.status >= 400
    }
    params: List[Any] = [pytest.param(one, id=name) for name, one in sorted(found.items())]
    return [*params, *skipped_recordings()]


@pytest.mark.parametrize("error", _refusals())
def test_a_refusal_is_told_with_its_code_and_advice(error: Exchange, served: Served) -> None:
    """Azure's code is the name, its words are in the message, and there is something to do."""
    (good,) = HANDMADE.answers(ITEMS)
    refused = replace(good, status=error.status, response=error.response, headers=error.headers)
    served.only()
    # The recorder has removed the header, and the pauses without one are long. A 429 is outlasted
    # however often it comes, unless it asks for more than there is time for.
    served.then(refused, retry_after=1e6 if error.status == 429 else 0.1)
    done = served.run("protected_vm_info", good)
    code, message = _said(error)
    assert done.failed, done.result
    failure = done["failure"]
    assert failure["name"] == code
    assert failure["http_status"] == error.status
    # Of a pause that is too long, the module says itself how long and for which requests.
    words = "Azure accepts no more requests" if error.status == 429 else message
    assert " ".join(words.split())[:60] in failure["message"]
    assert failure["recommended_action"]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(one, id=one.command)
        for one in handmade.errors()
        if one.status in (429, 500, 502, 503, 504)
    ],
)
def test_trouble_that_passes_is_outlasted(error: Exchange, served: Served) -> None:
    """Check that the read is repeated after one such answer."""
    (good,) = HANDMADE.answers(ITEMS)
    refused = replace(good, status=error.status, response=error.response, headers=error.headers)
    served.only()
    served.then(refused, 1, retry_after=0.1)
    served.then(good)
    done = served.run("protected_vm_info", good)
    assert not done.failed, done.result
    assert len(done["vms"]) == len(good.response["value"])
    assert served.asked() == ["GET backupProtectedItems"] * 2
