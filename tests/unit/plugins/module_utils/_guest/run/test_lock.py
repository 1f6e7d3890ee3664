# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.lock import RunLock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a lock"


def refused(lock: RunLock) -> str:
    with pytest.raises(SettingsError) as caught:
        lock.acquire()
    return str(caught.value)


def test_second_lock_is_refused(folder: Path) -> None:
    with RunLock(str(folder)):
        text = refused(RunLock(str(folder)))
        assert f"process {os.getpid()}." in text
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "lock").stat().st_mode & 0o777 == 0o600
    RunLock(str(folder)).acquire()


def test_supervisor_of_a_dead_run_holds_the_lock(folder: Path) -> None:
    """Check that a killed run's supervisor keeps the lock until it ends."""
    ready, started = os.pipe()
    run = os.fork()
    if run == 0:
        try:
            RunLock(str(folder)).acquire()
            supervisor = os.fork()
            if supervisor:
                os.write(started, b"%d\n" % supervisor)
            signal.pause()
        finally:
            os._exit(1)
    supervisor = 0
    try:
        supervisor = int(os.read(ready, 32))
        os.kill(run, signal.SIGKILL)
        os.waitpid(run, 0)
        text = refused(RunLock(str(folder)))
        assert f"process {run}, has died" in text
        holding = os.pidfd_open(supervisor)
        os.kill(supervisor, signal.SIGKILL)
        # The supervisor is not a child of this process: only its descriptor shows its end.
        assert select.select([holding], [], [], 60)[0]
        os.close(holding)
        with RunLock(str(folder)):
            pass
    finally:
        os.close(ready)
        os.close(started)


SUPERVISORS = """
import sys
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.freezer import (
    Freezer,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.lock import RunLock
lock = RunLock(sys.argv[1])
lock.acquire()
with Freezer.start((), 5.0, None, keep_open=(lock.fileno(),)) as freezer:
    freezer.stage("a stage of the test", 600.0)
    lock.release()
    print("released", flush=True)
    sys.stdin.readline()
print("ended", flush=True)
"""


def test_supervisors_hold_the_lock_until_they_end(folder: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", SUPERVISORS, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    assert run.stdin is not None
    try:
        assert run.stdout.readline() == "released\n"
        assert f"process {run.pid}." in refused(RunLock(str(folder)))
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.stdout.readline() == "ended\n"
        with RunLock(str(folder)):
            pass
    finally:
        run.kill()
        run.communicate(timeout=60)


def test_started_program_does_not_hold_the_lock(folder: Path) -> None:
    lock = RunLock(str(folder))
    lock.acquire()
    child = subprocess.Popen(
        ["/bin/sh", "-c", "echo ready; read -r x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    assert child.stdout is not None
    try:
        # The kernel closes descriptors shortly after the parent continues.
        assert child.stdout.readline() == b"ready\n"
        lock.release()
        with RunLock(str(folder)):
            pass
    finally:
        child.communicate(timeout=60)


def test_fileno_is_that_of_the_held_lock(folder: Path) -> None:
    lock = RunLock(str(folder))
    with pytest.raises(ValueError, match="not held"):
        lock.fileno()
    lock.acquire()
    assert Path(f"/proc/self/fd/{lock.fileno()}").readlink() == folder / "lock"
    lock.release()
    lock.release()


def test_task_ids_are_remembered(folder: Path) -> None:
    with RunLock(str(folder)) as lock:
        assert not lock.seen("a_1")
        lock.remember("a_1")
        lock.remember("b\n_1")
    with RunLock(str(folder)) as lock:
        assert lock.seen("a_1")
        assert lock.seen("b\n_1")
        assert not lock.seen("a")
    assert (folder / "tasks.json").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in folder.iterdir()) == ["lock", "tasks.json"]


@pytest.mark.slow
def test_oldest_of_1001_task_ids_is_forgotten(folder: Path) -> None:
    with RunLock(str(folder)) as lock:
        for number in range(1003):
            lock.remember(str(number))
        lock.remember("5")
        assert [lock.seen(str(number)) for number in (2, 3, 4, 5, 1002)] == [False] + [True] * 4


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b"[1]", b"\xff"])
def test_damaged_task_file_is_refused_and_kept(folder: Path, data: bytes) -> None:
    with RunLock(str(folder)) as lock:
        (folder / "tasks.json").write_bytes(data)
        (folder / "tasks.json").chmod(0o600)
        with pytest.raises(SettingsError, match="damaged"):
            lock.seen("a")
        with pytest.raises(SettingsError, match="damaged"):
            lock.remember("a")
    assert (folder / "tasks.json").read_bytes() == data


@pytest.mark.root
def test_folder_writable_by_others_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    folder.chmod(0o770)
    assert "written to by others" in refused(RunLock(str(folder)))
    folder.chmod(0o700)
    os.chown(folder, 12345, 0)
    assert "belongs to user 12345" in refused(RunLock(str(folder)))
    os.chown(folder, 0, 0)
    (tmp_path / "link").symlink_to(folder)
    assert "symbolic link" in refused(RunLock(str(tmp_path / "link")))
    (tmp_path / "file").touch()
    assert "Not a directory" in refused(RunLock(str(tmp_path / "file")))
    assert "No such file" in refused(RunLock(str(tmp_path / "missing" / "folder")))
    assert list(folder.iterdir()) == []


def test_lock_file_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    (tmp_path / "victim").write_text("precious")
    (folder / "lock").symlink_to(tmp_path / "victim")
    refused(RunLock(str(folder)))
    (folder / "lock").unlink()
    (folder / "lock").mkdir()
    refused(RunLock(str(folder)))
    assert (tmp_path / "victim").read_text() == "precious"


def test_check_mode_writes_nothing(folder: Path) -> None:
    with RunLock(str(folder), check_mode=True) as lock:
        assert not lock.seen("a")
        lock.remember("a")
    assert not folder.exists()
    with RunLock(str(folder)) as lock:
        lock.remember("a")
        before = {one.name: one.read_bytes() for one in folder.iterdir()}
        assert "process" in refused(RunLock(str(folder), check_mode=True))
    with RunLock(str(folder), check_mode=True) as lock:
        assert lock.seen("a")
        lock.remember("b")
        assert not lock.seen("b")
        with RunLock(str(folder)):
            pass  # the check does not keep the lock
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
