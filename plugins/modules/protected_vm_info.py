#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protected_vm_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protected_vm_info
short_description: Show how a Recovery Services vault protects Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Shows the Azure VMs that a Recovery Services vault protects, or keeps
    data of, with one list for all of them.
options:
  vms:
    description:
      - The VMs to show. Each is a resource id, or C(GROUP/NAME), or a name in
        O(vm_resource_group). One that the vault does not have is shown as V(not_protected).
        Without this and O(vm), all VMs of the vault are shown.
  policy:
    description:
      - Show only VMs under this policy, which is given by its name or resource id.
    type: str
  state:
    description:
      - Show only VMs that are in one of these states.
    type: list
    elements: str
    choices: [protected, stopped, soft_deleted, not_protected, unknown]
attributes:
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.vms
seealso:
  - module: quiesce.azure_backup.protected_vm
  - module: quiesce.azure_backup.recovery_point_info
"""

EXAMPLES = r"""
- name: Look at all VMs of the vault
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
  register: found

- name: Say of each when it was backed up
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.state }}, {{ item.last_recovery_point or 'no backup yet' }}"
  loop: "{{ found.vms }}"
  loop_control:
    label: "{{ item.name }}"

- name: Look at one VM
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
  register: found

- name: Stop when it is not protected
  ansible.builtin.assert:
    that: found.vms[0].state == 'protected'

- name: Look for data that will be deleted for good
  quiesce.azure_backup.protected_vm_info:
    resource_group: backup-rg
    vault: vault1
    state: [soft_deleted]
"""

RETURN = r"""
vms:
  description:
    - The VMs, in the order in which they were given, or by resource group and name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {type: str, description: The VM's name.}
    id: {type: str, description: The VM's resource id.}
    resource_group: {type: str, description: The VM's resource group.}
    state:
      description:
        - V(protected), V(stopped), V(soft_deleted) or V(not_protected). V(unknown) when Azure gives
          no protection state, or one that is not known; it is never taken for protected.
      type: str
    protection_state:
      description:
        - The service's own word, such as V(IRPending) (no backup was made yet), V(Protected),
          V(ProtectionStopped) or V(BackupsSuspended).
      type: str
    policy: {type: str, description: The policy's name.}
    policy_id: {type: str, description: The policy's resource id.}
    policy_type: {type: str, description: V(standard) or V(enhanced).}
    soft_deleted: {type: bool, description: Whether the VM's data is soft-deleted.}
    soft_deleted_until: {type: str, description: "When soft-deleted data goes for good, in UTC."}
    include_disk_luns:
      description:
        - The data disks that are backed up, where they are chosen so. Empty when the operating
          system's disk alone is backed up.
      type: list
      elements: int
    exclude_disk_luns:
      description: The data disks that are left out. Empty when all disks are backed up.
      type: list
      elements: int
    health_status: {type: str, description: What the service's checks of the VM say.}
    health_details:
      description: What each of these checks found.
      type: list
      elements: dict
      contains:
        code: {type: int, description: The service's code.}
        title: {type: str, description: The service's name of it.}
        message: {type: str, description: What it found.}
        recommendations:
          description: What the service recommends.
          type: list
          elements: str
    last_backup_status: {type: str, description: How the last backup ended.}
    last_backup_time: {type: str, description: When the last backup was made.}
    last_recovery_point: {type: str, description: The time of the last recovery point.}
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
  description: What failed.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: "Azure's code, or the name of what is wrong with the options."}
    code: {type: int, description: "Azure's number, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
    correlation_id: {type: str, description: "What Microsoft's support finds the request by."}
    http_status: {type: int, description: "The status of Azure's answer."}
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
    module = Module(supports_check_mode=True, **PROTECTED_VM_INFO)
    run_vault_module(module, list_protected)


if __name__ == "__main__":
    main()
