#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module backup_policy.

Over 400 lines, nearly all of them documentation: each part of a policy is an option and a result.
"""

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_policy
short_description: Create, change or delete a backup policy for Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller.
  - Brings one backup policy for Azure VMs in a Recovery Services vault to the requested state. The
    module compares all options with the existing policy and sends a request only if they differ.
  - For an existing policy, an option that is omitted keeps its present value. For a new policy, it
    takes the default that the option documents. The same applies to each suboption of O(schedule)
    and to each rule of O(retention).
  - Values outside Azure's published limits are rejected before the policy is written. Checks that
    do not depend on the vault run before the first request.
  - A change affects every VM that uses the policy. Shorter retention deletes recovery points.
  - If Azure applies a change to the VMs by jobs, the module waits for these jobs, for one hour at
    most. The task fails if a job fails, or if VMs use the policy and Azure names no job. RV(vms)
    lists each VM.
options:
  name:
    description:
      - The name of the policy.
      - A new name has 3 to 150 letters, digits, hyphens and underscores, and starts with a letter.
    type: str
    required: true
  state:
    description:
      - V(present) creates or changes the policy.
      - V(absent) deletes the policy and ignores all other options. Azure rejects this while VMs use
        the policy.
    type: str
    choices: [present, absent]
    default: present
  policy_type:
    description:
      - The type of the policy. Azure calls V(standard) V1 and V(enhanced) V2.
      - A new policy defaults to V(standard).
      - V(enhanced) is required for several backups a day, for O(instant_restore_days) above 5, and
        for O(snapshot_consistency_type=only_crash_consistent).
      - The type of an existing policy cannot be changed.
    type: str
    choices: [standard, enhanced]
  schedule:
    description:
      - The times of the backups, in O(time_zone).
    type: dict
    suboptions:
      frequency:
        description:
          - The frequency of the backups. A new policy defaults to V(daily).
          - V(hourly) requires O(policy_type=enhanced).
        type: str
        choices: [hourly, daily, weekly]
      time:
        description:
          - The time of daily or weekly backups, as C(HH:MM), on the hour or half past. A new policy
            defaults to V(18:30).
          - Quote the value. Without quotes, YAML reads C(18:30) as the number 1110.
        type: str
      days_of_week:
        description:
          - The weekdays of weekly backups. A new schedule defaults to V([sunday]).
        type: list
        elements: str
        choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
      interval_hours:
        description:
          - The number of hours between two hourly backups. Must be 4, 6, 8 or 12. A new schedule
            defaults to V(4).
        type: int
      window_start:
        description:
          - The time of the first hourly backup of a day, in the form of O(schedule.time). A new
            policy defaults to V(08:00).
        type: str
      window_hours:
        description:
          - The number of hours after O(schedule.window_start) in which hourly backups start. A new
            schedule defaults to V(12).
          - Must be from 4 to 24, and at least O(schedule.interval_hours).
        type: int
  retention:
    description:
      - The retention of recovery points. A rule that is omitted stays unchanged.
      - A count of 0 removes the rule.
    type: dict
    suboptions:
      daily:
        description:
          - The rule for the recovery points of each day. A new policy defaults to 30 days.
          - Required by hourly and daily schedules, and not allowed with a weekly schedule.
        type: dict
        suboptions:
          days:
            description: The number of days, from 7 to 9999.
            type: int
            required: true
      weekly:
        description:
          - The rule for one or more recovery points of each week.
          - Required by a weekly schedule. A new policy with a weekly schedule defaults to 12 weeks.
        type: dict
        suboptions:
          weeks:
            description: The number of weeks, from 1 to 5163.
            type: int
            required: true
          days_of_week:
            description:
              - The weekdays. A new rule defaults to the weekdays of a weekly schedule, otherwise to
                V([sunday]).
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
      monthly:
        description:
          - The rule for one or more recovery points of each month, chosen either by date or by
            weekday in certain weeks. A weekly schedule allows weekdays only.
          - A new rule defaults to the first V(sunday), or to the first of the weekdays of a weekly
            schedule.
        type: dict
        suboptions:
          months:
            description: The number of months, from 1 to 1188.
            type: int
            required: true
          # BEGIN retention_days, from tests/utils/doc_blocks.py
          days_of_month:
            description: The dates, each from 1 to 28.
            type: list
            elements: int
          last_day_of_month:
            description: V(true) adds the last day of the month to the dates.
            type: bool
          days_of_week:
            description:
              - The weekdays, in the weeks that C(weeks_of_month) gives.
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
          weeks_of_month:
            description: The weeks of the month.
            type: list
            elements: str
            choices: [first, second, third, fourth, last]
          # END retention_days
      yearly:
        description:
          - The rule for one or more recovery points of each year, chosen as in
            O(retention.monthly).
        type: dict
        suboptions:
          years:
            description: The number of years, from 1 to 99.
            type: int
            required: true
          months_of_year:
            description: The months. A new rule defaults to V([january]).
            type: list
            elements: str
            choices:
              - january
              - february
              - march
              - april
              - may
              - june
              - july
              - august
              - september
              - october
              - november
              - december
          # BEGIN retention_days, from tests/utils/doc_blocks.py
          days_of_month:
            description: The dates, each from 1 to 28.
            type: list
            elements: int
          last_day_of_month:
            description: V(true) adds the last day of the month to the dates.
            type: bool
          days_of_week:
            description:
              - The weekdays, in the weeks that C(weeks_of_month) gives.
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
          weeks_of_month:
            description: The weeks of the month.
            type: list
            elements: str
            choices: [first, second, third, fourth, last]
          # END retention_days
  time_zone:
    description:
      - The time zone of the schedule, by its Windows name, such as V(W. Europe Standard Time). A
        new policy defaults to V(UTC).
    type: str
  instant_restore_days:
    description:
      - The number of days that snapshots are kept with the disks for instant restore.
      - A new policy defaults to 2, or to 5 with a weekly schedule.
      - Must be from 1 to 5 for V(standard) policies and from 1 to 30 for V(enhanced) policies. A
        weekly schedule requires exactly 5 for V(standard) and at least 5 for V(enhanced).
    type: int
  snapshot_consistency_type:
    description:
      - The consistency that Azure attempts to reach. A new policy defaults to
        V(application_or_file_system).
      - V(application_or_file_system) takes the best consistency that the VM supports. This is
        application consistency if the scripts on the VM succeed.
      - V(only_crash_consistent) takes snapshots without the VM agent, so the pre-script and the
        post-script do not run. It requires O(policy_type=enhanced).
    type: str
    choices: [application_or_file_system, only_crash_consistent]
  instant_restore_resource_group:
    description:
      - The resource group in which Azure stores the snapshots. Azure builds its name from the
        prefix, a number and the suffix.
      - Empty strings restore Azure's default name.
    type: dict
    suboptions:
      prefix:
        description: The start of the name.
        type: str
      suffix:
        description: The end of the name. Requires a prefix.
        type: str
  archive_tiering:
    description:
      - The move of recovery points to the archive tier. Azure moves only recovery points of monthly
        and yearly rules.
    type: dict
    suboptions:
      mode:
        description:
          - V(recommended) moves the recovery points that Azure recommends to move.
          - V(after) moves the recovery points older than O(archive_tiering.duration).
          - V(do_not_tier) moves no recovery points. A new policy defaults to it.
        type: str
        choices: [recommended, after, do_not_tier]
        required: true
      duration:
        description: The age, at least 3 months. Required with O(archive_tiering.mode=after).
        type: int
      unit:
        description: The unit of O(archive_tiering.duration). Defaults to V(months).
        type: str
        choices: [months, years]
attributes:
  check_mode:
    support: full
    details: Reads the policy and checks all options, but sends no write request.
  diff_mode:
    support: full
    details: Shows the policy in the form of the options.
  idempotent:
    support: full
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._attributes.controller
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.backup_policy_info
  - module: quiesce.azure_backup.protected_vm
"""

EXAMPLES = r"""
- name: Back up at 01:30 and keep some backups for years
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: databases
    schedule:
      frequency: daily
      time: "01:30"
    time_zone: W. Europe Standard Time
    retention:
      daily:
        days: 30
      weekly:
        weeks: 12
        days_of_week: [sunday]
      monthly:
        months: 12
        last_day_of_month: true
      yearly:
        years: 7
        months_of_year: [january]
        days_of_week: [sunday]
        weeks_of_month: [first]

- name: Back up every four hours from 06:00 to 22:00
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: busy-databases
    policy_type: enhanced
    schedule:
      frequency: hourly
      interval_hours: 4
      window_start: "06:00"
      window_hours: 16
    instant_restore_days: 7

- name: Keep daily backups for 60 days and leave other settings unchanged
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: databases
    retention:
      daily:
        days: 60

- name: Stop keeping yearly backups
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: databases
    retention:
      yearly:
        years: 0

- name: Delete the policy
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: busy-databases
    state: absent
"""

RETURN = r"""
policy:
  description:
    - The policy in the form of the options, so that it can be passed to this module again. Settings
      that the policy does not have are omitted. V(null) with O(state=absent).
    - In check mode, the policy as it would become.
    - If another client stored a retention in a different unit, such as a weekly rule in days, the
      count is named after that unit. Your own count replaces it.
  returned: success
  type: dict
  sample:
    archive_tiering: {mode: do_not_tier}
    instant_restore_days: 2
    instant_restore_resource_group: {prefix: "", suffix: ""}
    name: databases
    policy_type: standard
    retention:
      daily: {days: 30}
      weekly: {days_of_week: [sunday], weeks: 12}
    schedule:
      frequency: daily
      time: "01:30"
    snapshot_consistency_type: application_or_file_system
    time_zone: W. Europe Standard Time
id:
  description:
    - The resource ID of the policy. V(null) with O(state=absent), and in check mode for a policy
      that does not exist yet.
  returned: success
  type: str
  sample: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/backup-rg/\
    providers/Microsoft.RecoveryServices/vaults/vault1/backupPolicies/databases"
vms:
  description:
    - The VMs to which Azure applied the change. The module waits for one job for each VM.
    - Empty without a change, in check mode, and if Azure applied the change at once.
  returned: success, and failure after the policy was changed
  type: list
  elements: dict
  contains:
    name: {type: str, description: "The name of the VM. V(null) if its job could not be read."}
    resource_group: {type: str, description: "The resource group of the VM, in lower case."}
    job_id: {type: str, description: The ID of the job.}
    status: {type: str, description: "Azure's status of the job."}
    failure:
      description: The error, as in RV(failure). V(null) if the VM received the change.
      type: dict
protected_items_count:
  description: The number of VMs that use the policy.
  returned: success
  type: int
  sample: 3
# BEGIN warnings, from tests/utils/doc_blocks.py
warnings:
  description: Problems that did not fail the task.
  returned: when there are any
  type: list
  elements: str
# END warnings
failure:
  description: The error.
  returned: failure
  type: dict
  contains:
    # BEGIN azure_failure, from tests/utils/doc_blocks.py
    name: {type: str, description: "Azure's code, or a name of this collection."}
    code: {type: int, description: "Azure's number of the error. V(null) if it has none."}
    message: {type: str, description: The description of the error.}
    recommended_action: {type: str, description: The recommended action.}
    correlation_id:
      description: The ID by which Microsoft support finds the request, if known.
      type: str
    http_status: {type: int, description: "The HTTP status of Azure's response, if known."}
    # END azure_failure
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_policy import (
    BACKUP_POLICY,
    manage_policy,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    run_vault_module(Module(supports_check_mode=True, **BACKUP_POLICY.to_kwargs()), manage_policy)


if __name__ == "__main__":
    main()
