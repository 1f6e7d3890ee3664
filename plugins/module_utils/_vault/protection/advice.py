# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do when Azure refuses to protect a VM, to change that, or to end it.

Many of these refusals share a code that says only that the request was not liked, and none of
their codes is documented. So they are known by their words, which say more than such a code.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Optional

from ..._arm.ids import VmId, equals_ignoring_case
from ..._errors import Failure

_GUARD = re.compile(r"resource\s?guard", re.IGNORECASE)
# What is in the code of a refusal, or in Azure's words, and what to do then.
_BY_WORDS = tuple(
    (re.compile(words, re.IGNORECASE), action)
    for words, action in (
        (
            _GUARD.pattern,
            "The vault is guarded by multi-user authorization: ask the owner of its Resource Guard "
            "to permit this operation to whom the task signs in as, then run the task again, or "
            "do it in the portal.",
        ),
        (
            r"immutable",
            "If the vault is immutable, it keeps the data until the recovery points expire: stop "
            "the backups and keep the data with state=stopped. If it is not, Azure says the same "
            "when the item is in a state that does not permit the operation.",
        ),
        (
            r"trusted[\s-]?launch",
            "Use an Enhanced policy (policy_type enhanced) for a VM with trusted launch.",
        ),
        (
            r"already protected",
            "A VM is protected by one vault at a time: use that vault, or stop protection and "
            "delete the data there.",
        ),
        (r"in region", "Protect the VM with a vault of its own region."),
        (
            r"data disks",
            "Detach some disks, or leave some out of the backup with include_disk_luns or "
            "exclude_disk_luns.",
        ),
        (
            r"DataSourceObjectNotFound",
            "The vault no longer has the VM, or the VM was deleted: run the task again, which "
            "goes by what the vault lists then.",
        ),
    )
)
_NO_WAY_BACK = (
    "A VM under an Enhanced policy cannot go back to a Standard one: choose an Enhanced policy, "
    "or stop protection, delete the data, and protect the VM anew when it is gone."
)


def with_advice(
    failure: Failure, vm: VmId, item_type: str = "", policy_type: str = "", waits: bool = True
) -> Failure:
    """The failure of a VM with what to do about it: by Azure's words, or as the catalogue says.

    C(item_type) and C(policy_type) are the types, V1 or V2, of the policy that the VM has and of
    the one that it was to get.
    """
    action = failure.recommended_action
    heard = failure.http_status in (400, 404, 409) or bool(failure.code)
    # Who may not use the guard of a vault gets a 403.
    if heard or (failure.http_status == 403 and _GUARD.search(failure.azure_message)):
        action = _by_words(f"{failure.name} {failure.azure_message}") or action
    if (
        equals_ignoring_case(item_type, "V2")
        and equals_ignoring_case(policy_type, "V1")
        and failure.http_status == 400
    ):
        action = _NO_WAY_BACK
    if not waits:
        action = f"{action} With wait=true the task waits for it.".strip()
    return dataclasses.replace(failure, recommended_action=action, vm=failure.vm or vm.id)


def _by_words(text: str) -> Optional[str]:
    return next((action for words, action in _BY_WORDS if words.search(text)), None)
