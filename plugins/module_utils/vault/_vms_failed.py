# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The error of a task of several VMs, some of which failed; the others were done all the same.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, Sequence, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    QuiesceError,
)


class VmsFailed(QuiesceError):
    """Names each VM that failed; C(result) holds what became of every VM."""

    def __init__(
        self, failed: Sequence[Tuple[str, Failure]], count: int, result: Dict[str, Any]
    ) -> None:
        super().__init__(_summary(failed, count))
        self.result = result


def _summary(failed: Sequence[Tuple[str, Failure]], count: int) -> Failure:
    first = failed[0][1]
    if len(failed) == 1 and count == 1:
        return first
    reasons = " ".join(f"{name}: {failure.message}" for name, failure in failed)
    what_to_do = {failure.recommended_action for _name, failure in failed}
    return Failure(
        first.name,
        f"{len(failed)} of {count} VMs failed. {reasons}",
        what_to_do.pop()
        if len(what_to_do) == 1
        else "The result says under vms, for each of them, what to do.",
        first.code,
        first.correlation_id,
        first.http_status,
        first.vm,
    )
