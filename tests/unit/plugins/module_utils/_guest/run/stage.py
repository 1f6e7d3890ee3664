# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a run that stand in for supervisors and store, so that each answer can be chosen."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
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
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)

TARGETS = (
    Target("/srv/a", "/dev/loop91", "ext4", 91),
    Target("/srv/b", "/dev/loop92", "xfs", 92),
)


class ChosenFreezer:
    """Freezer that freeze nothing and say what a test wants; they run the post-script for real."""

    def __init__(self, stage: Stage, targets: Sequence[Target], post: Optional[ScriptSpec]) -> None:
        self._stage = stage
        self._targets = targets
        self._post = post
        self._owed = False
        self._records: Tuple[FilesystemRecord, ...] = ()
        self.protection: Dict[str, Any] = {"filesystems": len(targets)}
        self.expedited: Dict[str, Any] = {"used": False}
        self.deadline_ns = 0

    def _say(self, what: str) -> None:
        self._stage.log.append(what)
        self._stage.happen(what)

    def stage(self, name: str, limit_s: float) -> None:
        assert limit_s > 0
        self._say(f"stage {name}")

    def before_script(self) -> None:
        """Called in another process."""

    def script_ended(self) -> None:
        self._say("script ended")

    def mark_post_script_due(self) -> None:
        self._owed = True

    def verify(self) -> None:
        self._say("verify")

    def flush(self, limit_s: float) -> float:
        self._say("flush")
        return 0.0

    def freeze(self) -> None:
        started = time.monotonic_ns()
        self.deadline_ns = started + int(self._stage.freeze_timeout_s * 1e9)
        self._say("freeze")
        self._records = tuple(
            FilesystemRecord(
                target,
                self._stage.outcome,
                freeze_started_ns=started,
                frozen_ns=time.monotonic_ns(),
                freeze_errno=0,
            )
            for target in self._targets
        )

    def is_window_over(self) -> bool:
        return self._stage.window_over

    def is_taken_over(self) -> bool:
        return self._stage.window_over

    def thaw(self) -> Tuple[FilesystemRecord, ...]:
        started = time.monotonic_ns()
        self._say("thaw")
        self._records = tuple(
            replace(one, thaw_started_ns=started, thawed_ns=time.monotonic_ns(), thaw_errno=0)
            for one in self._records
        )
        return self._records

    def run_post_script(self) -> Optional[ScriptOutcome]:
        self._say("pay")
        if not self._owed or self._post is None:
            return None
        self._owed = False
        return run_script(self._post)

    def stop(self) -> None:
        assert not self._owed
        self._say("stop")


class ChosenStore:
    """A store that keeps its snapshots in a dictionary."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.snapshots: Dict[str, str] = {}
        self.labels: Mapping[str, str] = {}
        self.warnings: List[str] = []

    def _say(self, what: str) -> None:
        self._stage.log.append(what)
        self._stage.happen(what)

    def prepare(self, deadline_s: float, labels: Mapping[str, str]) -> None:
        assert deadline_s > 0
        self._say("store prepare")
        self.labels = labels

    def refresh(self) -> None:
        self._say("refresh")

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> List[SnapshotOutcome]:
        assert deadline_ns > time.monotonic_ns()
        takes = []
        self._stage.happen("before take")
        for disk in self._stage.request.disks:
            now = time.monotonic_ns()
            if over():
                takes.append(
                    SnapshotOutcome(disk.name, failure=Failure("NotAskedInTime", "It is over."))
                )
                continue
            failure = self._stage.refused.get(disk.name)
            if failure is not None:
                takes.append(SnapshotOutcome(disk.name, request_ns=now, failure=failure))
            elif disk.name in self._stage.unanswered:
                takes.append(SnapshotOutcome(disk.name, request_ns=now, unknown=True))
            else:
                takes.append(self._snapshot(disk.name, now))
        self._say("take")
        return takes

    def _snapshot(self, name: str, request_ns: int) -> SnapshotOutcome:
        self.snapshots[name] = f"snapshot of {name}"
        uri = f"https://store.invalid/{name}"
        return SnapshotOutcome(name, self.snapshots[name], uri, request_ns, time.monotonic_ns())

    def resolve_unknown(
        self, takes: Sequence[SnapshotOutcome], limit_s: float
    ) -> List[SnapshotOutcome]:
        assert limit_s > 0
        self._say("settle")
        found = []
        for take in takes:
            if take.unknown and self._stage.unanswered[take.disk]:
                found.append(self._snapshot(take.disk, take.request_ns or 0))
            else:
                found.append(replace(take, unknown=False) if take.unknown else take)
        return found

    def discard(self, takes: Sequence[SnapshotOutcome]) -> Dict[str, str]:
        self._say("discard")
        for take in takes:
            if take.disk not in self._stage.undeletable:
                del self.snapshots[take.disk]
        return {
            name: why for name, why in self._stage.undeletable.items() if name in self.snapshots
        }

    def close(self) -> None:
        self._say("store close")


@dataclass
class Stage:
    """Everything that a test can choose, and what happened."""

    folder: Path
    disks: int = 2
    single_disk: bool = False
    continue_backup: bool = True
    fs_freeze: bool = True
    targets: Tuple[Target, ...] = TARGETS
    covered: Optional[bool] = True
    outcome: str = HELD
    freeze_timeout_s: float = 30.0
    options: Dict[str, Any] = field(default_factory=dict)
    #: Bodies of the scripts; None for none.
    pre: Optional[str] = "exit 0"
    post: Optional[str] = "exit 0"
    script_fields: Dict[str, Any] = field(default_factory=dict)
    state: str = ""
    findings: Tuple[Failure, ...] = ()
    refused: Dict[str, Failure] = field(default_factory=dict)
    #: By disk: whether the snapshot came into being after all.
    unanswered: Dict[str, bool] = field(default_factory=dict)
    undeletable: Dict[str, str] = field(default_factory=dict)
    #: What to do when something happens: raise, send a signal, wait.
    events: Dict[str, Callable[[], None]] = field(default_factory=dict)
    log: List[str] = field(default_factory=list)
    #: What the supervisors say when they are asked.
    window_over: bool = False

    def happen(self, what: str) -> None:
        event = self.events.get(what)
        if event is not None:
            event()

    def raises(self, what: str, error: Exception) -> None:
        def event() -> None:
            raise error

        self.events[what] = event

    def _spec(self, kind: str, body: Optional[str]) -> Optional[ScriptSpec]:
        if body is None:
            return None
        script = self.folder / f"{kind} script"
        script.write_text(f'#!/bin/sh\necho {kind} >> "{self.folder}/ran"\n{body}\n')
        script.chmod(0o700)
        fields = {"timeout_s": 60.0, **self.script_fields}
        return ScriptSpec(kind=kind, path=str(script), identity=identity(script.lstat()), **fields)

    def ran(self) -> List[str]:
        """The scripts that ran, in their order."""
        try:
            return (self.folder / "ran").read_text().split()
        except FileNotFoundError:
            return []

    def _examine(self) -> Readiness:
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
        """The run, with everything as chosen."""
        disks = tuple(Disk(f"disk{n}", f"https://store.invalid/{n}") for n in range(self.disks))
        fields = {"freeze_timeout_s": self.freeze_timeout_s, **self.options}
        self.request = RunRequest(disks, "the-set", "/etc/azure/x.json", **fields)
        self.store = ChosenStore(self)
        self.supervisors: List[ChosenFreezer] = []

        @contextmanager
        def lock() -> Iterator[None]:
            self.log.append("lock")
            self.happen("lock")
            try:
                yield
            finally:
                self.log.append("unlock")

        def start(targets: Any, _timeout: float, post: Optional[ScriptSpec]) -> ChosenFreezer:
            self.log.append("supervisors")
            self.happen("supervisors")
            self.supervisors.append(ChosenFreezer(self, targets, post))
            return self.supervisors[0]

        def tell(what: str) -> Callable[[RunRecord], None]:
            def say(_record: RunRecord) -> None:
                self.log.append(what)
                self.happen(what)

            return say

        return SnapshotRun(
            self.request,
            Dependencies(
                lock=lock,
                limit_looks=lambda _limit_s, _check: self.happen("limit looks"),
                examine=self._examine,
                check_disks=lambda _seconds: self.happen("check disks"),
                label=lambda: {"set": "the-set"},
                plan=lambda: FreezePlan(self.targets),
                cover=lambda _targets: Coverage(self.covered, ("bare",) * (self.covered is False)),
                is_single_disk=lambda: self.single_disk,
                start_freezer=start,
                make_store=lambda: self.store,
                begin=lambda: self.happen("begin"),
                announce=tell("announce"),
                publish=tell("publish"),
            ),
        ).run()


def error(name: str = "Broken") -> QuiesceError:
    """Some failure of a part."""
    return QuiesceError(Failure(name, "It broke."))
