#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_extension_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_extension_info
short_description: Return the status of the VM agent and the extensions of Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Azure Backup reaches a VM by its VM agent and by the extension VMSnapshotLinux (VMSnapshot on
    Windows). The agent installs this extension during the first backup.
  - Returns Azure's status of the agent and of all extensions of a VM, and the problems that prevent
    a backup.
  - The status of the agent and extensions dates from when the VM last ran. For a VM that does not
    run it may be outdated or missing, and RV(vms[].current) is V(false).
  - Requires no vault, but a role with permission to read the VMs, such as Reader.
  - If a VM cannot be read, the module still reads the others, and the task fails at the end. The
    result contains all VMs.
options:
  vault:
    description:
      - Not used to contact a vault. The option exists so that C(module_defaults) of the action
        group C(quiesce.azure_backup.azure) can contain it.
      - If it is a resource ID, its subscription and resource group are the defaults for the VMs.
    type: str
  resource_group:
    description:
      - The resource group of VMs that are given by name only, if O(vm_resource_group) is omitted.
    type: str
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault.vms
requirements:
  - azure-mgmt-compute >= 33.0
seealso:
  - module: quiesce.azure_backup.snapshot_scripts_info
  - module: quiesce.azure_backup.vm_backup
"""

EXAMPLES = r"""
- name: Read the extensions of two VMs
  quiesce.azure_backup.vm_extension_info:
    vms: [app-rg/db01, app-rg/db02]
  register: found

- name: Show the problems that prevent backups
  ansible.builtin.debug:
    msg: "{{ item.message }} {{ item.recommended_action }}"
  loop: "{{ found.vms | map(attribute='findings') | flatten }}"
  loop_control:
    label: "{{ item.name }}"

- name: Fail if the agent of a VM is not ready
  ansible.builtin.assert:
    that: found.vms | map(attribute="agent.state") | unique == ["ready"]
"""

RETURN = r"""
vms:
  description: The VMs in the order of the options.
  returned: always, unless an option is invalid
  type: list
  elements: dict
  contains:
    name: {type: str, description: "The name of the VM, as given."}
    resource_group: {type: str, description: The resource group of the VM.}
    id: {type: str, description: The resource ID of the VM.}
    os_type: {type: str, description: "V(Linux) or V(Windows)."}
    provisioning_state: {type: str, description: The state of the last change of the VM.}
    power_state:
      description: Such as V(running), V(deallocated) or V(stopped). V(null) if it is not known.
      type: str
    current:
      description:
        - V(true) if the VM runs, so that the status of its agent and extensions is current.
      type: bool
    agent:
      description: The VM agent.
      type: dict
      contains:
        state:
          description:
            - V(ready), V(not_ready), or V(absent) if Azure knows no agent.
          type: str
        version: {type: str, description: "The version. V(null) if it is not known."}
        statuses:
          description: The statuses that the agent reports.
          type: list
          elements: dict
          contains:
            code: {type: str, description: "Azure's code."}
            level: {type: str, description: "V(Info), V(Warning) or V(Error)."}
            display_status: {type: str, description: The short form of the status.}
            message: {type: str, description: The message of the status.}
            time: {type: str, description: The time of the status.}
    snapshot_extension:
      description:
        - The extension that takes snapshots for Azure Backup, as in RV(vms[].extensions). V(null)
          if it is not installed, as before the first backup.
      type: dict
    extensions:
      description: The extensions, with the one of Azure Backup first.
      type: list
      elements: dict
      contains:
        name: {type: str, description: The name of the extension on this VM.}
        publisher: {type: str, description: The publisher of the extension.}
        type: {type: str, description: "The type of the extension, such as V(VMSnapshotLinux)."}
        version: {type: str, description: The installed version.}
        provisioning_state: {type: str, description: "Such as V(Succeeded) or V(Failed)."}
        message: {type: str, description: "The message of its status. Errors take precedence."}
        statuses:
          description: All statuses of the extension, as in RV(vms[].agent.statuses).
          type: list
          elements: dict
    findings:
      description: The problems that prevent a backup. Empty without problems.
      type: list
      elements: dict
      contains:
        name:
          description:
            - Azure's name of the problem, such as V(UserErrorGuestAgentStatusUnavailable), or a
              name of this collection. The latter are V(VmNotRunning), V(ExtensionFailed),
              V(VmProvisioningStateUnknown) and V(ExtensionStateUnknown).
          type: str
        message: {type: str, description: The description of the problem.}
        recommended_action: {type: str, description: The recommended action.}
    failure:
      description: The error, as in RV(failure). V(null) if the VM was read.
      type: dict
  sample:
    - name: db01
      resource_group: app-rg
      id: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/app-rg/providers/\
        Microsoft.Compute/virtualMachines/db01"
      os_type: Linux
      provisioning_state: Succeeded
      power_state: running
      current: true
      agent: {state: ready, statuses: [], version: 2.13.1.1}
      snapshot_extension: null
      extensions: []
      findings: []
      failure: null
failure:
  description: The first error.
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

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    Module,
    run_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_extension_info import (
    VM_EXTENSION_INFO,
    list_extensions,
)


def main() -> None:
    """Run the module."""
    run_module(Module(supports_check_mode=True, **VM_EXTENSION_INFO.to_kwargs()), list_extensions)


if __name__ == "__main__":
    main()
