# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judge many exchanges at once, and say what was judged and what was not."""

from __future__ import annotations

import collections
import functools
import re
from typing import Counter, Dict, Iterable, List, Optional

from tests.contract.deviations import CLIENTS_MISTAKES, DEVIATIONS, NOT_DESCRIBED
from tests.contract.evidence import SPECIFICATION, Exchange
from tests.contract.openapi import Documents

_SERVICE = "microsoft.recoveryservices/"
#: How many kinds of problems are shown.
_SHOWN = 20


@functools.lru_cache(maxsize=1)
def documents() -> Documents:
    """Microsoft's documents, and what is known to differ from them."""
    return Documents(SPECIFICATION, DEVIATIONS)


class Judgement:
    """Problems of many exchanges."""

    def __init__(self, exchanges: Iterable[Exchange] = ()) -> None:
        #: How often each operation was judged.
        self.judged: Counter[str] = collections.Counter()
        #: How often something was not, by its reason.
        self.left_out: Counter[str] = collections.Counter()
        #: Each kind of problem, with the first place where it was found.
        self.problems: Dict[str, str] = {}
        for exchange in exchanges:
            self.add(exchange)

    def add(self, exchange: Exchange) -> List[str]:
        """Judge one more; returns its problems."""
        why = not_judged(exchange)
        if why is not None:
            self.left_out[why] += 1
            return []
        verdict = documents().judge(exchange)
        if not verdict.operation and exchange.status >= 400:
            verdict = documents().error(exchange)
        elif not verdict.operation:
            verdict.problems.append("no document describes this")
        verdict.problems = [one for one in verdict.problems if not _tolerated(exchange, one)]
        self.judged[verdict.operation] += 1
        method_and_path = f"{exchange.method} {exchange.path} -> {exchange.status}"
        for problem in verdict.problems:
            kind = re.sub(r"\[\d+\]", "[]", problem)
            self.problems.setdefault(
                f"{verdict.operation or exchange.method}: {kind}",
                f"{exchange.where}: {method_and_path}",
            )
        return verdict.problems

    def __str__(self) -> str:
        found = list(self.problems.items())[:_SHOWN]
        lines = [f"{problem}\n    {where}" for problem, where in found]
        left_out = ", ".join(f"{count} ({why})" for why, count in self.left_out.items())
        return "\n".join(
            [
                f"{sum(self.judged.values())} exchanges of {len(self.judged)} operations judged; "
                f"left out: {left_out or 'none'}; kinds of problems: {len(self.problems)}",
                *lines,
            ]
        )


def _tolerated(exchange: Exchange, problem: str) -> bool:
    """Return True if the problem is in the request, and known of this client of Azure."""
    return problem.startswith("request ") and any(
        client in exchange.client and re.search(pattern, problem)
        for client, pattern in CLIENTS_MISTAKES
    )


def not_judged(exchange: Exchange) -> Optional[str]:
    """Return why the exchange is not one of the service that the documents describe, if so."""
    _scope, found, rest = exchange.path.lower().partition("/providers/")
    if not found:
        return "not of a resource provider"
    if rest.startswith(_SERVICE):
        return None
    return next(
        (why for start, why in NOT_DESCRIBED.items() if rest.startswith(start)), "another service"
    )
