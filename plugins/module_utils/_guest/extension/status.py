# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status document, in the form that the VMSnapshot extension publishes.

No address in it has a query, besides the time that names a snapshot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from ..._consistency import APPLICATION, CRASH, FILE_SYSTEM, NONE
from ..._errors import Failure
from ..._redact import redact, without_query

HANDLER = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
#: The extension's numbers for the consistencies.
CONSISTENCY = {NONE: 0, FILE_SYSTEM: 1, APPLICATION: 2, CRASH: 3}

APPLICATION_CODE = 0
SUCCESS_CODE = 1
ERROR_CODE = 2
IN_PROGRESS_CODE = 4
_CODES = {
    "InvalidExtensionSettings": 11,
    "GuestAgentInvokedCommandTooLate": 402,
    "SnapshotCountExceeded": 85,
    "SnapshotOperationRateExceeded": 173,
    "SnapshotRateExceeded": 173,
}
#: Codes of failures by the beginnings of their names.
_PREFIXES = (
    ("FreezeTimeout", 122),
    ("FlushTimeout", 122),
    ("Freeze", 121),
    ("Flush", 121),
    ("Frozen", 121),
    ("Snapshot", 76),
    ("NoSnapshot", 76),
)
_SOME_SNAPSHOTS_FAILED = 761
_SNAPSHOTS_FAILED = 76
_GREEN, _YELLOW, _RED = 0, 128, 256
_HEALTH = {0: _GREEN, 1: _GREEN, 2: _GREEN, 4: _GREEN, 15: _RED, 76: _RED, 85: _RED, 173: _GREEN}
_HEALTH.update({402: _RED, _SOME_SNAPSHOTS_FAILED: _RED})

_MESSAGES = {
    APPLICATION: "The snapshots are application-consistent.",
    FILE_SYSTEM: "The snapshots are file-system-consistent.",
    CRASH: "The snapshots are crash-consistent.",
    NONE: "No complete set of snapshots exists.",
}
_QUERY = re.compile(r"(?i)(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")


@dataclass(frozen=True)
class DiskStatus:
    """One disk of the set in the status document."""

    #: The document has it without its query.
    blob_uri: str = field(repr=False)
    #: The snapshot's name, a time; None without a snapshot.
    snapshot: str | None = None
    error: str = ""


@dataclass(frozen=True)
class StatusInput:
    """The values of a status document."""

    task_id: str
    #: Milliseconds since 1970.
    written_ms: int
    #: A consistency, see `_consistency`.
    consistency: str = NONE
    #: The failure of the run; `degraded_by` made it less consistent than planned.
    failure: Failure | None = None
    degraded_by: Failure | None = None
    #: The run has just begun.
    in_progress: bool = False
    disks: tuple[DiskStatus, ...] = ()
    #: As in the settings.
    command_start_ticks: str | None = None
    #: Version of the collection.
    version: str = ""
    telemetry: Mapping[str, str] = field(default_factory=dict)

    @property
    def shows_snapshots(self) -> bool:
        """Return True for a complete set; an unknown consistency is not a success."""
        return CONSISTENCY.get(self.consistency, 0) > 0


def status_code(status: StatusInput) -> int:
    """Return the code that the extension reports for this outcome."""
    if status.in_progress:
        return IN_PROGRESS_CODE
    if status.failure is not None:
        code = _code_of(status.failure)
        if code == ERROR_CODE and status.degraded_by is not None:
            code = _code_of(status.degraded_by)
        if code == ERROR_CODE and any(disk.error for disk in status.disks):
            code = _SNAPSHOTS_FAILED
        return code
    if not status.shows_snapshots:
        return _SNAPSHOTS_FAILED
    return APPLICATION_CODE if status.consistency == APPLICATION else SUCCESS_CODE


def _code_of(failure: Failure) -> int:
    if failure.code is not None:
        return failure.code
    if failure.name in _CODES:
        return _CODES[failure.name]
    if failure.name.startswith("Invalid"):
        return _CODES["InvalidExtensionSettings"]
    for prefix, code in _PREFIXES:
        if failure.name.startswith(prefix):
            return code
    return ERROR_CODE


def _health(status: StatusInput, code: int) -> dict[str, int]:
    """Return the health of the VM; a failed script counts even if the run succeeded."""
    if code == SUCCESS_CODE and status.degraded_by is not None:
        reported = _code_of(status.degraded_by)
        code = reported if reported != ERROR_CODE else code
    if code == _SNAPSHOTS_FAILED and any(disk.snapshot is not None for disk in status.disks):
        code = _SOME_SNAPSHOTS_FAILED
    return {"vmHealthState": _HEALTH.get(code, _YELLOW), "vmHealthStatusCode": code}


def status_document(status: StatusInput) -> bytes:
    """Return the status document: the JSON of a list with one object."""
    code = status_code(status)
    document = {
        "version": status.version,
        "timestampUTC": f"/Date({status.written_ms})/",
        "status": {
            "name": HANDLER,
            "operation": "Enable",
            "status": "success" if _is_success(status) else "error",
            "substatus": [],
            "code": str(code),
            "taskId": status.task_id,
            "formattedMessage": {"lang": "en-US", "message": _message(status)},
            "storageDetails": _storage(),
            "commandStartTimeUTCTicks": status.command_start_ticks,
            "telemetryData": [
                {"Value": clean(value), "Key": key} for key, value in status.telemetry.items()
            ],
            "uniqueMachineId": "",
            "snapshotInfo": [_disk(disk) for disk in status.disks],
            "vmHealthInfo": _health(status, code),
        },
    }
    text = json.dumps([document])
    # Dates of .NET have escaped slashes, which the JSON encoder does not write.
    escaped = re.sub(r'"/Date\((-?\d+)\)/"', r'"\\/Date(\1)\\/"', text)
    return escaped.encode("ascii")


def _is_success(status: StatusInput) -> bool:
    return status.failure is None and (status.in_progress or status.shows_snapshots)


def _message(status: StatusInput) -> str:
    failure = status.failure or status.degraded_by
    kind = status.consistency if status.shows_snapshots else NONE
    sentences = [] if status.in_progress or status.failure else [_MESSAGES[kind]]
    if status.in_progress:
        sentences.append("The run is taking the snapshots.")
    if failure is not None:
        text = f"{failure.name}: {failure.message} {failure.recommended_action}"
        sentences.append(text.strip())
    return json.dumps(
        {
            "messageStr": clean(" ".join(sentences)),
            "snapshotConsistency": CONSISTENCY[kind],
            "jobMessage": "",
            "isSizeComputationFailed": True,
        }
    )


def _storage() -> dict[str, Any]:
    return {
        "partitionCount": 0,
        "totalUsedSizeInBytes": 0,
        "isStoragespacePresent": False,
        "isSizeComputationFailed": True,
    }


def _disk(disk: DiskStatus) -> dict[str, Any]:
    blob = without_query(disk.blob_uri)
    snapshot = None if disk.snapshot is None else f"{blob}?snapshot={disk.snapshot}"
    return {
        "isSuccessful": disk.snapshot is not None,
        "snapshotUri": snapshot,
        "errorMessage": clean(disk.error) or None,
        "blobUri": blob,
        "directDriveSnapshotIdentifier": None,
    }


def clean(text: str) -> str:
    """Return the text without secrets and queries of addresses, except a snapshot's time."""
    return redact(_QUERY.sub(lambda match: _shown(match.group(0)), text))


def _shown(uri: str) -> str:
    try:
        query = parse_qsl(urlsplit(uri).query)
    except ValueError:
        query = []
    times = [value for key, value in query if key == "snapshot"]
    return without_query(uri) + (f"?snapshot={times[0]}" if times else "")
