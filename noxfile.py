# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks before the tests: lint, sanity and build. `./dev` installs their tools and calls them.

The sessions use the tools of `.venv` as they are, so that a run spends its time on the checks.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

import ansible_test
import nox

from tests.utils.ansible_test import (
    copy_of_tracked_files,
    git_files,
    put_shims,
    sanity_not_run,
)

ROOT = Path(__file__).resolve().parent
LAB = ROOT / ".lab"
TOOLS = Path(sys.executable).parent
TAIL_LINES = 60
# Checked by mypy, in strict mode.
TYPED = (
    "ansible_collections.quiesce.azure_backup.plugins",
    "tests.contract",
    "tests.lab",
    "tests.faults",
    "tests.bench",
    "tests.matrix",
    "tests.mutants",
)
# Users do not need the files of the development.
UNWANTED = re.compile(
    r"^(\.(?!yamllint$)|dev$|noxfile\.py$|tests/|node_modules/)|__pycache__|\.pyc$"
)

nox.options.sessions = ["lint", "sanity", "build"]
nox.options.default_venv_backend = "none"


class Steps:
    """Steps of a session; all are run, and each one that fails makes the session fail."""

    def __init__(self, session: nox.Session) -> None:
        self._session = session
        self._failed: list[str] = []

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None and self._failed:
            self._session.error(f"failed: {', '.join(self._failed)}")

    def run(
        self,
        title: str,
        *command: str | Path,
        cwd: Path = ROOT,
        env: Optional[Mapping[str, str]] = None,
        again: Callable[[str], bool] = lambda _output: False,
    ) -> Optional[str]:
        """Run a command and return its output, or None if it failed (its end is shown then).

        `again` decides by the output of a failed command whether to repeat it, at most twice. It is
        for commands that use the network or fail by chance.
        """
        print(f"  {title:<62}", end="", flush=True)
        began = time.monotonic()
        path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
        for _try in range(3):
            done = subprocess.run(
                [str(word) for word in command],
                cwd=cwd,
                env={**os.environ, "PATH": path, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
            if done.returncode == 0 or not again(done.stdout):
                break
        took = f"{time.monotonic() - began:5.0f} s"
        if done.returncode == 0:
            print(took, flush=True)
            return done.stdout
        print(f"{took}  FAILED (rc {done.returncode})", flush=True)
        self.failed(title, done.stdout)
        return None

    def failed(self, title: str, output: str) -> None:
        """Record a failed step, keep its output, and show the errors or the last lines."""
        self._failed.append(title)
        log = LAB / "log" / f"{re.sub('[^a-z0-9]+', '-', title.lower())}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(output)
        lines = output.splitlines()
        errors = [line for line in lines if line.startswith(("ERROR", "FATAL"))]
        print("\n".join((errors or lines)[-TAIL_LINES:]))
        print(f"  (all of it: {log})", flush=True)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and documentation, all offline."""
    present = [
        package
        for package in TYPED
        if not package.startswith("tests.") or (ROOT / package.replace(".", "/")).is_dir()
    ]
    # An ansible-lint that was run by hand leaves an old copy of the collection here.
    shutil.rmtree(ROOT / ".ansible", ignore_errors=True)
    with Steps(session) as steps:
        steps.run("ruff format", TOOLS / "ruff", "format", "--check", "--diff", ".")
        steps.run("ruff check", TOOLS / "ruff", "check", ".")
        steps.run("yamllint", TOOLS / "yamllint", "--strict", ".")
        steps.run(
            "mypy, strict",
            *(TOOLS / "python", "-m", "mypy"),
            *(word for package in present for word in ("-p", package)),
            env={"MYPYPATH": f".venv/tree{os.pathsep}."},
        )
        steps.run(
            "ansible-lint, profile production",
            TOOLS / "ansible-lint",
            "--offline",
            "--strict",
            "--nocolor",
        )
        steps.run(
            "antsibull-docs",
            *(TOOLS / "antsibull-docs", "lint-collection-docs", "--plugin-docs"),
            *("--validate-collection-refs=all", "."),
            # It works in a folder with a random name and reports that name as a broken link if it
            # ends in an underscore.
            again=lambda output: 'Unknown target name: "antsibull-docs-' in output,
        )
        steps.run(
            "errors.rst is up to date",
            *(TOOLS / "python", "-m", "tests.utils.error_page", "--check"),
        )
        steps.run(
            "shared blocks of documentation",
            *(TOOLS / "python", "-m", "tests.utils.doc_blocks", "--check"),
        )
        steps.run("antsibull-changelog", TOOLS / "antsibull-changelog", "lint")


@nox.session
def sanity(session: nox.Session) -> None:
    """Run the sanity tests of ansible-test, without a container, on a copy of the tracked files."""
    home = LAB / "ansible-test"
    put_shims(home, Path(ansible_test.__path__[0]))
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    with Steps(session) as steps, copy_of_tracked_files() as copy:
        title = "ansible-test sanity"
        output = steps.run(
            title,
            *(TOOLS / "ansible-test", "sanity", "--local", "--python", python, "--color", "no"),
            *session.posargs,
            cwd=copy,
            env={"HOME": str(home)},
            again=lambda output: "issue(s) which need to be resolved" not in output,
        )
        if output is not None and not session.posargs:
            missing = sanity_not_run(output)
            if missing:
                steps.failed(title, f"{output}\nThese tests did not run: {', '.join(missing)}")


@nox.session
def build(session: nox.Session) -> None:
    """Build the collection, check its contents, and run Galaxy's importer on it."""
    importer = LAB / "importer"
    with Steps(session) as steps, tempfile.TemporaryDirectory(prefix="quiesce-build-") as folder:
        work = Path(folder)
        steps.run(
            "ansible-galaxy collection build",
            *(TOOLS / "ansible-galaxy", "collection", "build", "--output-path", work),
        )
        archive = next(work.glob("*.tar.gz"), None)
        if archive is None:
            return
        check_members(steps, archive)
        make_importer(steps, importer)
        title = "galaxy-importer"
        output = steps.run(
            title,
            *(importer / "bin/python", "-m", "galaxy_importer.main", archive),
            cwd=work,
            env={"PATH": f"{importer / 'bin'}{os.pathsep}{os.environ['PATH']}"},
        )
        if output is not None and re.search(r"^ERROR\b", output, re.MULTILINE):
            steps.failed(title, output)


def check_members(steps: Steps, archive: Path) -> None:
    """Fail if the archive holds files that users do not need, or lacks a plugin."""
    with tarfile.open(archive) as tar:
        members = {member.name for member in tar if member.isfile()}
    unwanted = sorted(name for name in members if UNWANTED.search(name))
    lost = sorted(name for name in git_files("plugins", "meta", "docs") if name not in members)
    if unwanted or lost:
        lines = [*(f"not wanted: {name}" for name in unwanted), *(f"lost: {name}" for name in lost)]
        steps.failed("contents of the archive", "\n".join(lines))


def make_importer(steps: Steps, folder: Path) -> None:
    """Make the importer's environment, unless it exists for these requirements."""
    wanted = ROOT / "tests/requirements-importer.txt"
    stamp = folder / "made-for"
    want = f"{folder} {sys.version} {zlib.crc32(wanted.read_bytes())}"
    if stamp.is_file() and stamp.read_text() == want:
        return
    steps.run("make galaxy-importer's environment", sys.executable, "-m", "venv", "--clear", folder)
    pip = (
        folder / "bin/python",
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
    )
    fetched = steps.run("install galaxy-importer", *pip, "-r", wanted, again=lambda _output: True)
    if fetched is not None:
        stamp.write_text(want)
