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
  - Runs on the controller.
  - Lists the recovery points that a Recovery Services vault holds for VMs, newest first, with their
    consistency and storage tiers.
  - Soft-deleted VMs are included.
  - The task fails if the vault holds no data for a VM, but still returns the others.
options:
  started_after:
    description:
      - Return only the recovery points taken at this time or later.
      - A date such as V(2026-11-30), or an ISO 8601 time such as V(2026-11-30T18:30:00Z). UTC,
        unless the time names another zone.
    type: str
  started_before:
    description:
      - Return only the recovery points taken before this time, in the form of O(started_after). A
        date means the end of that day.
    type: str
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._attributes.controller
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

- name: Fail without an application-consistent recovery point of this week
  ansible.builtin.assert:
    that: >-
      points.vms[0].recovery_points
      | selectattr('consistency', 'equalto', 'application')
      | selectattr('time', 'ge', '2026-11-16')
      | list | length > 0
"""

RETURN = r"""
vms:
  description: The VMs in the order of the options.
  returned: success, and failure after the vault was read
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the VM.}
    id: {type: str, description: The resource ID of the VM.}
    state:
      description:
        - The state of the VM in the vault, as in M(quiesce.azure_backup.protected_vm_info).
      type: str
    recovery_points:
      description: The recovery points of the VM, newest first.
      type: list
      elements: dict
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
    failure:
      description: The error, as in RV(failure). V(null) if the recovery points were listed.
      type: dict
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
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.recovery_point_info import (
    RECOVERY_POINT_INFO,
    list_recovery_points,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(
        Module(supports_check_mode=True, **RECOVERY_POINT_INFO.to_kwargs()), list_recovery_points
    )


if __name__ == "__main__":
    main()
