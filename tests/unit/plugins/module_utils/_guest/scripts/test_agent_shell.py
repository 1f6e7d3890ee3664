# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts run by C(sh): ScriptRunner.py starts C(sh SCRIPT), whatever the first line says.

Every expectation here is also put to the shells themselves, where they can be asked.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_shell import (
    lost_by_sh,
    why_not_for_sh,
)

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]

#: Content, and a word of the reason; empty for scripts that every sh runs.
SCRIPTS: List[Tuple[bytes, str]] = [
    (b"#!/bin/sh\nexit 0\n", ""),
    (b"#! /bin/sh\nexit 0\n", ""),
    (b"#!/usr/bin/env sh\nexit 0\n", ""),
    (b"#!/usr/bin/env -S sh -e\nexit 0\n", ""),
    (b"#!/bin/busybox sh\nexit 0\n", ""),
    (b"#!/bin/dash\nexit 0\n", ""),
    (b"exit 0\n", ""),
    (b"", ""),
    ("#!/bin/sh\n# é\nexit 0\n".encode(), ""),
    (b"#!/bin/sh\n# \xff\nexit 0\n", ""),
    (b"#!/usr/bin/python3\nimport sys\n", "names /usr/bin/python3"),
    (b"#!/usr/bin/env python3\nimport sys\n", "names python3"),
    (b"#!/usr/bin/env -S LC_ALL=C perl -w\nuse strict;\n", "names perl"),
    (b"#!/bin/zsh\nexit 0\n", "names /bin/zsh"),
    (b"#!/bin/sh\r\nexit 0\r\n", "carriage return"),
    (b"#!/bin/sh\nif true; then\n", "refuses its syntax"),
    (b'#!/bin/sh\necho "x\n', "refuses its syntax"),
    (b"#!/bin/sh\n)\n", "refuses its syntax at line 2;"),
    (b"\x7fELF\2\1\1\0", "a program"),
    (Path(sys.executable).read_bytes(), "a program"),
    (b"PK\3\4\0\0", "a program"),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("data", "word"), SCRIPTS, ids=range(len(SCRIPTS)))
def test_scripts_for_sh(data: bytes, word: str, shell: str) -> None:
    reason = why_not_for_sh(data, shell)
    assert word in reason and bool(word) == bool(reason)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "data", [data for data, word in SCRIPTS if not word or "syntax" in word or "program" in word]
)
def test_the_shell_itself_agrees(data: bytes, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(data)
    done = subprocess.run([shell, script], capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) == (why_not_for_sh(data, shell) == "")


@pytest.mark.skipif(SHELLS != ["dash", "bash"], reason="needs dash and bash")
def test_bash_is_sh_on_some_systems_and_not_on_others() -> None:
    bash = shutil.which("bash")
    script = f"#!{bash}\na=(1 2)\nexit 0\n".encode()
    assert "names" in why_not_for_sh(script, "dash")
    assert why_not_for_sh(script, "bash") == ""
    assert "on this VM" in lost_by_sh(script, "bash")
    assert "refuses its syntax" in why_not_for_sh(b"#!/bin/sh\na=(1 2)\n", "dash")


def test_asking_about_the_syntax_runs_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert why_not_for_sh(f"#!/bin/sh\n: >'{trace}'\n$(touch '{trace}')\n".encode()) == ""
    assert not trace.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_syntax_error_quotes_nothing_of_the_script(shell: str) -> None:
    reason = why_not_for_sh(b"#!/bin/sh\ntrue hunter2 (hunter2 hunter2\n", shell)
    assert "refuses its syntax at line 2;" in reason and "hunter2" not in reason


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"#!/bin/sh -e\ntrue\n", "-e"),
        (b"#!/usr/bin/env -S sh -eu\ntrue\n", "-eu"),
        (b"#!/bin/busybox sh -e\ntrue\n", "-e"),
        (b"#!/bin/sh\ntrue\n", ""),
        (b"#!\ntrue\n", ""),
        (b"true\n", ""),
    ],
)
def test_options_that_sh_does_not_get(data: bytes, word: str) -> None:
    lost = lost_by_sh(data)
    assert word in lost and bool(word) == bool(lost)


def test_without_sh_nothing_runs() -> None:
    assert "there is no sh" in why_not_for_sh(b"true\n", "/nonexistent/sh")
