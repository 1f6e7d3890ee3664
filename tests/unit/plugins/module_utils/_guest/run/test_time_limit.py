# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.time_limit import (
    BoundedCalls,
    CallDefectError,
    CallFailedError,
)
from tests.lab._process import wait_until


def _refuse() -> NoReturn:
    raise SettingsError("NotGood", "It is not good.", "Make it good.")


def _hang() -> NoReturn:
    while True:
        time.sleep(60)


def _end() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    _hang()


def _fail() -> NoReturn:
    raise ValueError("three")


CALLS = {
    "adding": lambda one, two: one + two,
    "refusing": _refuse,
    "hanging": _hang,
    "ending": _end,
    "failing": _fail,
    "saying which": os.getpid,
    "being long": lambda: "x" * 1_000_000,
}


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_calls_return_values_and_raise_errors() -> None:
    before = _descriptors()
    with BoundedCalls(CALLS) as calls:
        calls.limit(60.0)
        assert calls.call("adding", 1, 2) == 3
        assert calls.call("saying which") != os.getpid()
        assert len(calls.call("being long")) == 1_000_000
        with pytest.raises(SettingsError) as caught:
            calls.call("refusing")
        assert caught.value.failure.name == "NotGood"
        with pytest.raises(CallDefectError, match="ValueError: three"):
            calls.call("failing")
        assert calls.call("adding", "a", "b") == "ab"
    assert _descriptors() == before


def test_hanging_call_is_killed() -> None:
    with BoundedCalls(CALLS) as calls:
        calls.limit(60.0)
        pid = calls.call("saying which")
        calls.limit(0.2)
        with pytest.raises(CallFailedError) as caught:
            calls.call("hanging")
        assert caught.value.failure.name == "ValidationTimeout"
        assert "was hanging" in caught.value.failure.message
        assert not Path(f"/proc/{pid}").exists()


def test_limit_is_shared_by_calls() -> None:
    with BoundedCalls(CALLS) as calls:
        calls.limit(0.0)
        with pytest.raises(CallFailedError, match="exceeded 0 s"):
            calls.call("adding", 1, 2)


def test_killed_process_ends_the_calls() -> None:
    with BoundedCalls(CALLS) as calls:
        calls.limit(60.0)
        with pytest.raises(CallFailedError) as caught:
            calls.call("ending")
        assert caught.value.failure.name == "ValidationStopped"
        with pytest.raises(CallFailedError):
            calls.call("adding", 1, 2)


def test_failed_fork_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> NoReturn:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_more)
    before = _descriptors()
    with pytest.raises(CallFailedError, match="Resource temporarily unavailable"):
        BoundedCalls(CALLS).__enter__()
    assert _descriptors() == before


def test_error_of_check_ends_the_wait() -> None:
    def signalled() -> None:
        raise InterruptedError

    with BoundedCalls(CALLS) as calls:
        calls.limit(60.0, signalled)
        with pytest.raises(InterruptedError):
            calls.call("hanging")


@pytest.mark.root
def test_process_holds_no_lock_and_no_output(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with BoundedCalls(CALLS) as calls:
        calls.limit(60.0)
        held = Path(f"/proc/{calls.call('saying which')}/fd")
        shown = [str(one.readlink()) for one in held.iterdir()]
        os.close(lock)
        other = os.open(tmp_path / "lock", os.O_RDWR)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    assert shown[:3] == ["/dev/null"] * 3 and len(shown) == 5


_PARENT = """\
import sys, time
from tests.unit.plugins.module_utils._guest.run.test_time_limit import CALLS, BoundedCalls
with BoundedCalls(CALLS) as calls:
    calls.limit(60.0)
    print(calls.call("saying which"), flush=True)
    calls.call("hanging")
"""


def test_process_ends_with_the_run() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _PARENT],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[6],
    )
    assert run.stdout is not None
    pid = int(run.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    run.kill()
    run.communicate()
    wait_until("it ended", lambda: _is_gone(pid))


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
