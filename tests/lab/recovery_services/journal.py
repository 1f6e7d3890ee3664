# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of all exchanges in full, for the contract tests; off by default."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional

#: The folder that each server writes a file into.
FOLDER = "QUIESCE_AZURE_JOURNAL"


class Journal:
    """A file with one JSON object a line, written before the client gets its answer.

    It holds no credentials. `fault` marks an exchange whose answer a test has ordered.
    """

    def __init__(self, path: Optional[Path]) -> None:
        self._file = None if path is None else path.open("a", encoding="utf-8", buffering=1)

    @classmethod
    def of_environment(cls) -> Journal:
        """Return the one that the environment asks for."""
        folder = os.environ.get(FOLDER)
        return cls(Path(folder, f"{os.getpid()}.jsonl") if folder else None)

    def add(self, **exchange: Any) -> None:
        """Write one down."""
        if self._file is not None:
            self._file.write(json.dumps(exchange) + "\n")
