# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the messages of a policy whose roll-out names no job."""

from __future__ import annotations

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.policies.apply import (
    _names_no_job,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.policies import (
    StoredPolicy,
)


@pytest.mark.parametrize(("count", "words"), [(0, "VMs"), (1, "the VM"), (2, "the 2 VMs")])
def test_policy_without_a_job_names_its_vms(count: int, words: str) -> None:
    stored = StoredPolicy("i", "Gold", {"protectedItemsCount": count})
    failure = _names_no_job("backup policy Gold", stored, "op")
    assert f"rolls the change out to {words} under the policy." in failure.message
