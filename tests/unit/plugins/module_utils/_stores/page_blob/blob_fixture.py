# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks in Azurite and a store of their snapshots, through the proxy."""

from __future__ import annotations

import time
import uuid
from typing import Any

from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.store import (
    SnapshotOutcome,
)
from tests.lab.azurite import Azurite, Snapshot, signatures
from tests.lab.proxy import Action, Exchange, FaultProxy, PeerClosedError, Rule
from tests.unit.plugins.module_utils.disks import make_disk, make_store

#: Long enough for every step, on a busy machine.
LONG_S = 60.0


class BlobFixture:
    """Page blobs with new names, and a store for them behind the proxy."""

    def __init__(
        self, azurite: Azurite, proxy: FaultProxy, count: int = 3, sas: str = "account"
    ) -> None:
        self.azurite, self.proxy = azurite, proxy
        run = uuid.uuid4().hex[:8]
        self.set_id = f"set-{run}"
        self.urls = [azurite.page_blob(f"{run}/disk{one}.vhd", 4096) for one in range(count)]
        self.uris = [proxy.url(self._signed(url, sas)) for url in self.urls]
        self.disks = [make_disk(f"d{number}", uri) for number, uri in enumerate(self.uris)]
        self.store = make_store(self.disks, self.set_id, "task-1", {"team": "blue"})

    def _signed(self, url: str, sas: str) -> str:
        if sas == "container":
            return self.azurite.container_sas(url)
        # Azurite deletes snapshots by this one only.
        if sas == "account":
            return self.azurite.account_sas(url)
        return self.azurite.sas(url, sas)

    def ready(self) -> PageBlobStore:
        """Return the store, ready for the window."""
        self.store.prepare(600)
        self.store.refresh()
        return self.store

    def fault(self, action: Action, disk: int | None = 1, **options: Any) -> None:
        """Let the proxy apply an action to the requests for a disk, or for all."""
        path = "" if disk is None else f"disk{disk}.vhd"
        self.proxy.rules.append(Rule(action, path=path, **options))

    def take(self, limit_s: float = LONG_S) -> list[SnapshotOutcome]:
        """Take the snapshots within `limit_s`."""
        return self.store.take(time.monotonic_ns() + int(limit_s * 1e9))

    def snapshots(self, disk: int) -> list[Snapshot]:
        """Return the snapshots of a disk in the store."""
        return self.azurite.snapshots(self.urls[disk])

    def assert_secret(self, *shown: object) -> None:
        """Check that neither text nor repr of the values has a signature."""
        text = " ".join(f"{one} {one!r}" for one in shown)
        for uri in self.uris:
            for form in signatures(uri):
                assert form not in text


def answer_and_close(exchange: Exchange) -> None:
    """Answer as the store does, and close the connection without an announcement."""
    exchange.answer(exchange.forward())
    raise PeerClosedError
