# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The status document and the log document, in the form that the VMSnapshot extension publishes.

PRIVATE: for this collection only. Functions of plain values. No address in them has a query,
besides the time that names a snapshot.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple
from urllib.parse import parse_qsl, urlsplit

from ..._errors import Failure
from ..._redact import redact, without_query

HANDLER = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
#: The extension's numbers for what a snapshot shows.
CONSISTENCY = {"none": 0, "file-system": 1, "application": 2, "crash": 3}

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
#: Codes of what belongs to one part of the run, by the beginnings of the names.
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
    "application": "The snapshots are application-consistent.",
    "file-system": "The snapshots are file-system-consistent.",
    "crash": "The snapshots are crash-consistent.",
    "none": "There is no whole set of snapshots.",
}
_QUERY = re.compile(r"(?i)(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")


@dataclass(frozen=True)
class DiskStatus:
    """One disk of the set in the status document."""

    blob_uri: str = field(repr=False)
    #: The snapshot's name, a time; None when there is none.
    snapshot: Optional[str] = None
    error: str = ""


@dataclass(frozen=True)
class StatusInput:
    """What a status document says."""

    task_id: str
    #: Milliseconds since 1970.
    written_ms: int
    #: C(application), C(file-system), C(crash) or C(none).
    consistency: str = "none"
    #: What failed the run, or C(degraded_by) made it less consistent than it was meant to be.
    failure: Optional[Failure] = None
    degraded_by: Optional[Failure] = None
    #: The run has only begun.
    in_progress: bool = False
    disks: Tuple[DiskStatus, ...] = ()
    #: As the settings gave it.
    command_start_ticks: Optional[str] = None
    #: Version of what took the snapshots.
    version: str = ""
    machine_id: str = ""
    telemetry: Mapping[str, str] = field(default_factory=dict)
    #: None when it was not counted.
    partition_count: Optional[int] = None
    used_bytes: Optional[int] = None

    @property
    def shows_snapshots(self) -> bool:
        """Return True if there is a whole set; none, and an unknown word, is no success."""
        return CONSISTENCY.get(self.consistency, 0) > 0


def status_code(status: StatusInput) -> int:
    """The code that the extension reports for this outcome."""
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
    return APPLICATION_CODE if status.consistency == "application" else SUCCESS_CODE


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


def _health(status: StatusInput, code: int) -> Dict[str, int]:
    """The state of the VM: also a run that succeeded tells of a script that failed."""
    if code == SUCCESS_CODE and status.degraded_by is not None:
        reported = _code_of(status.degraded_by)
        code = reported if reported != ERROR_CODE else code
    if code == _SNAPSHOTS_FAILED and any(disk.snapshot is not None for disk in status.disks):
        code = _SOME_SNAPSHOTS_FAILED
    return {"vmHealthState": _HEALTH.get(code, _YELLOW), "vmHealthStatusCode": code}


def status_document(status: StatusInput) -> bytes:
    """The status document: the JSON of a list with one object."""
    code = status_code(status)
    document = {
        "version": status.version,
        "timestampUTC": f"/Date({status.written_ms})/",
        "status": {
            "name": HANDLER,
            "operation": "Enable",
            "status": "success" if _is_well(status) else "error",
            "substatus": [],
            "code": str(code),
            "taskId": status.task_id,
            "formattedMessage": {"lang": "en-US", "message": _message(status)},
            "storageDetails": _storage(status),
            "commandStartTimeUTCTicks": status.command_start_ticks,
            "telemetryData": [
                {"Value": clean(value), "Key": key} for key, value in status.telemetry.items()
            ],
            "uniqueMachineId": status.machine_id,
            "snapshotInfo": [_disk(disk) for disk in status.disks],
            "vmHealthInfo": _health(status, code),
        },
    }
    text = json.dumps([document])
    # The form of dates of .NET has its slashes escaped, which the JSON encoder does not do.
    escaped = re.sub(r'"/Date\((-?\d+)\)/"', r'"\\/Date(\1)\\/"', text)
    return escaped.encode("ascii")


def _is_well(status: StatusInput) -> bool:
    return status.failure is None and (status.in_progress or status.shows_snapshots)


def _message(status: StatusInput) -> str:
    said = status.failure or status.degraded_by
    kind = status.consistency if status.shows_snapshots else "none"
    words = [] if status.in_progress or status.failure else [_MESSAGES[kind]]
    if status.in_progress:
        words.append("The snapshots are being taken.")
    if said is not None:
        words.append(f"{said.name}: {said.message} {said.recommended_action}".strip())
    return json.dumps(
        {
            "messageStr": clean(" ".join(words)),
            "snapshotConsistency": CONSISTENCY[kind],
            "jobMessage": "",
            "isSizeComputationFailed": status.used_bytes is None,
        }
    )


def _storage(status: StatusInput) -> Dict[str, Any]:
    return {
        "partitionCount": status.partition_count or 0,
        "totalUsedSizeInBytes": status.used_bytes or 0,
        "isStoragespacePresent": False,
        "isSizeComputationFailed": status.used_bytes is None,
    }


def _disk(disk: DiskStatus) -> Dict[str, Any]:
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
    """The text with the queries of all addresses in it taken off, save a snapshot's time."""
    return redact(_QUERY.sub(lambda match: _shown(match.group(0)), text))


def _shown(uri: str) -> str:
    try:
        query = parse_qsl(urlsplit(uri).query)
    except ValueError:
        query = []
    times = [value for key, value in query if key == "snapshot"]
    return without_query(uri) + (f"?snapshot={times[0]}" if times else "")


# --- The log ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogEntry:
    """Something that happened; C(at_ms) is milliseconds since 1970."""

    at_ms: int
    text: str


def log_document(entries: Iterable[LogEntry]) -> bytes:
    """The log: a line an entry, each with its time in UTC; further lines of one are indented."""
    lines = []
    for entry in entries:
        at = datetime.fromtimestamp(entry.at_ms // 1000, timezone.utc).replace(tzinfo=None)
        text = clean(entry.text).strip().replace("\r", "").replace("\n", "\n    ")
        lines.append(f"{at.isoformat()}.{entry.at_ms % 1000:03d}Z {text}\n")
    return "".join(lines).encode("utf-8", errors="replace")


def log_entries(result: Mapping[str, Any], started_ms: int) -> List[LogEntry]:
    """What a log says of a run, from the run's result; C(started_ms): when the run began."""
    entries = [
        LogEntry(
            started_ms + int(phase["start_ms"]),
            f"{phase['name']} began and took {phase['duration_ms']:.0f} ms",
        )
        for phase in result.get("phases") or ()
    ]
    end_ms = max(
        (
            started_ms + int(phase["start_ms"] + phase["duration_ms"])
            for phase in result.get("phases") or ()
        ),
        default=started_ms,
    )
    return entries + [LogEntry(end_ms, text) for text in _findings(result)]


def _findings(result: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("pre", "post"):
        script = (result.get("scripts") or {}).get(kind)
        if script:
            yield (
                f"{kind}-script: exit status {script['rc']}, {script['attempts']} attempts, "
                f"{script['duration_ms']:.0f} ms\n{script['tail']}"
            )
    freeze = result.get("freeze") or {}
    for one in freeze.get("filesystems") or ():
        yield f"{one['mount_point']} ({one['device']}, {one['type']}): {one['outcome']}"
    if freeze.get("window_ms") is not None:
        yield f"The window lasted {freeze['window_ms']:.0f} ms"
    for disk in result.get("disks") or ():
        said = disk.get("failure") or {}
        yield f"disk {disk['name']}: {disk['snapshot'] or said.get('message') or 'no snapshot'}"
    for warning in result.get("warnings") or ():
        yield f"warning: {warning}"
    failure = result.get("failure")
    if failure:
        yield f"{failure['name']}: {failure['message']} {failure['recommended_action']}"
    yield f"consistency: {result.get('consistency')}"
