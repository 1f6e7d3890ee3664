#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_extension_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_extension_info
short_description: Show the VM agent and the extensions of Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Azure Backup reaches a VM by its VM agent and by the extension
    VMSnapshotLinux (VMSnapshot on Windows), which the agent installs with the first backup. This
    module shows the state of both, and of the VM's other extensions, as Azure knows them, and
    names what stands in the way of a backup.
  - What a VM says of its agent and its extensions is of when it ran last. Of a VM that does not
    run it is old or missing, which is said.
  - Needs no vault, but a role that may read the VMs, such as Reader.
  - A VM that cannot be read leaves the others alone; the task fails at its end, and the result
    has what there is of each.
options:
  vault:
    description:
      - Not needed, and not read. It is here so that C(module_defaults) of the action group
        C(quiesce.azure_backup.azure) may have it. Where it is a resource id, its subscription and
        its resource group are the defaults of those of the VMs.
    type: str
  resource_group:
    description:
      - The resource group of VMs that are given by their name alone, unless O(vm_resource_group)
        says otherwise.
    type: str
attributes:
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault.vms
requirements:
  - azure-mgmt-compute >= 33.0
seealso:
  - module: quiesce.azure_backup.snapshot_scripts_info
  - module: quiesce.azure_backup.vm_backup
"""

EXAMPLES = r"""
- name: Look at the extensions of two VMs
  quiesce.azure_backup.vm_extension_info:
    vms: [app-rg/db01, app-rg/db02]
  register: found

- name: Say what stands in the way of their backups
  ansible.builtin.debug:
    msg: "{{ item.message }} {{ item.recommended_action }}"
  loop: "{{ found.vms | map(attribute='findings') | flatten }}"
  loop_control:
    label: "{{ item.name }}"

- name: Stop when the agent of one is not ready
  ansible.builtin.assert:
    that: found.vms | map(attribute="agent.state") | unique == ["ready"]
"""

RETURN = r"""
vms:
  description: The VMs, in the order in which they were given.
  returned: always, unless the options are wrong
  type: list
  elements: dict
  contains:
    name: {type: str, description: "The VM's name, as it was given."}
    resource_group: {type: str, description: Its resource group.}
    id: {type: str, description: Its resource id.}
    os_type: {type: str, description: "C(Linux) or C(Windows)."}
    provisioning_state: {type: str, description: "The state of the VM's last change."}
    power_state:
      description: "V(running), V(deallocated), V(stopped) and the like. V(null) if not known."
      type: str
    current:
      description: Whether the VM runs, so that what is said of its agent and extensions is of now.
      type: bool
    agent:
      description: The VM agent.
      type: dict
      contains:
        state:
          description:
            - V(ready), V(not_ready), or V(absent) where Azure knows of none.
          type: str
        version: {type: str, description: "The version. V(null) if not known."}
        statuses:
          description: What the agent says of itself.
          type: list
          elements: dict
          contains:
            code: {type: str, description: "Azure's code."}
            level: {type: str, description: "C(Info), C(Warning) or C(Error)."}
            display_status: {type: str, description: The status in short.}
            message: {type: str, description: The status in words.}
            time: {type: str, description: When it was said.}
    snapshot_extension:
      description:
        - The extension that takes snapshots for Azure Backup, as one of RV(vms[].extensions).
          V(null) when it is not installed, as before the first backup.
      type: dict
    extensions:
      description: The extensions, that of Azure Backup first.
      type: list
      elements: dict
      contains:
        name: {type: str, description: The name on this VM.}
        publisher: {type: str, description: Who makes it.}
        type: {type: str, description: "What it is, such as C(VMSnapshotLinux)."}
        version: {type: str, description: The version that is installed.}
        provisioning_state: {type: str, description: "C(Succeeded), C(Failed) and the like."}
        message: {type: str, description: "What it says of its state, an error before others."}
        statuses:
          description: All that it says, as for RV(vms[].agent.statuses).
          type: list
          elements: dict
    findings:
      description: What stands in the way of a backup. Empty when all is well.
      type: list
      elements: dict
      contains:
        name:
          description:
            - Azure's name for it where it has one, such as
              C(UserErrorGuestAgentStatusUnavailable). C(VmNotRunning), C(ExtensionFailed),
              C(VmProvisioningStateUnknown) and C(ExtensionStateUnknown) are ours.
          type: str
        message: {type: str, description: What is wrong.}
        recommended_action: {type: str, description: What to do about it.}
    failure:
      description: Why the VM could not be read, as RV(failure). V(null) if it was.
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
  description: What failed first.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: "Azure's code, or the name of what is wrong with the options."}
    code: {type: int, description: "Azure's number, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
    correlation_id: {type: str, description: "What Microsoft's support finds the request by."}
    http_status: {type: int, description: "The status of Azure's answer."}
    vm: {type: str, description: "The VM's resource id."}
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.options import vms_rules
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_extension_info import (
    extension_arguments,
    run_extensions_module,
)


def main() -> None:
    """Run the module."""
    module = Module(argument_spec=extension_arguments(), supports_check_mode=True, **vms_rules())
    run_extensions_module(module)


if __name__ == "__main__":
    main()
