# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes, folders and waiting, as every part of the lab does them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping, Optional, Sequence

#: The checkout that this file lies in.
ROOT = Path(__file__).resolve().parents[2]
#: What the commands of this checkout install and log; never in git.
LAB = ROOT / ".lab"
#: On a busy machine everything may take many times what it should.
PATIENCE_S = 300.0


class LabError(RuntimeError):
    """A part of the lab could not be set up, or something of it was left behind."""


def start(
    argv: Sequence[str],
    log: Path,
    *,
    cwd: Optional[Path] = None,
    env: Optional[Mapping[str, str]] = None,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a server that ends when the thread that started it does, at the latest.

    It has a session of its own, so that Ctrl-C does not end it before what depends on it. Its
    output is appended to `log`.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], limit_s: float = 20.0) -> None:
    """End this one process, by force when it does not go by itself within the limit."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE_S)


def wait_until(
    what: str,
    true: Callable[[], bool],
    *,
    process: Optional[subprocess.Popen[bytes]] = None,
    log: Optional[Path] = None,
    limit_s: float = PATIENCE_S,
) -> None:
    """Wait until `true()`; raises `LabError` with the end of the log when it does not become so.

    Gives up at once when `process`, which should bring it about, has ended.
    """
    deadline = time.monotonic() + limit_s
    while not true():
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            why = f"its process ended with {process.returncode}" if process and ended else "no news"
            tail = log.read_text(errors="replace")[-2000:] if log is not None else ""
            raise LabError(f"Waited in vain: {what} ({why}). {tail}")
        time.sleep(0.02)


def run(
    *argv: str,
    check: bool = True,
    limit_s: float = PATIENCE_S,
    env_more: Optional[Mapping[str, str]] = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command without input; raises `LabError` with its output if it fails."""
    done = subprocess.run(
        list(argv),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=limit_s,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(env_more or {})},
    )
    if check and done.returncode != 0:
        output = (done.stderr + done.stdout).strip()
        raise LabError(f"{' '.join(argv)} ended with {done.returncode}: {output}")
    return done


def discard(folder: Path, keep_log: Optional[Path] = None) -> None:
    """Remove the lab's own folder; `keep_log`, a file in it, is kept in `.lab/log`."""
    if keep_log is not None and keep_log.exists() and keep_log.stat().st_size:
        (LAB / "log").mkdir(parents=True, exist_ok=True)
        kept = LAB / "log" / f"{folder.name}-{keep_log.name}"
        shutil.copyfile(keep_log, kept)
        print(f"The log is kept: {kept}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def orderly_end() -> Iterator[None]:
    """Within it, SIGTERM and SIGHUP unwind the stack as Ctrl-C does, so that all is cleaned up."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
