#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module protectable_vm_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: protectable_vm_info
short_description: Discover the Azure VMs that a Recovery Services vault could protect
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Lets a Recovery Services vault look for new VMs, waits for that, and
    shows those that it could protect and nobody protects yet.
  - Those are VMs of the vault's subscription and region. One that is missing may be protected by
    another vault, or soft-deleted in one; M(quiesce.azure_backup.protected_vm) says why when it is
    asked to protect it.
options:
  refresh:
    description:
      - Whether the vault shall look for new VMs first. That takes from some seconds to minutes.
        Not done in check mode.
      - While the vault is looking for somebody else, the module waits for that first.
    type: bool
    default: true
  timeout:
    description:
      - The longest time to wait for the vault, in seconds.
    type: int
    default: 900
  poll_interval:
    description:
      - The shortest pause between two looks whether the vault has done, in seconds, at least 0.1.
    type: float
    default: 5.0
attributes:
  check_mode:
    support: full
    details: The vault is not told to look for new VMs.
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
    details: The module changes nothing but what the vault knows.
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
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

- name: Protect all of one resource group
  quiesce.azure_backup.protected_vm:
    resource_group: backup-rg
    vault: vault1
    vms: "{{ found.vms | selectattr('resource_group', 'eq', 'app-rg') | map(attribute='id') }}"
    policy: DefaultPolicy
"""

RETURN = r"""
vms:
  description: The VMs that can be protected.
  returned: success
  type: list
  elements: dict
  contains:
    name: {type: str, description: The VM's name.}
    id: {type: str, description: The VM's resource id.}
    resource_group: {type: str, description: The VM's resource group.}
    subscription_id: {type: str, description: The VM's subscription.}
    protection_state: {type: str, description: The service's own word.}
  sample:
    - id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/app-rg/\
        providers/Microsoft.Compute/virtualMachines/web01"
      name: web01
      protection_state: NotProtected
      resource_group: app-rg
      subscription_id: 00000000-0000-0000-0000-000000000000
refreshed:
  description: Whether the vault has looked for new VMs.
  returned: success
  type: bool
  sample: true
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
    PROTECTABLE_VM_INFO,
    list_protectable_vms,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    module = Module(supports_check_mode=True, **PROTECTABLE_VM_INFO)
    run_vault_module(module, list_protectable_vms)


if __name__ == "__main__":
    main()
