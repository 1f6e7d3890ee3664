# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The request of a run, and the record of its phases and outcomes.

All times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..._disks import Disk
from ..._errors import Failure
from ..._redact import redact
from ..._stores.store import SnapshotOutcome
from ..model import FilesystemRecord, ScriptOutcome
from ..scripts.validation import Readiness
from ..storage.coverage import Coverage
from ..storage.freeze_plan import FreezePlan

DISCARD = "discard"
#: The longest task id; the agent's are a UUID and a number.
MAX_TASK_ID = 128
_TASK_ID = re.compile(rf"[!-~]{{1,{MAX_TASK_ID}}}\Z")


@dataclass(frozen=True)
class RunRequest:
    """The options of a run, checked as far as the options alone permit."""

    disks: tuple[Disk, ...]
    set_id: str
    config_path: str
    #: `auto`, `none` or the mount points.
    freeze: str | tuple[str, ...] = "auto"
    freeze_timeout_s: float = 10.0
    on_partial: str = DISCARD
    #: `auto`, `yes` or `no`; see `rcu_expedited`.
    expedite: str = "auto"
    #: The metadata of each disk's snapshot, by the disk's name.
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    task_id: str | None = None
    #: The least consistency that does not fail the run; None accepts any.
    require_consistency: str | None = None
    #: From the settings of the extension, for the status document.
    command_start_ticks: str | None = None


@dataclass(frozen=True)
class Phase:
    """One phase of the run, with its start and end."""

    name: str
    started_ns: int
    ended_ns: int


@dataclass
class RunRecord:
    """The source of the result, the verdict and the status document."""

    request: RunRequest
    started_ns: int
    phases: list[Phase] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: The first failure of the run.
    failure: Failure | None = None
    #: The traceback of a defect of the collection.
    traceback: str = ""
    #: The reason that the backup is less consistent than planned, without failing the run.
    degraded_by: Failure | None = None
    readiness: Readiness | None = None
    plan: FreezePlan | None = None
    coverage: Coverage | None = None
    #: The set is the only disk of the guest.
    single_disk: bool = False
    #: The documented fallback of a single disk: a snapshot without freeze, crash-consistent.
    crash_fallback: bool = False
    pre: ScriptOutcome | None = None
    post: ScriptOutcome | None = None
    filesystems: tuple[FilesystemRecord, ...] = ()
    outcomes: tuple[SnapshotOutcome, ...] = ()
    #: The reason that a snapshot could not be deleted, by disk.
    not_discarded: dict[str, str] = field(default_factory=dict)
    discarded: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    protection: dict[str, Any] = field(default_factory=dict)
    #: Whether FIFREEZE was expedited, as in the result.
    expedited: dict[str, Any] = field(default_factory=dict)

    @property
    def has_scripts(self) -> bool:
        """Return True if the configuration names scripts that may run."""
        return self.readiness is not None and self.readiness.pre is not None

    @property
    def freeze_off_by_config(self) -> bool:
        """Return True if `fsFreezeEnabled` is false."""
        config = self.readiness.config if self.readiness else None
        return config is not None and not config.fs_freeze_enabled

    @property
    def will_freeze(self) -> bool:
        """Return True if the run freezes anything, or did."""
        off = self.freeze_off_by_config or self.crash_fallback or not self.targets
        return bool(self.filesystems) or not off

    @property
    def targets(self) -> tuple[Any, ...]:
        """Return the filesystems of the plan."""
        return self.plan.targets if self.plan else ()

    @property
    def continue_on_failure(self) -> bool:
        """Return `continueBackupOnFailure`, which is true without a configuration."""
        config = self.readiness.config if self.readiness else None
        return config is None or config.continue_backup_on_failure

    @property
    def changed(self) -> bool:
        """Return True if anything was changed on the guest or in the store."""
        return self.pre is not None or bool(self.outcomes) or bool(self.filesystems)

    def fail(self, failure: Failure) -> None:
        """Fail the run; a failure after the first one becomes a warning."""
        if self.failure is None:
            self.failure = failure
        elif failure != self.failure:
            self.warn(failure.message)

    def warn(self, text: str) -> None:
        """Add a warning, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def degrade(self, failure: Failure) -> None:
        """Record that the backup is less consistent than planned; the run continues."""
        if self.degraded_by is None:
            self.degraded_by = failure
        self.warn(f"{failure.name}: {failure.message}")


def is_task_id(text: str) -> bool:
    """Return True for printable ASCII without spaces and without a secret.

    A task id is stored on the guest and with each snapshot, so an address with a SAS is refused.
    """
    return _TASK_ID.match(text) is not None and redact(text) == text
