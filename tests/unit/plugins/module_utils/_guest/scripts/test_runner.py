# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that run scripts as real processes, with time limits far above a slow machine's needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

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
        raise AssertionError(f"the script did not write {name}")


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "with space")


def alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(b")")[2].split()[0] not in (b"Z", b"X")


def test_parameters_are_passed_unchanged(folder: Folder) -> None:
    spec = folder.spec('printf "%s|" "$@"; printf err >&2', params=("a b", "$HOME", "", "*"))
    outcome = run_script(spec)
    assert outcome.succeeded
    assert (outcome.kind, outcome.attempts, outcome.rc, outcome.run_by) == ("pre", 1, 0, "run")
    assert outcome.tail == "a b|$HOME||*|err"


def test_shebang_is_used_and_environment_minimal(folder: Folder, monkeypatch: Any) -> None:
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


def test_failure_without_retries_runs_once(folder: Folder) -> None:
    outcome = run_script(folder.spec("echo once; exit 3"))
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (1, 3, False)
    assert not outcome.succeeded
    assert outcome.tail == "once\n"


def test_failure_with_retries_runs_again(folder: Folder) -> None:
    outcome = run_script(folder.spec("echo again; exit 1", retries=2))
    assert (outcome.attempts, outcome.rc) == (3, 1)
    assert outcome.tail == "again\n" * 3


def test_retry_success_ends_attempts(folder: Folder) -> None:
    mark = folder.path / "mark"
    spec = folder.spec(f'echo $$; [ -e "{mark}" ] && exit 0; : > "{mark}"; exit 1', retries=5)
    outcome = run_script(spec)
    assert outcome.succeeded
    assert outcome.attempts == 2 == len(set(outcome.tail.split()))


@pytest.mark.slow
def test_hang_is_killed_with_all_its_processes(folder: Folder) -> None:
    script, child = folder.path / "pid", folder.path / "child"
    spec = folder.spec(
        f"""
        echo started
        echo $$ > "{script}"
        sleep 1000 &
        echo $! > "{child}"
        trap '' TERM INT HUP
        while :; do sleep 1000; done
        """,
        retries=3,
        timeout_s=2.0,
    )
    outcome = run_script(spec)
    assert outcome.timed_out and not outcome.succeeded
    assert (outcome.attempts, outcome.rc) == (1, None)
    assert outcome.duration_ms >= 2000
    assert outcome.tail == "started\n"
    assert not alive(int(script.read_text())) and not alive(int(child.read_text()))


@pytest.mark.slow
def test_timeout_covers_all_attempts(folder: Folder) -> None:
    outcome = run_script(folder.spec("sleep 0.7; exit 1", retries=1000, timeout_s=2.0))
    assert outcome.timed_out
    # Three attempts of 0.7 s begin within 2 s; a slow machine fits fewer.
    assert 1 <= outcome.attempts <= 3


@pytest.mark.slow
def test_stop_ends_script_early(folder: Folder) -> None:
    spec = folder.spec(f'echo x > "{folder.path}/started"; exec sleep 1000', retries=2)
    outcome = run_script(spec, stop=(folder.path / "started").exists)
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (1, None, False)
    assert not outcome.succeeded


def test_daemon_holding_output_lives_on(folder: Folder) -> None:
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


def test_daemon_writing_forever_does_not_block(folder: Folder) -> None:
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


def test_child_left_writing_is_killed(folder: Folder) -> None:
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


def test_output_beyond_limit_keeps_its_end(folder: Folder) -> None:
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


def test_output_invalid_utf8_is_replaced(folder: Folder) -> None:
    outcome = run_script(folder.spec(r"printf 'a\377b\000c'"))
    assert outcome.tail == "a�b\0c"


def test_output_closed_keeps_exit_status(folder: Folder) -> None:
    outcome = run_script(folder.spec("exec >&- 2>&-; sleep 0.3; exit 4"))
    assert outcome.rc == 4


def test_signal_gives_negative_exit_status(folder: Folder) -> None:
    outcome = run_script(folder.spec("kill -SEGV $$"))
    assert (outcome.rc, outcome.timed_out) == (-signal.SIGSEGV, False)


def test_script_deleting_itself_is_not_retried(folder: Folder) -> None:
    outcome = run_script(folder.spec('rm "$0"; echo gone; exit 1', retries=3))
    assert (outcome.attempts, outcome.rc, outcome.not_started) == (1, 1, "")
    assert outcome.tail.startswith("gone\n") and "No such file" in outcome.tail


def test_file_changed_after_check_does_not_run(folder: Folder) -> None:
    mark = folder.path / "mark"
    spec = folder.spec("exit 0")
    folder.spec(f': > "{mark}"')
    outcome = run_script(spec)
    assert (outcome.attempts, outcome.rc, outcome.succeeded) == (0, None, False)
    assert "was changed" in outcome.not_started and spec.path in outcome.not_started
    assert not mark.exists()


def test_symlink_in_place_of_file_does_not_run(folder: Folder) -> None:
    spec = folder.spec("exit 0")
    other = folder.path / "other"
    Path(spec.path).rename(other)
    Path(spec.path).symlink_to(other)
    assert "was changed" in run_script(spec).not_started


@pytest.mark.parametrize(
    ("shebang", "mode", "words"),
    [
        ("#!/bin/sh\n", 0o600, "noexec"),
        ("#!/no/such/interpreter\n", 0o700, "interpreter"),
        ("echo no shebang\n", 0o700, "#!/bin/sh"),
        ("", 0o700, "#!/bin/sh"),
    ],
)
def test_script_unstartable_gives_reason(
    folder: Folder, shebang: str, mode: int, words: str
) -> None:
    outcome = run_script(folder.spec("", shebang=shebang, mode=mode, retries=2))
    assert (outcome.attempts, outcome.rc, outcome.timed_out) == (0, None, False)
    assert words in outcome.not_started
    assert not outcome.succeeded


@pytest.mark.root
def test_filesystem_noexec_gives_reason(folder: Folder) -> None:
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


def test_stop_raising_leaves_no_process(folder: Folder) -> None:
    def fail() -> bool:
        folder.wait_for("pid")
        raise RuntimeError("an error of the caller")

    spec = folder.spec(f'echo $$ > "{folder.path}/pid"; exec sleep 1000')
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(RuntimeError):
        run_script(spec, stop=fail)
    assert not alive(int(folder.wait_for("pid")))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_before_exec_raising_starts_no_script(folder: Folder) -> None:
    def fail() -> None:
        raise RuntimeError("another process claimed the script")

    outcome = run_script(folder.spec("exit 0", retries=2), before_exec=fail)
    assert (outcome.attempts, outcome.rc, outcome.succeeded) == (0, None, False)
    assert "another process" in outcome.not_started


def test_exit_status_is_known_when_sigchld_was_ignored(folder: Folder) -> None:
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
