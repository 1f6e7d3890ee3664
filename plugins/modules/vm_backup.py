#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_backup."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_backup
short_description: Back up Azure VMs on demand and report the consistency of the backups
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Starts a backup of one or more VMs that a Recovery Services vault protects, and waits until the
    jobs have finished. Then finds the recovery point of each job and reports its consistency.
  - A completed job does not guarantee the consistency that you rely on. Azure falls back to a
    crash-consistent snapshot if it cannot take a better one. With O(require_consistency), the task
    then fails.
  - All VMs of a task share the polls of the jobs. Back up several VMs with one task instead of a
    loop.
  - The module detects VMs that are not protected, stopped or soft-deleted before it sends a
    request, and backs up the others. If one VM fails, the module still processes the others, and
    the task fails at the end. RV(vms) lists the outcome of each VM.
  - With C(-v), the task prints a progress line on each change while it waits. Ansible buffers these
    lines when it writes to a pipe or a file, unless E(PYTHONUNBUFFERED) is set.
options:
  retain_until:
    description:
      - The time until which Azure keeps the recovery points. A date such as V(2027-01-31), which
        means the end of that day in UTC, or an ISO 8601 time such as V(2027-01-31T18:30:00Z).
      - Defaults to 30 days, as set by Azure.
      - Must be in the future, and at most 99 years from now.
    type: str
  require_consistency:
    description:
      - The minimum consistency of each recovery point. The task fails if a recovery point has a
        lower consistency. The recovery point is kept.
      - If this is omitted, any consistency is accepted.
      - V(application) requires a pre-script and a post-script on the VM, see
        M(quiesce.azure_backup.snapshot_scripts).
      - Requires O(wait=true).
    type: str
    choices: [application, file-system, crash]
  wait:
    description:
      - Whether to wait until the jobs have finished and their recovery points are found.
      - With V(false), RV(vms[].job_id) is the started job. M(quiesce.azure_backup.backup_job) can
        wait for it later.
  timeout:
    description:
      - The maximum time to wait in the whole task, in seconds. A backup takes from half an hour to
        several hours.
      - Jobs continue in Azure after a timeout. The failure of the VM names the job.
      - The minimum is 1.
    type: int
    default: 28800
attributes:
  check_mode:
    support: full
    details: Returns the VMs that would be backed up, and fails for VMs that cannot be backed up.
  diff_mode:
    support: none
    details: A backup adds a recovery point, so there is nothing to compare.
  idempotent:
    support: none
    details: Each run takes a backup.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.vms
  - quiesce.azure_backup._vault.wait
seealso:
  - module: quiesce.azure_backup.protected_vm
  - module: quiesce.azure_backup.backup_job
  - module: quiesce.azure_backup.recovery_point_info
  - module: quiesce.azure_backup.snapshot_scripts_info
    description: Checks on the VM whether its scripts would run.
"""

EXAMPLES = r"""
- name: Back up a database before its upgrade, and require consistency
  quiesce.azure_backup.vm_backup:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    require_consistency: application
    retain_until: "{{ now(utc=true).year + 1 }}-12-31"
  register: backup

- name: Show the recovery point
  ansible.builtin.debug:
    msg: "{{ backup.vms[0].recovery_point.time }}: {{ backup.consistency }}-consistent"

- name: Start the backups of several VMs
  quiesce.azure_backup.vm_backup:
    resource_group: backup-rg
    vault: vault1
    vms: [app-rg/db01, app-rg/db02, app-rg/web01]
    wait: false
  register: started

- name: Wait for these backups later
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
    job_ids: "{{ started.vms | map(attribute='job_id') }}"
    wait: true
"""

RETURN = r"""
vms:
  description: The outcome of each VM, in the order of the options.
  returned: success, and failure after the vault was read
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the VM.}
    id: {type: str, description: The resource ID of the VM.}
    changed: {type: bool, description: "V(true) if a backup started, or would in check mode."}
    job_id: {type: str, description: The ID of the backup job.}
    status:
      description: Azure's status of the job. V(null) in check mode, and without a job.
      type: str
    consistency:
      description:
        - The consistency of the recovery point. V(application), V(file-system) or V(crash). V(null)
          if it is not known.
      type: str
    recovery_point:
      description: The recovery point of the job. V(null) with O(wait=false), and without one.
      type: dict
      contains:
        # BEGIN recovery_point, from tests/utils/doc_blocks.py
        recovery_point_id: {type: str, description: "The ID of the recovery point, a number."}
        consistency:
          description:
            - V(application), V(file-system) or V(crash). V(null) if the type is not known.
          type: str
        type: {type: str, description: "Azure's type, such as V(FileSystemConsistent)."}
        time: {type: str, description: "The time of the snapshot, in UTC."}
        expiry_time: {type: str, description: "The expiry time, in UTC, if Azure returns it."}
        tiers:
          description: The storage tiers of the data.
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
        encrypted: {type: bool, description: V(true) if the disks of the VM were encrypted.}
        security_type:
          description: The security type of the VM, such as V(TrustedLaunch).
          type: str
        vm_size: {type: str, description: The size of the VM at the time of the snapshot.}
        created_with_policy_type:
          description:
            - Azure's C(createdWithPolicyType), V(V1) or V(V2). It may differ from the type of the
              policy. Azure has returned V(V2) under a standard policy.
          type: str
        managed_disks: {type: bool, description: V(true) if the disks of the VM are managed disks.}
        included_disk_count:
          description:
            - The number of disks in the recovery point, including the operating system disk.
              V(null) if Azure returns no number, as for VMs without excluded disks.
          type: int
        attached_disk_count:
          description:
            - The number of disks of the VM, including the operating system disk. V(null) if Azure
              returns no number.
          type: int
        included_disks:
          description:
            - The disks in the recovery point. V(null) if Azure does not name them. Azure names them
              only for a recovery point that is requested by ID.
              M(quiesce.azure_backup.vm_backup) does so, M(quiesce.azure_backup.recovery_point_info)
              does not.
          type: list
          elements: dict
          contains:
            lun:
              description: The LUN of the disk. V(-1) is the operating system disk.
              type: int
            name: {type: str, description: The name of the disk.}
        excluded_disks:
          description:
            - The disks that are not in the recovery point, as far as Azure names them. The list may
              be empty although disks were excluded, so compare the two counts.
          type: list
          elements: dict
          contains:
            lun: {type: int, description: The LUN of the disk.}
            name: {type: str, description: The name of the disk.}
        # END recovery_point
    warnings:
      description:
        - Azure's message for a backup that completed with warnings, and the disks that the recovery
          point does not hold.
      type: list
      elements: str
    failure:
      description: The error, as in RV(failure). V(null) if the VM was backed up as requested.
      type: dict
consistency:
  description:
    - The lowest consistency of all VMs. V(null) if it is not known for every VM, as with
      O(wait=false).
  returned: success, and failure after the vault was read
  type: str
  sample: application
warnings:
  description: The warnings of all VMs.
  returned: when there are any
  type: list
  elements: str
failure:
  description: The error.
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
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_backup import (
    VM_BACKUP,
    back_up,
)


def main() -> None:
    """Run the module."""
    run_vault_module(Module(supports_check_mode=True, **VM_BACKUP.to_kwargs()), back_up)


if __name__ == "__main__":
    main()
