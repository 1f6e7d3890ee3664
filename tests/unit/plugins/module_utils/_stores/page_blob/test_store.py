# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of page blobs in a real store: success, and refusals before the window."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    QuiesceError,
    SettingsError,
    StoreError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob import store
from tests.lab.azurite import Azurite
from tests.lab.proxy import Exchange, FaultProxy, PeerClosedError, Rule, raw, reset_before
from tests.unit.plugins.module_utils._stores.page_blob.blob_fixture import (
    BlobFixture,
    answer_and_close,
)
from tests.unit.plugins.module_utils.disks import make_disk, make_store


@pytest.fixture(name="blobs")
def _blobs(azurite: Azurite, proxy: FaultProxy) -> Iterator[BlobFixture]:
    blobs = BlobFixture(azurite, proxy)
    yield blobs
    blobs.store.close()


def test_take_makes_a_labelled_snapshot_of_each_disk(blobs: BlobFixture) -> None:
    blobs.ready()
    before_ns = time.monotonic_ns()
    outcomes = blobs.take()
    after_ns = time.monotonic_ns()
    assert [outcome.disk for outcome in outcomes] == ["d0", "d1", "d2"]
    for number, outcome in enumerate(outcomes):
        assert outcome.failure is None
        assert not outcome.unknown
        assert outcome.request_ns is not None
        assert outcome.acknowledged_ns is not None
        assert before_ns <= outcome.request_ns < outcome.acknowledged_ns <= after_ns
        (snapshot,) = blobs.snapshots(number)
        assert outcome.snapshot == snapshot.snapshot
        assert outcome.uri == blobs.proxy.url(snapshot.uri)
        assert snapshot.metadata == {
            "team": "blue",
            "quiesce_set": blobs.set_id,
            "quiesce_task": "task-1",
            "quiesce_disk": f"d{number}",
            "quiesce_disks": "3",
        }
    blobs.assert_secret(outcomes, blobs.store.warnings, blobs.disks)


def test_snapshot_shows_the_blob_at_that_time(blobs: BlobFixture) -> None:
    blobs.azurite.write(blobs.urls[0], b"A" * 512)
    blobs.ready()
    outcome = blobs.take()[0]
    blobs.azurite.write(blobs.urls[0], b"B" * 512)
    assert blobs.azurite.read(blobs.urls[0], outcome.snapshot)[:512] == b"A" * 512


def test_window_sends_only_one_request_for_each_disk(blobs: BlobFixture) -> None:
    blobs.ready()
    since_ns = time.monotonic_ns()
    blobs.take()
    seen = [one for one in blobs.proxy.seen if one.ns >= since_ns]
    assert [one.operation for one in seen] == ["snapshot"] * 3
    assert len({one.path for one in seen}) == 3


def test_all_requests_are_sent_before_any_answer(blobs: BlobFixture) -> None:
    arrived = threading.Barrier(3)

    def act(exchange: Exchange) -> None:
        arrived.wait(60)  # sequential requests would never pass this barrier
        exchange.answer(exchange.forward())

    blobs.fault(act, disk=None)
    blobs.ready()
    assert all(outcome.snapshot for outcome in blobs.take())


def test_request_states_an_empty_body(blobs: BlobFixture) -> None:
    """Check the header without which Azure answers 411; Azurite does not need it."""
    heads = []

    def act(exchange: Exchange) -> None:
        heads.append(exchange._request)
        exchange.answer(exchange.forward())

    blobs.fault(act)
    blobs.ready()
    blobs.take()
    (head,) = heads
    assert b"\r\nContent-Length: 0\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_same_store_takes_a_second_set(blobs: BlobFixture) -> None:
    blobs.ready()
    first = blobs.take()
    blobs.store.refresh()
    second = blobs.take()
    assert {outcome.snapshot for outcome in first}.isdisjoint(
        outcome.snapshot for outcome in second
    )
    assert len(blobs.snapshots(0)) == 2


@pytest.mark.parametrize("sas", ["rw", "rc", "container", "account"])
def test_each_kind_of_sas_suffices(azurite: Azurite, proxy: FaultProxy, sas: str) -> None:
    blobs = BlobFixture(azurite, proxy, count=1, sas=sas)
    blobs.ready()
    assert blobs.take()[0].snapshot
    assert bool(blobs.store.warnings) == (sas in ("rw", "rc")), "no permission to delete"
    blobs.store.close()


# --- refused before anything is made ----------------------------------------------------------


def _refused(blobs: BlobFixture, kind: type = StoreError) -> QuiesceError:
    with pytest.raises(kind) as caught:
        blobs.store.prepare(600)
    error = caught.value
    assert isinstance(error, QuiesceError)
    blobs.assert_secret(error, error.failure, error.__cause__)
    assert not blobs.proxy.requests("snapshot")
    return error


def test_missing_blob_or_container_is_refused(blobs: BlobFixture) -> None:
    blobs.azurite.client(blobs.urls[1]).delete_blob()
    error = _refused(blobs)
    assert error.failure.name in ("BlobNotFound", "HTTP404")
    assert "d1" in str(error)
    assert blobs.urls[1].rpartition("/")[2] in str(error)
    for number, url in enumerate(blobs.urls):
        gone = blobs.azurite.account_sas(url.replace("/disks/", "/gone/"))
        blobs.disks[number] = make_disk(f"d{number}", blobs.proxy.url(gone))
    blobs.store = make_store(blobs.disks, blobs.set_id)
    error = _refused(blobs)
    assert "404" in str(error)
    assert "d1, d2" in str(error)


def test_block_blob_is_refused(blobs: BlobFixture) -> None:
    url = blobs.azurite.block_blob("note.txt", b"not a disk", container="disks")
    disk = make_disk("note", blobs.proxy.url(blobs.azurite.account_sas(url)))
    blobs.store = make_store([blobs.disks[0], disk], blobs.set_id)
    error = _refused(blobs, SettingsError)
    assert error.failure.name == "NotAPageBlob"
    assert "note" in str(error)


def test_wrong_signature_is_refused(blobs: BlobFixture) -> None:
    uri = blobs.uris[0]
    at = uri.index("sig=") + 6
    blobs.disks[0] = make_disk("d0", uri[:at] + "AAAA" + uri[at + 4 :])
    blobs.store = make_store(blobs.disks, blobs.set_id)
    error = _refused(blobs)
    assert "403" in str(error)
    assert "SAS" in error.failure.recommended_action


def test_closed_port_fails_the_connection(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultProxy(azurite.account_url) as proxy:
        blobs = BlobFixture(azurite, proxy)
    error = _refused(blobs)
    assert error.failure.name == "ConnectionFailed"
    assert "refused" in str(error)


def test_busy_store_keeps_the_name_of_its_error(blobs: BlobFixture) -> None:
    busy = raw(b"HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0\r\n\r\n")
    blobs.proxy.rules.append(Rule(busy, operation="head"))
    assert _refused(blobs).failure.name == "ServerBusy"


def test_unanswered_head_request_times_out(
    blobs: BlobFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REQUEST_LIMIT_S", 5.0)
    blobs.proxy.rules.append(Rule(lambda one: one.sleep(60), operation="head", path="disk2.vhd"))
    assert _refused(blobs).failure.name == "NoAnswer"


def test_sas_expired_by_the_clock_of_the_store_is_refused(blobs: BlobFixture) -> None:
    slow = time.time() - 100_000
    blobs.store = make_store(blobs.disks, blobs.set_id, wall_clock=lambda: slow)
    blobs.store.prepare(600)
    (warning,) = blobs.store.warnings
    assert "clock" in warning
    assert "behind" in warning
    late = make_store(blobs.disks, blobs.set_id, wall_clock=lambda: slow)
    with pytest.raises(SettingsError, match="the store's clock"):
        late.prepare(3700)
    late.close()


# --- connections that do not last -------------------------------------------------------------


def test_refresh_reopens_connections_that_the_store_closed(blobs: BlobFixture) -> None:
    blobs.proxy.rules.append(Rule(answer_and_close, operation="head", times=3))
    blobs.ready()
    assert all(outcome.snapshot for outcome in blobs.take())


def test_store_without_keep_alive_works(blobs: BlobFixture) -> None:
    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        assert b"keep-alive" in answer
        exchange.answer(answer.replace(b"keep-alive", b"close"))
        raise PeerClosedError

    blobs.proxy.rules.append(Rule(act, operation="head"))
    blobs.ready()
    assert all(outcome.snapshot for outcome in blobs.take())


def test_refresh_reopens_a_cut_connection(blobs: BlobFixture) -> None:
    blobs.proxy.rules.append(Rule(reset_before(), operation="head", path="disk0.vhd", times=1))
    blobs.ready()
    assert all(outcome.snapshot for outcome in blobs.take())


def test_refresh_of_a_deleted_disk_raises(blobs: BlobFixture) -> None:
    blobs.store.prepare(600)
    blobs.azurite.client(blobs.urls[2]).delete_blob()
    with pytest.raises(StoreError, match="d2"):
        blobs.store.refresh()


def test_64_disks_succeed(azurite: Azurite, proxy: FaultProxy) -> None:
    blobs = BlobFixture(azurite, proxy, count=64)
    blobs.ready()
    outcomes = blobs.take()
    assert all(outcome.snapshot for outcome in outcomes)
    assert blobs.store.discard(outcomes) == {}
    blobs.store.close()


# --- limits of the window --------------------------------------------------------------

PREFIX = "ansible_collections.quiesce.azure_backup.plugins.module_utils"
_AUDITED = """
import json, sys, threading, time
from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import (
    Disk, parse_blob_uri,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
imported = [name for name in sys.modules if name.partition(".")[0] == "azure"]
disks = [Disk(f"d{n}", parse_blob_uri(uri, "it")) for n, uri in enumerate(json.load(sys.stdin))]
store = PageBlobStore(disks, {disk.name: {} for disk in disks}, "set")
store.prepare(600)
store.refresh()
events, watching = [], [False]
sys.addaudithook(lambda event, args: events.append(event) if watching[0] else None)
threads = threading.active_count()
modules = set(sys.modules)
watching[0] = True
takes = store.take(time.monotonic_ns() + 60_000_000_000)
watching[0] = False
new = sorted(set(sys.modules) - modules)
print(json.dumps([imported, events, threads, new, [take.snapshot for take in takes]]))
"""


def test_window_only_sends_and_reads(blobs: BlobFixture) -> None:
    root = Path(__file__).resolve().parents[6]
    places = [*(one for one in sys.path if one), str(root)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {places!r}\n{_AUDITED}"],
        input=json.dumps(blobs.uris),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported, events, threads, new, snapshots = json.loads(done.stdout)
    assert imported == [], "the SDK was imported before it was needed"
    assert all(snapshots)
    assert events == [], "what the window did besides sending and reading"
    assert threads == 1
    assert new == []


def test_missing_sdk_names_the_package(blobs: BlobFixture) -> None:
    script = (
        "import json, sys\n"
        "sys.modules['azure'] = None\n"
        f"from {PREFIX}._disks "
        "import Disk, parse_blob_uri\n"
        f"from {PREFIX}._stores.page_blob.documents "
        "import write_document\n"
        f"from {PREFIX}._stores.page_blob.store "
        "import PageBlobStore, StoreError\n"
        "uris = json.load(sys.stdin)\n"
        "disk = Disk('d', parse_blob_uri(uris[0], 'it'))\n"
        "for work in (\n"
        "    lambda: PageBlobStore([disk], {}, 's').prepare(9),\n"
        "    lambda: write_document(uris[0], b''),\n"
        "):\n"
        "    try:\n"
        "        work()\n"
        "    except StoreError as error:\n"
        "        print(error.failure.name, error)\n"
    )
    root = Path(__file__).resolve().parents[6]
    places = [*(one for one in sys.path if one), str(root)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {places!r}\n{script}"],
        input=json.dumps(blobs.uris),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2, done.stderr
    for line in lines:
        assert line.startswith("MissingLibrary")
        assert "azure-storage-blob" in line
