# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of the page blobs that are a VM's disks.

PRIVATE: for this collection only. Before the window every disk has a connection of its own, open
and proved by a request with the disk's own SAS, and the bytes of the request for its snapshot. In
the window these bytes are sent on all connections at once and the answers awaited; nothing else.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Dict, List, Mapping, NoReturn, Optional, Sequence, Tuple

from ..._disks import Disk
from ..._errors import Failure, QuiesceError, SettingsError, StoreError, refuse
from ..._http.exchange import (
    NO_NETWORK_CODE,
    Exchange,
    HttpConnection,
    close_all,
    send_all,
    tls_context,
)
from ..labels import SET_LABEL, disk_labels
from ..store import SnapshotOutcome
from .sas import BlobAddress, check_disks, check_times
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
#: C(take) returns so much before its deadline, to have the thaw begin in time.
_MARGIN_NS = 5_000_000
#: Connections are opened and warmed by so many threads, all of which end before the window.
_THREADS = 16
_SKEW_TO_TELL_S = 300.0
_CREATED = 201
#: Seconds after the thaw to wait for an answer that is still to come.
_LATE_ANSWER_S = 15.0
#: Seconds between two looks for a snapshot whose request was not answered.
_LOOK_AGAIN_S = 1.0


@dataclass
class _Blob:
    """One disk and what belongs to it."""

    disk: Disk
    address: BlobAddress
    transport: Transport
    client: Any
    #: The bytes that ask for the snapshot.
    request: bytes = b""
    call: Optional[Exchange] = None

    @property
    def connection(self) -> HttpConnection:
        return self.transport.connection


class PageBlobStore:
    """The store of one run, for the C(Store) protocol. C(wall_clock): seconds since 1970."""

    def __init__(
        self,
        disks: Sequence[Disk],
        task_id: Optional[str],
        set_id: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._disks = tuple(disks)
        self._task_id = task_id
        self._set_id = set_id
        self._wall_clock = wall_clock
        self._blobs: List[_Blob] = []
        self._labels: Dict[str, Dict[str, str]] = {}
        #: What people should know although it failed nothing; known after C(prepare).
        self.warnings: List[str] = []

    # --- before the window ---------------------------------------------------------------------

    def prepare(self, deadline_s: float, labels: Mapping[str, str]) -> None:
        """See the protocol. C(labels): more metadata for each snapshot, besides our own."""
        addresses = check_disks(self._disks, deadline_s, self._wall_clock())
        self._labels = disk_labels(self._disks, self._task_id, self._set_id, labels)
        problem = sdk_problem()
        if problem is not None:
            raise StoreError(problem)
        context = None
        if any(address.scheme == "https" for address in addresses):
            context = tls_context()
        self.close()
        self._blobs, self.warnings = [], []
        for disk, address in zip(self._disks, addresses):
            tls = context if address.scheme == "https" else None
            transport = Transport(HttpConnection(address.host, address.port, tls))
            client = blob_client(address.uri, transport)
            self._blobs.append(_Blob(disk, address, transport, client))
        self._for_all(self._prove)
        self._compare_clocks(deadline_s)
        self._tell_permissions()
        self._render()

    def refresh(self) -> None:
        """See the protocol."""
        self._for_all(self._prove)
        self._render()

    def _prove(self, blob: _Blob) -> None:
        """Show on the blob's own connection that it is there, is a page blob and may be read."""
        blob.transport.within(REQUEST_LIMIT_S)
        properties = blob.client.get_blob_properties()
        # Open it anew for a store that closes each connection after its answer.
        blob.connection.open(blob.transport.deadline_ns)
        kind = getattr(properties.blob_type, "value", properties.blob_type)
        if kind != "PageBlob":
            refuse(
                "NotAPageBlob",
                f"it is a {kind}, not a page blob, so it is no disk of a VM.",
                "Give the address of the disk's own blob.",
            )

    def _for_all(self, work: Callable[[_Blob], None]) -> None:
        """Do it for all disks, several at once. Raises for the first disk that failed."""

        def attempt(blob: _Blob) -> Optional[QuiesceError]:
            try:
                work(blob)
            except QuiesceError as error:
                return error
            except Exception as error:
                # The SDK's own errors can hold the address, and that the SAS.
                return StoreError(unexpected(error))
            return None

        with ThreadPoolExecutor(min(_THREADS, len(self._blobs) or 1)) as pool:
            errors = list(pool.map(attempt, self._blobs))
        failed = [(blob, error) for blob, error in zip(self._blobs, errors) if error is not None]
        if failed:
            _raise_first(failed)

    def _compare_clocks(self, deadline_s: float) -> None:
        """The service judges a SAS by its own clock, which its answers tell."""
        for blob in self._blobs:
            try:
                date = parsedate_to_datetime(blob.transport.last_headers["date"]).timestamp()
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
            what = f"Disk {blob.disk.name}"
            check_times(blob.address, what, date, deadline_s, "the store's")
            skew_s = self._wall_clock() - date
            if abs(skew_s) > _SKEW_TO_TELL_S and not self.warnings:
                self.warnings.append(
                    f"This machine's clock is {abs(skew_s):.0f} s "
                    f"{'ahead of' if skew_s > 0 else 'behind'} that of {blob.address.host}."
                )

    def _tell_permissions(self) -> None:
        kept = [blob.disk.name for blob in self._blobs if not blob.address.permits("d")]
        if kept:
            self.warnings.append(
                "The SAS does not permit to delete (d), so a partial or late set could not be "
                f"discarded: {', '.join(kept)}."
            )

    def _render(self) -> None:
        """Have the SDK make the requests for the snapshots, without sending them."""
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
            blob.call = None

    # --- in the window -------------------------------------------------------------------------

    def take(self, deadline_ns: int, over: Callable[[], bool] = bool) -> List[SnapshotOutcome]:
        """See the protocol."""
        calls = []
        for blob in self._blobs:
            blob.call = Exchange(blob.connection, blob.request)
            calls.append(blob.call)
        send_all(calls, deadline_ns - _MARGIN_NS, heads_suffice=True, over=over)
        return [_take_of(blob, call) for blob, call in zip(self._blobs, calls)]

    # --- after the thaw ------------------------------------------------------------------------

    def resolve_unknown(
        self, takes: Sequence[SnapshotOutcome], limit_s: float
    ) -> List[SnapshotOutcome]:
        """See the protocol.

        First the answers that are still to come are awaited; then the store is asked for snapshots
        with our labels, which needs a SAS that permits to list. A disk whose request was neither
        answered nor refused by then stays unknown.
        """
        started_ns = time.monotonic_ns()
        deadline_ns = started_ns + int(limit_s * 1e9)
        found = {outcome.disk: outcome for outcome in takes}
        blobs = [one for one in self._blobs if one.disk.name in found and one.call is not None]
        blobs = [one for one in blobs if found[one.disk.name].unknown]
        wait_s = min(limit_s / 2, _LATE_ANSWER_S)
        calls = [blob.call for blob in blobs if blob.call is not None]
        send_all(calls, started_ns + int(wait_s * 1e9), heads_suffice=True)
        self._drop_unread()
        for blob, call in zip(blobs, calls):
            found[blob.disk.name] = _take_of(blob, call)
        left = [blob for blob in blobs if found[blob.disk.name].unknown]
        with ThreadPoolExecutor(min(_THREADS, len(left) or 1)) as pool:
            looks = pool.map(
                lambda one: self._look_for(one, found[one.disk.name], deadline_ns), left
            )
            for outcome in looks:
                found[outcome.disk] = outcome
        return [found[outcome.disk] for outcome in takes]

    def _drop_unread(self) -> None:
        """A connection with an answer that was not read to its end serves no further request."""
        for blob in self._blobs:
            if blob.call is not None and not blob.call.answer.complete:
                blob.connection.close()

    def _look_for(self, blob: _Blob, outcome: SnapshotOutcome, deadline_ns: int) -> SnapshotOutcome:
        """Look for the disk's snapshot by the label of the set, twice if need be."""
        for attempt in (1, 2):
            left_s = (deadline_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0:
                return outcome
            blob.transport.within(min(left_s, REQUEST_LIMIT_S))
            try:
                snapshot = self._listed(blob)
            except QuiesceError as error:
                return _with_words(outcome, f"The snapshots could not be listed: {error}")
            except Exception as error:
                return _with_words(outcome, unexpected(error).message)
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
                time.sleep(max(0.0, min(_LOOK_AGAIN_S, left_s)))
        if outcome.failure is not None and outcome.failure.name == "NoAnswer":
            return _with_words(outcome, "No snapshot of it was listed, but one may yet come.")
        return replace(_with_words(outcome, "No snapshot of it was listed."), unknown=False)

    def _listed(self, blob: _Blob) -> Optional[str]:
        """The newest snapshot of the blob with the label of this set."""
        name = blob.client.blob_name
        listed = container_client(blob.address, blob.client, blob.transport).list_blobs(
            name_starts_with=name, include=["snapshots", "metadata"]
        )
        ours = [
            str(one.snapshot)
            for one in listed
            if one.name == name
            and one.snapshot
            and (one.metadata or {}).get(SET_LABEL) == self._set_id
        ]
        return max(ours, default=None)

    def discard(self, takes: Sequence[SnapshotOutcome]) -> Dict[str, str]:
        """See the protocol. A snapshot that is gone already counts as deleted."""
        self._drop_unread()
        blobs = {blob.disk.name: blob for blob in self._blobs}
        work = [outcome for outcome in takes if outcome.snapshot and outcome.disk in blobs]
        with ThreadPoolExecutor(min(_THREADS, len(work) or 1)) as pool:
            problems = list(pool.map(lambda outcome: _delete(blobs[outcome.disk], outcome), work))
        return {outcome.disk: problem for outcome, problem in zip(work, problems) if problem}

    def close(self) -> None:
        """See the protocol."""
        close_all(blob.connection for blob in self._blobs)


def _take_of(blob: _Blob, call: Exchange) -> SnapshotOutcome:
    """What a request for a snapshot came to."""
    outcome = SnapshotOutcome(
        blob.disk.name, request_ns=call.request_ns, acknowledged_ns=call.answered_ns
    )
    status = call.answer.status
    if status is None:
        return replace(outcome, failure=no_answer(call), unknown=call.sent and not call.withheld)
    if status >= 300:
        # What failed inside the service may have been done; that it was too busy was said before.
        return replace(
            outcome, failure=refusal(call.answer), unknown=status >= 500 and status != 503
        )
    snapshot = call.answer.headers.get("x-ms-snapshot", "")
    # Any other word of success, such as 202, does not say that the snapshot is there.
    if status == _CREATED and snapshot and snapshot.isascii() and snapshot.isprintable():
        return replace(outcome, snapshot=snapshot, uri=f"{blob.address.shown}?snapshot={snapshot}")
    failure = Failure(
        "UnusableAnswer",
        f"the answer {status} does not say that a snapshot was created, or does not name it.",
        "Find out what answers in place of the store.",
        NO_NETWORK_CODE,
    )
    return replace(outcome, failure=failure, unknown=True)


def _delete(blob: _Blob, outcome: SnapshotOutcome) -> str:
    """Delete the snapshot; why that could not be done, or nothing."""
    # Snapshots of one disk share its connection, and a set has one a disk.
    blob.transport.within(REQUEST_LIMIT_S)
    try:
        blob_client(blob.address.uri, blob.transport, outcome.snapshot).delete_blob()
    except ServiceRefused as error:
        if error.status == 404:
            return ""
        if error.status == 403:
            return (
                f"{error.failure.message} The SAS does not permit to delete this snapshot: that "
                "takes the permission d, and a store may want a SAS for the container or account."
            )
        return str(error)
    except QuiesceError as error:
        return str(error)
    except Exception as error:
        return unexpected(error).message
    return ""


def _raise_first(failed: Sequence[Tuple[_Blob, QuiesceError]]) -> NoReturn:
    blob, error = failed[0]
    words = f"Disk {blob.disk.name} ({blob.address.shown}): {error.failure.message}"
    if len(failed) > 1:
        others = ", ".join(one.disk.name for one, _failure in failed[1:])
        words += f" It failed for other disks too: {others}."
    failure = replace(error.failure, message=words)
    if isinstance(error, SettingsError):
        raise SettingsError(failure)
    raise StoreError(failure)


def _with_words(outcome: SnapshotOutcome, words: str) -> SnapshotOutcome:
    if outcome.failure is None:
        return outcome
    message = f"{outcome.failure.message} {words}"
    return replace(outcome, failure=replace(outcome.failure, message=message))
