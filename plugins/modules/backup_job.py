#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_job."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_job
short_description: Wait for a job of a Recovery Services vault, or cancel it
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Waits until a job of a Recovery Services vault is over, or cancels it.
  - The ids of jobs come from M(quiesce.azure_backup.vm_backup) and
    M(quiesce.azure_backup.protected_vm), above all with C(wait=false), and from
    M(quiesce.azure_backup.backup_job_info).
  - While it waits, and with C(-v), a line of progress is shown whenever something has changed.
    Into a pipe or a file, Ansible writes it at once only when E(PYTHONUNBUFFERED) is set.
options:
  job_id:
    description:
      - The job's id, or its resource id.
    type: str
    required: true
  state:
    description:
      - V(finished) waits until the job is over, and fails when it failed or was cancelled.
      - V(cancelled) cancels a job that runs. One that is over is left as it is, whatever came of
        it. A job that Azure does not offer to cancel is an error.
    type: str
    choices: [cancelled, finished]
    required: true
  wait:
    description:
      - With O(state=cancelled), whether to wait until the job is over. It may still complete.
      - O(state=finished) always waits, and V(false) is refused unless the job is over.
  timeout:
    description:
      - The longest time to wait, in seconds. The job itself goes on in Azure.
    type: int
    default: 28800
attributes:
  check_mode:
    support: full
    details: >-
      Cancels nothing, and does not wait. With O(state=finished) it fails only for a job that is
      over and failed.
  diff_mode:
    support: none
    details: The result has the job as it became.
  idempotent:
    support: full
    details: A job that is over is left alone.
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
  - quiesce.azure_backup._vault.wait
seealso:
  - module: quiesce.azure_backup.backup_job_info
  - module: quiesce.azure_backup.vm_backup
"""

EXAMPLES = r"""
- name: Start a backup
  quiesce.azure_backup.vm_backup:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    wait: false
  register: backup

- name: Wait for it
  quiesce.azure_backup.backup_job:
    resource_group: backup-rg
    vault: vault1
    job_id: "{{ backup.vms[0].job_id }}"
    state: finished

- name: Cancel a job
  quiesce.azure_backup.backup_job:
    resource_group: backup-rg
    vault: vault1
    job_id: 5159d9a2-cfb7-41cf-8137-dc66c06d26da
    state: cancelled
"""

RETURN = r"""
job:
  description: The job as it is at the end.
  returned: success, and failure once the job was read
  type: dict
  contains:
    job_id: {type: str, description: The job's id.}
    operation: {type: str, description: "What it does, such as V(Backup) or V(ConfigureBackup)."}
    status:
      description:
        - Azure's word, one of V(InProgress), V(Completed), V(CompletedWithWarnings), V(Failed),
          V(Cancelling) and V(Cancelled).
      type: str
    vm: {type: str, description: The name of the VM.}
    resource_group: {type: str, description: "The VM's resource group, in lower case."}
    start_time: {type: str, description: "When it began, in UTC."}
    end_time: {type: str, description: "When it ended, in UTC. V(null) while it runs."}
    duration_s: {type: float, description: How long it has taken so far.}
    cancellable: {type: bool, description: Whether Azure would cancel it at this stage.}
    percent: {type: float, description: "How far it is, where Azure says so, while it runs."}
    tasks:
      description: Its steps.
      type: list
      elements: dict
      contains:
        name: {type: str, description: "The step, such as V(Take Snapshot)."}
        status: {type: str, description: "Such as V(NotStarted), V(InProgress) and V(Completed)."}
        duration_s: {type: float, description: How long it has taken so far.}
    properties:
      description: What Azure adds to it, such as C(Backup Size).
      type: dict
    error:
      description: What went wrong, also with a job that completed with warnings.
      type: dict
      contains:
        code: {type: int, description: Azure's number.}
        name: {type: str, description: Azure's name.}
        message: {type: str, description: Azure's words.}
        recommendations:
          description: What Azure recommends.
          type: list
          elements: str
warnings:
  description: What Azure says of a job that completed with warnings.
  returned: when there is any
  type: list
  elements: str
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

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_job import (
    BACKUP_JOB_ARGUMENTS,
    manage_job,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=BACKUP_JOB_ARGUMENTS,
        supports_check_mode=True,
    )
    run_vault_module(module, manage_job)


if __name__ == "__main__":
    main()
