# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file whose lines are reported as they are written."""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable

_EVERY_S = 0.2


class Tail:
    """A temporary file and a thread that reports each line another process appends to it."""

    def __init__(self, report: Callable[[str], None], folder: str | None = None) -> None:
        self._report = report
        descriptor, self.path = tempfile.mkstemp(prefix="progress-", dir=folder)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._rest = b""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Tail:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._end.set()
        self._thread.join()
        self._file.close()
        with suppress(OSError):
            Path(self.path).unlink()

    def _run(self) -> None:
        while not self._end.wait(_EVERY_S):
            self._report_new()
        self._report_new()

    def _report_new(self) -> None:
        *lines, self._rest = (self._rest + (self._file.read() or b"")).split(b"\n")
        for line in lines:
            self._report(line.decode(errors="replace"))
