# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of the guest that a run needs, read in a process with a time limit."""

from __future__ import annotations

from types import TracebackType
from typing import Callable, cast

from ..freeze.rcu_expedited import why_not
from ..model import Target
from ..scripts.validation import Readiness, examine
from ..storage.coverage import Coverage, check_coverage
from ..storage.freeze_plan import FreezePlan, plan_targets
from ..storage.single_disk import is_single_disk
from .record import RunRequest
from .time_limit import BoundedCalls

#: Names of the calls; each completes "stopped while it was ...".
_EXAMINE = "reading the configuration and the scripts"
_COUNT = "counting the disks"
_PLAN = "reading the mounts and the disks"
_COVER = "reading the users of the disks"


class Machine:
    """The guest of one run. Storage that does not answer never blocks the run for good."""

    def __init__(self, request: RunRequest) -> None:
        self._expedite = request.expedite
        self._calls = BoundedCalls(
            {
                _EXAMINE: lambda: examine(request.config_path),
                _COUNT: lambda: is_single_disk(request.disks),
                _PLAN: lambda: plan_targets(request.freeze, request.disks),
                _COVER: lambda targets: check_coverage(targets, request.disks),
            }
        )

    def __enter__(self) -> Machine:
        self._calls.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._calls.__exit__(kind, error, trace)

    def limit(self, limit_s: float, check: Callable[[], None]) -> None:
        """Let all calls from now on end within `limit_s`, together; errors of `check` end them."""
        self._calls.limit(limit_s, check)

    def examine(self) -> Readiness:
        """Read the configuration and check the scripts."""
        return cast(Readiness, self._calls.call(_EXAMINE))

    def is_single_disk(self) -> bool:
        """Return True if the set is the only disk of the guest."""
        return bool(self._calls.call(_COUNT))

    def plan(self) -> FreezePlan:
        """Return the filesystems to freeze, in their order."""
        return cast(FreezePlan, self._calls.call(_PLAN))

    def cover(self, targets: tuple[Target, ...]) -> Coverage:
        """Check whether freezing the targets stops every write to the disks."""
        return cast(Coverage, self._calls.call(_COVER, targets))

    def check_expedite(self) -> None:
        """Raise `SettingsError` if FIFREEZE must be expedited and cannot be."""
        why_not(self._expedite)
