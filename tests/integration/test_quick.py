# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fast loop of a newcomer, who has a checkout, Python and nothing else."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Iterator

import pytest

from tests.utils.ansible_test import ROOT, git_files

NOBODY = 65534


@pytest.fixture
def checkout() -> Iterator[Path]:
    """A checkout of an unprivileged user, with a .venv that borrows what ours has installed."""
    with tempfile.TemporaryDirectory(prefix="quiesce-quick-", dir="/tmp") as folder:
        top = Path(folder)
        top.chmod(0o755)
        copy = top / "checkout"
        for name in git_files():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
            (copy / name).chmod((ROOT / name).stat().st_mode & 0o777)
        _make_venv(copy)
        subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", folder], check=True)
        yield copy


def _make_venv(checkout: Path) -> None:
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}"
    venv = checkout / ".venv"
    subprocess.run([base, "-m", "venv", "--without-pip", venv], check=True)
    ours = sysconfig.get_path("purelib")
    theirs = next(venv.glob("lib/python3*/site-packages"))
    (theirs / "ours.pth").write_text(f"{ours}\n")
    (venv / "bin" / "ruff").symlink_to(Path(sys.executable).parent / "ruff")
    (venv / "made-for").write_text(f"{checkout} {sys.version.split()[0]} {sys.base_prefix}\n")
    done = subprocess.run(
        ["cksum"],
        stdin=(checkout / "tests/requirements.txt").open(),
        capture_output=True,
        check=True,
    )
    (venv / "requirements.sum").write_bytes(done.stdout)


def test_newcomer_without_root_runs_selected_tests(checkout: Path) -> None:
    """Check the loop with no apt, npm or sudo on the path."""
    user = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    programs = checkout.parent / "bin"
    programs.mkdir(mode=0o755)
    for program in [*Path("/bin").iterdir(), *Path("/usr/bin").iterdir()]:
        place = programs / program.name
        if not program.name.startswith(("apt", "dpkg", "npm", "node", "sudo")):
            place.unlink(missing_ok=True)
            place.symlink_to(program)
    reachable = subprocess.run([*user, "test", "-x", sys.executable], check=False)
    if reachable.returncode:
        pytest.skip(f"an unprivileged user cannot reach {sys.executable}")
    done = subprocess.run(
        [*user, "./dev", "quick", "-k", "verdict"],
        cwd=checkout,
        env={"PATH": str(programs), "HOME": str(checkout / "no home"), "TMPDIR": str(checkout)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed, " in done.stdout and " deselected" in done.stdout
    assert "Success: no issues found" in done.stdout
