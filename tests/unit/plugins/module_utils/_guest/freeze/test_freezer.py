# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The window as it should be, and what others may do to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.plugins.module_utils._guest.freeze.freeze_rig import LONG_S, Rig, outcomes, script

pytestmark = pytest.mark.root


@pytest.mark.parametrize("fstypes", [("ext4",), ("ext4", "xfs", "btrfs")])
def test_window(tmp_path: Path, fstypes: tuple[str, ...]) -> None:
    """All are frozen, held and thawed, and nobody is left."""
    with Rig(tmp_path, fstypes, freeze_timeout_s=LONG_S) as rig:
        assert rig.start(post=rig.post)["value"] == rig.run.pid
        protection = rig.do("protection")
        assert protection["guard"]["running"] and protection["watchdog"]["running"]
        rig.do("verify", "mark_due", "flush")
        deadline = rig.do("freeze")
        assert rig.do("is_window_over") is False
        records = rig.do("thaw")
        assert rig.do("is_window_over") is True
        assert outcomes(records) == [("held", "guard")] * len(fstypes)
        for record in records:
            times = [record[f"{name}_ns"] for name in ("freeze_started", "frozen")]
            times += [record[f"{name}_ns"] for name in ("thaw_started", "thawed")]
            assert times == sorted(times)
            assert times[-1] < deadline
        rig.wait_writable()
        paid = rig.do("run_once")
        assert (paid["rc"], paid["attempts"], paid["run_by"]) == (0, 1, "run")
        assert rig.do("run_once") == paid
        rig.do("stop")
        rig.wait_ended("guard", "watchdog")
        assert rig.times_paid() == 1


def test_order(tmp_path: Path) -> None:
    """A lower rank is frozen completely before the next one is begun."""
    with Rig(tmp_path, ("ext4", "ext4", "ext4"), freeze_timeout_s=LONG_S) as rig:
        targets = [
            {
                "mount_point": disk.mount_point,
                "device": disk.device,
                "fstype": "ext4",
                "dev": disk.path.stat().st_dev,
                "rank": rank,
            }
            for disk, rank in zip(rig.disks, (7, 0, 7))
        ]
        rig.start(targets=targets)
        rig.do("freeze")
        last, first, too = rig.do("thaw")
        assert first["frozen_ns"] <= min(last["freeze_started_ns"], too["freeze_started_ns"])


def test_foreign_freeze_is_left_alone(tmp_path: Path) -> None:
    """EBUSY refuses the freeze; what is ours is thawed, what is another's is not."""
    with Rig(tmp_path, ("ext4", "ext4"), freeze_timeout_s=LONG_S) as rig:
        rig.start()
        ours, foreign = rig.disks
        rig.guarded.freeze(foreign.mount_point)
        answer = rig.ask("freeze")
        assert answer["error"] == "FrozenByAnother"
        assert foreign.mount_point in answer["message"]
        assert ours.mount_point not in answer["message"]
        records = rig.do("thaw")
        assert records[1]["outcome"] == "busy" and records[1]["thaw_errno"] is None
        rig.do("stop")
        assert rig.guarded.thaw(foreign.mount_point), "a stranger's freeze was thawed"
        assert not rig.guarded.thaw(ours.mount_point)


def test_foreign_thaw_is_noticed(tmp_path: Path) -> None:
    """Only FITHAW itself tells that the filesystem was not frozen any more."""
    with Rig(tmp_path, ("ext4", "ext4"), freeze_timeout_s=LONG_S) as rig:
        rig.start()
        rig.do("freeze")
        assert rig.guarded.thaw(rig.disks[1].mount_point)
        assert outcomes(rig.do("thaw")) == [("held", "guard"), ("thawed_early", None)]


def test_unmounted_in_the_window(tmp_path: Path) -> None:
    """A freeze outlives the mount, and so does the descriptor."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        rig.start()
        rig.do("freeze")
        subprocess.run(["umount", "--lazy", rig.disks[0].mount_point], check=True)
        assert outcomes(rig.do("thaw")) == [("held", "guard")]
        assert rig.ask("verify")["error"] == "MountChanged"


def test_deadline(tmp_path: Path) -> None:
    """A run that does not thaw is thawed for; it goes on, and is told."""
    with Rig(tmp_path, freeze_timeout_s=4, post=None) as rig:
        rig.start()
        deadline = rig.do("freeze")
        rig.wait_writable()
        assert rig.do("is_window_over") is True
        (record,) = rig.do("thaw")
        assert (record["outcome"], record["thawed_by"]) == ("held", "guard")
        assert record["thaw_started_ns"] >= deadline
        assert rig.do("is_taken_over") is False


def test_mount_that_is_not_the_planned_one(tmp_path: Path) -> None:
    """Nothing is started over a mount point that is another filesystem, or none."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        point = rig.disks[0].mount_point
        plan = {"mount_point": point, "device": "x", "fstype": "ext4", "dev": 1}
        answer = rig.start(targets=[plan])
        assert answer["error"] == "MountChanged" and point in answer["message"]
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        folder = rig.disks[0].path / "folder"
        folder.mkdir()
        plan = {"mount_point": str(folder), "device": "x", "fstype": "ext4"}
        answer = rig.start(targets=[{**plan, "dev": folder.stat().st_dev}])
        assert answer["error"] == "MountChanged" and str(folder) in answer["message"]


def test_same_filesystem_twice(tmp_path: Path) -> None:
    """It would seem to be frozen by somebody else."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        disk = rig.disks[0]
        dev = disk.path.stat().st_dev
        one = {"mount_point": disk.mount_point, "device": "x", "fstype": "ext4", "dev": dev}
        assert rig.start(targets=[one, one])["error"] == "FilesystemTwice"


def test_without_filesystems(tmp_path: Path) -> None:
    """Where nothing is to be frozen, the post-script still is guarded."""
    with Rig(tmp_path, ()) as rig:
        rig.start(post=rig.post)
        rig.do("mark_due", "flush", "freeze")
        assert rig.do("thaw") == []
        rig.run.kill()
        rig.wait_ended()
        assert rig.times_paid() == 1


def test_post_script_that_is_not_owed(tmp_path: Path) -> None:
    """It does not run, whoever dies."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        rig.start(post=rig.post)
        assert rig.do("run_once") is None
        rig.run.kill()
        rig.wait_ended()
        assert rig.times_paid() == 0


def test_post_script_with_retries(tmp_path: Path) -> None:
    """The claim of the first attempt does not keep the payer from the second."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        again = tmp_path / "again"
        body = f"[ -e '{again}' ] && echo ok && exit 0; touch '{again}'; exit 3"
        rig.start(post=script(tmp_path / "twice.sh", body, retries=2))
        paid = rig.do("mark_due", "run_once")
        assert (paid["rc"], paid["attempts"]) == (0, 2)
        assert "ok" in paid["tail"]


def test_post_script_that_changed(tmp_path: Path) -> None:
    """It is not run, and that is said, also when a supervisor pays."""
    with Rig(tmp_path, freeze_timeout_s=LONG_S) as rig:
        rig.start(post=rig.post)
        (tmp_path / "post.sh").write_text("#!/bin/sh\necho evil\n")
        paid = rig.do("mark_due", "run_once")
        assert "not the file" in paid["not_started"]
        rig.do("stop")
        assert rig.times_paid() == 0
