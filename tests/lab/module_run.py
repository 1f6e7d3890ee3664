# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module of the collection as a process of its own, as Ansible does on a host.

Ansible's own wrapper hands the module its arguments in memory and runs it as `__main__`; so does
this. What it leaves out is the zip file and the controller, which cost a second a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from tests.lab._process import LabError
from tests.lab.module_fork import FORKED, run_forked

_COLLECTION = "ansible_collections.quiesce.azure_backup.plugins.modules"

#: The process's own program. Its arguments come by standard input, so no process list shows them.
_WRAPPER = """\
import runpy, sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
name = sys.argv[1]
runpy.run_module(name, init_globals={"_module_fqn": name}, run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class ModuleRun:
    """The outcome of a module's process."""

    rc: int
    #: The module's JSON; empty when it was killed before it printed any.
    result: Dict[str, Any]
    stdout: str = field(repr=False, default="")
    stderr: str = ""

    @property
    def failed(self) -> bool:
        """True if Ansible would show the task as failed."""
        return self.rc != 0 or bool(self.result.get("failed"))

    def __getitem__(self, key: str) -> Any:
        return self.result[key]


class ModuleProcess:
    """A module that runs. Its process is the leader of a session of its own."""

    def __init__(self, process: subprocess.Popen[bytes], arguments: bytes) -> None:
        self.process = process
        self.pid = process.pid
        assert process.stdin is not None
        process.stdin.write(arguments)
        process.stdin.close()
        process.stdin = None

    def finish(self, limit_s: float = 300.0) -> ModuleRun:
        """Wait for its end; raises `LabError`, and kills it, when that does not come."""
        try:
            stdout, stderr = self.process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise LabError(f"The module's process {self.pid} did not end.") from None
        except BaseException:
            # Asked to end, so that it can thaw what it froze.
            self.process.terminate()
            raise
        out = stdout.decode(errors="replace")
        return ModuleRun(self.process.returncode, _json(out), out, stderr.decode(errors="replace"))


def start_module(
    name: str,
    args: Mapping[str, Any],
    *,
    check: bool = False,
    diff: bool = False,
    python: str = sys.executable,
    prefix: Sequence[str] = (),
    env: Optional[Mapping[str, str]] = None,
    internal: Optional[Mapping[str, Any]] = None,
) -> ModuleProcess:
    """Start a module with these options.

    `python` is the interpreter, of any version that has what the module imports; `prefix` are
    words before it, such as `strace` or `setpriv`; `env` is added to the environment;
    `internal` are more of Ansible's own arguments.
    """
    arguments = _arguments(name, args, check, diff, internal or {})
    process = subprocess.Popen(
        [*prefix, python, "-c", _WRAPPER, f"{_COLLECTION}.{name}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": _path(), **(env or {})},
        cwd="/",
        start_new_session=True,
    )
    return ModuleProcess(process, arguments)


def _arguments(
    name: str, args: Mapping[str, Any], check: bool, diff: bool, internal: Mapping[str, Any]
) -> bytes:
    ansible = {
        "_ansible_check_mode": check,
        "_ansible_diff": diff,
        "_ansible_module_name": f"quiesce.azure_backup.{name}",
        "_ansible_remote_tmp": "/tmp",
        **internal,
    }
    return json.dumps({"ANSIBLE_MODULE_ARGS": {**args, **ansible}}).encode()


def run_module(
    name: str, args: Mapping[str, Any], *, limit_s: float = 300.0, **more: Any
) -> ModuleRun:
    """Run a module to its end; `more` is as for `start_module`."""
    if os.environ.get(FORKED) and not more.keys() - {"check", "diff", "env", "internal"}:
        env: Mapping[str, str] = more.pop("env", None) or {}
        internal: Mapping[str, Any] = more.pop("internal", None) or {}
        check, diff = more.get("check", False), more.get("diff", False)
        arguments = _arguments(name, args, check, diff, internal)
        rc, out, err = run_forked(f"{_COLLECTION}.{name}", arguments, env, limit_s)
        return ModuleRun(rc, _json(out), out, err)
    return start_module(name, args, **more).finish(limit_s)


def _path() -> str:
    """Return where the module is imported from, after what its test has put there."""
    paths = (os.environ.get("PYTHONPATH"), sysconfig.get_path("purelib"))
    return os.pathsep.join(path for path in paths if path)


def module_file(name: str) -> Path:
    """Return the module's source."""
    return Path(__file__).resolve().parents[2] / "plugins" / "modules" / f"{name}.py"


def _json(text: str) -> Dict[str, Any]:
    """Return the module's result: the last line that is a JSON object."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            found: Dict[str, Any] = json.loads(line)
            return found
    return {}
