# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run was asked for, and what it has seen and done so far.

PRIVATE: for this collection only. All times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from ..._disks import Disk
from ..._errors import Failure
from ..._stores.store import SnapshotOutcome
from ..model import FilesystemRecord, ScriptOutcome
from ..scripts.validation import Readiness
from ..storage.coverage import Coverage
from ..storage.freeze_plan import FreezePlan

DISCARD = "discard"


@dataclass(frozen=True)
class RunRequest:
    """What the options ask for, checked as far as that needs nothing but the options."""

    disks: Tuple[Disk, ...]
    set_id: str
    config_path: str
    #: C(auto), C(none) or the mount points.
    freeze: Union[str, Tuple[str, ...]] = "auto"
    freeze_timeout_s: float = 10.0
    on_partial: str = DISCARD
    #: C(auto), C(yes) or C(no); see C(_expedite).
    expedite: str = "auto"
    #: What the user wants to be written to every snapshot.
    metadata: Mapping[str, str] = field(default_factory=dict)
    task_id: Optional[str] = None
    #: The least consistency that is no failure; None when any will do.
    require_consistency: Optional[str] = None
    #: With their SAS: never to be shown.
    status_uri: Optional[str] = field(default=None, repr=False)
    logs_uri: Optional[str] = field(default=None, repr=False)
    #: From the settings of the extension, for the status document.
    command_start_ticks: Optional[str] = None


@dataclass(frozen=True)
class Phase:
    """One phase of the run and how long it took."""

    name: str
    started_ns: int
    ended_ns: int


@dataclass
class RunRecord:
    """Everything that the result, the verdict and the status document are made from."""

    request: RunRequest
    started_ns: int
    phases: List[Phase] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    #: What failed the run; the first one counts.
    failure: Optional[Failure] = None
    #: Where in our own code a mistake showed.
    traceback: str = ""
    #: What made the backup less consistent than it was meant to be, without failing the run.
    degraded_by: Optional[Failure] = None
    readiness: Optional[Readiness] = None
    plan: Optional[FreezePlan] = None
    coverage: Optional[Coverage] = None
    #: The set is the only disk of the guest.
    single_disk: bool = False
    #: The documented fallback of a single disk: snapshot it as it is, call it crash-consistent.
    crash_fallback: bool = False
    pre: Optional[ScriptOutcome] = None
    post: Optional[ScriptOutcome] = None
    filesystems: Tuple[FilesystemRecord, ...] = ()
    outcomes: Tuple[SnapshotOutcome, ...] = ()
    #: Why snapshots that were to be deleted still exist, by disk.
    not_discarded: Dict[str, str] = field(default_factory=dict)
    discarded: bool = False
    labels: Dict[str, str] = field(default_factory=dict)
    protection: Dict[str, Any] = field(default_factory=dict)
    #: Whether FIFREEZE was made short, as the result says it.
    expedited: Dict[str, Any] = field(default_factory=dict)

    @property
    def has_scripts(self) -> bool:
        """Whether the configuration names scripts that may run."""
        return self.readiness is not None and self.readiness.pre is not None

    @property
    def freeze_off_by_config(self) -> bool:
        """Whether C(fsFreezeEnabled) is false."""
        config = self.readiness.config if self.readiness else None
        return config is not None and not config.fs_freeze_enabled

    @property
    def will_freeze(self) -> bool:
        """Whether the run freezes anything, or did."""
        off = self.freeze_off_by_config or self.crash_fallback or not self.targets
        return bool(self.filesystems) or not off

    @property
    def targets(self) -> Tuple[Any, ...]:
        """The filesystems of the plan."""
        return self.plan.targets if self.plan else ()

    @property
    def continue_on_failure(self) -> bool:
        """C(continueBackupOnFailure); true where no configuration says otherwise."""
        config = self.readiness.config if self.readiness else None
        return config is None or config.continue_backup_on_failure

    @property
    def changed(self) -> bool:
        """Whether anything was changed on the guest or in the store."""
        return self.pre is not None or bool(self.outcomes) or bool(self.filesystems)

    def fail(self, failure: Failure) -> None:
        """The run failed; a failure that follows from the first one becomes a warning."""
        if self.failure is None:
            self.failure = failure
        elif failure != self.failure:
            self.warn(failure.message)

    def warn(self, text: str) -> None:
        """Say something once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def degrade(self, failure: Failure) -> None:
        """The backup is less consistent than it was meant to be; the run goes on."""
        if self.degraded_by is None:
            self.degraded_by = failure
        self.warn(f"{failure.name}: {failure.message}")
