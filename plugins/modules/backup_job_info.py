#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_job_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_job_info
short_description: List and count the jobs of a Recovery Services vault
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Lists the VM jobs of a Recovery Services vault, newest first.
  - Counts the jobs of the last 24 hours by status, like the dashboard of the Azure portal.
  - Returns the full details of jobs given by ID, and can wait for them to finish.
options:
  job_id:
    description:
      - The ID of a job, or its resource ID. Returns this job with all details, regardless of its
        age.
    type: str
  job_ids:
    description:
      - The IDs of jobs, as in O(job_id). Each job takes one request.
    type: list
    elements: str
  vm:
    description:
      - Return only the jobs of this VM.
      - The VM is a resource ID, C(GROUP/NAME), or a name in O(vm_resource_group).
    type: str
  vm_resource_group:
    description:
      - The resource group of a VM that O(vm) gives by name only.
      - Defaults to the resource group of the vault.
    type: str
  operation:
    description:
      - Return only the jobs of this operation.
    type: str
    choices:
      - Backup
      - ConfigureBackup
      - CrossRegionRestore
      - DeleteBackupData
      - DisableBackup
      - Register
      - Restore
      - Undelete
      - UnRegister
  status:
    description:
      - Return only the jobs with this status.
    type: str
    choices:
      - Completed
      - CompletedWithWarnings
      - Failed
      - InProgress
      - Cancelling
      - Cancelled
  started_after:
    description:
      - Return only the jobs that started at this time or later.
      - A date such as V(2026-11-30), or an ISO 8601 time such as V(2026-11-30T18:30:00Z). UTC,
        unless the time names another zone.
      - Defaults to 24 hours ago. With O(started_before) alone, defaults to 30 days before it.
      - The maximum span is 366 days. Each span of 30 days takes at least one request.
    type: str
  started_before:
    description:
      - Return only the jobs that started before this time, in the form of O(started_after). A date
        means the end of that day.
      - Defaults to the present.
    type: str
  wait:
    description:
      - Whether to wait until the jobs of O(job_id) and O(job_ids) have finished.
      - A job that failed does not fail the task.
    type: bool
    default: false
  timeout:
    description:
      - The maximum time to wait, in seconds.
      - The minimum is 1.
    type: int
    default: 28800
  poll_interval:
    description:
      - The shortest interval between two polls of the jobs, in seconds. The interval grows with the
        time that has passed, up to one minute.
      - The minimum is 0.1.
    type: float
    default: 5.0
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.backup_job
  - module: quiesce.azure_backup.vm_backup
"""

EXAMPLES = r"""
- name: List the jobs of the last 24 hours
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
  register: day

- name: Show how many jobs failed
  ansible.builtin.debug:
    msg: "{{ day.counts.Failed }} failed, {{ day.counts.InProgress }} are in progress"

- name: List the backups of a VM that failed since the beginning of the month
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
    vm: app-rg/db01
    operation: Backup
    status: Failed
    started_after: "2026-11-01"

- name: Wait for two jobs
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
    job_ids:
      - 5159d9a2-cfb7-41cf-8137-dc66c06d26da
      - 3abe141e-9441-48ea-8295-fd50e5321c4b
    wait: true
"""

RETURN = r"""
jobs:
  description:
    - The jobs that match the filters, newest first. Jobs that were requested by ID come in the
      order of the options.
  returned: success
  type: list
  elements: dict
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
counts:
  description:
    - The number of VM jobs that started in the last 24 hours, by status. Filters do not affect it.
  returned: success
  type: dict
  sample:
    Cancelled: 0
    Cancelling: 0
    Completed: 12
    CompletedWithWarnings: 1
    Failed: 1
    InProgress: 2
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
    BACKUP_JOB_INFO,
    list_jobs_result,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(
        Module(supports_check_mode=True, **BACKUP_JOB_INFO.to_kwargs()), list_jobs_result
    )


if __name__ == "__main__":
    main()
