# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the progress file."""

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


def test_tail_reports_lines_and_removes_its_file(tmp_path: Path) -> None:
    reported: "queue.Queue[str]" = queue.Queue()
    with Tail(reported.put, str(tmp_path)) as tail:
        assert oct(Path(tail.path).stat().st_mode & 0o777) == "0o600"
        report = progress_of(tail.path)
        report("first")
        assert reported.get(timeout=60) == "first"
        report("second\nin one line")
        assert reported.get(timeout=60) == "second in one line"
        with Path(tail.path).open("ab", buffering=0) as half:
            half.write(b"cut")
        report("short")
    assert reported.get(timeout=60) == "cutshort"
    assert reported.empty() and list(tmp_path.iterdir()) == []


def test_tail_removes_its_file_after_a_failure(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Tail(lambda _line: None, str(tmp_path)):
        raise RuntimeError("The module failed.")
    assert list(tmp_path.iterdir()) == []


def test_tail_of_a_removed_file_succeeds(tmp_path: Path) -> None:
    with Tail(lambda _line: None, str(tmp_path)) as tail:
        Path(tail.path).unlink()
        append_line(tail.path, "unread")
    assert list(tmp_path.iterdir()) == []


def test_append_line_to_a_pipe_does_not_block(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    append_line(str(pipe), "line")
    append_line("", "line")
    append_line("/nowhere/\0", "line")
    progress_of(None)("line")
