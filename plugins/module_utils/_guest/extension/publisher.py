# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of a run: the status and the log, made from its record and written to blobs.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import os
import platform
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from ..._errors import Failure, QuiesceError
from ..run.record import RunRecord
from ..run.result import build
from .status import DiskStatus, LogEntry, StatusInput, log_document, log_entries, status_document

#: The version of the collection, which a module that was sent to a host cannot look up.
VERSION = "0.2.0"

_ALREADY_RUN = "TaskAlreadyRun"

#: Writes a document to a blob, by its address with a SAS; what it is comes last, for messages.
#: Raises C(QuiesceError).
Write = Callable[[str, bytes, str], None]
_STATUS = "The status"
_LOG = "The log"


class StatusPublisher:
    """Writes the status at the start and the end of a run, and its log at the end."""

    def __init__(self, write: Write, wall: Callable[[], float] = time.time) -> None:
        self._write = write
        self._wall = wall
        self._started_ms = self._now_ms()

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)

    def announce(self, record: RunRecord) -> None:
        """The run has begun. Raises C(QuiesceError) when that cannot be written."""
        uri = record.request.status_uri
        if uri:
            self._write(uri, status_document(self._status(record, in_progress=True)), _STATUS)

    def publish(self, record: RunRecord) -> None:
        """How the run ended, and its log. Raises when one of them cannot be written."""
        if record.failure is not None and record.failure.name == _ALREADY_RUN:
            return  # what the run that had this task reported stands
        problems: List[QuiesceError] = []
        if record.request.status_uri:
            self._try(record.request.status_uri, self._document(record), _STATUS, problems)
        if record.request.logs_uri:
            entries = log_entries(build(record), self._started_ms)
            self._try(record.request.logs_uri, log_document(entries), _LOG, problems)
        if problems:
            raise problems[0]

    def refuse(self, status_uri: Optional[str], logs_uri: Optional[str], failure: Failure) -> None:
        """What was asked for was refused before there was a run."""
        problems: List[QuiesceError] = []
        if status_uri:
            status = StatusInput("", self._now_ms(), failure=failure, version=VERSION)
            self._try(status_uri, status_document(status), _STATUS, problems)
        if logs_uri:
            text = f"{failure.name}: {failure.message} {failure.recommended_action}"
            self._try(logs_uri, log_document([LogEntry(self._started_ms, text)]), _LOG, problems)
        if problems:
            raise problems[0]

    def _try(self, uri: str, data: bytes, what: str, problems: List[QuiesceError]) -> None:
        try:
            self._write(uri, data, what)
        except QuiesceError as error:
            problems.append(error)

    def _document(self, record: RunRecord) -> bytes:
        return status_document(self._status(record, in_progress=False))

    def _status(self, record: RunRecord, in_progress: bool) -> StatusInput:
        result: Mapping[str, Any] = build(record)
        uris = {disk.name: disk.blob_uri for disk in record.request.disks}
        return StatusInput(
            task_id=record.request.task_id or "",
            written_ms=self._now_ms(),
            consistency=result["consistency"],
            failure=record.failure,
            degraded_by=record.degraded_by,
            in_progress=in_progress,
            disks=()
            if in_progress
            else tuple(
                DiskStatus(
                    uris[disk["name"]],
                    disk["snapshot"],
                    disk["failure"]["message"] if disk["failure"] else "",
                )
                for disk in result["disks"]
            ),
            command_start_ticks=record.request.command_start_ticks,
            version=VERSION,
            telemetry=_telemetry(result),
        )


def _telemetry(result: Mapping[str, Any]) -> Dict[str, str]:
    system = os.uname()
    found = {
        "extensionVersion": VERSION,
        "kernelVersion": system.release,
        "platformArchitecture": system.machine,
        "pythonVersion": platform.python_version(),
        "prePostEnabled": str(result["scripts"]["pre"] is not None),
        "consistencyType": result["consistency"],
        "snapshotSet": result["snapshot_set"]["id"],
    }
    if result["freeze"]["window_ms"] is not None:
        found["freezeWindowInMs"] = str(result["freeze"]["window_ms"])
    return found
