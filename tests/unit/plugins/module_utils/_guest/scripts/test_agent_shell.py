# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of scripts run by `sh`: ScriptRunner.py starts `sh SCRIPT` and ignores the first line.

The expected values are also checked against the shells of the machine.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_shell import (
    difference_under_sh,
    why_not_for_sh,
)

SHELLS = [shell for shell in ("dash", "bash") if shutil.which(shell)]

#: Content, and a word of the reason; empty for scripts that every sh runs.
SCRIPTS: list[tuple[bytes, str]] = [
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
    (b"#!/bin/sh\nif true; then\n", "reports a syntax error"),
    (b'#!/bin/sh\necho "x\n', "reports a syntax error"),
    (b"#!/bin/sh\n)\n", "reports a syntax error at line 2;"),
    (b"\x7fELF\2\1\1\0", "a binary program"),
    (Path(sys.executable).read_bytes(), "a binary program"),
    (b"PK\3\4\0\0", "a binary program"),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("data", "word"), SCRIPTS, ids=range(len(SCRIPTS)))
def test_script_for_sh_gives_reason(data: bytes, word: str, shell: str) -> None:
    reason = why_not_for_sh(data, shell)
    assert word in reason and bool(word) == bool(reason)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "data", [data for data, word in SCRIPTS if not word or "syntax" in word or "program" in word]
)
def test_shell_agrees_with_reason(data: bytes, shell: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_bytes(data)
    done = subprocess.run([shell, script], capture_output=True, timeout=60, check=False)
    assert (done.returncode == 0) == (why_not_for_sh(data, shell) == "")


@pytest.mark.skipif(SHELLS != ["dash", "bash"], reason="needs dash and bash")
def test_bash_script_needs_bash_as_sh() -> None:
    bash = shutil.which("bash")
    script = f"#!{bash}\na=(1 2)\nexit 0\n".encode()
    assert "names" in why_not_for_sh(script, "dash")
    assert why_not_for_sh(script, "bash") == ""
    assert "on this VM" in difference_under_sh(script, "bash")
    assert "reports a syntax error" in why_not_for_sh(b"#!/bin/sh\na=(1 2)\n", "dash")


def test_syntax_check_runs_no_command(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    assert why_not_for_sh(f"#!/bin/sh\n: >'{trace}'\n$(touch '{trace}')\n".encode()) == ""
    assert not trace.exists()


@pytest.mark.parametrize("shell", SHELLS)
def test_syntax_error_does_not_quote_script(shell: str) -> None:
    reason = why_not_for_sh(b"#!/bin/sh\ntrue hunter2 (hunter2 hunter2\n", shell)
    assert "reports a syntax error at line 2;" in reason and "hunter2" not in reason


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
def test_shebang_options_are_ignored_by_sh(data: bytes, word: str) -> None:
    difference = difference_under_sh(data)
    assert word in difference and bool(word) == bool(difference)


def test_missing_sh_gives_reason() -> None:
    assert "sh cannot be started" in why_not_for_sh(b"true\n", "/nonexistent/sh")
