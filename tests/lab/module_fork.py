# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module in a fork of this process, which has imported Azure's SDK already.

A process that starts Python and imports the SDK takes a second a run. The fast loop saves it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, Mapping, NoReturn, Tuple

#: The environment variable that has the tests run modules like this.
FORKED = "QUIESCE_MODULES_FORKED"
_CLOCK = "QUIESCE_LAB_CLOCK"
_SDK = ("azure.identity", "azure.mgmt.compute", "azure.mgmt.recoveryservicesbackup")
_ARM = "ansible_collections.quiesce.azure_backup.plugins.module_utils._arm"


def run_forked(
    name: str, arguments: bytes, env: Mapping[str, str], limit_s: float
) -> Tuple[int, str, str]:
    """Return the exit status of a module and what it wrote to standard output and error."""
    for library in (*_SDK, f"{_ARM}.connection", f"{_ARM}.sdk"):
        importlib.import_module(library)
    with contextlib.ExitStack() as stack:
        files = []
        for stream in ("out", "err"):
            descriptor = os.memfd_create(f"module-{stream}")
            stack.callback(os.close, descriptor)
            files.append(descriptor)
        pid = os.fork()
        if pid == 0:
            _be_the_module(name, arguments, env, files, int(limit_s))
        status = _wait(pid)
        out, err = (_content(descriptor) for descriptor in files)
    return os.waitstatus_to_exitcode(status), out, err


def _wait(pid: int) -> int:
    try:
        return os.waitpid(pid, 0)[1]
    except BaseException:
        # A test that is interrupted leaves no module behind.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def _content(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _be_the_module(
    name: str, arguments: bytes, env: Mapping[str, str], files: "list[int]", limit_s: int
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit_s)
        null = os.open(os.devnull, os.O_RDWR)
        for number, descriptor in enumerate((null, *files)):
            os.dup2(descriptor, number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, encoding="utf-8", closefd=False)
            for number, mode in enumerate(("r", "w", "w"))
        )
        os.environ.update(env)
        os.chdir("/")
        _use_the_clock_of_the_lab()
        _run(name, arguments)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _use_the_clock_of_the_lab() -> None:
    address = os.environ.pop(_CLOCK, "")
    if not address:
        return
    place = Path(__file__).with_name("waiting") / "sitecustomize.py"
    spec = importlib.util.spec_from_file_location("quiesce_waiting", place)
    assert spec is not None and spec.loader is not None
    waiting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(waiting)
    clock = waiting.LabClock(address)
    real: Any = vars(importlib.import_module(f"{_ARM}.clock"))["Clock"]
    real.monotonic = lambda _self: clock.monotonic()
    real.sleep = lambda _self, seconds: clock.sleep(seconds)


def _run(name: str, arguments: bytes) -> None:
    from ansible.module_utils import basic
    from ansible.module_utils.common import warnings

    # Those of modules that other tests made in this process.
    for gathered in ("_global_warnings", "_global_deprecations"):
        getattr(warnings, gathered).clear()
    given: Any = basic
    given._ANSIBLE_ARGS, given._ANSIBLE_PROFILE = arguments, "legacy"
    runpy.run_module(name, init_globals={"_module_fqn": name}, run_name="__main__", alter_sys=True)
