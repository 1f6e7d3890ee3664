# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of a task of several VMs, some of which failed; the others were done all the same.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from .._arm.ids import contains_name
from .._errors import Failure, QuiesceError

# So many VMs are named in the message; all of them are in the result.
_SHOWN = 3


class VmFailuresError(QuiesceError):
    """Names each VM that failed; C(result) holds what became of every VM."""

    def __init__(
        self, failed: Sequence[Tuple[str, Failure]], count: int, result: Dict[str, Any]
    ) -> None:
        super().__init__(_summary(failed, count))
        self.result = result


def _summary(failed: Sequence[Tuple[str, Failure]], count: int) -> Failure:
    """One failure for the task; of many VMs the first are named."""
    first = failed[0][1]
    if count == 1:
        return first
    reasons = " ".join(_reason(name, failure) for name, failure in failed[:_SHOWN])
    more = f" And {len(failed) - _SHOWN} more." if len(failed) > _SHOWN else ""
    errors = {failure.name for _name, failure in failed}
    what_to_do = {failure.recommended_action for _name, failure in failed}
    is_only = len(failed) == 1
    return Failure(
        first.name if len(errors) == 1 else "SomeVmsFailed",
        f"{len(failed)} of {count} VMs failed: {reasons}{more}",
        what_to_do.pop()
        if len(what_to_do) == 1
        else "The result says under vms, for each of them, what to do.",
        first.code if is_only else None,
        # The first one's, as Microsoft's support finds by it what Azure knows.
        first.correlation_id,
        first.http_status if is_only else None,
        first.vm if is_only else "",
    )


def _reason(name: str, failure: Failure) -> str:
    if contains_name(failure.message, name):
        return failure.message
    return f"{name}: {failure.message}"
