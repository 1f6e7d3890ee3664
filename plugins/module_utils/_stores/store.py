# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The interface between a run and a store of snapshots.

All times are nanoseconds of the system's monotonic clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable, Protocol

from .._errors import Failure


@dataclass(frozen=True)
class SnapshotOutcome:
    """The outcome for one disk: a snapshot, or the failure to take it."""

    disk: str
    #: Identifier of the snapshot in its store; None when no snapshot is known.
    snapshot: str | None = None
    #: Address of the snapshot without any secret.
    uri: str | None = None
    request_ns: int | None = None
    acknowledged_ns: int | None = None
    failure: Failure | None = None
    #: The request was sent and no usable answer came: a snapshot may exist or still be made.
    unknown: bool = False


class Store(Protocol):
    """A store that makes the snapshots of the disks of one run."""

    #: Problems that failed nothing, for the user; known after `prepare`.
    warnings: list[str]

    def prepare(self, deadline_s: float) -> None:
        """Do everything that is possible before the window, so that `take` only sends and waits.

        This imports, reads credentials, resolves names and opens a connection for each disk. An
        authenticated request on it proves that the disk exists and is of the right kind.
        The credentials must stay valid for `deadline_s` seconds from now.
        Raise `StoreError` or `SettingsError`; then no snapshot was made.
        """

    def refresh(self) -> None:
        """Open and prove the connections again just before the window. Raise as `prepare` does."""

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> list[SnapshotOutcome]:
        """Take snapshots of all disks at once and return by `deadline_ns`.

        Right before each request it checks the deadline and whether the window is `over`. If so,
        it sends no more requests: the process may have been stopped in between.
        It does not open, import, resolve, connect or retry anything. It does not raise for a
        failed request: the outcome has the failure.
        """

    def resolve_unknown(
        self, outcomes: Sequence[SnapshotOutcome], limit_s: float
    ) -> list[SnapshotOutcome]:
        """Find out, after the thaw and within `limit_s`, the results of unknown requests."""

    def discard(self, outcomes: Sequence[SnapshotOutcome]) -> dict[str, str]:
        """Delete these snapshots; return the reasons of those that remain, by disk."""

    def close(self) -> None:
        """Close the connections. Never raise."""
