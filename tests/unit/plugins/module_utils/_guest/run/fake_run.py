# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dependencies of a run for tests, whose answers a test can choose."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    QuiesceError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    HELD,
    FilesystemRecord,
    ScriptOutcome,
    ScriptSpec,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.dependencies import (
    Dependencies,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRecord,
    RunRequest,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.sequence import (
    SnapshotRun,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.config import (
    ScriptConfig,
    ScriptSettings,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.runner import (
    run_script,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.trusted_file import (
    identity,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.validation import (
    Readiness,
    ReadinessState,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.coverage import (
    Coverage,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.freeze_plan import (
    FreezePlan,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.labels import disk_labels
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)
from tests.unit.plugins.module_utils.disks import make_disk

TARGETS = (
    Target("/srv/a", "/dev/loop91", "ext4", 91),
    Target("/srv/b", "/dev/loop92", "xfs", 92),
)


class FakeFreezer:
    """A freezer that freezes nothing and does run the post-script."""

    def __init__(self, run: FakeRun, targets: Sequence[Target], post: ScriptSpec | None) -> None:
        self._run = run
        self._targets = targets
        self._post = post
        self._is_due = False
        self._records: tuple[FilesystemRecord, ...] = ()
        self.protection: dict[str, Any] = {"filesystems": len(targets)}
        self.expedited: dict[str, Any] = {"used": False}
        self.deadline_ns = 0

    def _log(self, event: str) -> None:
        self._run.log.append(event)
        self._run.happen(event)

    def stage(self, name: str, limit_s: float) -> None:
        assert limit_s > 0
        self._log(f"stage {name}")

    def before_script(self) -> None:
        """Do nothing; the script's own process calls this."""

    def script_ended(self) -> None:
        self._log("script ended")

    def mark_post_script_due(self) -> None:
        self._is_due = True

    def verify(self) -> None:
        self._log("verify")

    def flush(self, limit_s: float) -> float:
        self._log("flush")
        return 0.0

    def freeze(self) -> None:
        started = time.monotonic_ns()
        self.deadline_ns = started + int(self._run.freeze_timeout_s * 1e9)
        self._log("freeze")
        self._records = tuple(
            FilesystemRecord(
                target,
                self._run.outcome,
                freeze_started_ns=started,
                frozen_ns=time.monotonic_ns(),
                freeze_errno=0,
            )
            for target in self._targets
        )

    def is_window_over(self) -> bool:
        return self._run.window_over

    def is_taken_over(self) -> bool:
        return self._run.window_over

    def thaw(self) -> tuple[FilesystemRecord, ...]:
        started = time.monotonic_ns()
        self._log("thaw")
        self._records = tuple(
            replace(one, thaw_started_ns=started, thawed_ns=time.monotonic_ns(), thaw_errno=0)
            for one in self._records
        )
        return self._records

    def run_post_script(self) -> ScriptOutcome | None:
        self._log("post-script")
        if not self._is_due or self._post is None:
            return None
        self._is_due = False
        return run_script(self._post)

    def stop(self) -> None:
        assert not self._is_due
        self._log("stop")


class FakeStore:
    """A store that keeps its snapshots in a dictionary."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run
        self.snapshots: dict[str, str] = {}
        self.warnings: list[str] = []

    def _log(self, event: str) -> None:
        self._run.log.append(event)
        self._run.happen(event)

    def prepare(self, deadline_s: float) -> None:
        assert deadline_s > 0
        self._log("store prepare")

    def refresh(self) -> None:
        self._log("refresh")

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> list[SnapshotOutcome]:
        assert deadline_ns > time.monotonic_ns()
        outcomes = []
        self._run.happen("before take")
        for disk in self._run.request.disks:
            now = time.monotonic_ns()
            if over():
                outcomes.append(
                    SnapshotOutcome(disk.name, failure=Failure("NotAskedInTime", "It is over."))
                )
                continue
            failure = self._run.refused.get(disk.name)
            if failure is not None:
                outcomes.append(SnapshotOutcome(disk.name, request_ns=now, failure=failure))
            elif disk.name in self._run.unanswered:
                outcomes.append(SnapshotOutcome(disk.name, request_ns=now, unknown=True))
            else:
                outcomes.append(self._snapshot(disk.name, now))
        self._log("take")
        return outcomes

    def _snapshot(self, name: str, request_ns: int) -> SnapshotOutcome:
        self.snapshots[name] = f"snapshot of {name}"
        uri = f"https://store.invalid/{name}"
        return SnapshotOutcome(name, self.snapshots[name], uri, request_ns, time.monotonic_ns())

    def resolve_unknown(
        self, outcomes: Sequence[SnapshotOutcome], limit_s: float
    ) -> list[SnapshotOutcome]:
        assert limit_s > 0
        self._log("resolve")
        found = []
        for outcome in outcomes:
            if outcome.unknown and self._run.unanswered[outcome.disk]:
                found.append(self._snapshot(outcome.disk, outcome.request_ns or 0))
            else:
                found.append(replace(outcome, unknown=False) if outcome.unknown else outcome)
        return found

    def discard(self, outcomes: Sequence[SnapshotOutcome]) -> dict[str, str]:
        self._log("discard")
        for outcome in outcomes:
            if outcome.disk not in self._run.undeletable:
                del self.snapshots[outcome.disk]
        return {name: why for name, why in self._run.undeletable.items() if name in self.snapshots}

    def close(self) -> None:
        self._log("store close")


class FakeLock:
    """A lock that is always free."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run

    def __enter__(self) -> None:
        self._run.log.append("lock")
        self._run.happen("lock")

    def __exit__(self, *_error: object) -> None:
        self._run.log.append("unlock")

    def remember_task(self) -> None:
        self._run.happen("begin")


class FakeMachine:
    """A guest with the chosen configuration, mounts and disks."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run
        self.examine = run.examine

    def __enter__(self) -> None:
        """Start nothing."""

    def __exit__(self, *_error: object) -> None:
        """End nothing."""

    def limit(self, _limit_s: float, _check: Callable[[], None]) -> None:
        self._run.happen("limit")

    def is_single_disk(self) -> bool:
        return self._run.single_disk

    def plan(self) -> FreezePlan:
        return FreezePlan(self._run.targets)

    def cover(self, _targets: tuple[Target, ...]) -> Coverage:
        covered = self._run.covered
        return Coverage(covered, ("bare",) * (covered is False))

    def check_expedite(self) -> None:
        """Accept every setting."""


class FakePublisher:
    """A publisher that only logs."""

    def __init__(self, run: FakeRun) -> None:
        self._run = run

    def _log(self, event: str) -> None:
        self._run.log.append(event)
        self._run.happen(event)

    def announce(self, _record: RunRecord) -> None:
        self._log("announce")

    def publish(self, _record: RunRecord) -> None:
        self._log("publish")


@dataclass
class FakeRun:
    """A run whose dependencies answer as a test chooses, with a log of its events."""

    folder: Path
    disks: int = 2
    single_disk: bool = False
    continue_backup: bool = True
    fs_freeze: bool = True
    targets: tuple[Target, ...] = TARGETS
    covered: bool | None = True
    outcome: str = HELD
    freeze_timeout_s: float = 30.0
    options: dict[str, Any] = field(default_factory=dict)
    #: Bodies of the scripts; None for none.
    pre: str | None = "exit 0"
    post: str | None = "exit 0"
    script_fields: dict[str, Any] = field(default_factory=dict)
    state: str = ""
    findings: tuple[Failure, ...] = ()
    refused: dict[str, Failure] = field(default_factory=dict)
    #: By disk: True if the snapshot was made although its request got no answer.
    unanswered: dict[str, bool] = field(default_factory=dict)
    undeletable: dict[str, str] = field(default_factory=dict)
    #: Functions to call at an event: they raise, send a signal or wait.
    events: dict[str, Callable[[], None]] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    #: The answer of `is_window_over` and `is_taken_over`.
    window_over: bool = False

    def happen(self, event: str) -> None:
        action = self.events.get(event)
        if action is not None:
            action()

    def raises(self, event: str, error: Exception) -> None:
        def action() -> None:
            raise error

        self.events[event] = action

    def _spec(self, kind: str, body: str | None) -> ScriptSpec | None:
        if body is None:
            return None
        script = self.folder / f"{kind} script"
        script.write_text(f'#!/bin/sh\necho {kind} >> "{self.folder}/ran"\n{body}\n')
        script.chmod(0o700)
        fields = {"timeout_s": 60.0, **self.script_fields}
        return ScriptSpec(kind=kind, path=str(script), identity=identity(script.lstat()), **fields)

    def ran(self) -> list[str]:
        """Return the scripts that ran, in their order."""
        try:
            return (self.folder / "ran").read_text().split()
        except FileNotFoundError:
            return []

    def examine(self) -> Readiness:
        self.happen("examine")
        pre, post = self._spec("pre", self.pre), self._spec("post", self.post)
        config = None
        if self.state not in ("absent", "unusable"):
            config = ScriptConfig(
                ScriptSettings("/pre"),
                ScriptSettings("/post"),
                60,
                continue_backup_on_failure=self.continue_backup,
                fs_freeze_enabled=self.fs_freeze,
            )
        state = self.state or ("ready" if pre else "absent")
        if state != "ready":
            pre = post = None
        return Readiness(config, pre, post, self.findings, (), ReadinessState(state))

    def run(self) -> RunRecord:
        """Return the record of the run."""
        disks = tuple(
            make_disk(f"disk{n}", f"https://store.invalid/vhds/{n}") for n in range(self.disks)
        )
        labels = disk_labels(disks, None, "the-set", {})
        fields = {"freeze_timeout_s": self.freeze_timeout_s, "labels": labels, **self.options}
        self.request = RunRequest(disks, "the-set", "/etc/azure/x.json", **fields)
        self.store = FakeStore(self)
        self.supervisors: list[FakeFreezer] = []

        def start(targets: Any, _timeout: float, post: ScriptSpec | None) -> FakeFreezer:
            self.log.append("supervisors")
            self.happen("supervisors")
            self.supervisors.append(FakeFreezer(self, targets, post))
            return self.supervisors[0]

        return SnapshotRun(
            self.request,
            Dependencies(
                lock=FakeLock(self),
                machine=FakeMachine(self),
                start_freezer=start,
                make_store=lambda: self.store,
                check_disks=lambda _seconds: self.happen("check disks"),
                publisher=FakePublisher(self),
            ),
        ).run()


def error(name: str = "Broken") -> QuiesceError:
    """Return an error of a dependency."""
    return QuiesceError(Failure(name, "It broke."))
