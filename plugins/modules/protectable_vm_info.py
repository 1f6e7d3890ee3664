#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protectable_vm_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protectable_vm_info
short_description: Discover the Azure VMs that a Recovery Services vault can protect
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Starts the discovery of new VMs in a Recovery Services vault and waits until it has finished.
    Then returns the VMs that the vault can protect and that are not protected yet.
  - The vault discovers VMs of its own subscription and region.
  - A VM may be missing because another vault protects it or holds its soft-deleted data.
    M(quiesce.azure_backup.protected_vm) reports the reason when it cannot protect a VM.
options:
  refresh:
    description:
      - Whether the vault discovers new VMs first. This takes from a few seconds to several minutes.
      - If a discovery is already running, the module first waits until it has finished.
      - Ignored in check mode.
    type: bool
    default: true
  timeout:
    description:
      - The maximum time to wait for the discovery, in seconds.
      - The minimum is 1.
    type: int
    default: 900
  poll_interval:
    description:
      - The shortest interval between two polls of the discovery, in seconds.
      - The minimum is 0.1.
    type: float
    default: 5.0
attributes:
  check_mode:
    support: full
    details: Does not start a discovery.
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
    details: A discovery only updates the vault's list of VMs.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.protected_vm
"""

EXAMPLES = r"""
- name: Discover VMs
  quiesce.azure_backup.protectable_vm_info:
    resource_group: backup-rg
    vault: vault1
  register: found

- name: Protect all VMs of one resource group
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vms: "{{ found.vms | selectattr('resource_group', 'eq', 'app-rg') | map(attribute='id') }}"
    policy: DefaultPolicy
"""

RETURN = r"""
vms:
  description: The VMs that the vault can protect.
  returned: success
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the VM.}
    id: {type: str, description: The resource ID of the VM.}
    resource_group: {type: str, description: The resource group of the VM.}
    subscription_id: {type: str, description: The subscription of the VM.}
    protection_state: {type: str, description: "Azure's name of the protection state."}
  sample:
    - id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/app-rg/\
        providers/Microsoft.Compute/virtualMachines/web01"
      name: web01
      protection_state: NotProtected
      resource_group: app-rg
      subscription_id: 00000000-0000-0000-0000-000000000000
refreshed:
  description: V(true) if the vault discovered new VMs first.
  returned: success
  type: bool
  sample: true
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
    PROTECTABLE_VM_INFO,
    list_protectable_vms,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(
        Module(supports_check_mode=True, **PROTECTABLE_VM_INFO.to_kwargs()), list_protectable_vms
    )


if __name__ == "__main__":
    main()
