# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The record of every request: what it was, what Azure calls it, how it was answered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Dict, List


@dataclass(frozen=True)
class Request:
    """A request that the server has answered."""

    method: str
    #: Decoded, as the client wrote it.
    path: str
    #: Azure's name of the action; `signin` and `metadata` for what is not the control plane's.
    action: str
    #: 0 if the connection was cut.
    status: int
    #: Whether it could have changed anything.
    write: bool
    #: The service's time.
    at: str
    query: Dict[str, str]
    #: The JSON that it carried; never what was sent to sign in.
    body: Any = None
    #: Whether a fault on order met it.
    fault: bool = False


class Ledger:
    """All requests since the last reset."""

    def __init__(self) -> None:
        self._requests: List[Request] = []

    def add(self, request: Request) -> None:
        """Put one on record."""
        self._requests.append(request)

    def clear(self) -> None:
        """Forget them."""
        self._requests.clear()

    def shown(self) -> List[Dict[str, Any]]:
        """Them all, the oldest first."""
        return [asdict(request) for request in self._requests]
