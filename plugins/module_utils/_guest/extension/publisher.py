# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Publish a run: make its status and its log from its record, and write them to blobs."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from typing import Any, Callable

from ..._errors import Failure, QuiesceError
from ..run.record import RunRecord
from ..run.result import build
from .log import LogEntry, log_document, log_entries
from .status import DiskStatus, StatusInput, status_document

#: The version of the collection, which a module on a managed host cannot read.
VERSION = "0.2.0"

_ALREADY_RUN = "TaskAlreadyRun"

#: Write a document to a blob by its address with a SAS; the last argument names the document in
#: messages. Raise `QuiesceError`.
Write = Callable[[str, bytes, str], None]
_STATUS = "The status"
_LOG = "The log"


class StatusPublisher:
    """A writer of the status at the start and the end of a run, and of its log at the end.

    `status_uri` and `logs_uri` have a SAS. Without them nothing is written.
    """

    def __init__(
        self,
        write: Write,
        status_uri: str | None = None,
        logs_uri: str | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._write = write
        self._status_uri = status_uri
        self._logs_uri = logs_uri
        self._wall = wall
        self._started_ms = self._now_ms()

    def _now_ms(self) -> int:
        return int(self._wall() * 1000)

    def announce(self, record: RunRecord) -> None:
        """Write that the run has begun. Raise `QuiesceError` if that fails."""
        if self._status_uri:
            document = status_document(self._status(record, in_progress=True))
            self._write(self._status_uri, document, _STATUS)

    def publish(self, record: RunRecord) -> None:
        """Write the outcome of the run, and its log. Raise `QuiesceError` if one of them fails."""
        if record.failure is not None and record.failure.name == _ALREADY_RUN:
            return  # the report of the earlier run of this task stays
        self._write_both(
            lambda: status_document(self._status(record, in_progress=False)),
            lambda: log_document(log_entries(build(record), self._started_ms)),
        )

    def refuse(self, failure: Failure, task_id: str = "", ticks: str | None = None) -> None:
        """Write that the options were refused before a run began.

        `ticks` is the start time of the command.
        """
        status = StatusInput(
            task_id,
            self._now_ms(),
            failure=failure,
            command_start_ticks=ticks,
            version=VERSION,
        )
        text = f"{failure.name}: {failure.message} {failure.recommended_action}"
        self._write_both(
            lambda: status_document(status),
            lambda: log_document([LogEntry(self._started_ms, text)]),
        )

    def _write_both(self, status: Callable[[], bytes], log: Callable[[], bytes]) -> None:
        """Write status and log, the second also if the first failed; raise the first error."""
        errors = [
            self._try(self._status_uri, status, _STATUS),
            self._try(self._logs_uri, log, _LOG),
        ]
        for error in filter(None, errors):
            raise error

    def _try(
        self, uri: str | None, document: Callable[[], bytes], subject: str
    ) -> QuiesceError | None:
        try:
            if uri:
                self._write(uri, document(), subject)
        except QuiesceError as error:
            return error
        return None

    def _status(self, record: RunRecord, in_progress: bool) -> StatusInput:
        result: Mapping[str, Any] = build(record)
        blobs = {disk.name: disk.address.shown for disk in record.request.disks}
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
                    blobs[disk["name"]],
                    disk["snapshot"],
                    disk["failure"]["message"] if disk["failure"] else "",
                )
                for disk in result["disks"]
            ),
            command_start_ticks=record.request.command_start_ticks,
            version=VERSION,
            telemetry=_telemetry(result),
        )


def _telemetry(result: Mapping[str, Any]) -> dict[str, str]:
    system = os.uname()
    telemetry = {
        "extensionVersion": VERSION,
        "kernelVersion": system.release,
        "platformArchitecture": system.machine,
        "pythonVersion": platform.python_version(),
        "prePostEnabled": str(result["scripts"]["pre"] is not None),
        "consistencyType": result["consistency"],
        "snapshotSet": result["snapshot_set"]["id"],
    }
    if result["freeze"]["window_ms"] is not None:
        telemetry["freezeWindowInMs"] = str(result["freeze"]["window_ms"])
    return telemetry
