# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The closing line and the exit code of the matrix, and where it finds Pythons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import pytest
import yaml

from tests.matrix import __main__ as matrix
from tests.matrix import _environment
from tests.matrix._combinations import FULL, SHORT, TESTS, Combination, lower_bounds
from tests.matrix._environment import Environment, find_python
from tests.utils.ansible_test import ROOT

HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Dict[str, Any]:
    """A machine whose Pythons and checks are given."""
    found: Dict[str, Any] = {"missing": set(), "failing": set(), "broken": set()}

    def find(versions: Sequence[str]) -> Optional[Path]:
        left = [one for one in versions if one not in found["missing"]]
        return Path(sys.executable) if left else None

    def make(combination: Combination, _python: Path) -> Environment:
        if combination.ansible in found["broken"]:
            raise subprocess.CalledProcessError(1, ["pip"], output="No matching distribution")
        (tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True, exist_ok=True)
        return Environment(tmp_path)

    def check(name: str, _of: Environment) -> Tuple[bool, str]:
        return name not in found["failing"], f"{name} output"

    monkeypatch.setattr(matrix, "find_python", find)
    monkeypatch.setattr(matrix, "environment", make)
    monkeypatch.setattr(matrix, "check", check)
    monkeypatch.setattr(matrix, "_LOGS", tmp_path)
    return found


def last(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_all_that_passed(world: Dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main([]) == 0
    assert last(capsys) == f"matrix: {len(FULL)} of {len(FULL)} combinations passed."


def test_a_python_that_is_missing_is_counted(
    world: Dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    world["missing"] = {"3.9"}
    assert matrix.main([]) == 0
    out = capsys.readouterr().out
    assert "Python 3.9 is not on this machine" in out
    assert out.splitlines()[-1] == (
        f"matrix: {len(FULL) - 1} of {len(FULL)} combinations passed, "
        "1 NOT RUN, as their Python is missing."
    )


def test_nothing_that_ran_is_no_success(
    world: Dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    world["missing"] = {"3.9", "3.10", "3.11", "3.12", "3.13", "3.14"}
    assert matrix.main([]) == 1
    assert last(capsys).startswith(f"matrix: 0 of {len(FULL)} combinations passed")


@pytest.mark.parametrize("how", [{"failing": {"sanity"}}, {"broken": {"2.18"}}])
def test_one_that_fails_fails_the_run(
    world: Dict[str, Any], capsys: pytest.CaptureFixture[str], how: Dict[str, Any]
) -> None:
    world.update(how)
    assert matrix.main([]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out.splitlines()[-1]
    assert "sanity output" in out or "No matching distribution" in out


def test_a_choice(world: Dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert matrix.main(["--only", "2.18", "--check", "sanity"]) == 0
    assert last(capsys) == "matrix: 1 of 1 combinations passed."
    assert matrix.main(["--only", "2.15"]) == 2


def test_every_version_that_is_claimed_is_in_it() -> None:
    runtime = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    oldest = runtime["requires_ansible"].lstrip(">=").rpartition(".")[0]
    assert FULL[0].ansible == oldest == SHORT[0].ansible
    assert [one.ansible for one in FULL if not one.is_guest] == [
        f"2.{minor}" for minor in range(16, 22)
    ]
    assert set(lower_bounds()) <= set(FULL[0].requirements)
    for words in TESTS.values():
        for word in words:
            assert not word.startswith("tests/") or (ROOT / word).exists(), word


def test_a_program_that_only_has_the_name_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = tmp_path / f"python{HERE}"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    found = find_python(["2.2", HERE])
    assert found is not None and found != shim
    monkeypatch.setattr(_environment, "_candidates", lambda _version: iter([shim]))
    assert find_python([HERE]) is None
