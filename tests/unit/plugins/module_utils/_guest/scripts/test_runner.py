# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts are run as real processes; every limit here is far above what a slow machine needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import ScriptSpec
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.runner import (
    TAIL_BYTES,
    run_script,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.trusted_file import (
    identity,
)

PATIENCE_S = 300.0


class Folder:
    """A folder whose name has a space, for scripts and for what they leave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def spec(self, body: str, shebang: str = "#!/bin/sh\n", **fields: Any) -> ScriptSpec:
        script = self.path / "the script"
        script.write_text(shebang + textwrap.dedent(body))
        script.chmod(fields.pop("mode", 0o700))
        fields.setdefault("timeout_s", PATIENCE_S)
        return ScriptSpec(kind="pre", path=str(script), identity=identity(script.lstat()), **fields)

    def wait_for(self, name: str) -> str:
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            path = self.path / name
            if path.exists() and path.read_text().endswith("\n"):
                return path.read_text()
            time.sleep(0.02)
        raise AssertionError(f"{name} never came")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "with space")


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def test_success_with_parameters_as_they_are(folder: Folder) -> None:
    spec = folder.spec('printf "%s|" "$@"; printf err >&2', params=("a b", "$HOME", "", "*"))
    outcome = run_script(spec)
    assert outcome.succeeded
    assert (outcome.kind, outcome.attempts, outcome.rc, outcome.run_by) == ("pre", 1, 0, "run")
    assert outcome.tail == "a b|$HOME||*|err"


def test_own_shebang_and_minimal_environment(folder: Folder, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    body = """
        import os, sys
        assert sys.stdin.read() == ""
        assert os.getsid(0) == os.getpid() == os.getpgid(0)
        fds = os.listdir("/proc/self/fd")
        print(sorted(os.environ), os.getcwd(), len(fds))
        """
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        outcome = run_script(folder.spec(body, shebang="#!/usr/bin/python3 -I\n"))
    finally:
        os.close(leaked)
    assert outcome.rc == 0, outcome.tail
    # Besides standard input, output and error only the descriptor that lists the folder.
    assert outcome.tail.split() == [
        "['HOME',",
        "'LANG',",
        "'LOGNAME',",
        "'PATH',",
        "'SHELL',",
        "'USER']",
        "/",
        "4",
    ]


def test_exit_status_and_no_retry_unless_asked(folder: Folder) -> None:
    outcome = run_script(folder.spec("echo once; exit 3"))
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (1, 3, False)
    assert not outcome.succeeded
    assert outcome.tail == "once\n"


def test_each_retry_really_runs_again(folder: Folder) -> None:
    outcome = run_script(folder.spec("echo again; exit 1", retries=2))
    assert (outcome.attempts, outcome.rc) == (3, 1)
    assert outcome.tail == "again\n" * 3


def test_a_retry_that_succeeds(folder: Folder) -> None:
    mark = folder.path / "mark"
    spec = folder.spec(f'[ -e "{mark}" ] && exit 0; : > "{mark}"; exit 1', retries=5)
    started: List[int] = []
    outcome = run_script(spec, on_start=started.append)
    assert outcome.succeeded
    assert outcome.attempts == 2 == len(set(started))


@pytest.mark.slow
def test_a_hang_ends_with_the_budget_and_with_all_its_processes(folder: Folder) -> None:
    child = folder.path / "child"
    spec = folder.spec(
        f"""
        echo started
        sleep 1000 &
        echo $! > "{child}"
        trap '' TERM INT HUP
        while :; do sleep 1000; done
        """,
        retries=3,
        timeout_s=2.0,
    )
    pids: List[int] = []
    outcome = run_script(spec, on_start=pids.append)
    assert outcome.timed_out and not outcome.succeeded
    assert (outcome.attempts, outcome.rc) == (1, None)
    assert outcome.duration_ms >= 2000
    assert outcome.tail == "started\n"
    assert not alive(pids[0]) and not alive(int(child.read_text()))


@pytest.mark.slow
def test_one_budget_over_all_attempts(folder: Folder) -> None:
    outcome = run_script(folder.spec("sleep 0.7; exit 1", retries=1000, timeout_s=2.0))
    assert outcome.timed_out
    # Three attempts of 0.7 s begin within 2 s; a slow machine fits fewer.
    assert 1 <= outcome.attempts <= 3


@pytest.mark.slow
def test_a_budget_given_by_the_caller_goes_first(folder: Folder) -> None:
    outcome = run_script(folder.spec("exec sleep 1000"), budget_s=1.0)
    assert outcome.timed_out
    assert outcome.duration_ms >= 1000


def test_the_caller_can_stop_it(folder: Folder) -> None:
    spec = folder.spec(f'echo x > "{folder.path}/started"; exec sleep 1000', retries=2)
    outcome = run_script(spec, stop=(folder.path / "started").exists)
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (1, None, False)
    assert not outcome.succeeded


def test_a_daemon_that_holds_the_output_is_not_waited_for(folder: Folder) -> None:
    spec = folder.spec(
        f"""
        setsid sh -c 'echo $$ > "{folder.path}/daemon"; exec sleep 1000' &
        while ! [ -s "{folder.path}/daemon" ]; do sleep 0.02; done
        echo done
        """,
        timeout_s=600,
    )
    outcome = run_script(spec)
    daemon = int(folder.wait_for("daemon"))
    try:
        assert outcome.succeeded, outcome
        assert outcome.tail == "done\n"
        assert alive(daemon)
        assert not outcome.left_processes
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_daemon_that_never_stops_writing_is_not_waited_for(folder: Folder) -> None:
    spec = folder.spec(
        f"""
        setsid sh -c 'echo $$ > "{folder.path}/daemon"; exec yes' &
        while ! [ -s "{folder.path}/daemon" ]; do sleep 0.02; done
        """,
        timeout_s=600,
    )
    outcome = run_script(spec)
    daemon = int(folder.wait_for("daemon"))
    if alive(daemon):  # unless the closed pipe has ended it already
        os.kill(daemon, signal.SIGKILL)
    assert outcome.succeeded, outcome


def test_a_child_that_keeps_writing_is_gone(folder: Folder) -> None:
    written = folder.path / "written"
    spec = folder.spec(
        f"""
        ( while :; do echo x >> "{written}"; done ) &
        echo $! > "{folder.path}/child"
        while ! [ -s "{written}" ]; do sleep 0.02; done
        """
    )
    outcome = run_script(spec)
    size = written.stat().st_size
    assert outcome.succeeded and outcome.left_processes
    assert not alive(int(folder.wait_for("child")))
    time.sleep(0.3)
    assert written.stat().st_size == size


def test_output_without_limit_and_its_end_kept(folder: Folder) -> None:
    spec = folder.spec(
        """
        import sys
        for _try in range(50):
            sys.stdout.buffer.write(b"x" * 1024 * 1024)
        sys.stdout.write("the end")
        """,
        shebang="#!/usr/bin/python3 -I\n",
        timeout_s=600,
    )
    outcome = run_script(spec)
    assert outcome.succeeded
    assert len(outcome.tail) == TAIL_BYTES
    assert outcome.tail.endswith("xthe end")


def test_invalid_utf8_is_replaced(folder: Folder) -> None:
    outcome = run_script(folder.spec(r"printf 'a\377b\000c'"))
    assert outcome.tail == "a�b\0c"


def test_closed_output(folder: Folder) -> None:
    outcome = run_script(folder.spec("exec >&- 2>&-; sleep 0.3; exit 4"))
    assert outcome.rc == 4


def test_killed_by_a_signal(folder: Folder) -> None:
    outcome = run_script(folder.spec("kill -SEGV $$"))
    assert (outcome.rc, outcome.timed_out) == (-signal.SIGSEGV, False)


def test_a_script_that_deletes_itself(folder: Folder) -> None:
    outcome = run_script(folder.spec('rm "$0"; echo gone; exit 1', retries=3))
    assert (outcome.attempts, outcome.rc, outcome.not_started) == (1, 1, "")
    assert outcome.tail.startswith("gone\n") and "No such file" in outcome.tail


def test_a_file_that_changed_since_the_check_does_not_run(folder: Folder) -> None:
    mark = folder.path / "mark"
    spec = folder.spec("exit 0")
    folder.spec(f': > "{mark}"')
    outcome = run_script(spec, on_start=pytest.fail)
    assert (outcome.attempts, outcome.rc, outcome.succeeded) == (0, None, False)
    assert "was checked" in outcome.not_started and spec.path in outcome.not_started
    assert not mark.exists()


def test_a_symlink_in_its_place_does_not_run(folder: Folder) -> None:
    spec = folder.spec("exit 0")
    other = folder.path / "other"
    Path(spec.path).rename(other)
    Path(spec.path).symlink_to(other)
    assert "was checked" in run_script(spec).not_started


@pytest.mark.parametrize(
    ("shebang", "mode", "words"),
    [
        ("#!/bin/sh\n", 0o600, "noexec"),
        ("#!/no/such/interpreter\n", 0o700, "interpreter"),
        ("echo no shebang\n", 0o700, "#!/bin/sh"),
        ("", 0o700, "#!/bin/sh"),
    ],
)
def test_what_cannot_be_started(folder: Folder, shebang: str, mode: int, words: str) -> None:
    outcome = run_script(folder.spec("", shebang=shebang, mode=mode, retries=2))
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (0, None, False)
    assert words in outcome.not_started
    assert not outcome.succeeded


@pytest.mark.root
def test_a_filesystem_mounted_noexec(folder: Folder) -> None:
    mount_point = folder.path / "noexec"
    mount_point.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec,size=1m", "tmpfs", str(mount_point)], check=True
    )
    try:
        inner = Folder(mount_point / "inner")
        assert "noexec" in run_script(inner.spec("exit 0")).not_started
    finally:
        subprocess.run(["umount", str(mount_point)], check=True)


def test_nothing_is_left_when_the_caller_fails(folder: Folder) -> None:
    pids: List[int] = []

    def fail(pid: int) -> None:
        pids.append(pid)
        raise RuntimeError("the caller's own mistake")

    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RuntimeError):
        run_script(folder.spec("exec sleep 1000"), on_start=fail)
    assert not alive(pids[0])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_exit_status_is_known_although_sigchld_was_ignored(folder: Folder) -> None:
    spec = folder.spec("exit 7")
    program = textwrap.dedent(
        f"""
        import signal
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        from {run_script.__module__} import run_script
        from {ScriptSpec.__module__} import ScriptSpec
        print(run_script({spec!r}).rc)
        """
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert run.stdout.strip() == "7"
