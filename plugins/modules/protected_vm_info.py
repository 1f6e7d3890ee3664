#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protected_vm_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protected_vm_info
short_description: Return how a Recovery Services vault protects Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Returns the Azure VMs that a Recovery Services vault protects or holds data of. One list request
    serves all VMs.
options:
  vms:
    description:
      - The VMs to return. Each VM is a resource ID, C(GROUP/NAME), or a name in
        O(vm_resource_group). VMs that the vault does not list are returned as V(not_protected).
      - If this and O(vm) are omitted, all VMs of the vault are returned.
  policy:
    description:
      - Return only VMs that use this policy. The policy is a name or a resource ID.
    type: str
  state:
    description:
      - Return only VMs in one of these states.
    type: list
    elements: str
    choices: [protected, stopped, soft_deleted, not_protected, unknown]
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.vms
seealso:
  - module: quiesce.azure_backup.protected_vm
  - module: quiesce.azure_backup.recovery_point_info
"""

EXAMPLES = r"""
- name: List all VMs of the vault
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
  register: found

- name: Show the last recovery point of each VM
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.state }}, {{ item.last_recovery_point or 'no backup yet' }}"
  loop: "{{ found.vms }}"
  loop_control:
    label: "{{ item.name }}"

- name: Read one VM
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
  register: found

- name: Fail if the VM is not protected
  ansible.builtin.assert:
    that: found.vms[0].state == 'protected'

- name: List soft-deleted data
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
    state: [soft_deleted]
"""

RETURN = r"""
vms:
  description:
    - The VMs in the order of the options, or sorted by resource group and name.
  returned: success
  type: list
  elements: dict
  contains:
    # BEGIN protected_item, from tests/utils/doc_blocks.py
    name: {type: str, description: The name of the VM.}
    id: {type: str, description: The resource ID of the VM.}
    resource_group: {type: str, description: The resource group of the VM.}
    state:
      description:
        - V(protected), V(stopped), V(soft_deleted) or V(not_protected). V(unknown) if Azure
          returns no protection state or one that is not known. Such a VM does not count as
          protected.
      type: str
    protection_state:
      description:
        - Azure's protection state, such as V(IRPending) (no backup yet), V(Protected),
          V(ProtectionStopped) or V(BackupsSuspended).
      type: str
    policy: {type: str, description: The name of the policy.}
    policy_id: {type: str, description: The resource ID of the policy.}
    policy_type: {type: str, description: V(standard) or V(enhanced).}
    soft_deleted: {type: bool, description: V(true) if the data of the VM is soft-deleted.}
    soft_deleted_until:
      description: The time of the final deletion of soft-deleted data, in UTC.
      type: str
    include_disk_luns:
      description:
        - The data disks that are backed up, if the disks are selected in this way. Empty if
          only the operating system disk is backed up.
      type: list
      elements: int
    exclude_disk_luns:
      description: The data disks that are excluded. Empty if all disks are backed up.
      type: list
      elements: int
    health_status: {type: str, description: The result of Azure's health checks of the VM.}
    health_details:
      description: The results of the health checks.
      type: list
      elements: dict
      contains:
        code: {type: int, description: "Azure's code of the result."}
        title: {type: str, description: "Azure's name of the result."}
        message: {type: str, description: The description of the result.}
        recommendations:
          description: Azure's recommendations.
          type: list
          elements: str
    last_backup_status: {type: str, description: The status of the last backup.}
    last_backup_time: {type: str, description: The time of the last backup.}
    last_recovery_point: {type: str, description: The time of the last recovery point.}
    # END protected_item
  sample:
    - exclude_disk_luns: []
      health_details:
        - code: 400239
          message: Backup pre-check status of this virtual machine is OK.
          recommendations: []
          title: IaasVmHealthGreenDefault
      health_status: Passed
      id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/app-rg/\
        providers/Microsoft.Compute/virtualMachines/db01"
      include_disk_luns: null
      last_backup_status: Completed
      last_backup_time: "2026-11-20T18:31:05Z"
      last_recovery_point: "2026-11-20T18:31:12Z"
      name: db01
      policy: DefaultPolicy
      policy_id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/backup-rg/\
        providers/Microsoft.RecoveryServices/vaults/vault1/backupPolicies/DefaultPolicy"
      policy_type: standard
      protection_state: Protected
      resource_group: app-rg
      soft_deleted: false
      soft_deleted_until: null
      state: protected
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

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.protected_vm import (
    PROTECTED_VM_INFO,
    list_protected,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(
        Module(supports_check_mode=True, **PROTECTED_VM_INFO.to_kwargs()), list_protected
    )


if __name__ == "__main__":
    main()
