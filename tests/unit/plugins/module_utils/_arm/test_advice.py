# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import re
from typing import Any, Iterator, List, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.advice import (
    by_status,
    recommended,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.advice_codes import ACTIONS
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.retry import read_body
from tests.contract import evidence

# What Azure documents of the classic flow and of the VM agent, one row a problem, in words as they
# may come: the operation, what is said, and what is to be done about it.
DOCUMENTED: List[Tuple[str, str, str]] = [
    ("discover", "The discovery failed with an internal error.", "15 minutes"),
    ("discover", "Another discovery is running.", "discovery that is running"),
    ("register", "The VM is not running, so the extension cannot be installed.", "Start the VM"),
    ("register", "The VM has more data disks than supported.", "Detach"),
    ("register", "The number of disks attached exceeds the limit.", "exclude_disk_luns"),
    ("register", "Registration failed with an internal error.", "not support"),
    ("register", "There is no guest-agent certificate.", "current VM agent"),
    ("register", "Installing the agent timed out.", "operating system"),
    ("register", "Another operation is running on this item.", "wait until"),
    ("backup", "Copying the VHDs from the vault timed out.", "some minutes"),
    ("backup", "The snapshot subtask timed out.", "VM agent"),
    ("backup", "The backup failed with an internal error.", "keep the data"),
    ("backup", "The recovery services extension could not be installed.", "VM agent"),
    ("backup", "Another operation is currently running on this item.", "wait for it"),
    ("backup", "VM agent is not installed on the virtual machine.", "Install the VM agent"),
    ("backup", "The VM agent version is old.", "while no backup"),
    ("backup", "The network blocks the connection to Azure.", "DNS"),
    ("register", "Could not communicate with the VM agent for snapshot status.", "public endpoint"),
]
#: Where the documented tables are at hand, they lie beside the recordings of Azure.
TABLES = evidence.FOLDER.parent / "facts" / "documented-behaviour.md"


@pytest.mark.parametrize(("operation", "said", "action"), DOCUMENTED)
def test_what_is_documented_has_its_action(operation: str, said: str, action: str) -> None:
    assert action.lower() in recommended("", said, operation).lower()
    # Also beside a code that says no more than an internal error, and one that is not known.
    for code in ("CloudInternalError", "UserErrorOfTomorrow"):
        assert recommended(code, said, operation) == recommended("", said, operation)


def rows() -> Iterator[Tuple[str, str]]:
    """The table of the documented problems, where it is at hand."""
    text = TABLES.read_text()
    for operation, error in re.findall(
        r"^\| (discover|register|backup) \| ([^|]+) \|", text, re.MULTILINE
    ):
        yield operation, error.strip()


@pytest.mark.skipif(not TABLES.is_file(), reason="The documented tables are not at hand.")
def test_every_row_of_the_documentation_is_there() -> None:
    found = list(rows())
    assert len(found) == 13
    assert [row for row in found if not recommended("", row[1], row[0])] == []


def errors(body: Any) -> Iterator[Tuple[str, str]]:
    """Every code and message of an answer: of errors, of jobs and of health."""
    if isinstance(body, dict):
        for code, title, words in (
            ("errorCode", "errorTitle", "errorString"),
            ("code", "title", "message"),
        ):
            if isinstance(body.get(code), int) and title in body:
                yield str(body[code]), str(body.get(words) or "")
                yield str(body[title]), str(body.get(words) or "")
        for value in body.values():
            yield from errors(value)
    elif isinstance(body, list):
        for value in body:
            yield from errors(value)


def recorded() -> Iterator[Tuple[str, str]]:
    for file in sorted(evidence.RECORDINGS.glob("*.jsonl")):
        for exchange in evidence.exchanges(file.stem):
            if exchange.status >= 400:
                said = read_body(json.dumps(exchange.response))
                yield said.code, said.message
            yield from errors(exchange.response)


@evidence.needs_evidence
def test_every_recorded_error_has_an_action() -> None:
    found = set(recorded())
    assert len(found) > 20
    assert sorted(code for code, said in found if not code or not recommended(code, said)) == []


def test_codes_are_found_in_any_case_and_each_has_one_action() -> None:
    codes = [code.lower() for listed, _action in ACTIONS for code in listed.split()]
    assert len(codes) == len(set(codes))
    for code in codes:
        assert recommended(code) == recommended(code.upper()) != ""


def test_a_resource_that_is_not_found_is_the_vm_where_a_job_says_so() -> None:
    assert "vault" in recommended("ResourceNotFound")
    assert "The VM is gone" in recommended("ResourceNotFound", "VM no longer exists.", "Backup")
    assert "The VM is gone" in recommended("320001")


def test_what_is_not_known_gets_something_by_its_kind_or_nothing() -> None:
    for code in ("SomethingInternalError", "OddTimeout"):
        assert "again" in recommended(code)
    assert recommended("UserErrorOfTomorrow", "Odd.") == ""
    for status in (400, 401, 403, 404, 407, 409, 412, 418, 429, 500, 503):
        assert by_status(status)
