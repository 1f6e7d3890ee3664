# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The file whose lines are said as they come."""

from __future__ import annotations

import os
import queue
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._progress import (
    append_line,
    progress_of,
)
from ansible_collections.quiesce.azure_backup.plugins.plugin_utils._tail import Tail


def test_lines_are_said_as_they_come_and_the_file_goes(tmp_path: Path) -> None:
    said: "queue.Queue[str]" = queue.Queue()
    with Tail(said.put, str(tmp_path)) as tail:
        assert oct(Path(tail.path).stat().st_mode & 0o777) == "0o600"
        say = progress_of(tail.path)
        say("first")
        assert said.get(timeout=60) == "first"
        say("second\nin one line")
        assert said.get(timeout=60) == "second in one line"
        with Path(tail.path).open("ab", buffering=0) as half:
            half.write(b"cut")
        say("short")
    assert said.get(timeout=60) == "cutshort"
    assert said.empty() and list(tmp_path.iterdir()) == []


def test_the_file_goes_when_the_module_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Tail(lambda _line: None, str(tmp_path)):
        raise RuntimeError("The module failed.")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_removed_meanwhile_is_no_failure(tmp_path: Path) -> None:
    with Tail(lambda _line: None, str(tmp_path)) as tail:
        Path(tail.path).unlink()
        append_line(tail.path, "nobody hears this")
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_that_nobody_reads_does_not_hold_up(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    append_line(str(pipe), "line")
    append_line("", "line")
    append_line("/nowhere/\0", "line")
    progress_of(None)("line")
