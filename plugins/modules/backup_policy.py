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
short_description: Create, change or delete a policy for backups of Azure VMs
version_added: 0.2.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the controller. Keeps one backup policy of a Recovery Services vault, for Azure VMs, in
    the state that is asked for. What is there is compared with it in every option, and nothing is
    sent when they agree.
  - On a policy that exists, an option that is not given leaves what it has. On one that is to be
    created it takes the default that is said below. This goes for each suboption of O(schedule) as
    well, and for each rule of O(retention).
  - What is outside of the published bounds is refused before anything is written, and what needs
    no look at the vault to tell, before any request.
  - A change goes for every VM that is under the policy. Less retention deletes recovery points.
  - Where Azure carries a change to the VMs by jobs, they are waited for, for an hour at most. The
    task fails when a job fails, and when Azure names no job although VMs are under the policy.
    RV(vms) has each VM.
options:
  name:
    description:
      - The name of the policy. A new one has 3 to 150 letters, digits, hyphens and underscores,
        and begins with a letter.
    type: str
    required: true
  state:
    description:
      - V(absent) deletes the policy. Azure refuses that while VMs are under it. Other options
        mean nothing then.
    type: str
    choices: [present, absent]
    default: present
  policy_type:
    description:
      - Azure's own names are V1 for V(standard) and V2 for V(enhanced).
      - V(enhanced) is needed for several backups a day, for O(instant_restore_days) above 5 and for
        O(snapshot_consistency_type=only_crash_consistent). It cannot be changed later.
      - A new policy is V(standard) unless this says otherwise.
    type: str
    choices: [standard, enhanced]
  schedule:
    description:
      - When backups are taken, in O(time_zone).
    type: dict
    suboptions:
      frequency:
        description:
          - V(hourly) needs O(policy_type=enhanced). A new policy is V(daily).
        type: str
        choices: [hourly, daily, weekly]
      time:
        description:
          - The time of daily or weekly backups, as C(HH:MM), on the hour or half past. For a new
            policy V(18:30).
          - Put it in quotes. Without them YAML reads C(18:30) as the number 1110.
        type: str
      days_of_week:
        description:
          - The weekdays of weekly backups. For a new schedule V([sunday]).
        type: list
        elements: str
        choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
      interval_hours:
        description:
          - The hours from one hourly backup to the next, one of 4, 6, 8 and 12. For a new schedule
            V(4).
        type: int
      window_start:
        description:
          - The time of the first of a day's hourly backups, as O(schedule.time). For a new policy
            V(08:00).
        type: str
      window_hours:
        description:
          - How many hours after O(schedule.window_start) hourly backups are begun, from 4 to 24,
            and not less than O(schedule.interval_hours). For a new schedule V(12).
        type: int
  retention:
    description:
      - How long recovery points are kept. A rule that is not given stays as it is.
      - A rule with a count of 0 is removed.
    type: dict
    suboptions:
      daily:
        description:
          - Every day's recovery points. A policy has this rule unless its schedule is weekly, which
            cannot have it. For a new policy 30 days.
        type: dict
        suboptions:
          days:
            description: The number of days, from 7 to 9999.
            type: int
            required: true
      weekly:
        description:
          - One or more recovery points of each week. A policy with a weekly schedule has this rule;
            for a new one 12 weeks.
        type: dict
        suboptions:
          weeks:
            description: The number of weeks, from 1 to 5163.
            type: int
            required: true
          days_of_week:
            description:
              - The weekdays. For a new rule those of a weekly schedule, otherwise V([sunday]).
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
      monthly:
        description:
          - One or more recovery points of each month, either those of dates or those of weekdays in
            certain weeks. A weekly schedule has no dates. For a new rule the first V(sunday), or
            the first of the weekdays of a weekly schedule.
        type: dict
        suboptions:
          months:
            description: The number of months, from 1 to 1188.
            type: int
            required: true
          days_of_month:
            description: The dates, each from 1 to 28.
            type: list
            elements: int
          last_day_of_month:
            description: Whether the last day of the month is one of the dates.
            type: bool
          days_of_week:
            description:
              - The weekdays, together with O(retention.monthly.weeks_of_month).
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
          weeks_of_month:
            description: The weeks of the month.
            type: list
            elements: str
            choices: [first, second, third, fourth, last]
      yearly:
        description:
          - One or more recovery points of each year, chosen as those of a month.
        type: dict
        suboptions:
          years:
            description: The number of years, from 1 to 99.
            type: int
            required: true
          months_of_year:
            description: The months. For a new rule V([january]).
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
          days_of_month:
            description: The dates, each from 1 to 28.
            type: list
            elements: int
          last_day_of_month:
            description: Whether the last day of the month is one of the dates.
            type: bool
          days_of_week:
            description:
              - The weekdays, together with O(retention.yearly.weeks_of_month).
            type: list
            elements: str
            choices: [sunday, monday, tuesday, wednesday, thursday, friday, saturday]
          weeks_of_month:
            description: The weeks of the month.
            type: list
            elements: str
            choices: [first, second, third, fourth, last]
  time_zone:
    description:
      - The time zone of the schedule, by the name that Windows has for it, such as
        V(W. Europe Standard Time). For a new policy V(UTC).
    type: str
  instant_restore_days:
    description:
      - How many days snapshots are kept beside the disks, for quick restores. From 1 to 5 for
        V(standard) policies and from 1 to 30 for V(enhanced) ones. With a weekly schedule 5, or,
        for V(enhanced) ones, 5 and more.
      - For a new policy 2, or 5 with a weekly schedule.
    type: int
  snapshot_consistency_type:
    description:
      - V(application_or_file_system) asks for the best consistency that the VM gives, which is
        V(application) with working scripts. It is what a new policy has.
      - V(only_crash_consistent) takes snapshots without the VM's agent, so that the pre-script and
        the post-script are not used. It needs O(policy_type=enhanced).
    type: str
    choices: [application_or_file_system, only_crash_consistent]
  instant_restore_resource_group:
    description:
      - The resource group into which Azure puts the snapshots. Its name is the prefix, a number,
        and the suffix. An empty string goes back to Azure's own name.
    type: dict
    suboptions:
      prefix:
        description: How the name begins.
        type: str
      suffix:
        description: How it ends. It needs a prefix.
        type: str
  archive_tiering:
    description:
      - Whether Azure moves recovery points to the archive tier. It moves only those of monthly and
        yearly rules.
    type: dict
    suboptions:
      mode:
        description:
          - V(recommended) moves what Azure recommends to move, V(after) what is as old as
            O(archive_tiering.duration), V(do_not_tier) nothing. A new policy has V(do_not_tier).
        type: str
        choices: [recommended, after, do_not_tier]
        required: true
      duration:
        description: The age, at least 3 months. Required with O(archive_tiering.mode=after).
        type: int
      unit:
        description: The unit of O(archive_tiering.duration). V(months) where it is not given.
        type: str
        choices: [months, years]
attributes:
  check_mode:
    support: full
    details: Sends no write. The policy is read and everything is checked.
  diff_mode:
    support: full
    details: Shows the policy in the words of the options.
  idempotent:
    support: full
  platform:
    details: The controller, or whatever host the task is delegated to.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
  - quiesce.azure_backup._auth
  - quiesce.azure_backup._vault
seealso:
  - module: quiesce.azure_backup.backup_policy_info
  - module: quiesce.azure_backup.protected_vm
"""

EXAMPLES = r"""
- name: Back up at half past one in the night, and keep some backups for years
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

- name: Back up every four hours of the working day
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

- name: Keep the daily backups for longer, and leave the rest as it is
  quiesce.azure_backup.backup_policy:
    resource_group: backup-rg
    vault: vault1
    name: databases
    retention:
      daily:
        days: 60

- name: Keep no yearly backups any more
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
    - The policy in the words of the options, so that it can be given to this module again. What
      the policy does not have is left out. In check mode as it would be. V(null) with
      O(state=absent).
    - Where another client has put a retention in a unit that this module does not use for it, such
      as a weekly one in days, the count has that unit's name. It stays so until you give a count
      of your own.
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
    - The policy's resource id. V(null) with O(state=absent), and in check mode for one that is not
      there yet.
  returned: success
  type: str
  sample: "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/backup-rg/\
    providers/Microsoft.RecoveryServices/vaults/vault1/backupPolicies/databases"
vms:
  description:
    - The VMs to which Azure carries a change of the policy, each by a job of its own, which is
      followed to its end. Empty when nothing was changed, in check mode, and where Azure has
      changed the policy at once.
  returned: success, and failure once the policy was changed
  type: list
  elements: dict
  contains:
    name: {type: str, description: "The VM's name. V(null) where its job could not be read."}
    resource_group: {type: str, description: "The VM's resource group, in lower case."}
    job_id: {type: str, description: "The job's id."}
    status: {type: str, description: "The job's status, Azure's word."}
    failure:
      description: Why the VM did not get the change, as RV(failure). V(null) if it did.
      type: dict
protected_items_count:
  description: How many VMs are under the policy.
  returned: success
  type: int
  sample: 3
warnings:
  description: What people should know although nothing failed.
  returned: when there is any
  type: list
  elements: str
failure:
  description: What failed.
  returned: failure
  type: dict
  contains:
    name: {type: str, description: "Azure's code, or the name of what is wrong with the options."}
    code: {type: int, description: "Azure's number, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
    correlation_id: {type: str, description: "What Microsoft's support finds the request by."}
    http_status: {type: int, description: "The status of Azure's answer."}
"""

from typing import Any, Dict, Mapping

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.connection import (
    VaultConnection,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.backup_policy import (
    PolicyTask,
    policy_arguments,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import Module
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vault_base import (
    run_vault_module,
)


def main() -> None:
    """Run the module."""
    module = Module(argument_spec=policy_arguments(), supports_check_mode=True)

    def act(
        connection: VaultConnection, params: Mapping[str, Any], check_mode: bool
    ) -> Dict[str, Any]:
        return PolicyTask(connection, params, check_mode, with_diff=module._diff).run()

    run_vault_module(module, act)


if __name__ == "__main__":
    main()
