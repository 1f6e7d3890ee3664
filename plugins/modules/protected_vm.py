#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protected_vm."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protected_vm
short_description: Protect Azure VMs with a Recovery Services vault, stop that, or undo it
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Brings one VM or many to a state of protection by a Recovery Services
    vault.
  - The vault's list of protected items is compared with what is wanted, and only a difference is
    sent, because the service starts a job for whatever it is sent. All VMs of a task share the
    lists and the looks at the jobs, so protect many VMs with one task, not in a loop.
  - A VM that the vault does not know yet is discovered, once for all VMs of a task. When it still
    cannot be protected, the module finds out why, as far as its credentials may look. It may be
    that there is no such VM, that it is in another region than the vault, protected by another
    vault, soft-deleted there, not running, without a ready VM agent, or has too many data disks.
    Of a VM in another subscription than the vault's nothing is looked up beforehand.
  - One VM's failure leaves the others alone. The task fails at the end then, and RV(vms) has what
    became of each. A second run does what is left.
  - While another operation is at work on a VM, the module waits for it with O(wait=true), until
    O(timeout).
options:
  state:
    description:
      - V(protected) means that backups are made as O(policy) says. A VM whose backups were stopped
        is resumed, and one that is soft-deleted is undeleted, then protected.
      - V(stopped) means that no backups are made and the data is kept. It is an error for a VM
        that the vault does not protect, or whose data is soft-deleted.
      - V(absent) means that the vault neither protects the VM nor has its data. Where soft delete
        is on, the vault still keeps the data for some time; then the VM is reported as
        V(soft_deleted), with the time when the data goes, and counts as absent. It is an error for
        a VM that the vault does not have while it has a VM of that name in another resource group,
        whose data is not soft-deleted, unless the VM is given by its resource id.
      - V(undeleted) means that the data is not soft-deleted. It ends as V(stopped) does, with
        the data kept and no backups made. A VM that is protected or stopped is left as it is.
    type: str
    choices: [protected, stopped, absent, undeleted]
    default: protected
  policy:
    description:
      - The policy, by its name or resource id. Only for O(state=protected), where it is needed
        for every VM that is not protected at the moment. Without it, a VM keeps the one it has.
        With another state it does nothing, which a warning says, as it does of the disks.
      - A policy that the vault does not have, or that is not for Azure VMs, is refused before
        anything is sent.
      - A VM under an Enhanced policy cannot go back to a Standard one; the service refuses that.
    type: str
  include_disk_luns:
    description:
      - The data disks that are backed up, by their LUNs, besides the operating system's disk. A
        disk that is attached later is not backed up.
      - Each LUN is looked for on the VM. One that the VM does not have, or a VM whose disks cannot
        be read, is a failure of that VM, also where the vault lists the LUN already.
      - An empty list is refused. Set O(exclude_all_data_disks=true) to back up the operating
        system's disk alone.
      - Only for O(state=protected). Without it, O(exclude_disk_luns) and
        O(exclude_all_data_disks), a VM keeps what it has, and a new one has all its disks backed
        up.
    type: list
    elements: int
  exclude_disk_luns:
    description:
      - The data disks that are not backed up, by their LUNs. An empty list means that all disks
        are backed up. A disk that is attached later with another LUN is backed up.
      - Each LUN is looked for on the VM, and a warning names the VMs that do not have it. A VM
        whose disks cannot be read fails.
      - Only for O(state=protected).
    type: list
    elements: int
  exclude_all_data_disks:
    description:
      - Set to V(true) to back up the operating system's disk alone. V(false) is the same as leaving
        the option out.
      - Only for O(state=protected). Cannot be used with O(include_disk_luns) or
        O(exclude_disk_luns).
    type: bool
  wait:
    description:
      - Whether to wait until Azure has done what was asked for.
      - With V(false), RV(vms[].job_id) is the job that was started, RV(vms[].state) is what the
        vault lists at that time, and M(quiesce.azure_backup.backup_job) can wait later.
      - A soft-deleted VM that is to be protected is waited for even then until it is undeleted,
        because it cannot be protected before. A VM that another operation is at work on fails.
  timeout:
    description:
      - The longest time that the whole task waits, in seconds. What is still going on then goes
        on in Azure, and the VM's failure has its job's id. At most half of it is spent on the
        discovery of VMs that the vault does not know yet.
    type: int
    default: 3600
attributes:
  check_mode:
    support: full
    details: >-
      Sends nothing that changes anything, so it does not refresh the vault's containers either.
      A VM that the vault does not list yet is expected to be found, unless a reason can be seen
      why it cannot be protected.
  diff_mode:
    support: full
  idempotent:
    support: full
    details: Protection that is as wanted is left alone, and no job is started.
  platform:
    details: The controller, or whatever host the task is delegated to.
requirements:
  - azure-mgmt-compute >= 33.0, to find out why a VM cannot be protected, and to look for their LUNs
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
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

- name: Say how each is protected
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.state }}, policy {{ item.policy }}"
  loop: "{{ protection.vms }}"
  loop_control:
    label: "{{ item.name }}"

- name: Leave the scratch disk of one VM out of its backups
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    exclude_disk_luns: [1]

- name: Back up the operating system's disk of another VM alone
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/web01
    policy: DefaultPolicy
    exclude_all_data_disks: true

- name: Make no more backups of a VM, and keep those that there are
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

- name: Say until when that can be undone
  ansible.builtin.debug:
    msg: "The data goes for good at {{ protection.vms[0].soft_deleted_until }}."
  when: protection.vms[0].soft_deleted

- name: Undo it
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    state: undeleted
"""

RETURN = r"""
vms:
  description:
    - The VMs, in the order in which they were given. As the vault lists them at the end; in check
      mode, as they would be.
  returned: when the options are good and the vault could be read
  type: list
  elements: dict
  contains:
    name: {type: str, description: The VM's name.}
    id: {type: str, description: The VM's resource id.}
    resource_group: {type: str, description: The VM's resource group.}
    changed: {type: bool, description: "Whether anything of this VM was changed, or would be."}
    actions:
      description:
        - What was begun, in this order, the last of it being what failed where something did; in
          check mode, what would be done. Of V(discover), V(undelete), V(protect), V(resume),
          V(change_policy), V(change_disks), V(stop) and V(delete).
      type: list
      elements: str
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
    job_id: {type: str, description: The last job of this task for the VM.}
    job_ids:
      description: All jobs of this task for the VM.
      type: list
      elements: str
    failure:
      description: Why the VM is not as wanted. V(null) when it is.
      type: dict
      contains:
        name:
          description: Azure's code, or the name of what this module found.
          type: str
        code: {type: int, description: "Azure's number, where it has one."}
        message: {type: str, description: What went wrong.}
        recommended_action: {type: str, description: What to do about it.}
        vm: {type: str, description: The VM's resource id.}
        correlation_id: {type: str, description: "What Microsoft's support finds the request by."}
        http_status: {type: int, description: "The status of Azure's answer."}
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
warnings:
  description: What people should know although nothing failed, such as a job's warnings.
  returned: when there is any
  type: list
  elements: str
failure:
  description:
    - What failed. When it was only some of the VMs, it names the first of them, and RV(vms) has
      the failure of each.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: "Azure's code, or the name of what is wrong."}
    code: {type: int, description: "Azure's number, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
    vm: {type: str, description: "The VM's resource id, where it is about one."}
    correlation_id: {type: str, description: "What Microsoft's support finds the request by."}
    http_status: {type: int, description: "The status of Azure's answer."}
"""

from typing import Any, Dict, Mapping

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.connection import (
    VaultConnection,
)
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
    module = Module(supports_check_mode=True, **PROTECTED_VM)

    def act(
        connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
    ) -> Dict[str, Any]:
        return protect_vms(connection, params, check_mode, with_diff=module._diff)

    run_vault_module(module, act)


if __name__ == "__main__":
    main()
