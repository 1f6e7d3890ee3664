# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Faults on order: what the next matching requests get instead of, or beside, their answer."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, List, Mapping, Optional

KINDS = ("reset", "tls", "malformed", "empty", "never_ends", "expired_token")


@dataclass
class Fault:
    """A fault, and how many requests it is still for."""

    #: None is any.
    method: Optional[str] = None
    #: A regular expression that is searched for in the decoded path, in any case.
    path: str = ""
    status: Optional[int] = None
    code: Optional[str] = None
    message: Optional[str] = None
    #: In seconds of the client's, as it goes into the header.
    retry_after: Optional[float] = None
    #: The answer's body: an object, or text as it is.
    body: Any = None
    headers: Optional[Dict[str, str]] = None
    kind: Optional[str] = None
    #: Seconds of the client's before the answer.
    delay_s: float = 0.0
    times: int = 1
    #: What happens right before the request, or with `after` right after it, as for
    #: `RecoveryServices.change`.
    change: Optional[Dict[str, Any]] = None
    #: How many matching requests pass before it.
    skip: int = 0
    #: True if the request takes effect and only its answer is lost.
    after: bool = False

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind}")
        re.compile(self.path)

    def matches(self, method: str, path: str) -> bool:
        """Return True if it is meant for such a request."""
        return (self.method or method).upper() == method and bool(
            re.search(self.path, path, re.IGNORECASE)
        )

    @property
    def answers(self) -> bool:
        """True if the client gets the fault instead of the real answer."""
        lost = ("reset", "tls", "malformed", "empty")
        return self.status is not None or self.kind in lost

    def error(self) -> Any:
        """Return the body of the answer."""
        if self.body is not None:
            return self.body
        code = self.code or f"Lab{self.status}"
        message = "A fault of the lab." if self.message is None else self.message
        return {"error": {"code": code, "message": message}}


class Faults:
    """The faults, in the order given; the first that matches counts."""

    def __init__(self) -> None:
        self._faults: List[Fault] = []

    def add(self, fault: Fault) -> None:
        """Order one."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Forget them all."""
        self._faults.clear()

    def shown(self) -> List[Dict[str, Any]]:
        """Return those that are yet to come."""
        return [asdict(fault) for fault in self._faults]

    def take(self, method: str, path: str) -> Optional[Fault]:
        """Return the fault for this request, if there is one."""
        for fault in list(self._faults):
            if not fault.matches(method, path):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._faults.remove(fault)
            return fault
        return None


def fault_of(given: Mapping[str, Any]) -> Fault:
    """Return a fault as a client orders it; raises `TypeError` or `ValueError`."""
    return Fault(**given)
