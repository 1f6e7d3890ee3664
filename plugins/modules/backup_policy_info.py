#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_policy_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_policy_info
short_description: Return the backup policies for Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Returns the backup policies of a Recovery Services vault that apply to Azure VMs.
  - Each policy has the form of the options of M(quiesce.azure_backup.backup_policy), and the number
    of VMs that use it.
options:
  name:
    description:
      - Return only the policy with this name. RV(policies) is empty if the vault has no such policy
        for Azure VMs.
    type: str
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.backup_policy
  - module: quiesce.azure_backup.protected_vm_info
"""

EXAMPLES = r"""
- name: List the policies
  quiesce.azure_backup.backup_policy_info:
    resource_group: backup-rg
    vault: vault1
  register: found

- name: Show how many VMs use each policy
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.protected_items_count }}"
  loop: "{{ found.policies }}"
  loop_control:
    label: "{{ item.name }}"

- name: Read one policy
  quiesce.azure_backup.backup_policy_info:
    resource_group: backup-rg
    vault: vault1
    name: DefaultPolicy
  register: found

- name: Create a copy in another vault
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault2
    name: like-default
    policy_type: "{{ found.policies[0].policy.policy_type }}"
    schedule: "{{ found.policies[0].policy.schedule }}"
    retention: "{{ found.policies[0].policy.retention }}"
    time_zone: "{{ found.policies[0].policy.time_zone }}"
    instant_restore_days: "{{ found.policies[0].policy.instant_restore_days }}"
"""

RETURN = r"""
policies:
  description: The policies for Azure VMs, sorted by name.
  returned: success
  type: list
  elements: dict
  contains:
    id: {type: str, description: The resource ID of the policy.}
    name: {type: str, description: The name of the policy.}
    protected_items_count: {type: int, description: The number of VMs that use the policy.}
    policy:
      description:
        - The policy, in the form of the options of M(quiesce.azure_backup.backup_policy). Settings
          that the policy does not have are omitted.
      type: dict
  sample:
    - id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/backup-rg/\
        providers/Microsoft.RecoveryServices/vaults/vault1/backupPolicies/DefaultPolicy"
      name: DefaultPolicy
      protected_items_count: 3
      policy:
        archive_tiering: {mode: do_not_tier}
        instant_restore_days: 2
        instant_restore_resource_group: {prefix: "", suffix: ""}
        name: DefaultPolicy
        policy_type: standard
        retention: {daily: {days: 30}}
        schedule:
          frequency: daily
          time: "18:30"
        snapshot_consistency_type: application_or_file_system
        time_zone: UTC
failure:
  description: The error.
  returned: failure
  type: dict
  contains:
    # BEGIN azure_failure, from tests/utils/doc_blocks.py
    name: {type: str, description: "Azure's code, or a name of this collection."}
    code: {type: int, description: "Azure's number of the error. V(null) if it has none."}
    message: {type: str, description: The description of the error.}
    recommended_action: {type: str, description: The recommended action.}
    correlation_id:
      description: The ID by which Microsoft support finds the request, if known.
      type: str
    http_status: {type: int, description: "The HTTP status of Azure's response, if known."}
    # END azure_failure
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_policy import (
    BACKUP_POLICY_INFO,
    list_policies,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(
        Module(supports_check_mode=True, **BACKUP_POLICY_INFO.to_kwargs()), list_policies
    )


if __name__ == "__main__":
    main()
