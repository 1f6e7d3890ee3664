#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module snapshot_scripts_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_scripts_info
short_description: Say whether the scripts for application-consistent backups would run on a VM
version_added: 0.1.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the VM itself, as root. Looks at the plugin-host file, the configuration and the
    scripts, and says what Azure Backup's agent would do with them right now, and what
    M(quiesce.azure_backup.vm_snapshot) would do.
  - Every error that applies is reported by its documented name, in the order in which the agent
    would come upon them; the agent itself stops at the first.
  - The agent runs every script by C(sh), whatever its first line says. The module reads the first
    line, and asks C(sh) for its opinion of the syntax, which runs nothing of the script. A script
    whose first line names another interpreter is a finding, also when it happens to run by C(sh).
  - The rules are those of the agent's published sources. Where the agent accepts more than its
    documentation, that is a warning.
options:
  config_path:
    description:
      - The configuration. The agent reads the default; another place is for tests, and needs a
        plugin-host file that names it.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
  plugin_host_path:
    description:
      - The agent's plugin-host file. When it is missing the agent uses its own copy.
    type: path
    default: /etc/azure/VMSnapshotPluginHost.conf
  workload_path:
    description:
      - The agent's file for databases that it prepares by itself. When it names a workload, the
        agent runs no scripts. It may be missing.
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
- name: Look whether the next backup would be application-consistent
  become: true
  quiesce.azure_backup.snapshot_scripts_info:
  register: scripts

- name: Say what is wrong, and what to do
  ansible.builtin.debug:
    msg: "{{ item.applies_to }} {{ item.name }}: {{ item.message }} {{ item.recommended_action }}"
  loop: "{{ scripts.findings }}"
  loop_control:
    label: "{{ item.name }}"

- name: Stop when the scripts would not run
  ansible.builtin.assert:
    that: scripts.ready
    fail_msg: "The next backup would be {{ scripts.expected_consistency }}-consistent."
"""

RETURN = r"""
ready:
  description:
    - Whether Azure Backup's agent and M(quiesce.azure_backup.vm_snapshot) would both run the
      pre-script and the post-script. V(false) when either would not; RV(findings[].applies_to)
      says which.
  returned: success
  type: bool
  sample: true
expected_consistency:
  description:
    - The consistency of the agent's next backup, if the scripts that it can run succeed and the
      disks can be frozen. V(application), V(file-system), V(crash), or V(none) when the backup
      would fail. It is what the backup is and not what the agent reports, which with a plugin-host
      file that names no plugin is application-consistent without a script having run.
  returned: success
  type: str
  sample: application
findings:
  description:
    - The errors, by their documented names. Empty when both programs would run the scripts.
    - An error that both programs have under one name is listed once, in the agent's words;
      RV(vm_snapshot.findings) has all of M(quiesce.azure_backup.vm_snapshot).
  returned: success
  type: list
  elements: dict
  contains:
    name: {type: str, description: The documented name of the error.}
    applies_to:
      description:
        - The programs that would not run the scripts for this reason. V(agent) is Azure Backup's
          agent, V(vm_snapshot) is M(quiesce.azure_backup.vm_snapshot).
      type: list
      elements: str
      version_added: 0.2.0
    code: {type: int, description: The code that the agent reports.}
    message: {type: str, description: "What is wrong, and where."}
    recommended_action: {type: str, description: What to do about it.}
  sample:
    - name: Pre-ScriptNotFound
      applies_to: [agent, vm_snapshot]
      code: 302
      message: There is no pre-script at /etc/azure/pre-snapshot.sh.
      recommended_action: Put the pre-script where preScriptLocation says.
vm_snapshot:
  description:
    - What M(quiesce.azure_backup.vm_snapshot) would do. It keeps to the documentation, and asks
      that only root could have written the files, where the agent does not.
  returned: success
  type: dict
  contains:
    state:
      description:
        - V(ready); V(absent) when there is no configuration, so that no scripts run;
          V(unusable) when there is one that cannot be read or trusted, or has a wrong value, so
          that no scripts run either; V(untrusted_scripts) when a script is missing, not trusted
          or cannot be started, so that C(continueBackupOnFailure) decides.
      type: str
    expected_consistency: {type: str, description: "As above, for that module."}
    findings: {type: list, elements: dict, description: "As above, for that module."}
  sample: {"expected_consistency": "application", "findings": [], "state": "ready"}
config:
  description:
    - The configuration, by the names of the options of M(quiesce.azure_backup.snapshot_scripts).
      V(null) when it is missing or M(quiesce.azure_backup.vm_snapshot) could not use it.
  returned: success
  type: dict
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
warnings:
  description:
    - Where the documentation is stricter than the agent, keys that neither program reads, and
      other things that people should know.
  returned: when there is any
  type: list
  elements: str
failure:
  description: What failed, when the module itself could not look.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: The name of the error.}
    code: {type: int, description: Always V(null) here.}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    Module,
    run_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.snapshot_scripts import (
    SCRIPTS_INFO_ARGUMENTS,
    inspect_scripts,
)


def main() -> None:
    """Run the module."""
    module = Module(argument_spec=SCRIPTS_INFO_ARGUMENTS, supports_check_mode=True)
    run_module(module, inspect_scripts)


if __name__ == "__main__":
    main()
