#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_backup
short_description: Back up Azure VMs now, and say how consistent the backups are
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Asks a Recovery Services vault for a backup of one VM or many that it
    protects, waits until the jobs are over, finds the recovery point that each job has made, and
    says how consistent it is.
  - A job that Azure calls completed may have made a less consistent recovery point than you rely
    on. Azure falls back to a crash-consistent snapshot when it cannot take a better one. With
    O(require_consistency) that is a failure.
  - All VMs of a task share the looks at the jobs, so back up many VMs with one task, not in a loop.
  - The VMs that the vault does not protect, whose backup was stopped, or that are soft-deleted are
    found out before anything is sent; the others are backed up. One VM's failure leaves the others
    alone. The task fails at the end then, and RV(vms) has what became of each.
  - While it waits, and with C(-v), a line of progress is shown whenever something has changed.
    Into a pipe or a file, Ansible writes it at once only when E(PYTHONUNBUFFERED) is set.
options:
  retain_until:
    description:
      - How long the recovery points are kept. A date such as V(2027-01-31), which means the end of
        that day in UTC, or an ISO 8601 time such as V(2027-01-31T18:30:00Z).
      - It must be in the future, and at most 99 years from now. Without it Azure keeps the
        recovery points for 30 days.
    type: str
  require_consistency:
    description:
      - The least consistency that each recovery point must have. The task fails when it is not
        reached. The recovery point is kept all the same.
      - V(application) needs a pre-script and a post-script on the VM, see
        M(quiesce.azure_backup.snapshot_scripts).
      - Cannot be combined with O(wait=false).
    type: str
    choices: [application, file-system, crash]
  wait:
    description:
      - Whether to wait until the jobs are over and their recovery points are found.
      - With V(false), RV(vms[].job_id) is the job that was started, and
        M(quiesce.azure_backup.backup_job) can wait for it later.
  timeout:
    description:
      - The longest time that the whole task waits, in seconds. What is still going on then goes
        on in Azure, and the VM's failure has its job's id.
      - A backup takes from half an hour to several hours.
    type: int
    default: 28800
attributes:
  check_mode:
    support: full
    details: Says which VMs would be backed up, and fails for those that could not be.
  diff_mode:
    support: none
    details: There is nothing to compare. A backup adds a recovery point.
  idempotent:
    support: none
    details: Each run makes a backup.
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.vms
  - quiesce.azure_backup._vault.wait
seealso:
  - module: quiesce.azure_backup.protected_vm
  - module: quiesce.azure_backup.backup_job
  - module: quiesce.azure_backup.recovery_point_info
  - module: quiesce.azure_backup.snapshot_scripts_info
    description: Says on the VM whether its scripts would run.
"""

EXAMPLES = r"""
- name: Back up a database before its upgrade, and go on only with a good backup
  quiesce.azure_backup.vm_backup:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    require_consistency: application
    retain_until: "{{ now(utc=true).year + 1 }}-12-31"
  register: backup

- name: Say what was made
  ansible.builtin.debug:
    msg: "{{ backup.vms[0].recovery_point.time }}: {{ backup.consistency }}-consistent"

- name: Start the backups of several VMs
  quiesce.azure_backup.vm_backup:
    resource_group: backup-rg
    vault: vault1
    vms: [app-rg/db01, app-rg/db02, app-rg/web01]
    wait: false
  register: started

- name: Wait for them later
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
    job_ids: "{{ started.vms | map(attribute='job_id') }}"
    wait: true
"""

RETURN = r"""
vms:
  description: What became of each VM, in the order in which they were given.
  returned: success, and failure once the vault was read
  type: list
  elements: dict
  contains:
    name: {type: str, description: The VM's name.}
    id: {type: str, description: The VM's resource id.}
    changed: {type: bool, description: "Whether a backup was started, or would be in check mode."}
    job_id: {type: str, description: "The id of the backup's job."}
    status:
      description: The status of the job, Azure's word. V(null) in check mode, and without a job.
      type: str
    consistency:
      description: How consistent the recovery point is, V(application), V(file-system) or V(crash).
      type: str
    recovery_point:
      description: The recovery point that the job has made. V(null) when it was not waited for.
      type: dict
      contains:
        recovery_point_id: {type: str, description: "The recovery point's id, a number."}
        consistency:
          description:
            - V(application), V(file-system) or V(crash). V(null) for a kind that is not known.
          type: str
        type: {type: str, description: "Azure's own word, such as V(FileSystemConsistent)."}
        time: {type: str, description: "When the snapshot was taken, in UTC."}
        expiry_time: {type: str, description: "When it expires, in UTC, where Azure says so."}
        tiers:
          description: Where the data is.
          type: list
          elements: dict
          contains:
            type:
              description:
                - V(InstantRP) for the snapshot, V(HardenedRP) for the vault, V(ArchivedRP) for the
                  archive.
              type: str
            status: {type: str, description: "V(Valid), V(Deleted), V(Disabled) or V(Rehydrated)."}
        os_type: {type: str, description: "V(Linux) or V(Windows)."}
        encrypted: {type: bool, description: Whether the VM's disks were encrypted.}
        security_type: {type: str, description: "The VM's security type, such as V(TrustedLaunch)."}
        vm_size: {type: str, description: The VM's size at that time.}
        created_with_policy_type:
          description:
            - Azure's C(createdWithPolicyType), V(V1) or V(V2). It is not the type of the VM's
              policy. Azure was seen to return V(V2) under a standard policy.
          type: str
        managed_disks: {type: bool, description: Whether the VM's disks are managed disks.}
        included_disk_count:
          description:
            - How many disks the recovery point holds, the OS disk among them. V(null) where Azure
              gives no number, as it does for VMs of which no disk is excluded.
          type: int
        attached_disk_count:
          description:
            - How many disks the VM had, the OS disk among them. V(null) where Azure gives no
              number.
          type: int
        included_disks:
          description:
            - The disks in it. V(null) where Azure does not name them.
          type: list
          elements: dict
          contains:
            lun: {type: int, description: "The disk's LUN. V(-1) is the OS disk."}
            name: {type: str, description: The disk's name.}
        excluded_disks:
          description:
            - The disks that are not in it, as far as Azure names them. The list may be empty
              although disks were left out, so compare the two counts.
          type: list
          elements: dict
          contains:
            lun: {type: int, description: The disk's LUN.}
            name: {type: str, description: The disk's name.}
    warnings:
      description:
        - What Azure says of a backup that completed with warnings, and which disks of the VM the
          recovery point does not hold.
      type: list
      elements: str
    failure:
      description: Why this VM was not backed up as asked for, as RV(failure). V(null) if it was.
      type: dict
consistency:
  description:
    - The least consistency of all VMs. V(null) when that of any is not known, as with
      O(wait=false).
  returned: success, and failure once the vault was read
  type: str
  sample: application
warnings:
  description: All warnings of the VMs.
  returned: when there is any
  type: list
  elements: str
failure:
  description: What failed.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: "The name of the error, Azure's own where it has one."}
    code: {type: int, description: The number that Azure has for the error of a job.}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
    correlation_id: {type: str, description: What Microsoft's support finds the request by.}
    http_status: {type: int, description: The status of Azure's answer.}
    vm: {type: str, description: The resource id of the VM that it concerns.}
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.options import vms_rules
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_backup import (
    VM_BACKUP_ARGUMENTS,
    back_up,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=VM_BACKUP_ARGUMENTS,
        **vms_rules(),
        supports_check_mode=True,
    )
    run_vault_module(module, back_up)


if __name__ == "__main__":
    main()
