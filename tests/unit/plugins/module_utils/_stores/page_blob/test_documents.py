# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Status and log, written to block and page blobs of a real store."""

from __future__ import annotations

import uuid

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    QuiesceError,
    SettingsError,
    StoreError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.documents import (
    write_document,
)
from tests.lab.azurite import Azurite, signatures
from tests.lab.proxy import FaultProxy, Rule, hang, reply, reset_after, reset_before


def _block(azurite: Azurite, data: bytes = b"old and longer") -> str:
    return azurite.block_blob(f"{uuid.uuid4().hex}.json", data)


def _page(azurite: Azurite, size: int) -> str:
    return azurite.page_blob(f"{uuid.uuid4().hex}.json", size, container="documents")


@pytest.mark.parametrize("data", [b"{}", b"", b"\xff\x00" * 3_000_000])
@pytest.mark.parametrize("sas", ["rw", "rcw", "w"])
def test_block_blob_is_replaced(azurite: Azurite, data: bytes, sas: str) -> None:
    url = _block(azurite)
    write_document(azurite.sas(url, sas), data, limit_s=60)
    assert azurite.read(url) == data


def test_missing_block_blob_is_made(azurite: Azurite) -> None:
    url = _block(azurite).replace(".json", "-new.json")
    write_document(azurite.sas(url, "rcw"), b"{}", limit_s=60)
    assert azurite.read(url) == b"{}"


def test_block_blob_needs_one_write(azurite: Azurite, proxy: FaultProxy) -> None:
    url = _block(azurite)
    write_document(proxy.url(azurite.sas(url, "rw")), b"x" * 5_000_000, limit_s=60)
    assert [one.operation for one in proxy.seen] == ["head", "put"]


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 2048])
def test_page_blob_is_padded_and_cleared(azurite: Azurite, length: int) -> None:
    url = _page(azurite, 2048)
    azurite.write(url, b"o" * 2048)
    write_document(azurite.sas(url, "rw"), b"n" * length, limit_s=60)
    padded = b"n" * length + b" " * (-length % 512)
    assert azurite.read(url) == padded + b"\0" * (2048 - len(padded))


def test_small_page_blob_is_resized(azurite: Azurite) -> None:
    url = _page(azurite, 512)
    data = b"n" * (9 * 1024 * 1024 + 1)
    write_document(azurite.sas(url, "rw"), data, limit_s=60)
    assert azurite.read(url) == data + b" " * 511


def _fails(uri: str, limit_s: float = 60) -> QuiesceError:
    with pytest.raises(QuiesceError) as caught:
        write_document(uri, b"{}", limit_s, "The status document")
    error = caught.value
    for form in signatures(uri):
        assert form not in f"{error} {error!r} {error.failure} {error.__cause__!r}"
    assert "The status document" in str(error)
    return error


def test_refused_write_is_reported(azurite: Azurite) -> None:
    url = _block(azurite)
    error = _fails(azurite.sas(url, "r"))
    assert isinstance(error, StoreError)
    assert "403" in str(error)
    assert url in str(error)
    assert azurite.read(url) == b"old and longer"
    missing = url.replace("/documents/", "/no-such-container/")
    assert "404" in str(_fails(azurite.account_sas(missing)))


def test_unusable_address_is_refused() -> None:
    for uri in ("nonsense", "http://account.blob.core.windows.net/c/b?sig=SIGNATURE"):
        error = _fails(uri)
        assert isinstance(error, SettingsError)
        assert "SIGNATURE" not in str(error)


def test_cut_connection_is_retried(azurite: Azurite, proxy: FaultProxy) -> None:
    url = _block(azurite)
    proxy.rules.append(Rule(reset_before(), operation="head", times=1))
    proxy.rules.append(Rule(reset_after(), operation="put", times=1))
    write_document(proxy.url(azurite.sas(url, "rw")), b"{}", limit_s=60)
    assert azurite.read(url) == b"{}"


def test_no_answer_ends_at_the_limit(azurite: Azurite, proxy: FaultProxy) -> None:
    url = _block(azurite)
    proxy.rules.append(Rule(hang(), operation=""))
    assert _fails(proxy.url(azurite.sas(url, "rw")), limit_s=5).failure.name == "NoAnswer"


def test_error_of_the_store_keeps_its_name(azurite: Azurite, proxy: FaultProxy) -> None:
    url = _block(azurite)
    proxy.rules.append(Rule(reply(503, "Busy", "ServerBusy"), operation="put"))
    assert _fails(proxy.url(azurite.sas(url, "rw"))).failure.name == "ServerBusy"
