# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the module vm_snapshot does: the run with its real parts.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, Mapping

from .._errors import Failure, QuiesceError, SettingsError, refuse
from .._guest import syscalls
from .._guest.extension.publisher import StatusPublisher
from .._guest.freeze.freezer import Freezer
from .._guest.freeze.rcu_expedited import Setting, why_not
from .._guest.run.dependencies import Dependencies
from .._guest.run.lock import RunLock
from .._guest.run.record import RunRequest
from .._guest.run.result import build
from .._guest.run.sequence import SnapshotRun
from .._guest.run.time_limit import BoundedCalls
from .._guest.scripts.validation import examine
from .._guest.storage.coverage import check_coverage
from .._guest.storage.freeze_plan import plan_targets
from .._guest.storage.single_disk import is_single_disk
from .._stores.labels import DISK_LABEL, disk_labels
from .._stores.page_blob.sas import check_disks
from .._stores.store import Store
from .base import TaskContext
from .vm_snapshot_options import document_places, read_options

#: The looks at the machine, in words that an error can use.
_EXAMINE = "reading the configuration and the scripts"
_COUNT = "counting the disks"
_PLAN = "looking at what is mounted and at the disks"
_COVER = "looking at what uses the disks"


class RunFailedError(QuiesceError):
    """A run that failed, with everything that is known of it."""

    def __init__(self, failure: Failure, result: Mapping[str, Any]) -> None:
        super().__init__(failure)
        self.result = dict(result)


def run_snapshot(context: TaskContext) -> Dict[str, Any]:
    """Take a snapshot, or in check mode look whether one could be taken.

    Raises C(QuiesceError); one that comes of a run has its result.
    """
    params, check_mode = context.params, context.check_mode
    # Nothing is to be written while filesystems are frozen, not even a file with bytecode.
    sys.dont_write_bytecode = True
    # The options hold addresses with a SAS; guard and watchdog inherit this.
    syscalls.forbid_core_dumps()
    if os.geteuid() != 0:
        refuse("NotRoot", "Only root can freeze filesystems.", "Run this task with become: true.")
    _need_proc()
    documents = StatusPublisher(_write)
    try:
        request = read_options(params)
    except SettingsError as error:
        if not check_mode:
            _publish_refusal(documents, params, error.failure)
        raise
    run = SnapshotRun(request, _parts(request, documents, check_mode))
    record = run.check() if check_mode else run.run()
    result = build(record)
    if record.failure is not None:
        more = {"traceback": record.traceback} if record.traceback else {}
        raise RunFailedError(record.failure, {**result, **more, "changed": record.changed})
    return {**result, "changed": True}


def _need_proc() -> None:
    """Refuse a machine whose processes and mounts cannot be seen."""
    try:
        found = str(Path("/proc/self").readlink())
    except OSError:
        found = ""
    if found != str(os.getpid()):
        refuse(
            "ProcNotMounted",
            "/proc is not mounted, or shows another PID namespace. Without it the mounts of this "
            "machine and the users of its disks are not known.",
            "Mount it with 'mount -t proc proc /proc', and run again.",
        )


def _publish_refusal(
    documents: StatusPublisher, params: Mapping[str, Any], failure: Failure
) -> None:
    """The outside waits for a status even when the options are wrong, where they name a place."""
    try:
        documents.refuse(*document_places(params), failure)
    except QuiesceError:
        # What is wrong with the options is what people must hear of.
        return


def _parts(request: RunRequest, documents: StatusPublisher, check_mode: bool) -> Dependencies:
    lock = RunLock(check_mode=check_mode)
    looks = BoundedCalls(
        {
            _EXAMINE: lambda: examine(request.config_path),
            _COUNT: lambda: is_single_disk(request.disks),
            _PLAN: lambda: plan_targets(request.freeze, request.disks),
            _COVER: lambda targets: check_coverage(targets, request.disks),
        }
    )

    @contextmanager
    def locked() -> Iterator[None]:
        with lock, looks:
            if request.task_id and lock.seen(request.task_id):
                refuse(
                    "TaskAlreadyRun",
                    f"The task {request.task_id} has run on this guest already.",
                    "Give each backup a task_id of its own.",
                )
            yield

    def begin() -> None:
        if request.task_id:
            lock.remember(request.task_id)

    return Dependencies(
        lock=locked,
        limit_looks=looks.limit,
        examine=lambda: looks.call(_EXAMINE),
        check_disks=lambda seconds: check_disks(request.disks, seconds),
        label=lambda: _labels(request),
        plan=lambda: looks.call(_PLAN),
        cover=lambda targets: looks.call(_COVER, targets),
        is_single_disk=lambda: looks.call(_COUNT),
        start_freezer=lambda targets, timeout_s, post: Freezer.start(
            # The next run has to wait for the supervisors of one that died.
            targets,
            timeout_s,
            post,
            keep_open=(lock.fileno(),),
            setting=Setting(request.expedite) if targets else None,
        ),
        make_store=lambda: _make_store(request),
        begin=begin,
        announce=documents.announce,
        publish=documents.publish,
        check_expedite=lambda: why_not(request.expedite),
    )


def _labels(request: RunRequest) -> Dict[str, str]:
    """What the snapshots of all disks carry alike."""
    labels = disk_labels(request.disks, request.task_id, request.set_id, request.metadata)
    each = labels[request.disks[0].name]
    return {name: value for name, value in each.items() if name != DISK_LABEL}


def _make_store(request: RunRequest) -> Store:
    # Imported only now: the store starts threads, and the supervisors must be forked first.
    from .._stores.page_blob.store import PageBlobStore

    return PageBlobStore(request.disks, request.task_id, request.set_id)


def _write(uri: str, data: bytes, what: str) -> None:
    from .._stores.page_blob.documents import write_document

    write_document(uri, data, what=what)
