# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The environment of a combination: its Python, found on this machine, and what is installed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterator, Optional, Sequence

from tests.matrix._combinations import Combination
from tests.utils.ansible_test import ROOT

FOLDER = ROOT / ".lab" / "matrix"
_OF_TESTS = ROOT / "tests" / "requirements-matrix.txt"
_PIP = ("-m", "pip", "--no-input", "--disable-pip-version-check")
_ASK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_TRIES = 3


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which one combination is installed, and a home for its programs."""

    folder: Path

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.bin / "python"

    @property
    def home(self) -> Path:
        """A home folder, so that nothing is left in that of the user."""
        return self.folder / "home"

    @property
    def purelib(self) -> Path:
        """Folder of its packages."""
        return next(self.folder.glob("lib/python3*/site-packages"))

    def variables(self) -> Dict[str, str]:
        """Return the environment variables of its programs."""
        # A pytest that runs this has variables of its own, which another one must not take.
        outer = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_X")}
        return {
            **outer,
            "HOME": str(self.home),
            "ANSIBLE_HOME": str(self.home / "ansible"),
            "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}",
        }

    def version(self, name: str) -> str:
        """Return the version of a library that is installed, such as `2.16.19`."""
        found = next(self.purelib.glob(f"{name.replace('-', '_')}-*.dist-info"), None)
        return found.name[len(name) + 1 : -len(".dist-info")] if found else "none"


def find_python(versions: Sequence[str]) -> Optional[Path]:
    """Return an interpreter of the first of these versions that the machine has and that works."""
    for version in versions:
        for candidate in _candidates(version):
            asked = subprocess.run(
                [candidate, "-c", _ASK],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
            # A program of that name on the path may be one that only looks for another.
            if asked.returncode == 0 and asked.stdout.strip() == version:
                return candidate
    return None


def _candidates(version: str) -> Iterator[Path]:
    """Yield where a version may be: on the path, then where tools and people install them."""
    name = f"python{version}"
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    if sys.version_info[:2] == tuple(int(part) for part in version.split(".")):
        yield Path(sys.executable)
    home = Path.home()
    folders = (
        Path(os.environ.get("PYENV_ROOT") or home / ".pyenv") / "versions",
        home / ".local/share/uv/python",
        home / ".asdf/installs/python",
        Path("/opt/python"),
        Path("/opt"),
    )
    for folder in folders:
        # Another user's folder may not be readable.
        with contextlib.suppress(PermissionError):
            yield from sorted(folder.glob(f"*{version}*/bin/{name}"))
    for place in ("/usr/bin", "/usr/local/bin"):
        if Path(place, name).is_file():
            yield Path(place, name)


def environment(combination: Combination, python: Path) -> Environment:
    """Return the environment of a combination; it is made once, until its requirements change."""
    made = Environment(FOLDER / combination.name)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{combination.name}.lock").open("w") as lock:
        # Two runs at once must not install over each other.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(made, combination, python)
    return made


def _make(made: Environment, combination: Combination, python: Path) -> None:
    stamp = made.folder / "made-for"
    words = "\n".join([_OF_TESTS.read_text(), combination.core, *combination.requirements])
    want = f"{made.folder} {_version(python)} {zlib.crc32(words.encode())}"
    if not stamp.is_file() or stamp.read_text() != want:
        shutil.rmtree(made.folder, ignore_errors=True)
        _run(python, "-m", "venv", made.folder)
        if combination.is_guest:
            _install(made.python, "-r", _OF_TESTS, *combination.requirements)
            # For its module_utils, which go to Pythons that it does not run on.
            _install(made.python, "--no-deps", "--ignore-requires-python", combination.core)
        else:
            _install(made.python, "-r", _OF_TESTS, combination.core, *combination.requirements)
        made.home.mkdir()
        stamp.write_text(want)
    collections = made.purelib / "ansible_collections" / "quiesce"
    collections.mkdir(parents=True, exist_ok=True)
    link = collections / "azure_backup"
    if not link.is_symlink() or link.readlink() != ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT)


def _install(python: Path, *words: object) -> None:
    """Install with pip, as the machine has configured it; a network may fail once or twice."""
    command = (python, *_PIP, "install", *words)
    for _try in range(_TRIES - 1):
        if _start(*command).returncode == 0:
            return
    _run(*command)


def _version(python: Path) -> str:
    return _run(python, "-c", "import sys; print(sys.version.split()[0], sys.prefix)").strip()


def _run(*command: object) -> str:
    """Run a command and return its output; raises `CalledProcessError`, which has it too."""
    done = _start(*command)
    done.check_returncode()
    return done.stdout


def _start(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
