# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module `vm_snapshot`: a run with its real dependencies."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import Failure, QuiesceError, SettingsError
from .._guest import syscalls
from .._guest.extension.publisher import StatusPublisher
from .._guest.extension.settings import ExtensionDocuments, stated_ticks
from .._guest.freeze.freezer import Freezer
from .._guest.freeze.rcu_expedited import Setting
from .._guest.model import ScriptSpec, Target
from .._guest.run.dependencies import Dependencies
from .._guest.run.lock import RunLock
from .._guest.run.machine import Machine
from .._guest.run.record import RunRequest
from .._guest.run.result import build
from .._guest.run.sequence import SnapshotRun
from .._stores.page_blob.sas import check_disks
from .._stores.store import Store
from .base import TaskContext
from .vm_snapshot_options import document_uris, read_documents, read_options, stated_task_id


class RunFailedError(QuiesceError):
    """The failure of a run, with the result as far as it is known."""

    def __init__(self, failure: Failure, result: Mapping[str, Any]) -> None:
        super().__init__(failure)
        self.result = dict(result)


def run_snapshot(context: TaskContext) -> dict[str, Any]:
    """Take a snapshot, or in check mode check whether a snapshot could be taken.

    Raise `QuiesceError`; that of a run has its result.
    """
    params, check_mode = context.params, context.check_mode
    # Write nothing while filesystems are frozen, not even a file with bytecode.
    sys.dont_write_bytecode = True
    # The options hold addresses with a SAS; guard and watchdog inherit this setting.
    syscalls.forbid_core_dumps()
    if os.geteuid() != 0:
        raise SettingsError(
            "NotRoot", "Only root can freeze filesystems.", "Run this task with become: true."
        )
    _require_proc()
    documents: ExtensionDocuments | None = None
    try:
        documents = read_documents(params)
        request = read_options(params, documents)
    except SettingsError as error:
        if not check_mode:
            _publish_refusal(params, documents, error.failure)
        raise
    publisher = _publisher(params, documents)
    run = SnapshotRun(request, _dependencies(request, publisher, check_mode))
    record = run.check() if check_mode else run.run()
    result = build(record)
    if record.failure is not None:
        more = {"traceback": record.traceback} if record.traceback else {}
        raise RunFailedError(record.failure, {**result, **more, "changed": record.changed})
    return {**result, "changed": True}


def _require_proc() -> None:
    """Refuse a machine whose processes and mounts are not visible."""
    try:
        process = str(Path("/proc/self").readlink())
    except OSError:
        process = ""
    if process != str(os.getpid()):
        raise SettingsError(
            "ProcNotMounted",
            "/proc is not mounted, or shows another PID namespace. Without it the mounts of this "
            "machine and the users of its disks are unknown.",
            "Mount it with 'mount -t proc proc /proc', and run the task again.",
        )


def _publisher(params: Mapping[str, Any], documents: ExtensionDocuments | None) -> StatusPublisher:
    return StatusPublisher(_write_document, *document_uris(params, documents))


def _publish_refusal(
    params: Mapping[str, Any], documents: ExtensionDocuments | None, failure: Failure
) -> None:
    """Write the refusal: Azure Backup waits for a status, even for wrong options."""
    task_id = stated_task_id(params, documents)
    ticks = stated_ticks(documents) if documents else None
    try:
        _publisher(params, documents).refuse(failure, task_id, ticks)
    except QuiesceError:
        # The user needs the error of the options, not that of the status.
        return


def _dependencies(
    request: RunRequest, publisher: StatusPublisher, check_mode: bool
) -> Dependencies:
    lock = RunLock(check_mode=check_mode, task_id=request.task_id)

    def start_freezer(
        targets: tuple[Target, ...], timeout_s: float, post: ScriptSpec | None
    ) -> Freezer:
        return Freezer.start(
            targets,
            timeout_s,
            post,
            # The next run has to wait for the supervisors of a run that died.
            keep_open=(lock.fileno(),),
            setting=Setting(request.expedite) if targets else None,
        )

    return Dependencies(
        lock=lock,
        machine=Machine(request),
        start_freezer=start_freezer,
        make_store=lambda: _make_store(request),
        check_disks=lambda seconds: check_disks(request.disks, seconds),
        publisher=publisher,
    )


def _make_store(request: RunRequest) -> Store:
    # Imported late: the store starts threads, and the supervisors must be forked first.
    from .._stores.page_blob.store import PageBlobStore

    return PageBlobStore(request.disks, request.labels, request.set_id)


def _write_document(uri: str, data: bytes, subject: str) -> None:
    from .._stores.page_blob.documents import write_document

    write_document(uri, data, subject=subject)
