# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a case of the matrix is: data, and a function that brings the fault about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Tuple

if TYPE_CHECKING:
    from tests.faults._rig import Rig

#: How a run may end. C(died): no result, because the run itself was killed.
APPLICATION, FILE_SYSTEM, CRASH = "application", "file-system", "crash"
FAILED, DIED = "failed", "died"
ANY_VERDICT = (APPLICATION, FILE_SYSTEM, CRASH)

QUIESCE, FLUSH, FREEZING = "quiesce", "flush", "freezing"
WINDOW, THAWING, RESUME = "window", "thawing", "resume"
PHASES = (QUIESCE, FLUSH, FREEZING, WINDOW, THAWING, RESUME)

PRE, POST = "pre", "post"


class Unavailable(Exception):
    """This machine lacks what the case needs: the case says nothing."""


class Missed(Exception):
    """The fault did not meet the phase it was meant for: the case says nothing."""


@dataclass(frozen=True)
class Setting:
    """What a case starts from."""

    #: A filesystem per disk.
    filesystems: Tuple[str, ...] = ("ext4", "xfs")
    #: Disks of the set that hold no filesystem.
    bare_disks: int = 0
    #: Indices of those whose storage the case can block: their disks lie on a filesystem that
    #: the case freezes. No writer runs on them, for they must stay clean.
    blockable: Tuple[int, ...] = ()
    #: Indices of those whose disks are page blobs behind a server that the case can stop.
    served: Tuple[int, ...] = ()
    #: Bodies of the scripts in sh; None for no script at all. C($MARKS) is the case's folder of
    #: marks, C($MOUNT) the first mount point.
    pre: Optional[str] = ""
    post: Optional[str] = ""
    #: Whether the script waits for the case to let it go on.
    hold_pre: bool = False
    hold_post: bool = False
    #: Whether each script lies in a folder of its own.
    scripts_apart: bool = False
    #: Over what C(VMSnapshotScriptPluginConfig.json) says by default.
    config: Mapping[str, Any] = field(default_factory=dict)
    #: Over the options of the module.
    options: Mapping[str, Any] = field(default_factory=dict)
    #: What the signatures of the disks permit; without C(d) a run cannot discard snapshots.
    permission: str = "rwd"
    #: More environment of the module's process.
    env: Mapping[str, str] = field(default_factory=dict)
    #: Long where the case is not about the deadline: a machine may pause at any time.
    freeze_timeout: int = 30
    script_timeout: int = 20


@dataclass(frozen=True)
class Case:
    """One row of the matrix."""

    name: str
    #: In the words of the table.
    fault: str
    phase: str
    inject: Callable[[Rig], None]
    #: How the run may end.
    expect: Tuple[str, ...]
    #: A regular expression that the result must hold (any letter case) when there is a result:
    #: the named cause.
    cause: str = ""
    #: How often the post-script must have been started; None: once if the pre-script was started.
    post_runs: Optional[int] = None
    setting: Setting = field(default_factory=Setting)
    #: Indices of filesystems whose stall says nothing about us, because the case itself
    #: blocked them.
    unjudged: Tuple[int, ...] = ()
    #: More that must hold at the end; raises AssertionError.
    also: Optional[Callable[[Rig], None]] = None
    #: How long, in seconds, a run that was stopped stays so at most.
    patience_s: float = 30.0
    fast: bool = False


@dataclass
class Outcome:
    """What became of a case."""

    case: Case
    outcome: str = ""
    #: The longest pause of a writer on a filesystem that was to be frozen, in milliseconds.
    stall_ms: float = 0.0
    problems: "list[str]" = field(default_factory=list)
    missed: bool = False
    #: Why it cannot run on this machine.
    unavailable: str = ""
    seconds: float = 0.0
    detail: str = ""
    #: The folder that keeps all there is to know of a case that failed; empty for one that passed.
    kept: str = ""

    @property
    def passed(self) -> bool:
        """Whether the fault met its phase and everything held."""
        return not self.problems and not self.missed and not self.unavailable
