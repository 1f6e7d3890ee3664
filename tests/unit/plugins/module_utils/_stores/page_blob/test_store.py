# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots of page blobs in a real store, as long as all goes well, and before the window."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    QuiesceError,
    SettingsError,
    StoreError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob import store
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
from tests.lab.azurite import Azurite
from tests.lab.proxy import Exchange, FaultProxy, PeerClosedError, Rule, raw, reset_before
from tests.unit.plugins.module_utils._stores.page_blob.bench import Bench, answer_and_close


@pytest.fixture(name="bench")
def _bench(azurite: Azurite, proxy: FaultProxy) -> Iterator[Bench]:
    bench = Bench(azurite, proxy)
    yield bench
    bench.store.close()


def test_takes_a_labelled_snapshot_of_every_disk(bench: Bench) -> None:
    bench.ready()
    before_ns = time.monotonic_ns()
    takes = bench.take()
    after_ns = time.monotonic_ns()
    assert [take.disk for take in takes] == ["d0", "d1", "d2"]
    for number, take in enumerate(takes):
        assert take.failure is None
        assert not take.unknown
        assert take.request_ns is not None
        assert take.acknowledged_ns is not None
        assert before_ns <= take.request_ns < take.acknowledged_ns <= after_ns
        (snapshot,) = bench.snapshots(number)
        assert take.snapshot == snapshot.snapshot
        assert take.uri == bench.proxy.url(snapshot.uri)
        assert snapshot.metadata == {
            "team": "blue",
            "quiesce_set": bench.set_id,
            "quiesce_task": "task-1",
            "quiesce_disk": f"d{number}",
            "quiesce_disks": "3",
        }
    bench.assert_secret(takes, bench.store.warnings, bench.disks)


def test_the_snapshot_shows_the_blob_of_that_moment(bench: Bench) -> None:
    bench.azurite.write(bench.urls[0], b"A" * 512)
    bench.ready()
    take = bench.take()[0]
    bench.azurite.write(bench.urls[0], b"B" * 512)
    assert bench.azurite.read(bench.urls[0], take.snapshot)[:512] == b"A" * 512


def test_in_the_window_one_request_a_disk_goes_out_and_nothing_else(bench: Bench) -> None:
    bench.ready()
    since_ns = time.monotonic_ns()
    bench.take()
    seen = [one for one in bench.proxy.seen if one.ns >= since_ns]
    assert [one.operation for one in seen] == ["snapshot"] * 3
    assert len({one.path for one in seen}) == 3


def test_all_requests_are_out_before_any_is_answered(bench: Bench) -> None:
    arrived = threading.Barrier(3)

    def act(exchange: Exchange) -> None:
        arrived.wait(60)  # one request after the other would never get past this
        exchange.answer(exchange.forward())

    bench.fault(act, disk=None)
    bench.ready()
    assert all(take.snapshot for take in bench.take())


def test_the_request_says_that_it_has_no_body(bench: Bench) -> None:
    """Azure answers 411 to one that does not; Azurite takes it."""
    heads = []

    def act(exchange: Exchange) -> None:
        heads.append(exchange._request)
        exchange.answer(exchange.forward())

    bench.fault(act)
    bench.ready()
    bench.take()
    (head,) = heads
    assert b"\r\nContent-Length: 0\r\n" in head
    assert head.endswith(b"\r\n\r\n")


def test_a_second_set_can_be_taken_with_the_same_store(bench: Bench) -> None:
    bench.ready()
    first = bench.take()
    bench.store.refresh()
    second = bench.take()
    assert {take.snapshot for take in first}.isdisjoint(take.snapshot for take in second)
    assert len(bench.snapshots(0)) == 2


@pytest.mark.parametrize("sas", ["rw", "rc", "container", "account"])
def test_every_sufficient_sas_will_do(azurite: Azurite, proxy: FaultProxy, sas: str) -> None:
    bench = Bench(azurite, proxy, count=1, sas=sas)
    bench.ready()
    assert bench.take()[0].snapshot
    assert bool(bench.store.warnings) == (sas in ("rw", "rc")), "no permission to delete"
    bench.store.close()


# --- refused before anything is made ----------------------------------------------------------


def _refused(bench: Bench, kind: type = StoreError) -> QuiesceError:
    with pytest.raises(kind) as caught:
        bench.store.prepare(600, {})
    error = caught.value
    assert isinstance(error, QuiesceError)
    bench.assert_secret(error, error.failure, error.__cause__)
    assert not bench.proxy.requests("snapshot")
    return error


def test_a_blob_or_container_that_is_missing(bench: Bench) -> None:
    bench.azurite.client(bench.urls[1]).delete_blob()
    error = _refused(bench)
    assert error.failure.name in ("BlobNotFound", "HTTP404")
    assert "d1" in str(error)
    assert bench.urls[1].rpartition("/")[2] in str(error)
    for number, url in enumerate(bench.urls):
        gone = bench.azurite.account_sas(url.replace("/disks/", "/gone/"))
        bench.disks[number] = Disk(f"d{number}", bench.proxy.url(gone))
    bench.store = PageBlobStore(bench.disks, None, bench.set_id)
    error = _refused(bench)
    assert "404" in str(error)
    assert "d1, d2" in str(error)


def test_a_block_blob_is_no_disk(bench: Bench) -> None:
    url = bench.azurite.block_blob("note.txt", b"not a disk", container="disks")
    disk = Disk("note", bench.proxy.url(bench.azurite.account_sas(url)))
    bench.store = PageBlobStore([bench.disks[0], disk], None, bench.set_id)
    error = _refused(bench, SettingsError)
    assert error.failure.name == "NotAPageBlob"
    assert "note" in str(error)


def test_a_signature_that_is_wrong(bench: Bench) -> None:
    uri = bench.uris[0]
    at = uri.index("sig=") + 6
    bench.disks[0] = replace(bench.disks[0], blob_uri=uri[:at] + "AAAA" + uri[at + 4 :])
    bench.store = PageBlobStore(bench.disks, None, bench.set_id)
    error = _refused(bench)
    assert "403" in str(error)
    assert "SAS" in error.failure.recommended_action


def test_nobody_listens(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultProxy(azurite.account_url) as proxy:
        bench = Bench(azurite, proxy)
    error = _refused(bench)
    assert error.failure.name == "ConnectionFailed"
    assert "refused" in str(error)


def test_what_the_store_says_of_its_trouble_is_passed_on(bench: Bench) -> None:
    busy = raw(b"HTTP/1.1 503 Busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0\r\n\r\n")
    bench.proxy.rules.append(Rule(busy, operation="head"))
    assert _refused(bench).failure.name == "ServerBusy"


def test_a_head_request_that_is_never_answered(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "REQUEST_LIMIT_S", 5.0)
    bench.proxy.rules.append(Rule(lambda one: one.sleep(60), operation="head", path="disk2.vhd"))
    assert _refused(bench).failure.name == "NoAnswer"


def test_a_sas_that_has_expired_by_the_clock_of_the_store(bench: Bench) -> None:
    slow = time.time() - 100_000
    bench.store = PageBlobStore(bench.disks, None, bench.set_id, wall_clock=lambda: slow)
    bench.store.prepare(600, {})
    (warning,) = bench.store.warnings
    assert "clock" in warning
    assert "behind" in warning
    late = PageBlobStore(bench.disks, None, bench.set_id, wall_clock=lambda: slow)
    with pytest.raises(SettingsError, match="the store's clock"):
        late.prepare(3700, {})
    late.close()


def test_metadata_is_refused_before_any_request(bench: Bench) -> None:
    with pytest.raises(SettingsError):
        bench.store.prepare(600, {"big": "x" * 9000})
    with pytest.raises(SettingsError):
        bench.store.prepare(600, {"no-name": "x"})
    assert not bench.proxy.seen


# --- connections that do not last -------------------------------------------------------------


def test_refresh_opens_what_the_store_closed(bench: Bench) -> None:
    bench.proxy.rules.append(Rule(answer_and_close, operation="head", times=3))
    bench.ready()
    assert all(take.snapshot for take in bench.take())


def test_a_store_that_keeps_no_connection(bench: Bench) -> None:
    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        assert b"keep-alive" in answer
        exchange.answer(answer.replace(b"keep-alive", b"close"))
        raise PeerClosedError

    bench.proxy.rules.append(Rule(act, operation="head"))
    bench.ready()
    assert all(take.snapshot for take in bench.take())


def test_refresh_opens_what_was_cut(bench: Bench) -> None:
    bench.proxy.rules.append(Rule(reset_before(), operation="head", path="disk0.vhd", times=1))
    bench.ready()
    assert all(take.snapshot for take in bench.take())


def test_refresh_raises_when_the_disk_has_gone(bench: Bench) -> None:
    bench.store.prepare(600, {})
    bench.azurite.client(bench.urls[2]).delete_blob()
    with pytest.raises(StoreError, match="d2"):
        bench.store.refresh()


def test_many_disks(azurite: Azurite, proxy: FaultProxy) -> None:
    bench = Bench(azurite, proxy, count=64)
    bench.ready()
    takes = bench.take()
    assert all(take.snapshot for take in takes)
    assert bench.store.discard(takes) == {}
    bench.store.close()


# --- what the window must not do --------------------------------------------------------------

_AUDITED = """
import json, sys, threading, time
from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store import (
    PageBlobStore,
)
imported = [name for name in sys.modules if name.partition(".")[0] == "azure"]
disks = [Disk(f"d{n}", uri) for n, uri in enumerate(json.load(sys.stdin))]
store = PageBlobStore(disks, "task", "set")
store.prepare(600, {})
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


def test_the_window_opens_imports_connects_and_starts_nothing(bench: Bench) -> None:
    root = Path(__file__).resolve().parents[6]
    places = [*(one for one in sys.path if one), str(root)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.path[:0] = {places!r}\n{_AUDITED}"],
        input=json.dumps(bench.uris),
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


def test_without_the_sdk_it_says_what_to_install(bench: Bench) -> None:
    script = (
        "import json, sys\n"
        "sys.modules['azure'] = None\n"
        "from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk\n"
        "from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.documents "
        "import write_document\n"
        "from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.store "
        "import PageBlobStore, StoreError\n"
        "uris = json.load(sys.stdin)\n"
        "for work in (\n"
        "    lambda: PageBlobStore([Disk('d', uris[0])], None, 's').prepare(9, {}),\n"
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
        input=json.dumps(bench.uris),
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
