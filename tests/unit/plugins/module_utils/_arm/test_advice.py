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
    for_refusal,
    recommended,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.advice_codes import ACTIONS
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.retry import read_body
from tests.contract import evidence

# The documented problems of the classic flow and of the VM agent: operation, a possible message,
# and words of the action.
DOCUMENTED: List[Tuple[str, str, str]] = [
    ("discover", "The discovery failed with an internal error.", "15 minutes"),
    ("discover", "Another discovery is running.", "discovery that is running"),
    ("register", "The VM is not running, so the extension cannot be installed.", "Start the VM"),
    ("register", "The VM has more data disks than supported.", "Detach"),
    ("register", "The number of disks attached exceeds the limit.", "exclude_disk_luns"),
    ("register", "Registration failed with an internal error.", "not support"),
    ("register", "The guest-agent certificate is missing.", "current VM agent"),
    ("register", "Installing the agent timed out.", "operating system"),
    ("register", "Another operation is running on this item.", "wait until"),
    ("backup", "Copying the VHDs from the vault timed out.", "few minutes"),
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


@pytest.mark.parametrize(("operation", "message", "action"), DOCUMENTED)
def test_documented_problem_has_its_action(operation: str, message: str, action: str) -> None:
    assert action.lower() in recommended("", message, operation).lower()
    # The code of an internal error and an unknown code leave the words their say.
    for code in ("CloudInternalError", "UserErrorOfTomorrow"):
        assert recommended(code, message, operation) == recommended("", message, operation)


def rows() -> Iterator[Tuple[str, str]]:
    """Yield operation and error of each documented problem."""
    text = TABLES.read_text()
    for operation, error in re.findall(
        r"^\| (discover|register|backup) \| ([^|]+) \|", text, re.MULTILINE
    ):
        yield operation, error.strip()


@pytest.mark.skipif(not TABLES.is_file(), reason="The documented tables are not at hand.")
def test_documented_tables_have_an_action_in_every_row() -> None:
    found = list(rows())
    assert len(found) == 13
    assert [row for row in found if not recommended("", row[1], row[0])] == []


def errors(body: Any) -> Iterator[Tuple[str, str]]:
    """Yield code and message of each error, job and health status in a response."""
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
                error = read_body(json.dumps(exchange.response))
                yield error.code, error.message
            yield from errors(exchange.response)


@evidence.needs_evidence
def test_recorded_error_has_an_action() -> None:
    found = set(recorded())
    assert len(found) > 20
    assert sorted(code for code, text in found if not code or not recommended(code, text)) == []


def test_code_in_any_case_has_one_action() -> None:
    codes = [code.lower() for listed, _action in ACTIONS for code in listed.split()]
    assert len(codes) == len(set(codes))
    for code in codes:
        assert recommended(code) == recommended(code.upper()) != ""


def test_resource_not_found_of_a_job_is_the_vm() -> None:
    assert "vault" in recommended("ResourceNotFound")
    assert recommended("ResourceNotFound", "VM is gone.", "Backup") == recommended("320001")
    assert "The VM no longer exists" in recommended("320001")


def test_unknown_code_has_the_action_of_its_kind_or_none() -> None:
    for code in ("SomethingInternalError", "OddTimeout"):
        assert "again" in recommended(code)
    assert recommended("UserErrorOfTomorrow", "Odd.") == ""
    for status in (400, 401, 403, 404, 407, 409, 412, 418, 429, 500, 503):
        assert by_status(status)


def test_resource_guard_outranks_any_code() -> None:
    message = "No permission for 'Microsoft.DataProtection/resourceGuards/read'."
    assert "Resource Guard" in recommended("LinkedAuthorizationFailed", message)
    assert "Resource Guard" in recommended("BMSUserErrorInvalidInput", "ResourceGuard", "Backup")


def test_refusal_words_outrank_codes_of_refusals_only() -> None:
    message = "It has 33 data disks; at most 32 are supported."
    assert for_refusal("BMSUserErrorInvalidInput", message) == recommended("TooManyDisks")
    assert recommended("BMSUserErrorInvalidInput", message) == recommended(
        "BMSUserErrorInvalidInput"
    )
    assert for_refusal("UserErrorOfTomorrow", "Odd.") == ""


def test_one_problem_has_one_action() -> None:
    """Two rows of one problem, by code and by words, have the same action."""
    for code, message in (
        ("UserErrorOperationDeniedOnImmutableItem", "The vault is immutable."),
        ("VmInAnotherRegion", "The VM is not in region westeurope."),
        ("VmProtectedInAnotherVault", "The VM is already protected."),
        ("TooManyDisks", "The VM has more than 32 data disks."),
    ):
        assert recommended(code) == for_refusal("X", message)
