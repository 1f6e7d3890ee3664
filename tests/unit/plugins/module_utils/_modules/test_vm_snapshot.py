# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status document of refused options, with a writer that keeps it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    QuiesceError,
    StoreError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules import vm_snapshot
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import TaskContext
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot_options import (
    VM_SNAPSHOT,
)

STATUS = "https://store.invalid/c/status?sig=SECRET&sp=rw&sr=b"
#: Of the year 2029: the command is never too old.
TICKS = "640000000000000000"


@pytest.fixture(name="written")
def _written(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let the module run as root, and keep what it writes."""
    documents: dict[str, Any] = {}

    def write(uri: str, data: bytes, _subject: str) -> None:
        documents[uri] = json.loads(data)[0]["status"]

    monkeypatch.setattr(vm_snapshot, "_write_document", write)
    monkeypatch.setattr(vm_snapshot.syscalls, "forbid_core_dumps", lambda: None)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    return documents


def options(settings: dict[str, Any], protected: dict[str, Any], **more: Any) -> dict[str, Any]:
    defaults = {name: each.get("default") for name, each in VM_SNAPSHOT.argument_spec.items()}
    documents = {"settings": settings, "protected_settings": protected}
    return {**defaults, "extension_settings": documents, **more}


def extension(**settings: Any) -> dict[str, Any]:
    public = {
        "taskId": "the-task_1",
        "commandToExecute": "snapshot",
        "commandStartTimeUTCTicks": TICKS,
        "statusBlobUri": STATUS,
        **settings,
    }
    return options(public, {"objectStr": json.dumps({"blobSASUri": ["https://no.sas/c/b"]})})


def refuse(params: dict[str, Any], check_mode: bool = False) -> str:
    with pytest.raises(QuiesceError) as caught:
        vm_snapshot.run_snapshot(TaskContext(params, check_mode))
    return caught.value.failure.name


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "MissingSas"),
        ({"commandStartTimeUTCTicks": int(TICKS)}, "MissingSas"),
        ({"commandToExecute": "format"}, "InvalidExtensionSettings"),
        ({"commandStartTimeUTCTicks": "639000000000000000"}, "GuestAgentInvokedCommandTooLate"),
    ],
)
def test_refusal_keeps_task_and_start_time(
    written: dict[str, Any], settings: dict[str, Any], name: str
) -> None:
    assert refuse(extension(**settings)) == name
    status = written[STATUS]
    assert (status["status"], status["taskId"]) == ("error", "the-task_1")
    ticks = settings.get("commandStartTimeUTCTicks", TICKS)
    assert status["commandStartTimeUTCTicks"] == str(ticks)


@pytest.mark.parametrize("ticks", [STATUS, "tomorrow", True, [TICKS], None])
def test_refusal_leaves_out_an_invalid_start_time(written: dict[str, Any], ticks: Any) -> None:
    refuse(extension(commandToExecute="format", commandStartTimeUTCTicks=ticks))
    assert written[STATUS]["commandStartTimeUTCTicks"] is None


def test_unreadable_settings_are_reported_to_the_status_option(written: dict[str, Any]) -> None:
    params = options({}, {"statusBlobUri": 5}, status_blob_uri=STATUS, task_id="mine")
    assert refuse(params) == "InvalidExtensionSettings"
    assert written[STATUS]["taskId"] == "mine"


def test_refusal_in_check_mode_writes_nothing(written: dict[str, Any]) -> None:
    assert refuse(extension(commandToExecute="format"), check_mode=True)
    assert not written


def test_failed_write_does_not_hide_the_refusal(
    written: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> None:
        raise StoreError("AuthorizationFailure", "The status was not written.")

    monkeypatch.setattr(vm_snapshot, "_write_document", fail)
    assert refuse(extension(commandToExecute="format")) == "InvalidExtensionSettings"
    assert not written
