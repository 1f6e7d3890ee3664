#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module snapshot_scripts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_scripts
short_description: Install the pre-script, the post-script and their configuration on a Linux VM
version_added: 0.1.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the VM, as root.
  - Prepares the VM for application-consistent backups with Azure Backup's framework for pre-scripts
    and post-scripts. Azure Backup's agent and M(quiesce.azure_backup.vm_snapshot) both read these
    files.
  - The configuration and both scripts are one unit. The module checks all of them before it writes
    the first file. If a write fails, it restores the files that it wrote before.
  - Each file is replaced atomically by a synced temporary file in the same folder. Root owns all
    files. The configuration has mode 0600 and the scripts have mode 0700, as the framework's
    documentation requires.
  - Missing folders are created, owned by root, with mode 0755.
  - A path is rejected if a user other than root could replace the file. No folder above it may be a
    symbolic link, belong to another user, or be writable by others. The sticky bit does not help.
  - The configuration is always written completely, in the form of the published template. Keys
    without an option are removed, with a warning.
  - A hidden file next to the configuration, C(.VMSnapshotScriptPluginConfig.json.quiesce), records
    the scripts that this module wrote, for O(state=absent).
options:
  state:
    description:
      - V(present) writes the configuration and the scripts.
      - V(absent) removes the configuration and the scripts that this module wrote for it. It uses
        O(config_path) and ignores all other options.
      - V(absent) keeps folders, scripts that were given without content, and scripts that are no
        longer regular files owned by root.
    type: str
    choices: [present, absent]
    default: present
  pre_script_location:
    description:
      - The full path of the pre-script, which quiesces the application before the snapshot.
      - Required with O(state=present).
    type: path
  pre_script_content:
    description:
      - The text of the pre-script, starting with the line C(#!/bin/sh).
      - If this is omitted, the script must exist, and the module sets only its owner and mode.
      - Azure Backup's agent runs every script with C(sh) and ignores the first line.
        M(quiesce.azure_backup.vm_snapshot) uses the interpreter of the first line. The module warns
        about a script that C(sh) cannot run.
      - Diff mode shows the text. Keep secrets out of it, or set C(diff=false) and C(no_log=true)
        for the task.
    type: str
  pre_script_params:
    description: The arguments of the pre-script. No shell expands them.
    type: list
    elements: str
    default: []
  pre_script_no_of_retries:
    description:
      - The number of retries after the pre-script failed. Azure Backup's agent ignores this and
        runs the script once.
    type: int
    default: 0
  post_script_location:
    description:
      - The full path of the post-script, which resumes the application after the snapshot.
      - Required with O(state=present).
    type: path
  post_script_content:
    description: The text of the post-script, as in O(pre_script_content).
    type: str
  post_script_params:
    description: The arguments of the post-script. No shell expands them.
    type: list
    elements: str
    default: []
  post_script_no_of_retries:
    description:
      - The number of retries after the post-script failed. Azure Backup's agent ignores this and
        runs the script once.
    type: int
    default: 0
  timeout_in_seconds:
    description:
      - The time limit of each script over all its attempts, in seconds. The pre-script and the
        post-script each have this limit.
      - Must be from 1 to 1800.
    type: int
    default: 30
  continue_backup_on_failure:
    description:
      - Whether a backup continues with a lower consistency if a script fails. With V(false) the
        backup fails, except on a VM with a single disk.
    type: bool
    default: true
  fs_freeze_enabled:
    description:
      - Whether the filesystems are frozen for the snapshot. Set V(false) only if the application
        requires it.
    type: bool
    default: true
  config_path:
    description:
      - The path of the configuration. The framework reads only the default path. Other paths are
        for tests.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the text of the configuration and the scripts, and their owners and modes.
  idempotent:
    support: full
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
seealso:
  - module: quiesce.azure_backup.snapshot_scripts_info
  - module: quiesce.azure_backup.vm_snapshot
"""

EXAMPLES = r"""
- name: Pause the service while its snapshot is taken
  become: true
  quiesce.azure_backup.snapshot_scripts:
    pre_script_location: /etc/azure/pre-snapshot.sh
    pre_script_content: |
      #!/bin/sh
      exec systemctl kill --signal=STOP orders.service
    post_script_location: /etc/azure/post-snapshot.sh
    post_script_content: |
      #!/bin/sh
      exec systemctl kill --signal=CONT orders.service
    post_script_no_of_retries: 2
    timeout_in_seconds: 60

- name: Use one existing script with different arguments
  become: true
  quiesce.azure_backup.snapshot_scripts:
    pre_script_location: /usr/local/sbin/quiesce-database
    pre_script_params: [begin]
    post_script_location: /usr/local/sbin/quiesce-database
    post_script_params: [end]
    continue_backup_on_failure: false

- name: Remove the configuration and the scripts
  become: true
  quiesce.azure_backup.snapshot_scripts:
    state: absent
"""

RETURN = r"""
config:
  description: The configuration, in the form of the options. V(null) with O(state=absent).
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
written:
  description: The files that were written, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [/etc/azure/pre-snapshot.sh, /etc/azure/VMSnapshotScriptPluginConfig.json]
removed:
  description: The files that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: []
# BEGIN warnings, from tests/utils/doc_blocks.py
warnings:
  description: Problems that did not fail the task.
  returned: when there are any
  type: list
  elements: str
# END warnings
failure:
  description: The error. The module changed nothing.
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
    SNAPSHOT_SCRIPTS,
    apply_scripts,
)


def main() -> None:
    """Run the module."""
    run_module(Module(supports_check_mode=True, **SNAPSHOT_SCRIPTS.to_kwargs()), apply_scripts)


if __name__ == "__main__":
    main()
