# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recommended actions for a refused change of a VM's protection.

The table of actions is `_arm/advice`. This module adds what needs the VM and its policy's type.
"""

from __future__ import annotations

import dataclasses

from ..._arm.advice import for_refusal
from ..._arm.ids import VmId, equals_ignoring_case
from ..._errors import Failure

_ENHANCED_ONLY = (
    "A VM under an Enhanced policy cannot go back to a Standard policy: choose an Enhanced policy, "
    "or stop protection, delete the data, and protect the VM again when it is gone."
)


def with_advice(
    failure: Failure, vm: VmId, item_type: str = "", policy_type: str = "", waits: bool = True
) -> Failure:
    """Return the failure of a VM with the action for it.

    `item_type` and `policy_type` are the types, V1 or V2, of the VM's policy and of the policy
    that the request names.
    """
    action = failure.recommended_action
    # A code is that of a job; other statuses are no answer to the request's content.
    if failure.http_status in (400, 404, 409) or failure.code:
        action = for_refusal(failure.name, failure.azure_message) or action
    if (
        equals_ignoring_case(item_type, "V2")
        and equals_ignoring_case(policy_type, "V1")
        and failure.http_status == 400
    ):
        action = _ENHANCED_ONLY
    if not waits:
        action = f"{action} Set wait=true to wait for it in the task.".strip()
    return dataclasses.replace(failure, recommended_action=action, vm=failure.vm or vm.id)
