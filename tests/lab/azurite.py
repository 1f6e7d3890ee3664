# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azurite, the blob store of the tests: a real process that answers over HTTP."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List, Optional
from urllib.parse import parse_qs, quote, unquote, urlsplit

from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import (
    BlobClient,
    BlobServiceClient,
    generate_account_sas,
    generate_blob_sas,
    generate_container_sas,
)

from tests.lab._process import LAB, LabError, discard, start, stop, wait_until

_PROGRAM = LAB / "node_modules" / ".bin" / "azurite-blob"
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Snapshot:
    """A snapshot as the store lists it."""

    #: The store's identifier, a time stamp.
    snapshot: str
    #: Address of the snapshot, without any secret.
    uri: str
    metadata: Dict[str, str]


def signatures(url: str) -> List[str]:
    """Return the signature in an address, in each form in which it could leak."""
    found = parse_qs(urlsplit(url).query).get("sig", [])
    return [
        form
        for plain in found
        for form in dict.fromkeys((plain, quote(plain, safe=""), quote(plain)))
    ]


class Azurite:
    """Azurite on a free port of 127.0.0.1, its data in memory, with an account and key of its own.

    A context manager. Must be entered in a thread that lives as long as it is used: the process
    ends with the thread that started it. All methods take and give whole addresses.
    """

    def __init__(self, account: str = "quiesce", keep_alive_s: Optional[int] = None) -> None:
        self.account = account
        #: Made for each server, so that no file can hold this secret.
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.account_url = ""
        self.port = 0
        self._keep_alive_s = keep_alive_s

    def __enter__(self) -> Azurite:
        if not _PROGRAM.exists():
            raise LabError("Azurite is not installed in .lab: run ./dev install")
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce-azurite-"))
        self.log = self.folder / "azurite.log"
        self.log.touch()
        argv = [str(_PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", "0", "--loose", "--silent"]
        argv += ["--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry"]
        if self._keep_alive_s is not None:
            argv += ["--blobKeepAliveTimeout", str(self._keep_alive_s)]
        env = {**os.environ, "AZURITE_ACCOUNTS": f"{self.account}:{self.key}"}
        self.process = start(argv, self.log, cwd=self.folder, env=env)
        try:
            wait_until("Azurite listens", self._answers, process=self.process, log=self.log)
        except BaseException:
            self._end(failed=True)
            raise
        self.account_url = f"http://127.0.0.1:{self.port}/{self.account}"
        self.service = BlobServiceClient(self.account_url, credential=self.key)
        return self

    def __exit__(self, exc_type: object, *exc: object) -> None:
        self.service.close()
        died = self.process.poll() is not None
        self._end(failed=died or exc_type is not None)

    def _answers(self) -> bool:
        found = _LISTENS.search(self.log.read_bytes())
        if found:
            self.port = int(found[1])
        return bool(found)

    def _end(self, failed: bool) -> None:
        stop(self.process)
        discard(self.folder, keep_log=self.log if failed else None)

    # --- what is in the store ------------------------------------------------------------------

    def container(self, name: str) -> str:
        """Make the container if it is not there."""
        with contextlib.suppress(ResourceExistsError):
            self.service.create_container(name)
        return f"{self.account_url}/{name}"

    def page_blob(self, name: str, size: int, container: str = "disks") -> str:
        """Make a page blob of zeros; `size` in bytes, a multiple of 512."""
        url = f"{self.container(container)}/{name}"
        with self.client(url) as blob:
            blob.create_page_blob(size)
        return url

    def block_blob(self, name: str, data: bytes = b"", container: str = "documents") -> str:
        """Make a block blob with this content."""
        url = f"{self.container(container)}/{name}"
        with self.client(url) as blob:
            blob.upload_blob(data, overwrite=True)
        return url

    def client(self, url: str, snapshot: Optional[str] = None) -> BlobClient:
        """Return a client of the SDK with the account's key; the query of `url` is ignored."""
        bare = url.partition("?")[0]
        return BlobClient.from_blob_url(bare, credential=self.key, snapshot=snapshot)

    def write(self, url: str, data: bytes, offset: int = 0) -> None:
        """Write whole pages to a page blob."""
        with self.client(url) as blob:
            blob.upload_page(data, offset=offset, length=len(data))

    def read(
        self,
        url: str,
        snapshot: Optional[str] = None,
        offset: Optional[int] = None,
        length: Optional[int] = None,
    ) -> bytes:
        """Return the bytes of the blob, or of its snapshot."""
        with self.client(url, snapshot) as blob:
            return bytes(blob.download_blob(offset=offset, length=length).readall())

    def exists(self, url: str, snapshot: Optional[str] = None) -> bool:
        """Return True if the blob, or its snapshot, is there."""
        with self.client(url, snapshot) as blob:
            return bool(blob.exists())

    def snapshots(self, url: str) -> List[Snapshot]:
        """Return the snapshots of the blob, oldest first."""
        bare = url.partition("?")[0]
        container, _slash, name = bare[len(self.account_url) + 1 :].partition("/")
        name = unquote(name)
        with self.service.get_container_client(container) as client:
            listed: List[Any] = list(
                client.list_blobs(name_starts_with=name, include=["snapshots", "metadata"])
            )
        return sorted(
            (
                Snapshot(one.snapshot, f"{bare}?snapshot={one.snapshot}", dict(one.metadata or {}))
                for one in listed
                if one.name == name and one.snapshot
            ),
            key=lambda one: one.snapshot,
        )

    # --- shared access signatures --------------------------------------------------------------

    def sas(
        self,
        url: str,
        permission: str = "rw",
        expiry_s: float = 3600.0,
        start_s: Optional[float] = None,
        snapshot: Optional[str] = None,
    ) -> str:
        """Return the blob's address with a signature for this blob only (`sr=b`).

        `permission` is the letters of `sp`; `expiry_s` and `start_s` count from now and may be
        negative.
        """
        bare = url.partition("?")[0]
        container, _slash, name = bare[len(self.account_url) + 1 :].partition("/")
        token = generate_blob_sas(
            self.account,
            container,
            unquote(name),
            snapshot=snapshot,
            account_key=self.key,
            permission=permission,
            expiry=_from_now(expiry_s),
            start=None if start_s is None else _from_now(start_s),
        )
        return f"{bare}?{token}"

    def container_sas(self, url: str, permission: str = "rwdl", expiry_s: float = 3600.0) -> str:
        """Return the same with a signature for the blob's whole container (`sr=c`)."""
        bare = url.partition("?")[0]
        container = bare[len(self.account_url) + 1 :].partition("/")[0]
        token = generate_container_sas(
            self.account,
            container,
            account_key=self.key,
            permission=permission,
            expiry=_from_now(expiry_s),
        )
        return f"{bare}?{token}"

    def account_sas(
        self,
        url: str,
        permission: str = "rwdlac",
        expiry_s: float = 3600.0,
        resource_types: str = "sco",
    ) -> str:
        """Return the same with a signature for the account."""
        token = generate_account_sas(
            self.account,
            account_key=self.key,
            resource_types=resource_types,
            permission=permission,
            expiry=_from_now(expiry_s),
        )
        return f"{url.partition('?')[0]}?{token}"


def _from_now(seconds: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(seconds=seconds)
