# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge the answers of the lab's servers to all clients, after each test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict, Iterator, List

from tests.contract.evidence import Exchange
from tests.contract.judge import Judgement


class JournalReader:
    """The journals in a folder, read on from where the last reading ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: Dict[Path, int] = {}
        #: Everything so far.
        self.judgement = Judgement()
        #: How many answers were faults that a test ordered.
        self.faults = 0

    def judge_news(self) -> Judgement:
        """Judge what came since the last time."""
        news = Judgement()
        for exchange in self._news():
            news.add(exchange)
            self.judgement.add(exchange)
        return news

    def _news(self) -> Iterator[Exchange]:
        for path in sorted(self._folder.glob("*.jsonl")):
            with path.open(encoding="utf-8") as file:
                file.seek(self._read.get(path, 0))
                # Not by iteration, which would forbid tell().
                while (line := file.readline()).endswith("\n"):
                    self._read[path] = file.tell()
                    found = json.loads(line)
                    if found["fault"]:
                        self.faults += 1
                        continue
                    yield Exchange(
                        found["method"],
                        found["url"],
                        found["status"],
                        found["request"],
                        found["response"],
                        {name.lower(): value for name, value in found["headers"].items()},
                        where="the lab's Azure",
                        client=found["client"],
                    )

    def lines(self) -> List[str]:
        """Return the summary."""
        first = str(self.judgement).splitlines()[0]
        return [f"the lab's Azure: {first}; {self.faults} answers were faults that tests ordered"]
