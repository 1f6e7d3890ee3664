# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Location and readers of the evidence of Azure's behaviour.

It is not part of the checkout: Microsoft's OpenAPI documents and recorded exchanges with Azure, in
the folder that E(QUIESCE_AZURE_EVIDENCE) names, by default `shared/azure` beside the checkout.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

import pytest

from tests.lab._process import ROOT

FOLDER = Path(os.environ.get("QUIESCE_AZURE_EVIDENCE") or ROOT.parent / "shared" / "azure")
SPECIFICATION = FOLDER / "specification"
RECORDINGS = FOLDER / "recordings"
PRESENT = SPECIFICATION.is_dir() and RECORDINGS.is_dir()

WHY_SKIPPED = (
    f"NOT TESTED: the evidence of how Azure behaves is not in {FOLDER}; "
    "QUIESCE_AZURE_EVIDENCE names another folder"
)
needs_evidence = pytest.mark.skipif(not PRESENT, reason=WHY_SKIPPED)


@dataclass(frozen=True)
class Exchange:
    """A request and its answer, of Azure or of the lab's server."""

    method: str
    #: Path and query, as sent.
    url: str
    status: int
    request: Any = None
    response: Any = None
    #: Names in lower case.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Where it is to be found: file and line.
    where: str = ""
    #: Who asked: the User-Agent.
    client: str = ""
    #: What was being done: the command of the recording.
    command: str = ""

    @property
    def path(self) -> str:
        """The path alone."""
        return self.url.partition("?")[0]


def recordings() -> List[str]:
    """Return the names of the recorded sessions."""
    return sorted(path.stem for path in RECORDINGS.glob("test_*.jsonl"))


def exchanges(name: str) -> List[Exchange]:
    """Return the exchanges of a recording, in order."""
    return list(_read(RECORDINGS / f"{name}.jsonl"))


def _read(path: Path) -> Iterator[Exchange]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        found: Dict[str, Any] = json.loads(line)
        headers: Optional[Dict[str, str]] = found.get("headers")
        yield Exchange(
            method=found["method"],
            url=found.get("url") or found["path"],
            status=found["status"],
            request=found.get("request"),
            response=found.get("response"),
            headers={name.lower(): value for name, value in (headers or {}).items()},
            where=f"{path.name}:{number}",
            command=found.get("command") or found.get("name") or "",
        )
