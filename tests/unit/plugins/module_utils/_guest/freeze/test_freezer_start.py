# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A start of the supervisors that fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import FreezeError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.freezer import (
    Freezer,
)
from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import lives


@pytest.mark.slow
def test_failed_second_fork_ends_the_first_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    fork, made = os.fork, list[int]()

    def fork_once() -> int:
        if made:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        pid = fork()
        if pid:
            made.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", fork_once)
    before = _descriptors()
    with pytest.raises(FreezeError, match="could not be started: Resource temporarily"):
        Freezer.start((), 5.0, None)
    assert made and not lives(made[0])
    assert _descriptors() == before


def test_failed_pipe_closes_what_was_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, made = os.pipe, list[int]()

    def pipe_few_times() -> tuple[int, int]:
        if len(made) >= 2:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.extend(pipe())
        return made[-2], made[-1]

    before = _descriptors()
    monkeypatch.setattr(os, "pipe", pipe_few_times)
    with pytest.raises(FreezeError, match="could not be started: Too many open files"):
        Freezer.start((), 5.0, None)
    assert made and _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
