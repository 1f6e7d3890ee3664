# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do when Azure refuses to protect a VM, to change that, or to end it.

The service does not document the codes of these refusals, so they are known by their words.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import dataclasses
from typing import Optional

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import Failure
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._names import VmId, same

# Words of which a refusal has all, without spaces and in lower case; and what to do then.
_BY_WORDS = (
    (
        ("resourceguard",),
        "The vault is guarded by multi-user authorization. Ask who owns its resource guard to "
        "permit this operation, for a time, to whom the task signs in as; do it in the portal, or "
        "run the task again then.",
    ),
    (
        ("immutable",),
        "If the vault is immutable, it keeps the data until the recovery points expire: stop "
        "protection and keep the data with state=stopped. If it is not, Azure says the same when "
        "the item is in a state that does not permit the operation: look at it with "
        "quiesce.azure_backup.protected_vm_info.",
    ),
    (
        ("trustedlaunch",),
        "Use an Enhanced policy (policy_type enhanced) for a VM with trusted launch.",
    ),
    (
        ("deferreddelete",),
        "Undelete the VM first with state=undeleted, or wait until its data is gone for good.",
    ),
    (
        ("softdelete",),
        "Undelete the VM first with state=undeleted, or wait until its data is gone for good.",
    ),
    (
        ("alreadyprotected",),
        "A VM is protected by one vault at a time: stop protection and delete the data there, "
        "or manage the VM in that vault.",
    ),
    (
        ("inregion",),
        "Protect the VM with a vault of its own region.",
    ),
    (
        ("datadisks",),
        "Detach some disks, or back up a part of them with include_disk_luns or exclude_disk_luns.",
    ),
    (
        ("datasourceobjectnotfound",),
        "The vault no longer protects the VM, or the VM was deleted: run the task again, "
        "which then goes by what the vault lists.",
    ),
    (
        ("conflicting",),
        "Another operation is running on the VM's item, perhaps a backup or a restore. Run the "
        "task again when it has ended: quiesce.azure_backup.backup_job_info shows it.",
    ),
)
_NO_WAY_BACK = (
    "A VM under an Enhanced policy cannot go back to a Standard one: choose an Enhanced policy, "
    "or stop protection, delete the data, and protect the VM anew when it is gone."
)


def advised(
    failure: Failure, vm: VmId, item_type: str = "", policy_type: str = "", waits: bool = True
) -> Failure:
    """The failure of a VM with what to do about it; what the catalogue says comes first.

    C(item_type) and C(policy_type) are the types, V1 or V2, of the policy that the VM has and of
    the one that it was to get.
    """
    action = failure.recommended_action
    if same(item_type, "V2") and same(policy_type or "V1", "V1") and _is_of_request(failure):
        action = _NO_WAY_BACK
    words = action or by_words(f"{failure.name} {failure.message}") or ""
    if not waits and words and "conflict" in failure.name.lower():
        words += " With wait=true the task waits for it."
    return dataclasses.replace(failure, recommended_action=words, vm=failure.vm or vm.id)


def by_words(text: str) -> Optional[str]:
    """What to do about an error that says this."""
    dense = "".join(text.split()).lower().replace("-", "")
    for words, action in _BY_WORDS:
        if all(word in dense for word in words):
            return action
    return None


def _is_of_request(failure: Failure) -> bool:
    """Whether the service did not like what was asked for, not who asked, how often or when."""
    return failure.http_status == 400 or bool(failure.code)
