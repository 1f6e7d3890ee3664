# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run ansible-test without a container, on a copy of the tracked files."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A sanity run that did not get to all of these has checked nothing that matters.
SANITY_TESTS = (
    "ansible-doc",
    "compile",
    "import",
    "pep8",
    "pylint",
    "validate-modules",
    "yamllint",
)


def put_shims(home: Path, package: Path) -> None:
    """Put our get-pip where ansible-test, installed as `package`, looks before it fetches one."""
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    source = (package / "_internal" / "python_requirements.py").read_text()
    for version in {"24.2", "25.2", *re.findall(r"\bpip='([0-9.]+)'", source)}:
        shim = cache / f"get_pip_{version.replace('.', '_')}.py"
        shutil.copyfile(ROOT / "tests/utils/get_pip.py", shim)


def sanity_not_run(output: str) -> list[str]:
    """Return the tests that a run of all sanity tests says nothing of."""
    if "all targets skipped" in output.lower():
        return list(SANITY_TESTS)
    return [name for name in SANITY_TESTS if f'Running sanity test "{name}"' not in output]


@contextmanager
def copy_of_tracked_files() -> Iterator[Path]:
    """Copy what git tracks, as it is now, to where ansible-test wants a collection to be.

    Outside the checkout: in a folder that git ignores ansible-test skips every file.
    """
    with tempfile.TemporaryDirectory(prefix="quiesce-sanity-") as folder:
        copy = Path(folder, "ansible_collections", "quiesce", "azure_backup")
        for name in git_files():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
        yield copy


def git_files(*options: str) -> list[str]:
    """Return the files of the checkout that git tracks (or others, by options) and that exist."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    names = [name for name in listed.stdout.split("\0") if name]
    return [name for name in names if (ROOT / name).is_file() or (ROOT / name).is_symlink()]
