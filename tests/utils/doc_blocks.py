# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of documentation that modules share, written into the modules between two markers.

`python -m tests.utils.doc_blocks` writes them; `--check` only names the modules that differ.
Ansible has fragments for options, but not for suboptions and return values.
"""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

MODULES = Path(__file__).resolve().parents[2] / "plugins" / "modules"

_SOURCE = ", from tests/utils/doc_blocks.py"
_MARKERS = re.compile(
    rf"^(?P<indent> *)# BEGIN (?P<name>\w+){_SOURCE}\n.*?^(?P=indent)# END (?P=name)\n",
    re.MULTILINE | re.DOTALL,
)
_MARKER = re.compile(r"^ *# (?:BEGIN|END) ", re.MULTILINE)

_AZURE_FAILURE = """
        name: {type: str, description: "Azure's code, or a name of this collection."}
        code: {type: int, description: "Azure's number of the error. V(null) if it has none."}
        message: {type: str, description: The description of the error.}
        recommended_action: {type: str, description: The recommended action.}
        correlation_id:
          description: The ID by which Microsoft support finds the request, if known.
          type: str
        http_status: {type: int, description: "The HTTP status of Azure's response, if known."}"""
BLOCKS = {
    # The error of a module on the controller.
    "azure_failure": _AZURE_FAILURE,
    # The same for a module that processes VMs.
    "azure_vm_failure": f"""{_AZURE_FAILURE}
        vm: {{type: str, description: "The resource ID of the VM, if the error concerns one VM."}}
        """,
    # The error of a module on the VM.
    "guest_failure": """
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
        """,
    "warnings": """
        warnings:
          description: Problems that did not fail the task.
          returned: when there are any
          type: list
          elements: str
        """,
    "job": """
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
        """,
    "protected_item": """
        name: {type: str, description: The name of the VM.}
        id: {type: str, description: The resource ID of the VM.}
        resource_group: {type: str, description: The resource group of the VM.}
        state:
          description:
            - V(protected), V(stopped), V(soft_deleted) or V(not_protected). V(unknown) if Azure
              returns no protection state or one that is not known. Such a VM does not count as
              protected.
          type: str
        protection_state:
          description:
            - Azure's protection state, such as V(IRPending) (no backup yet), V(Protected),
              V(ProtectionStopped) or V(BackupsSuspended).
          type: str
        policy: {type: str, description: The name of the policy.}
        policy_id: {type: str, description: The resource ID of the policy.}
        policy_type: {type: str, description: V(standard) or V(enhanced).}
        soft_deleted: {type: bool, description: V(true) if the data of the VM is soft-deleted.}
        soft_deleted_until:
          description: The time of the final deletion of soft-deleted data, in UTC.
          type: str
        include_disk_luns:
          description:
            - The data disks that are backed up, if the disks are selected in this way. Empty if
              only the operating system disk is backed up.
          type: list
          elements: int
        exclude_disk_luns:
          description: The data disks that are excluded. Empty if all disks are backed up.
          type: list
          elements: int
        health_status: {type: str, description: The result of Azure's health checks of the VM.}
        health_details:
          description: The results of the health checks.
          type: list
          elements: dict
          contains:
            code: {type: int, description: "Azure's code of the result."}
            title: {type: str, description: "Azure's name of the result."}
            message: {type: str, description: The description of the result.}
            recommendations:
              description: Azure's recommendations.
              type: list
              elements: str
        last_backup_status: {type: str, description: The status of the last backup.}
        last_backup_time: {type: str, description: The time of the last backup.}
        last_recovery_point: {type: str, description: The time of the last recovery point.}
        """,
    "recovery_point": """
        recovery_point_id: {type: str, description: "The ID of the recovery point, a number."}
        consistency:
          description:
            - V(application), V(file-system) or V(crash). V(null) if the type is not known.
          type: str
        type: {type: str, description: "Azure's type, such as V(FileSystemConsistent)."}
        time: {type: str, description: "The time of the snapshot, in UTC."}
        expiry_time: {type: str, description: "The expiry time, in UTC, if Azure returns it."}
        tiers:
          description: The storage tiers of the data.
          type: list
          elements: dict
          contains:
            type:
              description:
                - V(InstantRP) for the snapshot, V(HardenedRP) for the vault, V(ArchivedRP) for the
                  archive.
              type: str
            status: {type: str, description: "V(Valid), V(Deleted), V(Disabled) or V(Rehydrated)."}
        os_type: {type: str, description: "V(Linux) or V(Windows)."}
        encrypted: {type: bool, description: V(true) if the disks of the VM were encrypted.}
        security_type:
          description: The security type of the VM, such as V(TrustedLaunch).
          type: str
        vm_size: {type: str, description: The size of the VM at the time of the snapshot.}
        created_with_policy_type:
          description:
            - Azure's C(createdWithPolicyType), V(V1) or V(V2). It may differ from the type of the
              policy. Azure has returned V(V2) under a standard policy.
          type: str
        managed_disks: {type: bool, description: V(true) if the disks of the VM are managed disks.}
        included_disk_count:
          description:
            - The number of disks in the recovery point, including the operating system disk.
              V(null) if Azure returns no number, as for VMs without excluded disks.
          type: int
        attached_disk_count:
          description:
            - The number of disks of the VM, including the operating system disk. V(null) if Azure
              returns no number.
          type: int
        included_disks:
          description:
            - The disks in the recovery point. V(null) if Azure does not name them. Azure names them
              only for a recovery point that is requested by ID.
              M(quiesce.azure_backup.vm_backup) does so, M(quiesce.azure_backup.recovery_point_info)
              does not.
          type: list
          elements: dict
          contains:
            lun:
              description: The LUN of the disk. V(-1) is the operating system disk.
              type: int
            name: {type: str, description: The name of the disk.}
        excluded_disks:
          description:
            - The disks that are not in the recovery point, as far as Azure names them. The list may
              be empty although disks were excluded, so compare the two counts.
          type: list
          elements: dict
          contains:
            lun: {type: int, description: The LUN of the disk.}
            name: {type: str, description: The name of the disk.}
        """,
    # Suboptions of retention.monthly and retention.yearly.
    "retention_days": """
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
        """,
    "script_config_sample": """
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
        """,
}


def with_blocks(text: str) -> str:
    """Return the text of a module with the blocks between its markers."""

    def fill(match: re.Match[str]) -> str:
        name, indent = match["name"], match["indent"]
        body = textwrap.indent(textwrap.dedent(BLOCKS[name]).strip(), indent)
        return f"{indent}# BEGIN {name}{_SOURCE}\n{body}\n{indent}# END {name}\n"

    filled, pairs = _MARKERS.subn(fill, text)
    if len(_MARKER.findall(text)) != 2 * pairs:
        raise ValueError("a marker # BEGIN or # END has no partner")
    return filled


def main(*arguments: str) -> int:
    """Write the blocks into all modules, or with `--check` print the modules that differ."""
    found = {path: path.read_text(encoding="utf-8") for path in sorted(MODULES.glob("*.py"))}
    stale = [path for path, text in found.items() if with_blocks(text) != text]
    for path in stale:
        if arguments == ("--check",):
            print(f"{path.name} differs; run python -m tests.utils.doc_blocks.")
        else:
            path.write_text(with_blocks(found[path]), encoding="utf-8")
            print(f"{path.name} written.")
    return 1 if stale and arguments == ("--check",) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
