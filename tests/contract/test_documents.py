# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the judge of exchanges by evidence: it accepts only what Azure sent."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest

from tests.contract import evidence
from tests.contract.deviations import DEVIATIONS, OLD_ANSWERS
from tests.contract.evidence import Exchange
from tests.contract.judge import Judgement, documents
from tests.contract.openapi import Deviation, Documents

pytestmark = evidence.needs_evidence

RECORDINGS = (*evidence.recordings(), "errors") if evidence.PRESENT else ()
#: The documents allow any property here.
FREE = {"propertyBag", "internalPropertyBag", "tags", "recoveryPointMoveReadinessInfo"}


def recorded(where: str) -> Exchange:
    """Return the recorded exchange at this place."""
    name, _colon, line = where.partition(":")
    return evidence.exchanges(name.partition(".")[0])[int(line) - 1]


@pytest.mark.parametrize("name", RECORDINGS)
def test_what_azure_said_is_accepted(name: str) -> None:
    judgement = Judgement(
        exchange for exchange in evidence.exchanges(name) if exchange.where not in OLD_ANSWERS
    )
    assert not judgement.problems, str(judgement)
    assert sum(judgement.judged.values()) >= 30


@pytest.mark.parametrize("where", OLD_ANSWERS)
def test_each_exception_is_one(where: str) -> None:
    assert Judgement([recorded(where)]).problems


@pytest.mark.parametrize(
    "deviation", DEVIATIONS, ids=lambda one: f"{one.definition}.{one.property}"
)
def test_each_deviation_is_needed(deviation: Deviation) -> None:
    others = Documents(evidence.SPECIFICATION, [one for one in DEVIATIONS if one != deviation])
    problems = others.judge(recorded(deviation.seen)).problems
    assert any(deviation.property in problem for problem in problems), problems


# --- what must be refused -----------------------------------------------------------------------

ITEMS = "test_backup_item.jsonl:41"
JOB = "test_backup_job.jsonl:24"
REFRESH = "test_backup_item.jsonl:13"


def _set(path: str, value: Any) -> Callable[[Any], None]:
    """Set a property of the answer; `path` has its names, and numbers for elements."""

    def change(answer: Any) -> None:
        *before, last = path.split(".")
        for part in before:
            answer = answer[int(part) if part.isdigit() else part]
        if value is ...:
            del answer[last]
        else:
            answer[last] = value

    return change


REFUSED: Dict[str, Tuple[str, Callable[[Any], None]]] = {
    "an unknown property": (ITEMS, _set("value.0.properties.colour", "blue")),
    "an unknown property of the resource": (ITEMS, _set("value.0.colour", "blue")),
    "text for a number": (ITEMS, _set("value.0.properties.softDeleteRetentionPeriod", "14")),
    "an unknown word": (ITEMS, _set("value.0.properties.protectionState", "Safe")),
    "a word in odd case": (ITEMS, _set("value.0.properties.protectionState", "protected")),
    "no type": (ITEMS, _set("value.0.properties.protectedItemType", ...)),
    "an unknown type": (ITEMS, _set("value.0.properties.protectedItemType", "AzureVm")),
    "another type's properties": (ITEMS, _set("value.0.properties.protectedItemType", "MSSQL")),
    "a list for an object": (ITEMS, _set("value.0.properties", [])),
    "null": (ITEMS, _set("value.0.properties.friendlyName", None)),
    "an invalid time": (JOB, _set("properties.startTime", "yesterday")),
    "an invalid duration": (JOB, _set("properties.duration", "00:00:31")),
    "an unknown action": (JOB, _set("properties.actionsInfo", ["Pausable"])),
    "an unknown property deep inside": (
        JOB,
        _set("properties.extendedInfo.tasksList.0.colour", "blue"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_azure_would_not_give_is_refused(name: str) -> None:
    where, change = REFUSED[name]
    exchange = recorded(where)
    answer = copy.deepcopy(exchange.response)
    change(answer)
    assert not Judgement([exchange]).problems
    assert Judgement([dataclasses.replace(exchange, response=answer)]).problems


@pytest.mark.parametrize(
    "change",
    [
        {"status": 206},
        {"status": 204},
        {"response": None},
        {"response": {}, "status": 404},
        {"response": {"error": {"code": "ResourceNotFound"}}, "status": 404},
        {"response": {"error": "ResourceNotFound"}, "status": 404},
        {"response": None, "status": 500},
    ],
    ids=str,
)
def test_status_or_error_unknown_to_azure_is_refused(change: Dict[str, Any]) -> None:
    assert Judgement([dataclasses.replace(recorded(ITEMS), **change)]).problems


def test_a_body_where_none_belongs_is_refused() -> None:
    exchange = next(
        one
        for one in evidence.exchanges("test_backup_item")
        if one.path.endswith("/refreshContainers")
    )
    assert Judgement([dataclasses.replace(exchange, response={"status": "ok"})]).problems


def test_a_path_that_no_document_has_is_refused() -> None:
    exchange = recorded(ITEMS)
    url = exchange.url.replace("backupProtectedItems", "backupGuardedItems")
    assert Judgement([dataclasses.replace(exchange, url=url)]).problems


def test_a_request_that_azure_would_not_take_is_refused() -> None:
    exchange = next(
        one
        for one in evidence.exchanges("test_backup_item")
        if one.method == "PUT" and "/protectedItems/" in one.path
    )
    request = copy.deepcopy(exchange.request)
    request["properties"]["policy"] = request["properties"].pop("policyId")
    assert Judgement([dataclasses.replace(exchange, request=request)]).problems


def _properties(value: Any, path: str = "$") -> Iterator[Tuple[str, Dict[str, Any], str]]:
    """Yield each property of a document: where it is, the object it belongs to, and its name."""
    if isinstance(value, list):
        for number, one in enumerate(value[:1]):
            yield from _properties(one, f"{path}[{number}]")
    elif isinstance(value, dict):
        for name in list(value):
            yield f"{path}.{name}", value, name
            if name not in FREE:
                yield from _properties(value[name], f"{path}.{name}")


def test_every_property_that_azure_gave_is_looked_at() -> None:
    """Check that a renamed property is refused in each answer of an operation."""
    seen, missed = set(), []
    for name in RECORDINGS:
        for exchange in evidence.exchanges(name):
            operation = documents().operation(exchange.method, exchange.path)
            if operation is None or (operation.name, exchange.status) in seen:
                continue
            seen.add((operation.name, exchange.status))
            missed += _missed(exchange)
    assert len(seen) > 40
    assert missed == []


def _missed(exchange: Exchange) -> List[str]:
    answer = copy.deepcopy(exchange.response)
    missed = []
    for path, owner, name in _properties(answer):
        value = owner.pop(name)
        owner["misspelt"] = value
        if not Judgement([dataclasses.replace(exchange, response=answer)]).problems:
            missed.append(f"{exchange.where} {path}")
        del owner["misspelt"]
        owner[name] = value
    return missed
