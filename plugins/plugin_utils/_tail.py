# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file whose lines are said as they come.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Callable, Optional

_EVERY_S = 0.2


class Tail:
    """A file to which lines are added, and which says each as it comes. Gone when left."""

    def __init__(self, say: Callable[[str], None], folder: Optional[str] = None) -> None:
        self._say = say
        descriptor, self.path = tempfile.mkstemp(prefix="progress-", dir=folder)
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._rest = b""
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Tail:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ends.set()
        self._thread.join()
        self._file.close()
        with suppress(OSError):
            Path(self.path).unlink()

    def _run(self) -> None:
        while not self._ends.wait(_EVERY_S):
            self._say_new()
        self._say_new()

    def _say_new(self) -> None:
        *lines, self._rest = (self._rest + (self._file.read() or b"")).split(b"\n")
        for line in lines:
            self._say(line.decode(errors="replace"))
