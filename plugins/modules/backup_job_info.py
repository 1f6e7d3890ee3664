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
  - Runs on the controller. Lists the jobs of VMs of a Recovery Services vault, newest first, and
    counts those of the last 24 hours by their status, as the portal's dashboard does.
  - Tells of jobs by their ids with all details, and waits for them.
options:
  job_id:
    description:
      - The id of a job. Told with all details, whenever it began.
    type: str
  job_ids:
    description:
      - The ids of jobs. Told as with O(job_id), by one request for each.
    type: list
    elements: str
  vm:
    description:
      - Only the jobs of this VM. It is a resource id, or C(GROUP/NAME), or a name in
        O(vm_resource_group).
    type: str
  vm_resource_group:
    description:
      - The resource group of a VM that is given by its name alone. Without it, that of the vault.
    type: str
  operation:
    description:
      - Only the jobs that do this.
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
      - Only the jobs of this status.
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
      - Only the jobs that began then or later. A date such as V(2026-11-30), or an ISO 8601 time
        such as V(2026-11-30T18:30:00Z), of UTC where it names no other zone.
      - Without it and O(started_before), the jobs of the last 24 hours are listed. With
        O(started_before) alone, those of the 30 days before.
      - At most 366 days are listed at a time. Each 30 days are a request of their own, or more.
    type: str
  started_before:
    description:
      - Only the jobs that began earlier. A date means its end.
    type: str
  wait:
    description:
      - Whether to wait until the jobs of O(job_id) and O(job_ids) are over. That a job failed is no
        failure here.
    type: bool
    default: false
  timeout:
    description:
      - The longest time to wait, in seconds.
    type: int
    default: 28800
  poll_interval:
    description:
      - The shortest pause between two looks at the jobs, in seconds, at least 0.1. Pauses grow
        with the time that has passed, up to a minute.
    type: float
    default: 5.0
attributes:
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.info_module
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.backup_job
  - module: quiesce.azure_backup.vm_backup
"""

EXAMPLES = r"""
- name: Look at the last 24 hours
  quiesce.azure_backup.backup_job_info:
    resource_group: backup-rg
    vault: vault1
  register: day

- name: Say how many backups failed
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
    - The jobs that the filters leave, newest first; or those that were asked for by their ids, in
      that order.
  returned: success
  type: list
  elements: dict
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
    percent:
      description: How far it is, where Azure says so, in a job that was asked for by its id.
      type: float
    tasks:
      description: Its steps, in a job that was asked for by its id. Azure's lists leave them out.
      type: list
      elements: dict
      contains:
        name: {type: str, description: "The step, such as V(Take Snapshot)."}
        status: {type: str, description: "Such as V(NotStarted), V(InProgress) and V(Completed)."}
        duration_s: {type: float, description: How long it has taken so far.}
    properties:
      description:
        - What Azure adds to it, such as C(Backup Size), in a job that was asked for by its id.
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
counts:
  description:
    - How many jobs of VMs began in the last 24 hours, by their status. Filters do not matter.
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
    BACKUP_JOB_INFO_ARGUMENTS,
    list_jobs_result,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=BACKUP_JOB_INFO_ARGUMENTS,
        supports_check_mode=True,
    )
    run_vault_module(module, list_jobs_result)


if __name__ == "__main__":
    main()
