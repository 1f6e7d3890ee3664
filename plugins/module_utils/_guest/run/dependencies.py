# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dependencies of a run. The module injects them, and tests replace them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Callable, Optional, Protocol

from ..._stores.store import Store
from ..model import FilesystemRecord, ScriptOutcome, ScriptSpec, Target
from ..scripts.validation import Readiness
from ..storage.coverage import Coverage
from ..storage.freeze_plan import FreezePlan
from .record import RunRecord


class LockProtocol(Protocol):
    """The lock of the guest, with its memory of task ids; see `lock`."""

    def __enter__(self) -> object:
        """Take the lock. Raise `SettingsError` if another run holds it or the task has run."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""

    def remember_task(self) -> None:
        """Record that the task is about to change the guest, so that it is never repeated."""


class MachineProtocol(Protocol):
    """The state of the guest, read within a time limit; see `machine`."""

    def __enter__(self) -> object:
        """Start the process that reads."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process that reads."""

    def limit(self, limit_s: float, check: Callable[[], None]) -> None:
        """Let all calls from now on end within `limit_s`, together; errors of `check` end them."""

    def examine(self) -> Readiness:
        """Read the configuration and check the scripts."""

    def is_single_disk(self) -> bool:
        """Return True if the set is the only disk of the guest."""

    def plan(self) -> FreezePlan:
        """Return the filesystems to freeze, in their order."""

    def cover(self, targets: tuple[Target, ...]) -> Coverage:
        """Check whether freezing the targets stops every write to the disks."""

    def check_expedite(self) -> None:
        """Raise `SettingsError` if FIFREEZE must be expedited and cannot be."""


class FreezerProtocol(Protocol):
    """The guard and the watchdog, as the run uses them; see `freezer`."""

    @property
    def deadline_ns(self) -> int:
        """Return the time at which everything is thawed in any case."""

    @property
    def protection(self) -> dict[str, Any]:
        """Return the protection of the run, for the result."""

    @property
    def expedited(self) -> dict[str, Any]:
        """Return whether FIFREEZE was expedited, for the result."""

    def stage(self, name: str, limit_s: float) -> None:
        """Announce the phase of the run and its time limit."""

    def before_script(self) -> None:
        """Prepare the process of a script, right before it executes the script."""

    def script_ended(self) -> None:
        """Announce that no script runs any more."""

    def mark_post_script_due(self) -> None:
        """Announce that from now on the post-script must run, even if the run dies."""

    def verify(self) -> None:
        """Check that each descriptor still is the mount that was planned."""

    def flush(self, limit_s: float) -> float:
        """Write out dirty pages until a pass is short."""

    def freeze(self) -> None:
        """Freeze all filesystems, or none and raise."""

    def is_window_over(self) -> bool:
        """Return True if a filesystem may no longer be frozen; cheap."""

    def is_taken_over(self) -> bool:
        """Return True if a supervisor completes the work in place of the run."""

    def thaw(self) -> tuple[FilesystemRecord, ...]:
        """Thaw everything that was frozen."""

    def run_post_script(self) -> ScriptOutcome | None:
        """Run the post-script if it is due."""

    def stop(self) -> None:
        """Stop the supervisors."""


class PublisherProtocol(Protocol):
    """The documents of a run, for Azure Backup; see `publisher`."""

    def announce(self, record: RunRecord) -> None:
        """Write that the run has begun."""

    def publish(self, record: RunRecord) -> None:
        """Write the outcome of the run and its log."""


#: Start guard and watchdog for targets, with the freeze timeout and the post-script.
StartFreezer = Callable[[tuple[Target, ...], float, Optional[ScriptSpec]], FreezerProtocol]


@dataclass(frozen=True)
class Dependencies:
    """The objects that a run works with."""

    lock: LockProtocol
    machine: MachineProtocol
    start_freezer: StartFreezer
    #: Called only once the supervisors were forked, because a store starts threads.
    make_store: Callable[[], Store]
    #: Raise `SettingsError` unless the disks' addresses suffice for these seconds from now.
    check_disks: Callable[[float], object]
    publisher: PublisherProtocol
    clock_ns: Callable[[], int] = time.monotonic_ns
