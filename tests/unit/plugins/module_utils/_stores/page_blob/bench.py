# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks in Azurite and a store of their snapshots, through the proxy."""

from __future__ import annotations

import time
import uuid
from typing import Any, List, Optional

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)
from tests.lab.azurite import Azurite, Snapshot, signatures
from tests.lab.proxy import Action, Exchange, FaultProxy, PeerClosedError, Rule

#: Long enough for whatever must happen, on a machine that is busy with other things.
LONG_S = 60.0


class Bench:
    """Some page blobs of their own names, and a store for them by way of the proxy."""

    def __init__(
        self, azurite: Azurite, proxy: FaultProxy, count: int = 3, sas: str = "account"
    ) -> None:
        self.azurite, self.proxy = azurite, proxy
        run = uuid.uuid4().hex[:8]
        self.set_id = f"set-{run}"
        self.urls = [azurite.page_blob(f"{run}/disk{one}.vhd", 4096) for one in range(count)]
        self.uris = [proxy.url(self._signed(url, sas)) for url in self.urls]
        self.disks = [Disk(f"d{number}", uri) for number, uri in enumerate(self.uris)]
        self.store = PageBlobStore(self.disks, "task-1", self.set_id)

    def _signed(self, url: str, sas: str) -> str:
        if sas == "container":
            return self.azurite.container_sas(url)
        # Azurite deletes snapshots by this one only.
        if sas == "account":
            return self.azurite.account_sas(url)
        return self.azurite.sas(url, sas)

    def ready(self) -> PageBlobStore:
        """The store, ready for the window."""
        self.store.prepare(600, {"team": "blue"})
        self.store.refresh()
        return self.store

    def fault(self, action: Action, disk: Optional[int] = 1, **options: Any) -> None:
        """Have the proxy do this to the requests for that disk, or for all."""
        path = "" if disk is None else f"disk{disk}.vhd"
        self.proxy.rules.append(Rule(action, path=path, **options))

    def take(self, limit_s: float = LONG_S) -> List[SnapshotOutcome]:
        """SnapshotOutcome the snapshots within so many seconds."""
        return self.store.take(time.monotonic_ns() + int(limit_s * 1e9))

    def snapshots(self, disk: int) -> List[Snapshot]:
        """The snapshots of the disk that there are."""
        return self.azurite.snapshots(self.urls[disk])

    def assert_secret(self, *shown: object) -> None:
        """No signature is in what these values show of themselves."""
        text = " ".join(f"{one} {one!r}" for one in shown)
        for uri in self.uris:
            for form in signatures(uri):
                assert form not in text


def answer_and_close(exchange: Exchange) -> None:
    """Answer as the store does, and close the connection without saying so."""
    exchange.answer(exchange.forward())
    raise PeerClosedError
