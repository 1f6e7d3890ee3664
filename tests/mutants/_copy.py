# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A copy of the checkout in which a mutant can live, and the tests that run there.

No test of a mutant can harm the machine. It runs in a process namespace of its own, so that a kill
of a wrong number ends nothing else. The fast loop runs as an unprivileged user. Other tests run
without CAP_SYS_ADMIN, without which the kernel neither freezes nor mounts.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from tests.lab.module_fork import FORKED
from tests.mutants._mutations import Mutant
from tests.utils.ansible_test import ROOT, git_files

_NOBODY = 65534
_FAST = "not root and not lab and not slow"
_APART = ("unshare", "--pid", "--fork", "--mount", "--mount-proc", "--kill-child")
_UNPRIVILEGED = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
_CANNOT_FREEZE = ("setpriv", "--bounding-set=-sys_admin")
#: Ends a mutant that fills the memory.
_SPACE = ("prlimit", f"--as={4 << 30}")


class Copy:
    """One copy; several may be used at once."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._top = Path(tempfile.mkdtemp(prefix="quiesce-mutants-", dir="/tmp"))
        self._root = self._top / "checkout"
        #: The file that has been changed, as it was; the checkout may have changed since.
        self._original = b""
        self._process: Optional[subprocess.Popen[str]] = None
        self._is_closed = False
        self._broken: Dict[Tuple[str, ...], List[str]] = {}
        # Compiled files are recognized by the second of their source, so each version has its own.
        self._second = int(time.time()) - (10 << 20)
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def _fill(self) -> None:
        self._top.chmod(0o755)
        for name in git_files():
            place = self._root / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, place)
        (self._root / ".lab" / "log").mkdir(parents=True)
        if (ROOT / ".lab" / "node_modules").exists():
            (self._root / ".lab" / "node_modules").symlink_to(ROOT / ".lab" / "node_modules")
        self._make_venv()
        for folder in ("tmp", "home"):
            (self._top / folder).mkdir()
        subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", self._top], check=True)

    def _make_venv(self) -> None:
        """Make an environment that borrows all but the collection."""
        base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}"
        venv = self._root / ".venv"
        subprocess.run([base, "-m", "venv", "--without-pip", venv], check=True)
        theirs = next(venv.glob("lib/python3*/site-packages"))
        (theirs / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
        for place in (theirs, venv / "tree"):
            link = place / "ansible_collections" / "quiesce" / "azure_backup"
            link.parent.mkdir(parents=True)
            link.symlink_to(self._root)
        # Programs of ours would start with our collection.
        ours = Path(sys.executable).parent
        for program in ours.glob("ansible*"):
            script = program.read_text().replace(f"#!{ours}/", f"#!{venv}/bin/", 1)
            (venv / "bin" / program.name).write_text(script)
            (venv / "bin" / program.name).chmod(0o755)

    def close(self) -> None:
        """End what runs in the copy, and remove it."""
        self._is_closed = True
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._top, ignore_errors=True)

    def put(self, mutant: Mutant) -> None:
        """Change the file."""
        self._original = (self._root / mutant.file).read_bytes()
        self._write(mutant.file, mutant.apply(self._original))

    def restore(self, mutant: Mutant) -> None:
        """Put the file back as it was."""
        self._write(mutant.file, self._original)

    def _write(self, name: str, data: bytes) -> None:
        path = self._root / name
        path.write_bytes(data)
        self._second += 1
        os.utime(path, (self._second, self._second))

    def fast_tests_fail(self, *paths: str) -> str:
        """Return the first failure of the fast loop's tests of these paths, or nothing."""
        forked = ("env", f"{FORKED}=1")
        return self._pytest((*_SPACE, *_UNPRIVILEGED, *forked), "-x", "-m", _FAST, *paths)

    def types_fail(self) -> str:
        """Return the first complaint of the type checker, or nothing."""
        command = ("-m", "mypy", "-p", "ansible_collections.quiesce.azure_backup.plugins")
        code, output = self._run(_UNPRIVILEGED, *command)
        return output.splitlines()[0] if code else ""

    def tests_fail(self, *paths: str) -> str:
        """Return the first failure of all these tests, or nothing.

        Tests that fail without the mutant, because they may not mount here, are left out.
        """
        left_out = [f"--deselect={test}" for test in self._broken.get(paths, ())]
        return self._pytest(_CANNOT_FREEZE, "-x", *left_out, *paths)

    def learn(self, *paths: str) -> None:
        """Note which of these tests fail without a mutant."""
        if paths not in self._broken:
            _code, output = self._run(_CANNOT_FREEZE, *_PYTEST, *paths, limit_s=6 * self._limit_s)
            self._broken[paths] = _failed(output)

    def _pytest(self, user: Sequence[str], *words: str) -> str:
        code, output = self._run(user, *_PYTEST, *words)
        if code in (0, _NO_TESTS):
            return ""
        return next(iter(_failed(output)), f"pytest ended with {code}")

    def _run(
        self, user: Sequence[str], *words: str, limit_s: Optional[float] = None
    ) -> Tuple[int, str]:
        if self._is_closed:
            raise InterruptedError
        shutil.rmtree(self._top / "tmp")
        (self._top / "tmp").mkdir(mode=0o777)
        (self._top / "tmp").chmod(0o777)
        python = self._root / ".venv" / "bin" / "python"
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        env = {**os.environ, "PATH": path, "HOME": str(self._top / "home")}
        env.update(
            TMPDIR=str(self._top / "tmp"),
            ANSIBLE_HOME=str(self._top / "home" / "ansible"),
            MYPYPATH=f".venv/tree{os.pathsep}.",
        )
        process = subprocess.Popen(
            [*_APART, *user, str(python), *words],
            cwd=self._root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._process = process
        try:
            output, _error = process.communicate(timeout=limit_s or self._limit_s)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL, "FAILED did not end in time\n"
        finally:
            # Its children end with it: that is what --kill-child is for.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.communicate()
        return process.returncode, output


_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "--tb=no")
_NO_TESTS = 5


def _failed(output: str) -> List[str]:
    lines = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return [line.split(" ", 1)[1].split(" - ")[0] for line in lines]
