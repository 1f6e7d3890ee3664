# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_snapshot with everything real: scripts, loop disks that are frozen, a blob store over HTTP."""

from __future__ import annotations

import json
import pwd
from contextlib import closing
from typing import Iterator

import pytest

from tests.integration.guest_rig import Guest, holds, warnings
from tests.lab.azurite import Azurite, signatures
from tests.lab.module_run import run_module

PHASES = ["lock", "validate", "prepare", "quiesce", "flush", "window", "resume", "settle"]


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    guest = Guest(azurite, ["ext4", "xfs"])
    yield guest
    guest.close()


def test_application_consistent_over_two_disks(guest: Guest, azurite: Azurite) -> None:
    guest.configure(pre="echo quiet", post="echo loud")
    done = guest.run(metadata={"application": "orders"}, require_consistency="application")
    assert not done.failed, done
    assert done["consistency"] == "application"
    assert done["changed"] is True and done["failure"] is None
    assert holds(done) == {
        "scripts_succeeded": True,
        "freeze_off_by_config": False,
        "filesystems_held": True,
        "snapshots_in_window": True,
        "disks_covered": True,
        "window_held": True,
    }
    assert [phase["name"] for phase in done["phases"]] == PHASES
    assert guest.scripts_ran() == ["pre", "post"]
    assert done["scripts"]["pre"]["tail"] == "quiet\n"
    assert done["scripts"]["post"]["tail"] == "loud\n"
    freeze = done["freeze"]
    assert 0 < freeze["frozen_ms"] <= freeze["window_ms"]
    assert [one["type"] for one in freeze["filesystems"]] == ["ext4", "xfs"]
    assert {one["outcome"] for one in freeze["filesystems"]} == {"held"}
    assert done["snapshot_set"]["complete"] is True
    for disk, blob in zip(done["disks"], guest.blobs):
        assert disk["in_window"] is True and disk["failure"] is None
        (snapshot,) = azurite.snapshots(blob)
        assert snapshot.snapshot == disk["snapshot"]
        assert snapshot.metadata["application"] == "orders"
        assert done["snapshot_set"]["id"] in snapshot.metadata.values()
        assert done["snapshot_set"]["labels"].items() <= snapshot.metadata.items()
        assert disk["uri"].startswith(blob)


def test_auto_finds_the_filesystems_by_the_devices(guest: Guest) -> None:
    guest.configure()
    done = guest.run(freeze="auto")
    assert done["consistency"] == "application"
    mounted = {one["mount_point"] for one in done["freeze"]["filesystems"]}
    assert mounted == {disk.mount_point for disk in guest.disks}


def test_no_configuration(guest: Guest) -> None:
    done = guest.run()
    assert (done["consistency"], done["failure"]) == ("file-system", None)
    assert done["scripts"] == {"pre": None, "post": None}


def test_configuration_that_is_not_json(guest: Guest) -> None:
    guest.config.write_text("{,}")
    guest.config.chmod(0o600)
    done = guest.run()
    assert not done.failed
    assert done["consistency"] == "file-system"
    assert done["failure"]["name"] == "IncorrectJSONConfigFile"


@pytest.mark.parametrize("continue_backup", [True, False])
def test_script_that_others_may_run(guest: Guest, continue_backup: bool) -> None:
    guest.configure(continueBackupOnFailure=continue_backup)
    guest.script("pre", "exit 0", mode=0o755)
    done = guest.run()
    assert done.failed == (not continue_backup)
    assert done["consistency"] == ("file-system" if continue_backup else "none")
    assert done["failure"]["name"] == "InsufficientPermissionforPre-Script"
    assert guest.scripts_ran() == []
    assert guest.snapshots() == ([1, 1] if continue_backup else [0, 0])


@pytest.mark.parametrize("kind", ["pre", "post"])
@pytest.mark.parametrize("continue_backup", [True, False])
def test_failing_script(guest: Guest, kind: str, continue_backup: bool) -> None:
    guest.configure(**{kind: "echo broken; exit 7"}, continueBackupOnFailure=continue_backup)
    done = guest.run()
    assert done.failed == (not continue_backup)
    assert done["failure"]["name"] == f"{kind.capitalize()}-ScriptExecutionFailed"
    assert done["scripts"][kind]["rc"] == 7
    assert done["scripts"][kind]["tail"] == "broken\n"
    assert guest.scripts_ran() == ["pre", "post"]
    taken = continue_backup or kind == "post"
    assert guest.snapshots() == ([1, 1] if taken else [0, 0])
    assert done["consistency"] == ("file-system" if taken else "none")


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_single_disk_falls_back_to_crash(azurite: Azurite, kind: str) -> None:
    with closing(Guest(azurite, ["ext4"])) as guest:
        guest.configure(**{kind: "exit 7"}, continueBackupOnFailure=False)
        done = guest.run()
        assert not done.failed
        assert done["consistency"] == "crash"
        assert done["failure"]["name"] == f"{kind.capitalize()}-ScriptExecutionFailed"
        assert guest.snapshots() == [1]
        assert guest.scripts_ran() == ["pre", "post"]


def test_timeout_and_retry(guest: Guest) -> None:
    mark = guest.folder / "mark"
    guest.configure(
        pre=f'[ -e "{mark}" ] && exit 0; : > "{mark}"; exit 1',
        post="exec sleep 1000",
        preScriptNoOfRetries=1,
        # The post-script uses it up; both attempts at the pre-script have to fit into it.
        timeoutInSeconds=10,
    )
    done = guest.run()
    assert done["scripts"]["pre"]["attempts"] == 2 and done["scripts"]["pre"]["rc"] == 0
    assert done["scripts"]["post"]["timed_out"] is True
    assert done["failure"]["name"] == "Post-ScriptTimeout"
    assert done["consistency"] == "file-system"


def test_freeze_off_by_configuration(guest: Guest) -> None:
    guest.configure(fsFreezeEnabled=False)
    done = guest.run(freeze="auto")
    assert done["consistency"] == "application"
    assert done["freeze"]["window_ms"] is None
    assert holds(done)["freeze_off_by_config"] is True


def test_pre_script_that_mounts_a_new_filesystem(guest: Guest) -> None:
    """Check that a change after the plan is found right before the freeze."""
    point = guest.folder / "late mount"
    point.mkdir()
    image = guest.disks[0].path / "image"
    guest.configure(
        pre=f'truncate -s 20M "{image}" && mkfs.ext4 -q -F "{image}" '
        f'&& mount -o loop "{image}" "{point}"',
        post=f'umount "{point}"',
    )
    done = guest.run()
    assert done["scripts"]["pre"]["rc"] == 0, done["scripts"]
    assert done["consistency"] == "crash"
    assert holds(done)["disks_covered"] is False
    assert str(point) in done["evidence"]["disks_covered"]["words"]


def test_missing_blob_leaves_everything_alone(guest: Guest, azurite: Azurite) -> None:
    guest.configure()
    options = guest.options()
    options["disks"][1]["blob_uri"] = azurite.account_sas(guest.blobs[1] + "-gone")
    done = guest.run_with(options)
    assert done.failed and "disk1" in done["msg"]
    assert guest.scripts_ran() == [] and guest.snapshots() == [0, 0]
    guest.check_left(done)


def test_a_task_is_run_once(guest: Guest) -> None:
    task = f"task-{guest.folder.name.split()[-1]}"
    assert guest.run(task_id=task)["snapshot_set"]["task_id"] == task
    again = guest.run(task_id=task)
    assert again.failed and again["failure"]["name"] == "TaskAlreadyRun"
    assert guest.snapshots() == [1, 1]


def test_check_mode_runs_and_freezes_nothing(guest: Guest) -> None:
    guest.configure()
    done = guest.run(check=True, task_id="checked")
    assert not done.failed and done["changed"] is True
    assert guest.scripts_ran() == [] and guest.snapshots() == [0, 0]
    assert {one["outcome"] for one in done["freeze"]["filesystems"]} == {"not_frozen"}
    assert len(done["freeze"]["filesystems"]) == 2


def test_not_root(guest: Guest) -> None:
    nobody = str(pwd.getpwnam("nobody").pw_uid)
    prefix = ["setpriv", f"--reuid={nobody}", "--clear-groups"]
    # Who may still read the checkout, wherever it lies.
    prefix += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = run_module("vm_snapshot", guest.options(), prefix=prefix, check=False)
    assert done.failed and done["failure"]["name"] == "NotRoot"


def test_status_and_log(guest: Guest, azurite: Azurite) -> None:
    guest.configure(pre="echo output of the pre-script")
    status, log = guest.document(), guest.document()
    done = guest.run(
        status_blob_uri=azurite.sas(status, "rw"), logs_blob_uri=azurite.sas(log, "rw")
    )
    assert warnings(done) == [] and done["consistency"] == "application"
    (document,) = json.loads(azurite.read(status))
    assert document["status"]["status"] == "success" and document["status"]["code"] == "0"
    assert [one["isSuccessful"] for one in document["status"]["snapshotInfo"]] == [True, True]
    text = azurite.read(log).decode()
    assert "output of the pre-script" in text and "consistency: application" in text
    for uri in (one["blob_uri"] for one in guest.options()["disks"]):
        for signature in signatures(uri):
            assert signature not in text and signature not in json.dumps(document)


def test_a_refused_status_does_not_hide_the_verdict(guest: Guest, azurite: Azurite) -> None:
    status = guest.document()
    done = guest.run(status_blob_uri=azurite.sas(status, "r"))
    assert not done.failed and done["consistency"] == "file-system"
    assert any("tatus" in text for text in warnings(done))


def test_status_of_a_run_that_was_refused(guest: Guest, azurite: Azurite) -> None:
    status = guest.document()
    done = guest.run(freeze=["/no/such"], status_blob_uri=azurite.sas(status, "rw"))
    assert done.failed
    (document,) = json.loads(azurite.read(status))
    assert document["status"]["status"] == "error"
    assert "/no/such" in document["status"]["formattedMessage"]["message"]


def test_extension_settings(guest: Guest, azurite: Azurite) -> None:
    status = guest.document()
    task = f"{guest.folder.name.split()[-1]}_1"
    uris = [one["blob_uri"] for one in guest.options()["disks"]]
    options = guest.options(
        extension_settings={
            "settings": {
                "taskId": task,
                "commandToExecute": "snapshot",
                "locale": "en-us",
                "vmType": "microsoft.compute/virtualmachines",
                "statusBlobUri": azurite.sas(status, "rw"),
            },
            "protected_settings": {"objectStr": json.dumps({"blobSASUri": uris})},
        }
    )
    del options["disks"]
    done = guest.run_with(options)
    assert not done.failed, done
    assert done["consistency"] == "file-system"
    assert holds(done)["disks_covered"] is None
    assert done["snapshot_set"]["task_id"] == task
    (document,) = json.loads(azurite.read(status))
    assert document["status"]["taskId"] == task and document["status"]["code"] == "1"
    assert guest.snapshots() == [1, 1]
    guest.check_left(done)
