# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's own parts: they do what tests rely on, and leave nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from tests.lab._process import ROOT, LabError, run, wait_until
from tests.lab.azurite import Azurite, signatures
from tests.lab.blob_disk import BlobDisk, SnapshotDisk
from tests.lab.disk import MIB, LoopDisk, attach, detach, holders, is_mounted
from tests.lab.evidence import accepts_plain_mount, at_rest, looked_into
from tests.lab.frozen import Guarded, RefusedError
from tests.lab.module_run import run_module
from tests.lab.workload import LEDGER, STEADY, Workload, records


@pytest.fixture
def disk() -> Iterator[LoopDisk]:
    with LoopDisk(64 * MIB, "ext4") as made:
        yield made


def _writes(folder: Path, limit_s: float = 60.0) -> bool:
    """Return True if a process can write there; on a frozen filesystem it waits for the thaw."""
    file = folder / f"write-{time.monotonic_ns()}"
    process = subprocess.Popen(["/bin/sh", "-c", 'echo 1 >"$0"', str(file)])
    try:
        return process.wait(limit_s) == 0
    except subprocess.TimeoutExpired:
        process.kill()
        return False


# --- the blob store ----------------------------------------------------------------------------


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code


def test_signatures_allow_what_they_say(azurite: Azurite) -> None:
    url = azurite.page_blob("signed", 4096)
    for allowed in (azurite.sas(url, "r"), azurite.account_sas(url, "r")):
        assert _status(allowed) == 200
    assert _status(azurite.container_sas(url, "r")) == 200
    for refused in (url, azurite.sas(url, "d"), azurite.sas(url, "r", expiry_s=-60)):
        assert _status(refused) in (403, 404, 409)


def test_every_form_of_a_signature_is_known(azurite: Azurite) -> None:
    url = azurite.sas(azurite.page_blob("forms", 512), "r")
    forms = signatures(url)
    assert any(form in url for form in forms)
    assert any(form.endswith("=") for form in forms)
    assert signatures("http://127.0.0.1/none") == []


def test_snapshots_are_listed_with_metadata_and_keep_their_bytes(azurite: Azurite) -> None:
    url = azurite.page_blob("listed", 4096)
    other = azurite.page_blob("listed-too", 4096)
    azurite.write(url, b"1" * 512, offset=512)
    with azurite.client(url) as blob, azurite.client(other) as beside:
        blob.create_snapshot(metadata={"set": "one"})
        beside.create_snapshot()
    azurite.write(url, b"2" * 512, offset=512)
    (found,) = azurite.snapshots(url)
    assert found.metadata == {"set": "one"}
    assert found.uri == f"{url}?snapshot={found.snapshot}"
    assert azurite.read(url, found.snapshot, offset=511, length=3) == b"\0" + b"11"
    assert azurite.read(url, offset=511, length=3) == b"\0" + b"22"
    assert azurite.exists(url, found.snapshot)


# --- disks and their evidence ------------------------------------------------------------------


@pytest.mark.parametrize("fstype", ["ext4", "xfs", "btrfs"])
def test_a_loop_disk_works_and_leaves_nothing(fstype: str) -> None:
    with LoopDisk(64 * MIB, fstype) as made:
        assert run("stat", "--file-system", "--format=%T", made.mount_point).stdout.strip()
        assert made.mount_point in run("findmnt", "-n", "-t", fstype, made.mount_point).stdout
        assert _writes(made.path)
        image, point, device = made.image, made.path, made.device
    _assert_no_disk(str(image), str(point), device)


def test_an_error_about_a_disk_in_use_can_name_its_user(disk: LoopDisk) -> None:
    user = subprocess.Popen(["sleep", "600"], cwd=disk.mount_point)
    try:
        assert f"{user.pid} sleep" in holders(disk.mount_point)
    finally:
        user.kill()
        user.wait()


@pytest.mark.parametrize("fstype", ["ext4", "xfs"])
@pytest.mark.parametrize("frozen", [True, False])
def test_evidence_tells_a_frozen_disk_from_one_that_was_cut_off(
    fstype: str, frozen: bool, tmp_path: Path
) -> None:
    with LoopDisk(64 * MIB, fstype) as made, ExitStack() as stack:
        for number in range(100):
            file = made.path / f"file-{number}"
            with file.open("wb") as opened:
                opened.write(b"x" * 5000)
                opened.flush()
                os.fsync(opened.fileno())
        guard = stack.enter_context(Guarded([made.mount_point]))
        if frozen:
            guard.freeze(made.mount_point)
        copy = tmp_path / "copy"
        run("cp", "--sparse=always", str(made.image), str(copy))
        guard.thaw(made.mount_point)
        with _attached(copy) as device:
            rests, words = at_rest(device, fstype)
            assert rests is frozen, words
            assert accepts_plain_mount(device, fstype) is (frozen and fstype == "ext4")
            with looked_into(device, fstype) as files:
                assert len(list(files.glob("file-*"))) == 100 or not frozen


@contextlib.contextmanager
def _attached(image: Path) -> Iterator[str]:
    device = attach(image, read_only=True)
    try:
        yield device
    finally:
        detach(device, image)


# --- the guarded freeze ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/tmp", "/dev/shm", "/run", str(ROOT), "/usr"])
def test_what_this_machine_lives_on_is_refused(path: str) -> None:
    with pytest.raises(RefusedError, match="same filesystem as"), Guarded([path]):
        pytest.fail("It was not refused.")


def test_what_is_not_on_a_loop_device_is_refused() -> None:
    with pytest.raises(RefusedError, match="not a loop device"), Guarded(["/proc"]):
        pytest.fail("It was not refused.")


def test_a_refusal_counts_for_all(disk: LoopDisk) -> None:
    with pytest.raises(RefusedError), Guarded([disk.mount_point, "/"]):
        pytest.fail("It was not refused.")
    assert _writes(disk.path)


def test_a_folder_of_a_disk_is_no_mount_point(disk: LoopDisk) -> None:
    folder = disk.path / "folder"
    folder.mkdir()
    with pytest.raises(RefusedError, match="not a mount point"), Guarded([str(folder)]):
        pytest.fail("It was not refused.")


def test_the_safety_process_thaws_when_its_time_is_over(disk: LoopDisk) -> None:
    with Guarded([disk.mount_point], limit_s=1) as guard:
        guard.freeze(disk.mount_point)
        assert _writes(disk.path)
        assert not guard.thaw(disk.mount_point)
    assert guard.had_to_thaw == 1


def test_the_safety_process_thaws_at_the_end(disk: LoopDisk) -> None:
    with pytest.raises(ValueError, match="the test"), Guarded([disk.mount_point]) as guard:
        guard.freeze(disk.mount_point)
        raise ValueError("the test")
    assert guard.had_to_thaw == 1
    assert _writes(disk.path)


def test_nothing_is_counted_when_the_test_thawed(disk: LoopDisk) -> None:
    with Guarded([disk.mount_point]) as guard:
        guard.freeze(disk.mount_point)
        assert guard.thaw(disk.mount_point)
    assert guard.had_to_thaw == 0


def test_the_safety_process_thaws_when_the_test_is_killed(disk: LoopDisk) -> None:
    program = (
        "import os, signal\n"
        "from tests.lab.frozen import Guarded\n"
        f"with Guarded([{disk.mount_point!r}], limit_s=5) as guard:\n"
        f"    guard.freeze({disk.mount_point!r})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert _writes(disk.path)


# --- disks made of page blobs ------------------------------------------------------------------


def test_the_bytes_of_a_blob_disk_are_those_of_its_blob(azurite: Azurite) -> None:
    with BlobDisk(azurite, "bytes", 4 * MIB, fstype="") as made:
        assert made.writes() == []
        parts = {0: os.urandom(4096), MIB: os.urandom(64 * 1024), 4 * MIB - 4096: os.urandom(4096)}
        fd = os.open(made.device, os.O_RDWR)
        try:
            for offset, data in parts.items():
                os.pwrite(fd, data, offset)
            os.fsync(fd)
        finally:
            os.close(fd)
        whole = bytearray(4 * MIB)
        for offset, data in parts.items():
            whole[offset : offset + len(data)] = data
        assert azurite.read(made.url) == bytes(whole)
        log = made.writes()
        assert {one.kind for one in log} == {"write"}
        assert sum(one.length for one in log) == sum(len(data) for data in parts.values())
        assert {one.offset for one in log} >= set(parts)
        with azurite.client(made.url) as blob:
            snapshot = str(blob.create_snapshot()["snapshot"])
        azurite.write(made.url, b"later" + bytes(507))
        with SnapshotDisk(azurite.key, made.url, snapshot) as shown:
            assert Path(shown.device).read_bytes() == bytes(whole)
            with pytest.raises(OSError):
                Path(shown.device).write_bytes(b"no")


def test_a_frozen_blob_disk_gets_no_write_and_loses_no_record(
    azurite: Azurite, tmp_path: Path
) -> None:
    with BlobDisk(azurite, "frozen", 32 * MIB, "ext4") as made:
        with Workload([made.path], tmp_path) as work:
            paused = work.pause()
            with Guarded([made.mount_point]) as guard:
                guard.freeze(made.mount_point)
                frozen_ns = time.monotonic_ns()
                with azurite.client(made.url) as blob:
                    snapshot = str(blob.create_snapshot()["snapshot"])
                time.sleep(0.5)
                thaw_ns = time.monotonic_ns()
                assert guard.thaw(made.mount_point)
            assert work.counts()[LEDGER] == paused
            work.resume()
            steady = f"{STEADY} {made.mount_point}"
            count = work.counts()[steady]
            wait_until("the workload goes on", lambda: work.counts()[steady] > count + 3)
            wait_until("the ledger too", lambda: work.counts()[LEDGER] > paused + 3)
            history = work.history()[steady]
        assert not [one for one in made.writes() if frozen_ns < one.ns < thaw_ns]
        assert any(one.ns > thaw_ns for one in made.writes())
        with SnapshotDisk(azurite.key, made.url, snapshot) as shown:
            rests, words = at_rest(shown.device, "ext4")
            assert rests, words
            with looked_into(shown.device, "ext4") as files:
                assert records(files / LEDGER) == paused
                kept = records(files / STEADY)
        assert history.acknowledged_before(frozen_ns) <= kept <= history.begun_before(thaw_ns)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_blob_disk_with_stalled_or_dead_server_is_removed(
    azurite: Azurite, number: signal.Signals
) -> None:
    with BlobDisk(azurite, f"server-{number}", 32 * MIB, "ext4") as made:
        (made.path / "dirty").write_bytes(b"x" * MIB)
        made.server.send_signal(number)
        image, point, device = made._server.image, made.path, made.device
    _assert_no_disk(str(image), str(point), device)


# --- nothing is left behind --------------------------------------------------------------------

_EVERYTHING = """
import json, sys, time
from contextlib import ExitStack
from pathlib import Path
from tests.lab._process import orderly_end
from tests.lab.azurite import Azurite
from tests.lab.blob_disk import BlobDisk
from tests.lab.disk import LoopDisk, MIB
from tests.lab.frozen import Guarded
from tests.lab.workload import Workload
with orderly_end(), ExitStack() as stack:
    azurite = stack.enter_context(Azurite())
    loop = stack.enter_context(LoopDisk(16 * MIB))
    blob = stack.enter_context(BlobDisk(azurite, "left", 32 * MIB, "ext4"))
    work = stack.enter_context(Workload([loop.path, blob.path], Path(sys.argv[2])))
    guard = stack.enter_context(Guarded([loop.mount_point, blob.mount_point]))
    guard.freeze(loop.mount_point)
    processes = [azurite.process, blob._server.nbdkit, blob._server.nbdfuse, work.process]
    print(json.dumps({
        "processes": [one.pid for one in [*processes, guard.process]],
        "loop": [str(loop.image), loop.mount_point, loop.device],
        "blob": [str(blob._server.image), blob.mount_point, blob.device],
        "folders": [str(azurite.folder), str(blob._server.image.parent.parent)],
    }), flush=True)
    if sys.argv[1] == "failure":
        raise ValueError("the test's own failure")
    time.sleep(600)
"""


def _assert_no_disk(image: str, point: str, device: str) -> None:
    assert not is_mounted(Path(point))
    assert not Path(point).exists()
    assert not Path(image).exists()
    backing = Path("/sys/block") / Path(device).name / "loop" / "backing_file"
    assert not backing.exists() or not backing.read_text().startswith(image)


@pytest.mark.parametrize("how", ["failure", "SIGINT", "SIGTERM"])
def test_nothing_is_left_after(how: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _EVERYTHING, how, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,
    )
    assert process.stdout is not None
    parts: Dict[str, List[Any]] = json.loads(process.stdout.readline())
    if how != "failure":
        process.send_signal(getattr(signal, how))
    try:
        _stdout, stderr = process.communicate(timeout=300)
    finally:
        process.terminate()  # Where it has not ended: it takes everything down then.
    assert process.returncode != 0
    assert (b"the test's own failure" in stderr) is (how == "failure"), stderr
    for pid in parts["processes"]:
        assert not Path(f"/proc/{pid}").exists()
    _assert_no_disk(*parts["loop"])
    _assert_no_disk(*parts["blob"])
    assert not [folder for folder in parts["folders"] if Path(folder).exists()]


def test_the_lab_goes_up_and_down_by_hand(tmp_path: Path) -> None:
    env = {**os.environ, "LAB_STATE": str(tmp_path / "lab.json")}

    def say(word: str) -> str:
        argv = [sys.executable, "-m", f"tests.lab.{word}"]
        return subprocess.run(
            argv, cwd=ROOT, env=env, check=True, capture_output=True
        ).stdout.decode()

    said = say("up")
    try:
        assert said == say("up"), "It was started twice."
        state = json.loads((tmp_path / "lab.json").read_text())
        assert (tmp_path / "lab.json").stat().st_mode & 0o777 == 0o600
        made = state["environment"]
        assert all(f"export {name}=" in said for name in made)
        assert _status(made["LAB_DATA_BLOB_URI"]) == 200
        for name in ("DATA", "LOG"):
            assert _writes(Path(made[f"LAB_{name}_MOUNT_POINT"]))
        vault = {"resource_group": made["LAB_RESOURCE_GROUP"], "vault": made["LAB_VAULT"]}
        found = run_module("protectable_vm_info", {**vault, "poll_interval": 0.2}, env=made)
        assert [vm["name"] for vm in found["vms"]] == ["db01", "db02", "web01"]
    finally:
        assert "is down" in say("down")
    for name in ("DATA", "LOG"):
        assert not Path(made[f"LAB_{name}_MOUNT_POINT"]).exists()
    assert not (tmp_path / "lab.json").exists()
    assert "does not run" in say("down")


def test_a_part_that_does_not_start_says_why(tmp_path: Path) -> None:
    with Azurite() as store:
        url = store.page_blob("gone", 4096)
    with (
        pytest.raises(LabError, match="Connection refused"),
        SnapshotDisk(store.key, url, "2020-01-01T00:00:00.0000000Z"),
    ):
        pytest.fail("It started.")


def test_a_module_runs_as_a_process_on_the_hosts_python() -> None:
    for python in (sys.executable, "/usr/bin/python3"):
        found = run_module("vm_snapshot", {}, python=python)
        assert found.failed
        assert "disks" in found["msg"] and "extension_settings" in found["msg"]
