#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module snapshot_scripts_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_scripts_info
short_description: Check whether the scripts for application-consistent backups would run on a VM
version_added: 0.1.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the VM, as root.
  - Reads the plugin-host file, the configuration and the scripts. Reports what Azure Backup's agent
    and M(quiesce.azure_backup.vm_snapshot) would do with them in a backup at this time.
  - Reports every error by its documented name, in the order in which the agent would detect them.
    The agent itself stops at the first error.
  - The agent runs every script with C(sh) and ignores the first line. The module reads the first
    line and checks the syntax with C(sh), which runs nothing of the script. A first line with
    another interpreter is a finding, even if the script also runs with C(sh).
  - The rules follow the agent's published sources. If the agent accepts more than its documentation
    allows, the module warns.
options:
  config_path:
    description:
      - The path of the configuration. The agent reads the default path. Other paths are for tests,
        and require a plugin-host file that names them.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
  plugin_host_path:
    description:
      - The path of the agent's plugin-host file. If the file is missing, the agent uses its own
        copy.
    type: path
    default: /etc/azure/VMSnapshotPluginHost.conf
  workload_path:
    description:
      - The path of the agent's file for databases that the agent itself quiesces. If the file names
        a workload, the agent runs no scripts. The file is optional.
    type: path
    default: /etc/azure/workload.conf
    version_added: 0.2.0
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
seealso:
  - module: quiesce.azure_backup.snapshot_scripts
  - module: quiesce.azure_backup.vm_snapshot
"""

EXAMPLES = r"""
- name: Check whether the next backup would be application-consistent
  become: true
  quiesce.azure_backup.snapshot_scripts_info:
  register: scripts

- name: Show the errors and the recommended actions
  ansible.builtin.debug:
    msg: "{{ item.applies_to }} {{ item.name }}: {{ item.message }} {{ item.recommended_action }}"
  loop: "{{ scripts.findings }}"
  loop_control:
    label: "{{ item.name }}"

- name: Fail if the scripts would not run
  ansible.builtin.assert:
    that: scripts.ready
    fail_msg: "The next backup would be {{ scripts.expected_consistency }}-consistent."
"""

RETURN = r"""
ready:
  description:
    - V(true) if Azure Backup's agent and M(quiesce.azure_backup.vm_snapshot) would both run the
      pre-script and the post-script. With V(false), RV(findings[].applies_to) names the programs
      that would not.
  returned: success
  type: bool
  sample: true
expected_consistency:
  description:
    - The consistency of the agent's next backup, if its scripts succeed and the disks can be
      frozen. V(application), V(file-system), V(crash), or V(none) if the backup would fail.
    - This is the actual consistency. With a plugin-host file that names no plugin, the agent
      reports an application-consistent backup although no script ran.
  returned: success
  type: str
  sample: application
findings:
  description:
    - The errors by their documented names. Empty if both programs would run the scripts.
    - An error that both programs would report under one name is listed once, in the agent's words.
      RV(vm_snapshot.findings) lists all errors of M(quiesce.azure_backup.vm_snapshot).
  returned: success
  type: list
  elements: dict
  contains:
    # BEGIN guest_failure, from tests/utils/doc_blocks.py
    name:
      description:
        - The name of the error, such as V(Pre-ScriptExecutionFailed). It is the documented name
          of the framework if there is one.
      type: str
    code:
      description: The code that Azure Backup's extension reports. V(null) if it has none.
      type: int
    message: {type: str, description: The description of the error.}
    recommended_action: {type: str, description: The recommended action.}
    # END guest_failure
    applies_to:
      description:
        - The programs that would not run the scripts because of this error. V(agent) is Azure
          Backup's agent, V(vm_snapshot) is M(quiesce.azure_backup.vm_snapshot).
      type: list
      elements: str
      version_added: 0.2.0
  sample:
    - name: Pre-ScriptNotFound
      applies_to: [agent, vm_snapshot]
      code: 302
      message: The pre-script /etc/azure/pre-snapshot.sh does not exist, or is not given by its
        full path.
      recommended_action: Put the pre-script where preScriptLocation says, or correct
        preScriptLocation.
vm_snapshot:
  description:
    - The decision of M(quiesce.azure_backup.vm_snapshot). Unlike the agent, it follows the
      documentation strictly and requires that only root can write the files.
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(ready) if the scripts would run.
        - V(absent) if the configuration is missing, so that no scripts run.
        - V(unusable) if the configuration cannot be read or trusted, or has an invalid value, so
          that no scripts run.
        - V(untrusted_scripts) if a script is missing, cannot be trusted or cannot be started, so
          that C(continueBackupOnFailure) decides.
      type: str
    expected_consistency:
      description: The consistency, as in RV(expected_consistency).
      type: str
    findings:
      description: The errors, as in RV(findings).
      type: list
      elements: dict
  sample: {"expected_consistency": "application", "findings": [], "state": "ready"}
config:
  description:
    - The configuration, in the form of the options of M(quiesce.azure_backup.snapshot_scripts).
      V(null) if it is missing or M(quiesce.azure_backup.vm_snapshot) could not use it.
  returned: success
  type: dict
  # BEGIN script_config_sample, from tests/utils/doc_blocks.py
  sample:
    continue_backup_on_failure: true
    fs_freeze_enabled: true
    post_script_location: /etc/azure/post-snapshot.sh
    post_script_no_of_retries: 2
    post_script_params: []
    pre_script_location: /etc/azure/pre-snapshot.sh
    pre_script_no_of_retries: 0
    pre_script_params: []
    timeout_in_seconds: 60
  # END script_config_sample
warnings:
  description:
    - Problems that do not prevent the scripts from running. Examples are keys that neither program
      reads, and settings that the agent accepts against its documentation.
  returned: when there are any
  type: list
  elements: str
failure:
  description: The error, if the module could not read the files.
  returned: failure
  type: dict
  contains:
    # BEGIN guest_failure, from tests/utils/doc_blocks.py
    name:
      description:
        - The name of the error, such as V(Pre-ScriptExecutionFailed). It is the documented name
          of the framework if there is one.
      type: str
    code:
      description: The code that Azure Backup's extension reports. V(null) if it has none.
      type: int
    message: {type: str, description: The description of the error.}
    recommended_action: {type: str, description: The recommended action.}
    # END guest_failure
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    Module,
    run_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.snapshot_scripts import (
    SNAPSHOT_SCRIPTS_INFO,
    inspect_scripts,
)


def main() -> None:
    """Run the module."""
    run_module(
        Module(supports_check_mode=True, **SNAPSHOT_SCRIPTS_INFO.to_kwargs()), inspect_scripts
    )


if __name__ == "__main__":
    main()
