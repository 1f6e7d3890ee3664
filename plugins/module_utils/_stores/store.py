# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a store of snapshots is to the run: one protocol, one file a store.

PRIVATE: for this collection only. All times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Mapping, Optional, Protocol, Sequence

from .._errors import Failure


@dataclass(frozen=True)
class SnapshotOutcome:
    """The answer for one disk: a snapshot, or why there is none."""

    disk: str
    #: Identifier of the snapshot in its store; None when there is none, as far as is known.
    snapshot: Optional[str] = None
    #: Address of the snapshot without any secret.
    uri: Optional[str] = None
    request_ns: Optional[int] = None
    acknowledged_ns: Optional[int] = None
    failure: Optional[Failure] = None
    #: The request went out and no answer came: a snapshot may exist or come into being.
    unknown: bool = False


class Store(Protocol):
    """Where snapshots of the disks of one run are made."""

    #: What people should know although it failed nothing; known after C(prepare).
    warnings: List[str]

    def prepare(self, deadline_s: float, labels: Mapping[str, str]) -> None:
        """Do everything that can be done before the window, so that C(take) only sends and waits.

        Imports, credentials, name resolution, one connection a disk that is warm and has proved
        with an authenticated request that the disk is there and of the right kind. C(deadline_s)
        is how long from now, in seconds, the credentials must stay valid. Raises C(StoreError)
        or C(SettingsError); nothing was made.
        """

    def refresh(self) -> None:
        """Warm the connections again just before the window. Raises as C(prepare) does."""

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> List[SnapshotOutcome]:
        """SnapshotOutcome snapshots of all disks at once and return at C(deadline_ns) at the latest.

        Right before each request it looks at the deadline and asks whether the window is C(over),
        and then asks for no snapshot any more: the process may have been stopped in between.
        Opens nothing, imports nothing, resolves nothing, connects nothing, retries nothing,
        and does not raise for what a disk's request does: the answer says it.
        """

    def resolve_unknown(
        self, takes: Sequence[SnapshotOutcome], limit_s: float
    ) -> List[SnapshotOutcome]:
        """After the thaw: find out, within C(limit_s) seconds, what became of unknown requests."""

    def discard(self, takes: Sequence[SnapshotOutcome]) -> Dict[str, str]:
        """Delete these snapshots; the answer names, by disk, those that could not be, and why."""

    def close(self) -> None:
        """Close the connections. Never raises."""
