#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protected_vm."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protected_vm
short_description: Protect Azure VMs with a Recovery Services vault, stop protection, or undelete
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Brings one or more VMs to a state of protection by a Recovery Services vault.
  - The module compares the vault's protected items with the requested state and sends only
    differences, because each request starts a job in Azure.
  - All VMs of a task share the lists and the polls of the jobs. Protect several VMs with one task
    instead of a loop.
  - VMs that the vault does not list are discovered once for the whole task. If a VM still cannot be
    protected, the module reports the reason, as far as its credentials allow.
  - Such reasons are that the VM does not exist, lies in another region, does not run or has no
    ready VM agent. It may also have too many data disks, or another vault may protect it or hold
    its soft-deleted data. The module does not check VMs in another subscription beforehand.
  - If one VM fails, the module still processes the others, and the task fails at the end. RV(vms)
    lists the outcome of each VM. A second run processes what is left.
  - If another operation is running on a VM, the module waits for it with O(wait=true), until
    O(timeout).
options:
  state:
    description:
      - V(protected) backs up the VM under O(policy). A VM whose protection was stopped is resumed.
        A soft-deleted VM is undeleted, then protected.
      - V(stopped) stops the backups and keeps the data. The task fails for a VM that the vault does
        not protect, and for a VM with soft-deleted data.
      - V(absent) ends the protection and deletes the data. With soft delete enabled, the vault
        keeps the data for a retention period. The VM is then reported as V(soft_deleted), with the
        time of the final deletion, and counts as absent.
      - V(absent) fails for a VM that the vault does not list while it lists a VM with the same name
        in another resource group. It succeeds if that VM is soft-deleted, or if the requested VM is
        given by its resource ID.
      - V(undeleted) restores soft-deleted data. The VM ends as with V(stopped), without backups. A
        VM that is protected or stopped is left unchanged.
    type: str
    choices: [protected, stopped, absent, undeleted]
    default: protected
  policy:
    description:
      - The name or resource ID of the backup policy.
      - Required with O(state=protected) for each VM that is not protected at present. A protected
        VM keeps its policy if this is omitted.
      - Ignored with any other O(state), with a warning.
      - The task fails before it changes anything if the vault has no such policy for Azure VMs.
      - Azure does not allow a VM to change from an enhanced policy to a standard policy.
    type: str
  include_disk_luns:
    description:
      - The LUNs of the data disks to back up, in addition to the operating system disk. Disks
        attached later are not backed up.
      - If this option, O(exclude_disk_luns) and O(exclude_all_data_disks) are omitted, a VM keeps
        its present selection. A newly protected VM has all its disks backed up.
      - The module checks each LUN on the VM. A VM fails if a LUN is missing or its disks cannot be
        read, even if the vault already lists the LUN.
      - The list must not be empty. Set O(exclude_all_data_disks=true) to back up the operating
        system disk only.
      - Ignored with any O(state) except V(protected), with a warning.
    type: list
    elements: int
  exclude_disk_luns:
    description:
      - The LUNs of the data disks to exclude from backups. Disks attached later with other LUNs are
        backed up. An empty list backs up all disks.
      - The module checks each LUN on the VM, and warns about VMs that do not have it. A VM fails if
        its disks cannot be read.
      - Ignored with any O(state) except V(protected), with a warning.
    type: list
    elements: int
  exclude_all_data_disks:
    description:
      - V(true) backs up the operating system disk only. V(false) has the same effect as omitting
        the option.
      - Mutually exclusive with O(include_disk_luns) and O(exclude_disk_luns).
      - Ignored with any O(state) except V(protected), with a warning.
    type: bool
  wait:
    description:
      - Whether to wait until Azure has completed the operations.
      - With V(false), RV(vms[].job_id) is the started job, and RV(vms[].state) is the state in the
        vault at that time. M(quiesce.azure_backup.backup_job) can wait for the job later.
      - A soft-deleted VM cannot be protected before it is undeleted. The module always waits for
        that.
      - With V(false), a VM fails if another operation is running on it.
  timeout:
    description:
      - The maximum time to wait in the whole task, in seconds. The discovery of VMs takes at most
        half of it.
      - Operations continue in Azure after a timeout. The failure of the VM names the job.
      - The minimum is 1.
    type: int
    default: 3600
attributes:
  check_mode:
    support: full
    details: >-
      Sends no write request, and therefore starts no discovery. A VM that the vault does not list
      is expected to be discovered, unless the module finds a reason why it cannot be protected.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: A VM in the requested state is left unchanged, and no job is started.
requirements:
  - azure-mgmt-compute >= 33.0, to check the LUNs of VMs and to report why a VM cannot be protected
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.vms
  - quiesce.azure_backup._vault.wait
seealso:
  - module: quiesce.azure_backup.protected_vm_info
  - module: quiesce.azure_backup.protectable_vm_info
  - module: quiesce.azure_backup.backup_policy
"""

EXAMPLES = r"""
- name: Protect two VMs
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vms: [app-rg/db01, app-rg/db02]
    policy: DefaultPolicy
  register: protection

- name: Show how each VM is protected
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.state }}, policy {{ item.policy }}"
  loop: "{{ protection.vms }}"
  loop_control:
    label: "{{ item.name }}"

- name: Exclude the scratch disk of one VM from its backups
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    exclude_disk_luns: [1]

- name: Back up only the operating system disk of another VM
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/web01
    policy: DefaultPolicy
    exclude_all_data_disks: true

- name: Stop the backups of a VM and keep its recovery points
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    state: stopped

- name: Delete the backups of a VM
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    state: absent
  register: protection

- name: Show until when the deletion can be undone
  ansible.builtin.debug:
    msg: "The data goes for good at {{ protection.vms[0].soft_deleted_until }}."
  when: protection.vms[0].soft_deleted

- name: Undo the deletion
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    state: undeleted
"""

RETURN = r"""
vms:
  description:
    - The VMs in the order of the options, as the vault lists them at the end. In check mode, as the
      vault would list them.
  returned: success, and failure after the vault was read
  type: list
  elements: dict
  contains:
    changed: {type: bool, description: "V(true) if the VM was changed, or would be in check mode."}
    actions:
      description:
        - The actions in the order in which they were started, or would be in check mode. If an
          action failed, it is the last one.
        - The actions are V(discover), V(undelete), V(protect), V(resume), V(change_policy),
          V(change_disks), V(stop) and V(delete).
      type: list
      elements: str
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
    job_id: {type: str, description: The ID of the last job that this task started for the VM.}
    job_ids:
      description: The IDs of all jobs that this task started for the VM.
      type: list
      elements: str
    failure:
      description: The error. V(null) if the VM is in the requested state.
      type: dict
      contains:
        # BEGIN azure_vm_failure, from tests/utils/doc_blocks.py
        name: {type: str, description: "Azure's code, or a name of this collection."}
        code: {type: int, description: "Azure's number of the error. V(null) if it has none."}
        message: {type: str, description: The description of the error.}
        recommended_action: {type: str, description: The recommended action.}
        correlation_id:
          description: The ID by which Microsoft support finds the request, if known.
          type: str
        http_status: {type: int, description: "The HTTP status of Azure's response, if known."}
        vm: {type: str, description: "The resource ID of the VM, if the error concerns one VM."}
        # END azure_vm_failure
  sample:
    - actions: [protect]
      changed: true
      exclude_disk_luns: []
      failure: null
      health_details: []
      health_status: Passed
      id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/app-rg/\
        providers/Microsoft.Compute/virtualMachines/db01"
      include_disk_luns: null
      job_id: 8f0d0a35-2b34-4d0c-9d9c-6d7b3f1f2a11
      job_ids: [8f0d0a35-2b34-4d0c-9d9c-6d7b3f1f2a11]
      last_backup_status: null
      last_backup_time: null
      last_recovery_point: null
      name: db01
      policy: DefaultPolicy
      policy_id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/backup-rg/\
        providers/Microsoft.RecoveryServices/vaults/vault1/backupPolicies/DefaultPolicy"
      policy_type: standard
      protection_state: IRPending
      resource_group: app-rg
      soft_deleted: false
      soft_deleted_until: null
      state: protected
# BEGIN warnings, from tests/utils/doc_blocks.py
warnings:
  description: Problems that did not fail the task.
  returned: when there are any
  type: list
  elements: str
# END warnings
failure:
  description:
    - The error. If some of the VMs failed, it summarizes them, and RV(vms) has the error of each
      VM.
  returned: failure
  type: dict
  contains:
    # BEGIN azure_vm_failure, from tests/utils/doc_blocks.py
    name: {type: str, description: "Azure's code, or a name of this collection."}
    code: {type: int, description: "Azure's number of the error. V(null) if it has none."}
    message: {type: str, description: The description of the error.}
    recommended_action: {type: str, description: The recommended action.}
    correlation_id:
      description: The ID by which Microsoft support finds the request, if known.
      type: str
    http_status: {type: int, description: "The HTTP status of Azure's response, if known."}
    vm: {type: str, description: "The resource ID of the VM, if the error concerns one VM."}
    # END azure_vm_failure
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.protected_vm import (
    PROTECTED_VM,
    protect_vms,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(Module(supports_check_mode=True, **PROTECTED_VM.to_kwargs()), protect_vms)


if __name__ == "__main__":
    main()
