# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of a task in which VMs failed after all VMs were processed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._arm.ids import contains_name
from .._errors import Failure, QuiesceError

# The message names this many VMs; the result has all of them.
_SHOWN = 3


class VmFailuresError(QuiesceError):
    """The failures of a task; `result` holds the outcome of every VM."""

    def __init__(
        self, failed: Sequence[tuple[str, Failure]], count: int, result: dict[str, Any]
    ) -> None:
        super().__init__(_summary(failed, count))
        self.result = result


def _summary(failed: Sequence[tuple[str, Failure]], count: int) -> Failure:
    """Return one failure for the task; its message names the first VMs."""
    first = failed[0][1]
    if count == 1:
        return first
    reasons = " ".join(_reason(name, failure) for name, failure in failed[:_SHOWN])
    more = f" And {len(failed) - _SHOWN} more." if len(failed) > _SHOWN else ""
    errors = {failure.name for _name, failure in failed}
    actions = {failure.recommended_action for _name, failure in failed}
    is_only = len(failed) == 1
    return Failure(
        first.name if len(errors) == 1 else "SomeVmsFailed",
        f"{len(failed)} of {count} VMs failed: {reasons}{more}",
        actions.pop()
        if len(actions) == 1
        else "Follow the recommended_action of each VM under vms in the result.",
        first.code if is_only else None,
        # Microsoft's support finds Azure's records by it.
        first.correlation_id,
        first.http_status if is_only else None,
        first.vm if is_only else "",
    )


def _reason(name: str, failure: Failure) -> str:
    if contains_name(failure.message, name):
        return failure.message
    return f"{name}: {failure.message}"
