#!/usr/bin/python
# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module vm_snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot
short_description: Take an application-consistent snapshot of the disks of a Linux VM
version_added: 0.1.0
author:
  - The quiesce.azure_backup maintainers (@quiesce)
description:
  - Runs on the VM, as root.
  - Performs the steps of Azure Backup's VM snapshot extension and proves their result. It runs the
    pre-script, flushes dirty data, freezes the filesystems and takes the snapshots of all disks at
    once. Then it thaws the filesystems and runs the post-script.
  - No filesystem stays frozen. Two supervisors, the guard and the watchdog, also hold the
    filesystems open. If the run dies, hangs or exceeds the deadline, they thaw the filesystems that
    it froze. They also run the post-script if it is still due. Filesystems that the run did not
    freeze are never thawed.
  - The scripts follow the framework for pre-scripts and post-scripts, as installed by
    M(quiesce.azure_backup.snapshot_scripts).
  - Each attempt runs as root in C(/), in its own session, with the interpreter of the script's
    first line. The environment contains only C(PATH), C(LANG=C.UTF-8), C(HOME=/root), C(USER),
    C(LOGNAME) and C(SHELL).
  - When a script has ended or exceeded its time limit, the module kills the rest of its process
    group. A script that starts a lasting process must start it in a new session, with a service
    manager or C(setsid).
  - C(preScriptNoOfRetries) and C(postScriptNoOfRetries) are the numbers of retries.
    C(timeoutInSeconds) is the time limit of all attempts of a script together, as the framework's
    documentation says. Azure Backup's agent runs each script once, regardless of the configuration.
  - "With C(continueBackupOnFailure) false, the run fails before any snapshot if a script cannot be
    trusted or the pre-script fails. If the post-script fails, the run fails after the snapshots,
    which are kept. A VM with a single disk is an exception: the backup falls back to
    crash-consistent, and nothing is frozen. This exception applies if O(disks) has one entry and
    the VM has no other disk, except Azure's temporary disk."
  - With C(fsFreezeEnabled) false, nothing is frozen. A failed script then fails the run regardless
    of C(continueBackupOnFailure), because nothing would make the snapshots consistent. The
    exception for a VM with a single disk applies here too.
  - If the configuration is missing, no scripts run. If it cannot be read or trusted, or has an
    invalid value, no scripts run and the module warns. In both cases the snapshots are
    file-system-consistent at best.
options:
  disks:
    description:
      - The disks to take snapshots of.
      - Exactly one of this option and O(extension_settings) is required.
    type: list
    elements: dict
    suboptions:
      blob_uri:
        description:
          - The URI of the page blob of the disk, with a SAS. The SAS must permit to read the blob,
            and to create and delete snapshots. It must stay valid for the duration of the run.
        type: str
        required: true
      name:
        description:
          - The name of the disk in the result. Defaults to the name of its blob without C(.vhd),
            with a number if another disk has that name.
        type: str
      lun:
        description:
          - The logical unit number (LUN) of the disk on the VM, by which the module finds the
            device. V(-1) is the operating system disk.
        type: int
      device:
        description:
          - The block device of the disk on the VM, such as V(/dev/sdc).
          - If each disk has this or O(disks[].lun), the module knows the filesystems on the disks.
            It can then check whether the snapshots contain everything that was frozen.
        type: path
  extension_settings:
    description:
      - The settings of the VM snapshot extension, as Azure Backup passes them to the VM. They name
        the disks, the task, and the blobs for the status and the log.
    type: dict
    suboptions:
      settings:
        description:
          - The public settings. Their blobs for status and log take precedence over the blobs of
            the protected settings.
        type: dict
        required: true
        suboptions:
          taskId: {type: str, description: The ID of the backup.}
          commandToExecute: {type: str, description: Must be V(snapshot).}
          commandStartTimeUTCTicks: {type: raw, description: The planned start time of the backup.}
          locale: {type: str, description: The language.}
          vmType: {type: str, description: The type of the VM.}
          statusBlobUri: {type: str, description: The blob for the status.}
          logsBlobUri: {type: str, description: The blob for the log.}
          objectStr: {type: jsonarg, description: "JSON, plain or base64, with backupMetadata."}
          customSettings: {type: jsonarg, description: Ignored.}
      protected_settings:
        description:
          - The decrypted protected settings, with C(objectStr), C(statusBlobUri) and
            C(logsBlobUri). C(objectStr) is JSON, plain or base64, with the list C(blobSASUri).
        type: dict
        required: true
  config_path:
    description:
      - The path of the framework's configuration.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
  freeze:
    description:
      - The filesystems to freeze.
      - V(auto) freezes the filesystems on the disks if the devices of all disks are known.
        Otherwise it freezes every local filesystem that can be frozen, with the root filesystem
        last.
      - V(none) freezes nothing. The snapshots are then crash-consistent, unless C(fsFreezeEnabled)
        is also false.
      - A list of mount points freezes exactly these filesystems.
    type: raw
    default: auto
  freeze_timeout:
    description:
      - The maximum time that filesystems stay frozen, in seconds. Then they are thawed, regardless
        of the state of the snapshots.
      - Must be from 1 to 60.
    type: int
    default: 10
  expedite:
    description:
      - Whether the kernel ends RCU grace periods early while filesystems are being frozen.
        C(FIFREEZE) waits for some grace periods while writers wait. This takes tens of
        milliseconds, or 1 to 7 ms if they are expedited.
      - The guard sets C(/sys/kernel/rcu_expedited) to 1903520101 right before the first
        C(FIFREEZE). It writes 0 as soon as the last C(FIFREEZE) has returned. If the guard was
        killed or stopped, the watchdog or the run writes 0.
      - A value that another program set is never changed. Simultaneous runs are counted, and the
        last run writes 0.
      - The setting affects the whole machine. While it is enabled, each grace period may interrupt
        every CPU for some microseconds.
      - V(auto) uses the setting, unless the file is missing, read-only or already set, or
        C(rcu_normal) is set, which takes precedence. It also does not use it on real-time kernels,
        and with isolated or tickless CPUs (C(nohz_full)).
      - V(yes) also uses it on real-time kernels and with isolated CPUs. If the file is missing or
        read-only, or C(rcu_normal) is set, the task fails with C(ExpediteUnavailable) before it
        changes anything.
      - V(no) never uses it.
    type: str
    choices: [auto, "yes", "no"]
    default: auto
    version_added: 0.2.0
  on_partial:
    description:
      - What to do with the snapshots if a disk has no snapshot, or if a snapshot was acknowledged
        only after the thaw.
      - V(discard) deletes all snapshots, and the run fails.
      - V(keep) keeps the snapshots with their labels. The run fails if a disk has no snapshot.
        Otherwise it is crash-consistent.
    type: str
    choices: [discard, keep]
    default: discard
  metadata:
    description:
      - The names and values to write to every snapshot as metadata.
    type: dict
    default: {}
  task_id:
    description:
      - The ID of this backup, up to 128 printable ASCII characters without spaces. The module
        rejects an ID that was used on this VM since it booted.
      - Defaults to the task ID of O(extension_settings).
    type: str
  status_blob_uri:
    description:
      - The URI of the blob for the status document of the extension, with a SAS. Defaults to the
        one in O(extension_settings).
    type: str
  logs_blob_uri:
    description:
      - The URI of the blob for the log of the run, with a SAS. Defaults to the one in
        O(extension_settings).
    type: str
  require_consistency:
    description:
      - The minimum consistency. The task fails if the snapshots have a lower consistency. The
        snapshots are kept and listed.
    type: str
    choices: [application, file-system, crash]
    default: crash
requirements:
  - azure-storage-blob >= 12.18 (Python library, on the VM)
attributes:
  check_mode:
    support: full
    details: Checks the options, the configuration, the scripts, the disks and the mounts. Runs no
      script, freezes no filesystem and takes no snapshot.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Each run takes snapshots. With O(task_id), a backup is taken only once.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
seealso:
  - module: quiesce.azure_backup.snapshot_scripts
  - module: quiesce.azure_backup.snapshot_scripts_info
"""

EXAMPLES = r"""
- name: Take application-consistent snapshots of two data disks, or fail
  become: true
  quiesce.azure_backup.vm_snapshot:
    disks:
      - name: data
        lun: 0
        blob_uri: "{{ data_disk_sas }}"
      - name: log
        lun: 1
        blob_uri: "{{ log_disk_sas }}"
    freeze_timeout: 10
    require_consistency: application
    metadata:
      application: orders
  register: snapshot

- name: Show the consistency and for how long the filesystems were frozen
  ansible.builtin.debug:
    msg: "{{ snapshot.consistency }}, frozen for {{ snapshot.freeze.frozen_ms }} ms"

- name: Freeze exactly these filesystems
  become: true
  quiesce.azure_backup.vm_snapshot:
    disks:
      - blob_uri: "{{ data_disk_sas }}"
        device: /dev/sdc
    freeze:
      - /srv/data

- name: Take the backup that the extension's settings describe
  become: true
  quiesce.azure_backup.vm_snapshot:
    extension_settings:
      settings: "{{ extension.settings }}"
      protected_settings: "{{ extension.protected_settings }}"
"""

RETURN = r"""
consistency:
  description:
    - The consistency of the snapshots. V(application), V(file-system) or V(crash). V(none) without
      a complete set of snapshots.
  returned: always
  type: str
  sample: application
evidence:
  description:
    - The evidence for RV(consistency). Each entry has C(holds), which is V(true), V(false), or
      V(null) if it is unknown or does not matter, and C(words).
  returned: always
  type: dict
  contains:
    scripts_succeeded:
      description: Whether both scripts ended with exit status 0. V(null) without scripts.
      type: dict
      sample: {"holds": true, "words": "The pre-script ended with exit status 0 (attempt 1)."}
    freeze_off_by_config: {type: dict, description: Whether C(fsFreezeEnabled) is false.}
    filesystems_held:
      description: Whether FITHAW proved for each filesystem that it was frozen until the thaw.
      type: dict
    snapshots_in_window:
      description:
        - Whether each snapshot was requested and acknowledged between the last FIFREEZE and the
          first FITHAW.
        - With C(fsFreezeEnabled) false, V(null), or V(false) if a snapshot was not acknowledged
          before the post-script was due.
      type: dict
    disks_covered:
      description:
        - Whether freezing the filesystems stopped every write to the disks. V(null) if a device is
          not known, or if there was not enough time to check all processes.
      type: dict
    window_held:
      description:
        - Whether both RV(evidence.filesystems_held) and RV(evidence.snapshots_in_window) hold.
      type: dict
snapshot_set:
  description: The set of snapshots of this run.
  returned: always
  type: dict
  contains:
    id: {type: str, description: "The ID of the set, which every snapshot carries as a label."}
    task_id: {type: str, description: "The O(task_id), or the one of O(extension_settings)."}
    complete: {type: bool, description: V(true) if each disk has a snapshot.}
    labels: {type: dict, description: The metadata that was written to every snapshot.}
    left_behind: {type: list, elements: str, description: The disks with a snapshot of this run.}
    not_discarded:
      description: The reasons why snapshots could not be deleted, by disk.
      type: dict
started_ns:
  description: The start of the run on the VM's monotonic clock, in nanoseconds.
  returned: always
  type: int
disks:
  description: The disks and their snapshots.
  returned: always
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the disk.}
    lun: {type: int, description: "The logical unit number, if given."}
    snapshot:
      description:
        - The name of the snapshot in the store, a time for a page blob. V(null) without one.
      type: str
    uri: {type: str, description: "The URI of the snapshot, without a SAS."}
    requested_ms: {type: float, description: "The time of the request, from the start of the run."}
    acknowledged_ms:
      description: The time at which the store acknowledged the request, from the start of the run.
      type: float
    in_window:
      description:
        - V(true) if both times lie in the window in which all filesystems were frozen. V(null) if
          no filesystem was to be frozen.
      type: bool
    unknown: {type: bool, description: "V(true) without a response, so a snapshot may exist."}
    failure: {type: dict, description: "The error. V(null) if the disk has a snapshot."}
freeze:
  description: The window in which filesystems were frozen.
  returned: always
  type: dict
  contains:
    window_ms:
      description: The time from the start of the first FIFREEZE to the end of the last FITHAW.
      type: float
    frozen_ms:
      description: The time from the end of the last FIFREEZE to the start of the first FITHAW.
      type: float
    timeout_s: {type: float, description: The O(freeze_timeout).}
    expedited:
      description: The result of O(expedite). Empty if the run ended before the supervisors started.
      type: dict
      contains:
        used: {type: bool, description: V(true) if the run enabled the setting.}
        words: {type: str, description: "The outcome, or the reason why it was not enabled."}
        on_ms: {type: float, description: The maximum time for which the setting was enabled.}
    filesystems:
      description: The filesystems to freeze.
      type: list
      elements: dict
      contains:
        mount_point: {type: str, description: The mount point.}
        device: {type: str, description: The device from which the filesystem is mounted.}
        type: {type: str, description: The type of the filesystem.}
        outcome:
          description:
            - V(held) if the filesystem was frozen until the thaw.
            - V(thawed_early) if another program thawed it, or had also frozen it.
            - V(held_by_another) if device-mapper keeps it frozen.
            - V(not_thawed) if it may still be frozen.
            - V(busy) if another program had already frozen it. The run left it unchanged.
            - V(freeze_failed), V(freeze_late) or V(not_frozen) if it was not frozen in time.
          type: str
        freeze_ms: {type: float, description: The duration of FIFREEZE.}
        thaw_ms: {type: float, description: The duration of FITHAW.}
        frozen_at_ms:
          description: The time of the freeze, from the start of the run.
          type: float
        thawed_at_ms: {type: float, description: "The time of the thaw, from the start of the run."}
        thawed_by: {type: str, description: "V(run), V(guard) or V(watchdog)."}
scripts:
  description: The results of the scripts.
  returned: always
  type: dict
  contains:
    pre:
      description: The pre-script. V(null) if it did not run.
      type: dict
      contains:
        succeeded:
          description: V(true) if the last attempt ended with exit status 0 within the time limit.
          type: bool
        attempts: {type: int, description: The number of attempts.}
        rc:
          description:
            - The exit status of the last attempt, or the negative number of the signal that ended
              it.
          type: int
        duration_ms: {type: float, description: The total duration of all attempts.}
        timed_out: {type: bool, description: V(true) if the script was killed after its time limit.}
        not_started: {type: str, description: The reason why the script could not be started.}
        tail: {type: str, description: The last 64 KiB of its output.}
        run_by:
          description:
            - The process that ran the script. V(run), or V(guard) or V(watchdog) if the run was not
              able to.
          type: str
    post: {type: dict, description: "The post-script, with the same keys."}
phases:
  description:
    - The phases of the run in their order, as far as it went. They are lock, validate, prepare,
      quiesce, flush, window, resume and settle.
  returned: always
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the phase.}
    start_ms: {type: float, description: "The start of the phase, from the start of the run."}
    duration_ms: {type: float, description: The duration of the phase.}
protection:
  description:
    - The state of the guard and the watchdog. Empty if the run ended before they started.
  returned: always
  type: dict
  contains:
    filesystems: {type: int, description: The number of filesystems that they held open.}
    guard:
      description:
        - Three booleans. C(running) is V(true) if the guard ran to the end.
        - C(memory_locked) is V(true) if its memory was locked.
        - C(spared_from_oom) is V(true) if the kernel does not kill it when memory runs out.
      type: dict
    watchdog: {type: dict, description: "The watchdog, with the same keys."}
    watchdog_session:
      description: The way in which the watchdog left the control group of the login session.
      type: str
# BEGIN warnings, from tests/utils/doc_blocks.py
warnings:
  description: Problems that did not fail the task.
  returned: when there are any
  type: list
  elements: str
# END warnings
failure:
  description:
    - The error that failed the run or made the backup less consistent than intended. V(null)
      without such an error.
  returned: always
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
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot import (
    run_snapshot,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot_options import (
    VM_SNAPSHOT,
)


def main() -> None:
    """Run the module."""
    run_module(Module(supports_check_mode=True, **VM_SNAPSHOT.to_kwargs()), run_snapshot)


if __name__ == "__main__":
    main()
