#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module recovery_point_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: recovery_point_info
short_description: List the recovery points of Azure VMs, with their consistency
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Lists the recovery points that a Recovery Services vault has of VMs,
    newest first, with how consistent each is and where its data lies.
  - A VM that was deleted from the vault and is soft-deleted is told of too.
  - A VM of which the vault has nothing is an error. The others are told of all the same.
options:
  started_after:
    description:
      - Only the recovery points of then or later. A date such as V(2026-11-30), or an ISO 8601 time
        such as V(2026-11-30T18:30:00Z), of UTC where it names no other zone.
    type: str
  started_before:
    description:
      - Only the recovery points from before that time. A date means its end.
    type: str
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
  - module: quiesce.azure_backup.vm_backup
  - module: quiesce.azure_backup.protected_vm_info
"""

EXAMPLES = r"""
- name: List a VM's recovery points
  quiesce.azure_backup.recovery_point_info:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
  register: points

- name: Stop when there is no application-consistent one of this week
  ansible.builtin.assert:
    that: >-
      points.vms[0].recovery_points
      | selectattr('consistency', 'equalto', 'application')
      | selectattr('time', 'ge', '2026-11-16')
      | list | length > 0
"""

RETURN = r"""
vms:
  description: The VMs, in the order in which they were given.
  returned: success, and failure once the vault was read
  type: list
  elements: dict
  contains:
    name: {type: str, description: The VM's name.}
    id: {type: str, description: The VM's resource id.}
    state:
      description: Its state in the vault, as M(quiesce.azure_backup.protected_vm) names it.
      type: str
    recovery_points:
      description: Its recovery points, newest first.
      type: list
      elements: dict
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
            - The disks in it. V(null), as Azure names them only when a recovery point is read by
              its id; M(quiesce.azure_backup.vm_backup) does that for the one that it made.
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
    failure:
      description: Why nothing can be told of this VM, as RV(failure). V(null) if it can.
      type: dict
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
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.recovery_point_info import (
    RECOVERY_POINT_INFO_ARGUMENTS,
    list_recovery_points,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=RECOVERY_POINT_INFO_ARGUMENTS,
        **vms_rules(),
        supports_check_mode=True,
    )
    run_vault_module(module, list_recovery_points)


if __name__ == "__main__":
    main()
