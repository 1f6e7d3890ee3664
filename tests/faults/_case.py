# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A case of the matrix: data, and a function that causes the fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from tests.faults._harness import Harness

#: The possible outcomes of a run. `died`: no result, because the run itself was killed.
APPLICATION, FILE_SYSTEM, CRASH = "application", "file-system", "crash"
FAILED, DIED = "failed", "died"
ANY_VERDICT = (APPLICATION, FILE_SYSTEM, CRASH)

QUIESCE, FLUSH, FREEZING = "quiesce", "flush", "freezing"
WINDOW, THAWING, RESUME = "window", "thawing", "resume"
PHASES = (QUIESCE, FLUSH, FREEZING, WINDOW, THAWING, RESUME)

PRE, POST = "pre", "post"


class UnavailableError(Exception):
    """The machine lacks something that the case needs, so the case proves nothing."""


class MissedPhaseError(Exception):
    """The fault did not hit its phase, so the case proves nothing."""


@dataclass(frozen=True)
class Setting:
    """The preconditions of a case."""

    #: A filesystem per disk.
    filesystems: tuple[str, ...] = ("ext4", "xfs")
    #: Disks of the set that hold no filesystem.
    bare_disks: int = 0
    #: Indices of filesystems whose storage the case can block: their disks lie on a filesystem
    #: that the case freezes. No writer runs on them, because they must stay clean.
    blockable: tuple[int, ...] = ()
    #: Indices of filesystems whose disks are page blobs behind a server that the case can stop.
    served: tuple[int, ...] = ()
    #: Bodies of the scripts in sh; None for no script. `$MARKS` is the folder in which scripts
    #: leave marks, `$MOUNT` the first mount point.
    pre: str | None = ""
    post: str | None = ""
    #: True: the script waits until the case releases it.
    hold_pre: bool = False
    hold_post: bool = False
    #: True: each script lies in a folder of its own.
    scripts_apart: bool = False
    #: Changes to the default `VMSnapshotScriptPluginConfig.json`.
    config: Mapping[str, Any] = field(default_factory=dict)
    #: Changes to the default options of the module.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Permissions of the disks' signatures; without `d` a run cannot discard snapshots.
    permission: str = "rwd"
    #: Additional environment of the module's process.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Long unless the case is about the deadline: a machine may pause at any time.
    freeze_timeout: int = 30
    script_timeout: int = 20


@dataclass(frozen=True)
class Case:
    """One row of the matrix."""

    name: str
    #: The description in the table.
    fault: str
    phase: str
    inject: Callable[[Harness], None]
    #: The allowed outcomes.
    expect: tuple[str, ...]
    #: A regular expression of the cause, which a result must contain (in any letter case).
    cause: str = ""
    #: The required number of starts of the post-script; None: one if the pre-script was started.
    post_runs: int | None = None
    setting: Setting = field(default_factory=Setting)
    #: Indices of filesystems whose stall is not judged, because the case itself blocked them.
    unjudged: tuple[int, ...] = ()
    #: An additional check at the end; raises AssertionError.
    also: Callable[[Harness], None] | None = None
    #: The longest time, in seconds, that a stopped run stays stopped.
    patience_s: float = 30.0
    fast: bool = False


@dataclass
class Outcome:
    """The outcome of a case."""

    case: Case
    outcome: str = ""
    #: The longest pause of a writer on a filesystem of the freeze, in milliseconds.
    stall_ms: float = 0.0
    problems: list[str] = field(default_factory=list)
    missed: bool = False
    #: The reason why the case cannot run on this machine.
    unavailable: str = ""
    seconds: float = 0.0
    detail: str = ""
    #: The folder with all evidence of a case that failed; empty for a case that passed.
    kept: str = ""

    @property
    def passed(self) -> bool:
        """True if the fault hit its phase and all checks passed."""
        return not self.problems and not self.missed and not self.unavailable
