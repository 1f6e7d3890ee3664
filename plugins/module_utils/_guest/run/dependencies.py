# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run works with, handed to it, so that it can be tried with other parts.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Callable, ContextManager, Dict, Optional, Protocol, Tuple

from ..._stores.store import Store
from ..model import FilesystemRecord, ScriptOutcome, ScriptSpec, Target
from ..scripts.validation import Readiness
from ..storage.coverage import Coverage
from ..storage.freeze_plan import FreezePlan
from .record import RunRecord


class FreezerProtocol(Protocol):
    """What the run asks of the guard and the watchdog; see C(freezer)."""

    @property
    def deadline_ns(self) -> int:
        """When everything is thawed whatever happens."""

    @property
    def protection(self) -> Dict[str, Any]:
        """How the run was protected, for the result."""

    @property
    def expedited(self) -> Dict[str, Any]:
        """Whether FIFREEZE was made short, for the result."""

    def stage(self, name: str, limit_s: float) -> None:
        """The phase the run is in, and how long it may last."""

    def before_script(self) -> None:
        """To be called in a script's own process right before it becomes the script."""

    def script_ended(self) -> None:
        """No script runs any more."""

    def mark_post_script_due(self) -> None:
        """From now on the post-script must run, whatever happens to the run."""

    def verify(self) -> None:
        """Check that each descriptor still is the mount that was planned."""

    def flush(self, limit_s: float) -> float:
        """Write out what is dirty until a pass is short."""

    def freeze(self) -> None:
        """Freeze everything, or nothing and raise."""

    def is_window_over(self) -> bool:
        """Whether what was frozen may not be frozen any more; cheap."""

    def is_taken_over(self) -> bool:
        """Whether a supervisor does what is left to do in place of the run."""

    def thaw(self) -> Tuple[FilesystemRecord, ...]:
        """Thaw everything that was frozen."""

    def run_post_script(self) -> Optional[ScriptOutcome]:
        """Run the post-script if it is owed."""

    def stop(self) -> None:
        """Dismiss the supervisors."""


@dataclass(frozen=True)
class Dependencies:
    """What a run works with."""

    lock: Callable[[], ContextManager[Any]]
    #: Lets C(examine), C(plan), C(cover) and C(is_single_disk) end within so many seconds from
    #: now, all together; what the second value raises meanwhile ends them too.
    limit_looks: Callable[[float, Callable[[], None]], None]
    examine: Callable[[], Readiness]
    #: Whether the disks' addresses can serve for so many seconds from now; looks at nothing else.
    check_disks: Callable[[float], object]
    #: What every snapshot of the set will carry.
    label: Callable[[], Dict[str, str]]
    plan: Callable[[], FreezePlan]
    cover: Callable[[Tuple[Target, ...]], Coverage]
    is_single_disk: Callable[[], bool]
    start_freezer: Callable[[Tuple[Target, ...], float, Optional[ScriptSpec]], FreezerProtocol]
    make_store: Callable[[], Store]
    #: Remembers that the run is about to touch the guest: it is not repeated under its name.
    begin: Callable[[], None]
    #: Says to the outside that the run has begun, and how it ended.
    announce: Callable[[RunRecord], None]
    publish: Callable[[RunRecord], None]
    #: Raises C(SettingsError) when FIFREEZE is to be made short and cannot be.
    check_expedite: Callable[[], object] = str
    clock_ns: Callable[[], int] = time.monotonic_ns
