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
  - Runs on the VM itself, does what Azure Backup's VM snapshot extension does, and proves it.
    It runs the pre-script, writes out what is dirty, freezes the filesystems, takes the
    snapshots of all disks at once, thaws the filesystems, and runs the post-script.
  - Nothing stays frozen. Two further processes, a guard and a watchdog, hold the filesystems
    too. When the run dies, hangs or passes the deadline, they thaw what it froze and run the
    post-script if that is owed. Only what this run froze is thawed.
  - The scripts are those of the framework for pre-scripts and post-scripts, as
    M(quiesce.azure_backup.snapshot_scripts) puts them on the VM. Each attempt is run by the
    script's own first line, as root, in C(/), with a minimal environment (C(PATH),
    C(LANG=C.UTF-8), C(HOME=/root), C(USER), C(LOGNAME), C(SHELL)), in a session of its own.
    When the script ended or its time is up, what is left of its process group is killed. A
    script that starts a lasting process must put it into a session of its own, as a service
    manager or C(setsid) does.
  - C(preScriptNoOfRetries) and C(postScriptNoOfRetries) are further attempts, and
    C(timeoutInSeconds) is one limit over all attempts of a script, as the framework's
    documentation says. Microsoft's agent runs a script once whatever the configuration says.
  - "C(continueBackupOnFailure) false fails the run before any snapshot when a script cannot be
    trusted or the pre-script fails, and fails it after the snapshots, which are kept, when the
    post-script fails. The exception is a VM with a single disk: there the backup falls back to
    crash-consistent, and nothing is frozen. A VM with a single disk is one where O(disks) has
    one entry and the VM has no other disk; Azure's temporary disk does not count."
  - With C(fsFreezeEnabled) false nothing is frozen, and a script that failed fails the run
    whatever C(continueBackupOnFailure) says, because nothing would make the snapshots
    consistent; the exception above holds here too.
  - A configuration that is missing means no scripts. One that cannot be read or trusted, or
    that has a wrong value, means no scripts and a warning. Both are file-system-consistent at
    best.
options:
  disks:
    description:
      - The disks to take snapshots of. Give this or O(extension_settings).
    type: list
    elements: dict
    suboptions:
      blob_uri:
        description:
          - The address of the disk's page blob with a SAS that allows to read, to create a
            snapshot and to delete it. It must be valid for as long as the run may last.
        type: str
        required: true
      name:
        description:
          - What to call the disk in the result. By default the name of its blob.
        type: str
      lun:
        description:
          - The logical unit number of the disk on the VM; V(-1) for the disk of the operating
            system. The device is found by it.
        type: int
      device:
        description:
          - The block device of the disk on the VM, such as V(/dev/sdc). With O(disks[].lun) or
            this for all disks, the module knows which filesystems lie on them, and can say
            whether the snapshots show all of what was frozen.
        type: path
  extension_settings:
    description:
      - The settings of the VM snapshot extension, as Azure Backup gives them to the VM. They
        name the disks, the task, and where status and log go.
    type: dict
    suboptions:
      settings:
        description:
          - The public settings. Where they name places for status and log, these go before those
            of the protected settings.
        type: dict
        required: true
        suboptions:
          taskId: {type: str, description: The name of the backup.}
          commandToExecute: {type: str, description: Must be V(snapshot).}
          commandStartTimeUTCTicks: {type: raw, description: When the backup was to begin.}
          locale: {type: str, description: The language.}
          vmType: {type: str, description: The kind of the VM.}
          statusBlobUri: {type: str, description: Where the status goes.}
          logsBlobUri: {type: str, description: Where the log goes.}
          objectStr: {type: jsonarg, description: "JSON, plain or base64, with backupMetadata."}
          customSettings: {type: jsonarg, description: Not used.}
      protected_settings:
        description:
          - The protected settings, decrypted, with C(objectStr), C(statusBlobUri) and
            C(logsBlobUri). C(objectStr) is JSON, plain or base64, with the list C(blobSASUri).
        type: dict
        required: true
  config_path:
    description:
      - The configuration of the framework.
    type: path
    default: /etc/azure/VMSnapshotScriptPluginConfig.json
  freeze:
    description:
      - What to freeze.
      - V(auto) freezes the filesystems that lie on the disks, where the devices of all disks
        are known; otherwise every local filesystem that can be frozen, the root last.
      - V(none) freezes nothing. The snapshots are crash-consistent then, unless
        C(fsFreezeEnabled) is false too.
      - A list of mount points freezes exactly those.
    type: raw
    default: auto
  freeze_timeout:
    description:
      - For how many seconds filesystems may be frozen, from 1 to 60. Then everything is thawed,
        whatever else is going on.
    type: int
    default: 10
  expedite:
    description:
      - Whether the kernel is to end grace periods of RCU early while filesystems are being frozen.
        C(FIFREEZE) waits for some of them, which takes tens of milliseconds while writers wait,
        and 1 to 7 ms when they are expedited.
      - The guard sets C(/sys/kernel/rcu_expedited) right before the first C(FIFREEZE), to a number
        of its own, 1903520101. As soon as the last C(FIFREEZE) has returned it writes 0 again.
        When the guard is killed or stopped, the watchdog or the run does so. The value of somebody
        else is never changed. Runs at the same time count themselves, and the last one writes 0.
      - It is a setting of the whole machine. While it is on, every CPU may be interrupted for some
        microseconds by each grace period that somebody waits for.
      - V(auto) uses it unless the file is absent, read-only or set already, C(rcu_normal) is set
        (it wins), the kernel is one for real time, or CPUs are isolated or free of ticks
        (C(nohz_full)).
      - V(yes) uses it on kernels for real time and with isolated CPUs too. When the file is absent
        or read-only, or C(rcu_normal) is set, the task fails with C(ExpediteUnavailable) before
        anything is changed.
      - V(no) never turns it on.
    type: str
    choices: [auto, "yes", "no"]
    default: auto
    version_added: 0.2.0
  on_partial:
    description:
      - What becomes of snapshots when some disk has none, or when some were acknowledged only
        after the thaw.
      - V(discard) deletes them all, and the run fails.
      - V(keep) keeps them with their labels. The run fails when some disk has no snapshot;
        otherwise it is crash-consistent.
    type: str
    choices: [discard, keep]
    default: discard
  metadata:
    description:
      - Names and values that are written to every snapshot as its metadata.
    type: dict
    default: {}
  task_id:
    description:
      - The name of this backup. A name that was used on this VM since it booted is refused.
    type: str
  status_blob_uri:
    description:
      - Where to write the status document of the extension's form, with a SAS.
    type: str
  logs_blob_uri:
    description:
      - Where to write the log of the run, with a SAS.
    type: str
  require_consistency:
    description:
      - The least consistency that counts as success. When less is reached the task fails; the
        snapshots are kept and listed.
    type: str
    choices: [application, file-system, crash]
    default: crash
requirements:
  - azure-storage-blob >= 12.18 (Python library, on the VM)
attributes:
  check_mode:
    support: full
    details: Checks the options, the configuration, the scripts, the disks and the mounts. Runs,
      freezes and takes nothing.
  diff_mode:
    support: none
  idempotent:
    support: none
    details: Every run takes snapshots. A O(task_id) makes sure that a backup is taken once.
extends_documentation_fragment:
  - quiesce.azure_backup._attributes
seealso:
  - module: quiesce.azure_backup.snapshot_scripts
  - module: quiesce.azure_backup.snapshot_scripts_info
"""

EXAMPLES = r"""
- name: Snapshot two data disks, application-consistent or not at all
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

- name: Say what was reached and how long the filesystems were frozen
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

- name: Do what the extension was told to do
  become: true
  quiesce.azure_backup.vm_snapshot:
    extension_settings:
      settings: "{{ extension.settings }}"
      protected_settings: "{{ extension.protected_settings }}"
"""

RETURN = r"""
consistency:
  description: Which consistency the snapshots have. V(none) when there is no whole set of them.
  returned: always
  type: str
  sample: application
evidence:
  description:
    - What the verdict rests on. Each has C(holds) (V(null) when it is not known or does not
      matter) and words.
  returned: always
  type: dict
  contains:
    scripts_succeeded:
      description: Whether both scripts ended with exit status 0. V(null) without scripts.
      type: dict
      sample: {"holds": true, "words": "The pre-script ended with exit status 0 (attempt 1)."}
    freeze_off_by_config: {type: dict, description: Whether C(fsFreezeEnabled) is false.}
    filesystems_held:
      description: Whether FITHAW proved of each filesystem that it was frozen until the thaw.
      type: dict
    snapshots_in_window:
      description:
        - Whether each snapshot was asked for and acknowledged between the last FIFREEZE and the
          first FITHAW. With C(fsFreezeEnabled) false V(null), or V(false) when one was not
          acknowledged before the post-script was due.
      type: dict
    disks_covered:
      description:
        - Whether freezing the filesystems stopped every write to the disks. V(null) when a
          device is not known, or there was no time to look at all processes.
      type: dict
    window_held: {type: dict, description: Whether filesystems and snapshots both were in time.}
snapshot_set:
  description: The set that the snapshots belong to.
  returned: always
  type: dict
  contains:
    id: {type: str, description: "The name of the set, which every snapshot carries as a label."}
    task_id: {type: str, description: "The O(task_id), or that of the O(extension_settings)."}
    complete: {type: bool, description: Whether there is a snapshot of every disk.}
    labels: {type: dict, description: What was written to every snapshot as metadata.}
    left_behind: {type: list, elements: str, description: Disks with a snapshot of this run.}
    not_discarded: {type: dict, description: "By disk, why a snapshot could not be deleted."}
started_ns:
  description: When the run began on the VM's monotonic clock.
  returned: always
  type: int
disks:
  description: The disks and their snapshots.
  returned: always
  type: list
  elements: dict
  contains:
    name: {type: str, description: The name of the disk.}
    lun: {type: int, description: "The logical unit number, where given."}
    snapshot:
      description: Its name in the store, a time for a page blob. V(null) when there is none.
      type: str
    uri: {type: str, description: "The address of the snapshot, without a SAS."}
    requested_ms: {type: float, description: "When it was asked for, from the start of the run."}
    acknowledged_ms: {type: float, description: When the store acknowledged it.}
    in_window:
      description: Whether both were while all was frozen. V(null) when nothing was to be frozen.
      type: bool
    unknown: {type: bool, description: "Whether no answer came, so that a snapshot may exist."}
    failure: {type: dict, description: Why there is no snapshot.}
freeze:
  description: The window.
  returned: always
  type: dict
  contains:
    window_ms:
      description: From the start of the first FIFREEZE to the end of the last FITHAW.
      type: float
    frozen_ms:
      description: From the end of the last FIFREEZE to the start of the first FITHAW.
      type: float
    timeout_s: {type: float, description: The O(freeze_timeout).}
    expedited:
      description: What became of O(expedite). Empty when the run ended before anything was set up.
      type: dict
      contains:
        used: {type: bool, description: Whether the run turned the setting on.}
        words: {type: str, description: "That it did, or why not."}
        on_ms: {type: float, description: For how long at most the setting was on.}
    filesystems:
      description: The filesystems that were to be frozen.
      type: list
      elements: dict
      contains:
        mount_point: {type: str, description: Where it is mounted.}
        device: {type: str, description: The device that it was mounted from.}
        type: {type: str, description: The type of the filesystem.}
        outcome:
          description:
            - V(held), V(thawed_early) (by somebody else, or another holder had it frozen too),
              V(held_by_another) (device-mapper keeps it frozen), V(not_thawed) (it may still be
              frozen), V(busy) (somebody else had frozen it; it was left alone), V(freeze_failed),
              V(freeze_late) or V(not_frozen).
          type: str
        freeze_ms: {type: float, description: How long FIFREEZE took.}
        thaw_ms: {type: float, description: How long FITHAW took.}
        frozen_at_ms: {type: float, description: "When it was, counted from the start of the run."}
        thawed_at_ms: {type: float, description: "When it was thawed, counted alike."}
        thawed_by: {type: str, description: "V(run), V(guard) or V(watchdog)."}
scripts:
  description: What the scripts did.
  returned: always
  type: dict
  contains:
    pre:
      description: The pre-script. V(null) when it did not run.
      type: dict
      contains:
        succeeded:
          description: Whether the last attempt ended with exit status 0 in time.
          type: bool
        attempts: {type: int, description: How often it was started.}
        rc:
          description:
            - Exit status of the last attempt, or the negative number of the signal that ended
              it.
          type: int
        duration_ms: {type: float, description: How long all attempts took together.}
        timed_out: {type: bool, description: Whether it was killed because its time was up.}
        not_started: {type: str, description: Why it could not be started.}
        tail: {type: str, description: The last 64 KiB of its output.}
        run_by:
          description:
            - Which process ran it, V(run), or V(guard) or V(watchdog) when the run was in no
              state to.
          type: str
    post: {type: dict, description: "The post-script, with the same keys."}
phases:
  description:
    - The phases in their order (lock, validate, prepare, quiesce, flush, window, resume,
      settle), as far as the run went.
  returned: always
  type: list
  elements: dict
  contains:
    name: {type: str, description: The phase.}
    start_ms: {type: float, description: "When it began, counted from the start of the run."}
    duration_ms: {type: float, description: How long it took.}
protection:
  description: How the guard and the watchdog were set up. Empty when the run ended before that.
  returned: always
  type: dict
  contains:
    filesystems: {type: int, description: How many filesystems they held.}
    guard:
      description: Whether it was C(running) to the end, C(memory_locked), and C(spared_from_oom).
      type: dict
    watchdog: {type: dict, description: The same of the watchdog.}
    watchdog_session: {type: str, description: How it left the control group of the login session.}
warnings:
  description: What people should know although it failed nothing.
  returned: when there is any
  type: list
  elements: str
failure:
  description: What failed the run, or what made the backup less consistent than it was meant to be.
  returned: always
  type: dict
  contains:
    name:
      description: The documented name of the error, such as V(Pre-ScriptExecutionFailed).
      type: str
    code: {type: int, description: "The code that the extension reports for it, where it has one."}
    message: {type: str, description: What went wrong.}
    recommended_action: {type: str, description: What to do about it.}
"""

from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    Module,
    run_module,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot import (
    run_snapshot,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot_options import (
    ARGUMENT_SPEC,
)


def main() -> None:
    """Run the module."""
    module = Module(
        argument_spec=ARGUMENT_SPEC,
        mutually_exclusive=[("disks", "extension_settings")],
        required_one_of=[("disks", "extension_settings")],
        supports_check_mode=True,
    )
    run_module(module, run_snapshot)


if __name__ == "__main__":
    main()
