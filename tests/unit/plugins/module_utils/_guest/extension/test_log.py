# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import documented
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.extension.log import (
    LogEntry,
    log_document,
    log_entries,
)

SECRET = "c2VjcmV0"
BLOB = "https://a.blob.example/vhds/disk-1.vhd"
SAS = f"{BLOB}?sv=2020-10-02&sp=rw&sig={SECRET}%3D"
TIME = "2026-11-21T09:00:00.1234567Z"


def test_log_lines_have_times_and_no_secret() -> None:
    data = log_document(
        [LogEntry(1790000000007, f"first\r\nsecond {SAS}"), LogEntry(1790000001500, "späť\udcff")]
    )
    assert data.decode() == (
        f"2026-09-21T14:13:20.007Z first\n    second {BLOB}\n2026-09-21T14:13:21.500Z späť?\n"
    )


def test_log_of_a_run() -> None:
    result = {
        "consistency": "file-system",
        "phases": [
            {"name": "lock", "start_ms": 0.5, "duration_ms": 2.0},
            {"name": "validate", "start_ms": 3.0, "duration_ms": 1000.0},
        ],
        "scripts": {
            "pre": {"rc": 3, "attempts": 2, "duration_ms": 12.3, "tail": "oh no\n"},
            "post": None,
        },
        "freeze": {
            "window_ms": 44.4,
            "filesystems": [
                {"mount_point": "/d", "device": "/dev/sdc", "type": "xfs", "outcome": "held"}
            ],
        },
        "disks": [
            {"name": "d1", "snapshot": TIME, "failure": None},
            {"name": "d2", "snapshot": None, "failure": {"message": f"no {SAS}"}},
        ],
        "warnings": ["take care"],
        "failure": documented("Pre-ScriptExecutionFailed", "it failed").to_result(),
    }
    text = log_document(log_entries(result, 1790000000000)).decode()
    for words in (
        "14:13:20.000Z lock began",
        "14:13:20.003Z validate began and took 1000 ms",
        "14:13:21.003Z pre-script: exit status 3, 2 attempts, 12 ms\n    oh no\n",
        "/d (/dev/sdc, xfs): held",
        "The window lasted 44 ms",
        f"disk d1: {TIME}",
        f"disk d2: no {BLOB}",
        "warning: take care",
        "Pre-ScriptExecutionFailed: it failed",
        "consistency: file-system",
    ):
        assert words in text
    assert SECRET not in text


def test_log_of_an_empty_run() -> None:
    assert b"consistency: None" in log_document(log_entries({}, 0))
