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
  - Runs on the controller.
  - Waits until a job of a Recovery Services vault has finished, or cancels the job.
  - M(quiesce.azure_backup.vm_backup) and M(quiesce.azure_backup.protected_vm) return job IDs, most
    useful with C(wait=false). M(quiesce.azure_backup.backup_job_info) lists them.
  - With C(-v), the task prints a progress line on each change while it waits. Ansible buffers these
    lines when it writes to a pipe or a file, unless E(PYTHONUNBUFFERED) is set.
options:
  job_id:
    description:
      - The ID of the job, or its resource ID.
    type: str
    required: true
  state:
    description:
      - V(finished) waits until the job has finished. The task fails if the job failed or was
        cancelled.
      - V(cancelled) cancels a running job. A job that has finished is left unchanged, regardless of
        its status. The task fails if Azure does not allow the job to be cancelled.
    type: str
    choices: [cancelled, finished]
    required: true
  wait:
    description:
      - Whether to wait until the job has finished, with O(state=cancelled). The job may still
        complete.
      - O(state=finished) always waits. With it, the task fails if this is V(false) and the job is
        still running.
  timeout:
    description:
      - The maximum time to wait, in seconds. The job continues in Azure after a timeout.
      - The minimum is 1.
    type: int
    default: 28800
attributes:
  check_mode:
    support: full
    details: >-
      Cancels nothing and does not wait. With O(state=finished), the task fails only for a job that
      has already failed.
  diff_mode:
    support: none
    details: Returns the final job.
  idempotent:
    support: full
    details: A job that has finished is left unchanged.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.controller
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

- name: Wait for the backup
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
  description: The job in its final state.
  returned: success, and failure after the job was read
  type: dict
  contains:
    # BEGIN job, from tests/utils/doc_blocks.py
    job_id: {type: str, description: The ID of the job.}
    operation:
      description: The operation, such as V(Backup) or V(ConfigureBackup).
      type: str
    status:
      description:
        - Azure's status. V(InProgress), V(Completed), V(CompletedWithWarnings), V(Failed),
          V(Cancelling) or V(Cancelled).
      type: str
    vm: {type: str, description: The name of the VM.}
    resource_group: {type: str, description: "The resource group of the VM, in lower case."}
    start_time: {type: str, description: "The start time, in UTC."}
    end_time: {type: str, description: "The end time, in UTC. V(null) while the job runs."}
    duration_s: {type: float, description: The duration up to now.}
    cancellable: {type: bool, description: V(true) if the job can be cancelled at this stage.}
    percent:
      description:
        - The progress of a running job, if known. Azure returns it only for a job that is
          requested by ID.
      type: float
    tasks:
      description:
        - The steps of the job. Azure returns them only for a job that is requested by ID.
      type: list
      elements: dict
      contains:
        name: {type: str, description: "The step, such as V(Take Snapshot)."}
        status:
          description: Such as V(NotStarted), V(InProgress) or V(Completed).
          type: str
        duration_s: {type: float, description: The duration up to now.}
    properties:
      description:
        - Azure's additional properties, such as C(Backup Size). Azure returns them only for a
          job that is requested by ID.
      type: dict
    error:
      description: The error of a job that failed or completed with warnings.
      type: dict
      contains:
        code: {type: int, description: "Azure's number of the error."}
        name: {type: str, description: "Azure's name of the error."}
        message: {type: str, description: "Azure's description of the error."}
        recommendations:
          description: Azure's recommendations.
          type: list
          elements: str
    # END job
warnings:
  description: Azure's message for a job that completed with warnings.
  returned: when there are any
  type: list
  elements: str
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

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_job import (
    BACKUP_JOB,
    manage_job,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(Module(supports_check_mode=True, **BACKUP_JOB.to_kwargs()), manage_job)


if __name__ == "__main__":
    main()
