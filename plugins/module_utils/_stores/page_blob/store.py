# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of the page blobs that are a VM's disks.

Before the window each disk gets its own open connection, proved by a request with the disk's SAS.
The bytes of the request for its snapshot are prepared. In the window the store only sends these
bytes on all connections at once and waits for the answers.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from typing import Any, Callable, NoReturn

from ..._disks import BlobAddress, Disk
from ..._errors import Failure, QuiesceError, SettingsError, StoreError
from ..._http.exchange import (
    NO_NETWORK_CODE,
    Exchange,
    HttpConnection,
    close_all,
    send_all,
    tls_context,
)
from ..labels import SET_LABEL
from ..store import SnapshotOutcome
from .sas import check_disks, check_times
from .sdk_transport import (
    Captured,
    ServiceRefused,
    Transport,
    blob_client,
    container_client,
    no_answer,
    refusal,
    sdk_problem,
    unexpected,
)

#: Seconds for one request outside the window, with its connection.
REQUEST_LIMIT_S = 20.0
#: `take` returns 5 ms before its deadline, so that the thaw begins in time.
_MARGIN_NS = 5_000_000
#: The most threads that open connections; all of them end before the window.
_THREADS = 16
_REPORTED_SKEW_S = 300.0
_CREATED = 201
#: Seconds after the thaw to wait for a late answer.
_LATE_ANSWER_S = 15.0
#: Seconds between two searches for a snapshot whose request was not answered.
_SEARCH_INTERVAL_S = 1.0


@dataclass
class _Blob:
    """One disk with its connection, its client and its request."""

    disk: Disk
    transport: Transport
    client: Any
    #: The bytes of the request for the snapshot; their first line holds the SAS.
    request: bytes = field(default=b"", repr=False)
    exchange: Exchange | None = None

    @property
    def address(self) -> BlobAddress:
        return self.disk.address

    @property
    def connection(self) -> HttpConnection:
        return self.transport.connection


class PageBlobStore:
    """The store of one run, as in the `Store` protocol. `wall_clock` is in seconds since 1970."""

    def __init__(
        self,
        disks: Sequence[Disk],
        labels: Mapping[str, Mapping[str, str]],
        set_id: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._disks = tuple(disks)
        #: By the disk's name.
        self._labels = labels
        self._set_id = set_id
        self._wall_clock = wall_clock
        self._blobs: list[_Blob] = []
        #: Problems that failed nothing, for the user; known after `prepare`.
        self.warnings: list[str] = []

    # --- before the window ---------------------------------------------------------------------

    def prepare(self, deadline_s: float) -> None:
        """Do everything that is possible before the window. See the protocol."""
        check_disks(self._disks, deadline_s, self._wall_clock())
        problem = sdk_problem()
        if problem is not None:
            raise StoreError(problem)
        context = None
        if any(disk.address.scheme == "https" for disk in self._disks):
            context = tls_context()
        self.close()
        self._blobs, self.warnings = [], []
        for disk in self._disks:
            tls = context if disk.address.scheme == "https" else None
            transport = Transport(HttpConnection(disk.address.host, disk.address.port, tls))
            client = blob_client(disk.address.uri, transport)
            self._blobs.append(_Blob(disk, transport, client))
        self._for_all(self._prove)
        self._compare_clocks(deadline_s)
        self._warn_of_permissions()
        self._render()

    def refresh(self) -> None:
        """Open and prove the connections again. See the protocol."""
        self._for_all(self._prove)
        self._render()

    def _prove(self, blob: _Blob) -> None:
        """Check on the blob's own connection that it exists, is a page blob and may be read."""
        blob.transport.within(REQUEST_LIMIT_S)
        properties = blob.client.get_blob_properties()
        # Some stores close each connection after their answer.
        blob.connection.open(blob.transport.deadline_ns)
        kind = getattr(properties.blob_type, "value", properties.blob_type)
        if kind != "PageBlob":
            raise SettingsError(
                "NotAPageBlob",
                f"it is a {kind}, not a page blob, so it cannot be the disk of a VM.",
                "Set the address of the disk's own blob.",
            )

    def _for_all(self, work: Callable[[_Blob], None]) -> None:
        """Call `work` for all disks, several at once. Raise for the first disk that failed."""

        def attempt(blob: _Blob) -> QuiesceError | None:
            try:
                work(blob)
            except QuiesceError as error:
                return error
            except Exception as error:
                # The SDK's own errors can hold the address with its SAS.
                return StoreError(unexpected(error))
            return None

        with ThreadPoolExecutor(min(_THREADS, len(self._blobs) or 1)) as pool:
            errors = list(pool.map(attempt, self._blobs))
        failed = [(blob, error) for blob, error in zip(self._blobs, errors) if error is not None]
        if failed:
            _raise_first(failed)

    def _compare_clocks(self, deadline_s: float) -> None:
        """Check the times of each SAS by the service's clock, which its answers state."""
        for blob in self._blobs:
            try:
                date = parsedate_to_datetime(blob.transport.last_headers["date"]).timestamp()
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
            subject = f"Disk {blob.disk.name}"
            check_times(blob.address, subject, date, deadline_s, "the store's")
            skew_s = self._wall_clock() - date
            if abs(skew_s) > _REPORTED_SKEW_S and not self.warnings:
                self.warnings.append(
                    f"This machine's clock is {abs(skew_s):.0f} s "
                    f"{'ahead of' if skew_s > 0 else 'behind'} that of {blob.address.host}."
                )

    def _warn_of_permissions(self) -> None:
        kept = [blob.disk.name for blob in self._blobs if not blob.address.permits("d")]
        if kept:
            self.warnings.append(
                "The SAS does not permit to delete (d), so the run could not discard a partial or "
                f"late set: {', '.join(kept)}. Add d to sp if it must."
            )

    def _render(self) -> None:
        """Let the SDK make the requests for the snapshots, without sending them."""
        for blob in self._blobs:
            blob.transport.capturing = True
            try:
                blob.client.create_snapshot(metadata=self._labels[blob.disk.name])
            except Captured as captured:
                blob.request = captured.payload
            except Exception as error:
                raise StoreError(unexpected(error)) from None
            finally:
                blob.transport.capturing = False
            blob.exchange = None

    # --- in the window -------------------------------------------------------------------------

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> list[SnapshotOutcome]:
        """Take snapshots of all disks at once. See the protocol."""
        exchanges = []
        for blob in self._blobs:
            blob.exchange = Exchange(blob.connection, blob.request)
            exchanges.append(blob.exchange)
        send_all(exchanges, deadline_ns - _MARGIN_NS, heads_suffice=True, over=over)
        return [_outcome(blob, exchange) for blob, exchange in zip(self._blobs, exchanges)]

    # --- after the thaw ------------------------------------------------------------------------

    def resolve_unknown(
        self, outcomes: Sequence[SnapshotOutcome], limit_s: float
    ) -> list[SnapshotOutcome]:
        """Find out the results of unknown requests. See the protocol.

        First wait for late answers. Then list the snapshots with our labels, which needs a SAS
        that permits to list. A disk whose request got no answer by then stays unknown.
        """
        started_ns = time.monotonic_ns()
        deadline_ns = started_ns + int(limit_s * 1e9)
        by_disk = {outcome.disk: outcome for outcome in outcomes}
        unknown = [
            (blob, blob.exchange)
            for blob in self._blobs
            if blob.exchange is not None
            and blob.disk.name in by_disk
            and by_disk[blob.disk.name].unknown
        ]
        wait_s = min(limit_s / 2, _LATE_ANSWER_S)
        exchanges = [exchange for _blob, exchange in unknown]
        send_all(exchanges, started_ns + int(wait_s * 1e9), heads_suffice=True)
        self._drop_unread()
        for blob, exchange in unknown:
            by_disk[blob.disk.name] = _outcome(blob, exchange)
        left = [blob for blob, _exchange in unknown if by_disk[blob.disk.name].unknown]
        with ThreadPoolExecutor(min(_THREADS, len(left) or 1)) as pool:
            searches = pool.map(
                lambda blob: self._search(blob, by_disk[blob.disk.name], deadline_ns), left
            )
            for outcome in searches:
                by_disk[outcome.disk] = outcome
        return [by_disk[outcome.disk] for outcome in outcomes]

    def _drop_unread(self) -> None:
        """Close each connection whose answer was not read to its end, as it cannot serve again."""
        for blob in self._blobs:
            if blob.exchange is not None and not blob.exchange.answer.complete:
                blob.connection.close()

    def _search(self, blob: _Blob, outcome: SnapshotOutcome, deadline_ns: int) -> SnapshotOutcome:
        """Search for the disk's snapshot by the label of the set, at most twice."""
        for attempt in (1, 2):
            left_s = (deadline_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return outcome
            blob.transport.within(min(left_s, REQUEST_LIMIT_S))
            try:
                snapshot = self._newest_snapshot(blob)
            except QuiesceError as error:
                return _with_remark(outcome, f"The snapshots could not be listed: {error}")
            except Exception as error:
                return _with_remark(outcome, unexpected(error).message)
            if snapshot:
                return replace(
                    outcome,
                    snapshot=snapshot,
                    uri=f"{blob.address.shown}?snapshot={snapshot}",
                    acknowledged_ns=None,
                    failure=None,
                    unknown=False,
                )
            if attempt == 1:
                time.sleep(max(0.0, min(_SEARCH_INTERVAL_S, left_s)))
        if outcome.failure is not None and outcome.failure.name == "NoAnswer":
            return _with_remark(
                outcome, "The store lists no snapshot of it, but one may still appear."
            )
        return replace(_with_remark(outcome, "The store lists no snapshot of it."), unknown=False)

    def _newest_snapshot(self, blob: _Blob) -> str | None:
        """Return the newest snapshot of the blob with the label of this set."""
        name = blob.client.blob_name
        listed = container_client(blob.address, blob.client, blob.transport).list_blobs(
            name_starts_with=name, include=["snapshots", "metadata"]
        )
        ours = [
            str(item.snapshot)
            for item in listed
            if item.name == name
            and item.snapshot
            and (item.metadata or {}).get(SET_LABEL) == self._set_id
        ]
        return max(ours, default=None)

    def discard(self, outcomes: Sequence[SnapshotOutcome]) -> dict[str, str]:
        """Delete snapshots; one that no longer exists counts as deleted. See the protocol."""
        self._drop_unread()
        blobs = {blob.disk.name: blob for blob in self._blobs}
        work = [outcome for outcome in outcomes if outcome.snapshot and outcome.disk in blobs]
        with ThreadPoolExecutor(min(_THREADS, len(work) or 1)) as pool:
            problems = list(pool.map(lambda outcome: _delete(blobs[outcome.disk], outcome), work))
        return {outcome.disk: problem for outcome, problem in zip(work, problems) if problem}

    def close(self) -> None:
        """Close the connections. Never raise."""
        close_all(blob.connection for blob in self._blobs)


def _outcome(blob: _Blob, exchange: Exchange) -> SnapshotOutcome:
    """Return the outcome of a request for a snapshot."""
    outcome = SnapshotOutcome(
        blob.disk.name, request_ns=exchange.request_ns, acknowledged_ns=exchange.answered_ns
    )
    status = exchange.answer.status
    if status is None:
        unknown = exchange.sent and not exchange.withheld
        return replace(outcome, failure=no_answer(exchange), unknown=unknown)
    if status >= 300:
        # After an internal error the snapshot may exist. A 503 is answered before any work.
        return replace(
            outcome, failure=refusal(exchange.answer), unknown=status >= 500 and status != 503
        )
    snapshot = exchange.answer.headers.get("x-ms-snapshot", "")
    # Any other success, such as 202, does not confirm that the snapshot exists.
    if status == _CREATED and snapshot and snapshot.isascii() and snapshot.isprintable():
        return replace(outcome, snapshot=snapshot, uri=f"{blob.address.shown}?snapshot={snapshot}")
    failure = Failure(
        "UnusableAnswer",
        f"the answer {status} does not confirm that a snapshot was created, or does not name it.",
        "Find out which proxy or server answers in place of the store.",
        NO_NETWORK_CODE,
    )
    return replace(outcome, failure=failure, unknown=True)


def _delete(blob: _Blob, outcome: SnapshotOutcome) -> str:
    """Delete the snapshot; return the reason if that failed, else an empty text."""
    # Snapshots of one disk would share its connection, but a set has only one for each disk.
    blob.transport.within(REQUEST_LIMIT_S)
    try:
        blob_client(blob.address.uri, blob.transport, outcome.snapshot).delete_blob()
    except ServiceRefused as error:
        if error.status == 404:
            return ""
        if error.status == 403:
            return (
                f"{error.failure.message} The SAS does not permit to delete this snapshot: that "
                "needs the permission d, and some stores need a SAS for the container or account."
            )
        return str(error)
    except QuiesceError as error:
        return str(error)
    except Exception as error:
        return unexpected(error).message
    return ""


def _raise_first(failed: Sequence[tuple[_Blob, QuiesceError]]) -> NoReturn:
    blob, error = failed[0]
    message = f"Disk {blob.disk.name} ({blob.address.shown}): {error.failure.message}"
    if len(failed) > 1:
        others = ", ".join(other.disk.name for other, _error in failed[1:])
        message += f" It failed for other disks too: {others}."
    failure = replace(error.failure, message=message)
    if isinstance(error, SettingsError):
        raise SettingsError(failure)
    raise StoreError(failure)


def _with_remark(outcome: SnapshotOutcome, remark: str) -> SnapshotOutcome:
    if outcome.failure is None:
        return outcome
    message = f"{outcome.failure.message} {remark}"
    return replace(outcome, failure=replace(outcome.failure, message=message))
