# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of Azure, recorded or made by hand, served over HTTPS to the modules.

The lab's Azure signs the module in. The bodies are those of the exchanges, independent of the lab's
vaults, so the module reads exactly what Azure sent.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence
from urllib.parse import unquote

import pytest

from tests.contract import evidence, handmade
from tests.contract.evidence import Exchange
from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services.lab import RecoveryServices

_FOR_EVER = 1_000_000
_VAULT = re.compile(
    r"^/subscriptions/(?P<subscription_id>[^/]+)/resourceGroups/(?P<resource_group>[^/]+)"
    r"/providers/Microsoft\.RecoveryServices/vaults/(?P<vault>[^/]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Source:
    """Exchanges about vaults of one name."""

    name: str
    exchanges: Sequence[Exchange]

    def answers(self, path: str) -> List[Exchange]:
        """Return the distinct answers with status 200 to reads whose path ends with a pattern."""
        found: Dict[str, Exchange] = {}
        for one in self.exchanges:
            is_read = (one.method, one.status) == ("GET", 200)
            if is_read and re.search(f"{path}$", one.path.rstrip("/"), re.IGNORECASE):
                found.setdefault(json.dumps(one.response, sort_keys=True), one)
        return list(found.values())


class Served:
    """The lab's Azure with these answers, and the modules run against it."""

    def __init__(self, azure: RecoveryServices) -> None:
        self._azure = azure

    def only(self, *exchanges: Exchange) -> None:
        """Answer with these, and with nothing else that was served before."""
        self._azure.forget_faults()
        self._azure.forget_requests()
        for one in exchanges:
            self.then(one)

    def then(self, exchange: Exchange, times: int = _FOR_EVER, **more: Any) -> None:
        """Answer the next `times` requests of this path with it, after the answers set before."""
        self._azure.fault(
            **{
                "method": exchange.method,
                "path": f"^{re.escape(unquote(exchange.path.rstrip('/')))}$",
                "status": exchange.status,
                "body": exchange.response,
                "headers": {
                    name: value
                    for name, value in exchange.headers.items()
                    if name == "x-ms-failure-cause"
                },
                "times": times,
                **more,
            }
        )

    def run(self, module: str, at: Exchange, *, check: bool = False, **options: Any) -> ModuleRun:
        """Run a module against the vault that this exchange is about."""
        where = _VAULT.match(at.path)
        assert where, at.path
        return run_module(
            module, {**self._azure.options(), **where.groupdict(), **options}, check=check
        )

    def now(self) -> str:
        """Return the time that the answers bear; it stands still."""
        return self._azure.now()

    def asked(self) -> List[str]:
        """Return the requests that were answered, as method and last part of the path."""
        return [
            f"{one.method} {one.path.rpartition('/')[2]}"
            for one in self._azure.requests()
            if one.action not in ("signin", "metadata")
        ]

    def writes(self) -> List[str]:
        """Return the requests that could have changed something."""
        return [f"{one.method} {one.path}" for one in self._azure.writes()]


def properties(exchange: Exchange) -> Iterator[Mapping[str, Any]]:
    """Yield the properties of each element of a list."""
    for one in exchange.response["value"]:
        yield one["properties"]


ITEMS = "/backupProtectedItems"

HANDMADE = Source("handmade", handmade.exchanges())
_NAMES = evidence.recordings() if evidence.PRESENT else []
#: All sessions together: they were recorded with vaults of one name.
RECORDED = Source("recordings", [one for name in _NAMES for one in evidence.exchanges(name)])
ERRORS = Source("errors", evidence.exchanges("errors") if evidence.PRESENT else [])


def sources(path: str, also: Sequence[Source] = ()) -> List[Any]:
    """Return the sources that have such answers, as parameters of a test.

    In place of the recordings, where they are absent, there is one that is skipped.
    """
    found: List[Any] = [
        pytest.param(one, id=one.name) for one in (HANDMADE, RECORDED, *also) if one.answers(path)
    ]
    return [*found, *skipped_recordings()]


def skipped_recordings() -> List[Any]:
    """Return a parameter that says that the recordings are absent; none where they are not."""
    if evidence.PRESENT:
        return []
    skipped = pytest.mark.skip(reason=evidence.WHY_SKIPPED)
    return [pytest.param(None, id="recordings", marks=skipped)]


def time_of(text: Optional[str]) -> Optional[datetime]:
    """Return a time of Azure's or of ours, to the second, or None for a time that means never."""
    if not text:
        return None
    found = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return found if found.year > 2001 else None
