# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the result of snapshot_scripts_info, with the findings of both programs."""

from __future__ import annotations

from typing import Any, Callable

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import TaskContext
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.snapshot_scripts import (
    inspect_scripts,
)
from tests.lab.guest_files import GuestFiles, put

AGENT, OURS = "agent", "vm_snapshot"
CONFIG, HOST = "IncorrectJSONConfigFile", "IncorrectPluginhostFile"


def inspected(guest: GuestFiles) -> dict[str, Any]:
    params = {
        "config_path": str(guest.config),
        "plugin_host_path": str(guest.plugin_host),
        "workload_path": str(guest.workload),
    }
    return inspect_scripts(TaskContext(params))


def owners(result: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(finding["name"], finding["applies_to"]) for finding in result["findings"]]


def test_ready_needs_both_programs(guest: GuestFiles) -> None:
    guest.put_all()
    result = inspected(guest)
    assert (result["ready"], result["findings"]) == (True, [])
    assert result["expected_consistency"] == "application"
    assert result["vm_snapshot"] == {
        "state": "ready",
        "expected_consistency": "application",
        "findings": [],
    }


def _content(data: bytes) -> Callable[[GuestFiles], object]:
    return lambda guest: put(guest.pre, data, 0o700)


def _config(**changes: Any) -> Callable[[GuestFiles], object]:
    return lambda guest: guest.put_config(**changes)


def _both(guest: GuestFiles) -> None:
    guest.put_config(timeoutInSeconds=0)
    put(guest.plugin_host, b"", 0o600)
    guest.post.unlink()


@pytest.mark.parametrize(
    ("spoil", "expected", "agents", "ours"),
    [
        # Only one of the two programs.
        (
            _content(b"#!/usr/bin/python3\nimport sys\n"),
            [("Pre-ScriptExecutionFailed", [AGENT])],
            "file-system",
            "application",
        ),
        (
            _content(b"exit 0\n"),
            [("Pre-ScriptExecutionFailed", [OURS])],
            "application",
            "file-system",
        ),
        (
            lambda guest: put(guest.plugin_host, b"", 0o600),
            [(HOST, [AGENT])],
            "file-system",
            "application",
        ),
        (
            lambda guest: put(guest.workload, b"[workload]\nworkload_name=oracle\n", 0o600),
            [(HOST, [AGENT])],
            "file-system",
            "application",
        ),
        (
            _config(continueBackupOnFailure="false"),
            [(CONFIG, [OURS])],
            "application",
            "file-system",
        ),
        (_config(preScriptNoOfRetries=None), [(CONFIG, [OURS])], "application", "file-system"),
        (_config(timeoutInSeconds=2.5), [(CONFIG, [OURS])], "application", "file-system"),
        (
            lambda guest: guest.pre.chmod(0o600),
            [("InsufficientPermissionforPre-Script", [OURS])],
            "application",
            "file-system",
        ),
        (lambda guest: guest.config.unlink(), [(CONFIG, [AGENT])], "file-system", "file-system"),
        (
            _config(ScriptsExecutionPollTimeSeconds="2"),
            [(CONFIG, [AGENT])],
            "file-system",
            "application",
        ),
        # Both, under one name.
        (_config(preScriptParams=None), [(CONFIG, [AGENT, OURS])], "file-system", "file-system"),
        (
            _config(preScriptParams=["a\0b"]),
            [(CONFIG, [AGENT, OURS])],
            "file-system",
            "file-system",
        ),
        (
            lambda guest: guest.post.unlink(),
            [("Post-ScriptNotFound", [AGENT, OURS])],
            "file-system",
            "file-system",
        ),
        # Both, under several names: the agent's first.
        (
            _both,
            [
                (HOST, [AGENT]),
                ("Pre-ScriptTimeout", [AGENT]),
                ("Post-ScriptTimeout", [AGENT]),
                ("Post-ScriptNotFound", [AGENT]),
                (CONFIG, [OURS]),
            ],
            "file-system",
            "file-system",
        ),
    ],
)
def test_finding_names_its_programs(
    guest: GuestFiles,
    spoil: Callable[[GuestFiles], object],
    expected: list[tuple[str, list[str]]],
    agents: str,
    ours: str,
) -> None:
    guest.put_all()
    spoil(guest)
    result = inspected(guest)
    assert (result["ready"], owners(result)) == (False, expected)
    assert result["expected_consistency"] == agents
    assert result["vm_snapshot"]["expected_consistency"] == ours


def test_findings_of_vm_snapshot_are_all_listed(guest: GuestFiles) -> None:
    """Check that a shared error is listed once, and that vm_snapshot's list has all causes."""
    guest.put_all(preScriptParams=None, preScriptNoOfRetries="x", fsFreezeEnabled="no")
    result = inspected(guest)
    assert owners(result) == [(CONFIG, [AGENT, OURS])]
    assert len(result["vm_snapshot"]["findings"]) == 3
