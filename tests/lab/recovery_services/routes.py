# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which request means what: paths, in any case, to handlers and to Azure's action names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

from tests.lab.recovery_services.call import Handler

_VERBS = {"GET": "read", "HEAD": "read", "PUT": "write", "PATCH": "write", "DELETE": "delete"}


@dataclass(frozen=True)
class Route:
    """A kind of request."""

    method: str
    template: Tuple[str, ...]
    action: str
    handler: Handler
    #: Whether it changes anything.
    write: bool


class Routes:
    """All kinds of requests."""

    def __init__(self) -> None:
        self._routes: Dict[Tuple[str, int], List[Route]] = {}

    def add(self, method: str, template: str, handler: Handler, read_only: bool = False) -> None:
        """Add one; `{name}` in the template stands for any segment."""
        segments = tuple(part for part in template.split("/") if part)
        write = method not in ("GET", "HEAD") and not read_only
        route = Route(method, segments, action_of(method, segments), handler, write)
        self._routes.setdefault((method, len(segments)), []).append(route)

    def find(self, method: str, segments: Sequence[str]) -> Optional[Tuple[Route, Dict[str, str]]]:
        """Return the route for a path's decoded segments, and the names in it."""
        for route in self._routes.get((method, len(segments)), ()):
            params: Dict[str, str] = {}
            for wanted, given in zip(route.template, segments):
                if wanted.startswith("{"):
                    params[wanted[1:-1]] = given
                elif wanted.lower() != given.lower():
                    break
            else:
                return route, params
        return None


def action_of(method: str, segments: Sequence[str]) -> str:
    """Azure's name of what a request does, as in role definitions and in its 429 answers."""
    parts = list(segments)
    lowered = [part.lower() for part in parts]
    start = len(lowered) - 1 - lowered[::-1].index("providers") if "providers" in lowered else -1
    if start >= 0 and len(parts) > start + 1:
        provider, rest = parts[start + 1], parts[start + 2 :]
    else:
        provider, rest = "Microsoft.Resources", parts
    kinds = [part for part in rest if not re.fullmatch(r"\{.*\}", part)]
    name = "/".join([provider, *kinds])
    return f"{name}/{_VERBS[method]}" if method in _VERBS else f"{name}/action"
