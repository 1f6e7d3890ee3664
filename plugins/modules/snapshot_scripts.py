#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module snapshot_scripts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: snapshot_scripts
short_description: Put the pre-script, the post-script and their configuration on a Linux VM
version_added: 0.1.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the VM itself, as root. Prepares it for application-consistent backups by the
    framework for pre-scripts and post-scripts, as Azure Backup's agent and
    M(quiesce.azure_backup.vm_snapshot) read it.
  - The configuration and both scripts are one unit. Everything is checked before anything is
    written, and when a write fails the files that were written before it are put back.
  - Each file is written beside its place, written out to the disk and renamed, so that there is
    always the old one or the new one. The configuration is root's with mode 0600, the scripts
    are root's with mode 0700, as the framework's documentation asks.
  - Folders that are missing are made, root's with mode 0755. A path is refused when somebody
    other than root could swap the file, which is so when a folder above it is a symbolic link,
    belongs to another user, or may be written to by others (the sticky bit does not help).
  - The configuration is written whole, in the form of the published template. Keys for which
    there is no option are dropped, with a warning.
  - A hidden file beside the configuration, C(.VMSnapshotScriptPluginConfig.json.quiesce), records
    which scripts this module has written, for O(state=absent).
options:
  state:
    description:
      - V(present) puts the unit there.
      - V(absent) removes the configuration, and the scripts that this module has written for it,
        and nothing else. A script that was there before and was given without its content stays,
        and so do folders, and a script that is no regular file of root's any more. Only
        O(config_path) matters then.
    type: str
    choices: [present, absent]
    default: present
  pre_script_location:
    description:
      - The full path of the pre-script, which makes the application quiet before the snapshot.
      - Required with O(state=present).
    type: path
  pre_script_content:
    description:
      - The text of the pre-script, starting with the line C(#!/bin/sh). Microsoft's agent runs
        every script by C(sh), whatever that line says; M(quiesce.azure_backup.vm_snapshot) runs
        it by what the line says. A script that C(sh) cannot run is written with a warning.
      - Without this the script must be there already, and only its owner and mode are seen to.
      - It is shown in diff mode. Do not write secrets into it, or set C(diff) and C(no_log) of
        the task accordingly.
    type: str
  pre_script_params:
    description: The parameters of the pre-script. They are given as they are, by no shell.
    type: list
    elements: str
    default: []
  pre_script_no_of_retries:
    description:
      - How often to try again when the pre-script fails. Microsoft's agent ignores this and
        tries once.
    type: int
    default: 0
  post_script_location:
    description:
      - The full path of the post-script, which resumes the application after the snapshot.
      - Required with O(state=present).
    type: path
  post_script_content:
    description: The text of the post-script, as for O(pre_script_content).
    type: str
  post_script_params:
    description: The parameters of the post-script.
    type: list
    elements: str
    default: []
  post_script_no_of_retries:
    description: How often to try again when the post-script fails.
    type: int
    default: 0
  timeout_in_seconds:
    description:
      - How long the pre-script may take, and the post-script, each by itself, over all its
        attempts. From 1 to 1800.
    type: int
    default: 30
  continue_backup_on_failure:
    description:
      - Whether a backup goes on, less consistent, when a script fails. V(false) makes it fail,
        except on a VM with a single disk.
    type: bool
    default: true
  fs_freeze_enabled:
    description:
      - Whether the filesystems are frozen for the snapshot. Leave this V(true) unless the
        application needs it off.
    type: bool
    default: true
  config_path:
    description:
      - The configuration. The framework's place for it is the default; another one is for tests.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Shows the text of the configuration and the scripts, and owners and modes.
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

- name: Use one script that is there already, with a parameter
  become: true
  quiesce.azure_backup.snapshot_scripts:
    pre_script_location: /usr/local/sbin/quiesce-database
    pre_script_params: [begin]
    post_script_location: /usr/local/sbin/quiesce-database
    post_script_params: [end]
    continue_backup_on_failure: false

- name: Go back to backups without scripts
  become: true
  quiesce.azure_backup.snapshot_scripts:
    state: absent
"""

RETURN = r"""
config:
  description: The configuration by the names of the options. V(null) with O(state=absent).
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
warnings:
  description: What people should know although nothing failed.
  returned: when there is any
  type: list
  elements: str
failure:
  description: What failed. Nothing was changed then.
  returned: failure
  type: dict
  contains:
    name:
      description: The name of the error; the framework's own, where it has one.
      type: str
    code: {type: int, description: "The code that the extension reports for it, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
"""

from typing import Any, Dict, Mapping

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    Module,
    run_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.snapshot_scripts import (
    SCRIPTS_ARGUMENTS,
    apply_scripts,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=SCRIPTS_ARGUMENTS,
        required_if=[("state", "present", ("pre_script_location", "post_script_location"))],
        supports_check_mode=True,
    )

    def act(params: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
        return apply_scripts(params, check_mode, with_diff=module._diff)

    run_module(module, act)


if __name__ == "__main__":
    main()
