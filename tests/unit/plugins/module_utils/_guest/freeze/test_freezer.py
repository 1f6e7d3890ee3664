# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A normal window, and interference by other processes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import (
    LONG_S,
    FreezeHarness,
    outcomes,
    script,
)

pytestmark = pytest.mark.root


@pytest.mark.parametrize("fstypes", [("ext4",), ("ext4", "xfs", "btrfs")])
def test_window(tmp_path: Path, fstypes: tuple[str, ...]) -> None:
    """Check that all are frozen, held and thawed, and that no process is left."""
    with FreezeHarness(tmp_path, fstypes, freeze_timeout_s=LONG_S) as harness:
        assert harness.start(post=harness.post)["value"] == harness.run.pid
        protection = harness.do("protection")
        assert protection["guard"]["running"] and protection["watchdog"]["running"]
        harness.do("verify", "mark_due", "flush")
        deadline = harness.do("freeze")
        assert harness.do("is_window_over") is False
        records = harness.do("thaw")
        assert harness.do("is_window_over") is True
        assert outcomes(records) == [("held", "guard")] * len(fstypes)
        for record in records:
            times = [record[f"{name}_ns"] for name in ("freeze_started", "frozen")]
            times += [record[f"{name}_ns"] for name in ("thaw_started", "thawed")]
            assert times == sorted(times)
            assert times[-1] < deadline
        harness.wait_writable()
        outcome = harness.do("run_once")
        assert (outcome["rc"], outcome["attempts"], outcome["run_by"]) == (0, 1, "run")
        assert harness.do("run_once") == outcome
        harness.do("stop")
        harness.wait_ended("guard", "watchdog")
        assert harness.post_script_starts() == 1


def test_lower_rank_is_frozen_first(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path, ("ext4", "ext4", "ext4"), freeze_timeout_s=LONG_S) as harness:
        targets = [
            {
                "mount_point": disk.mount_point,
                "device": disk.device,
                "fstype": "ext4",
                "dev": disk.path.stat().st_dev,
                "rank": rank,
            }
            for disk, rank in zip(harness.disks, (7, 0, 7))
        ]
        harness.start(targets=targets)
        harness.do("freeze")
        last, first, too = harness.do("thaw")
        assert first["frozen_ns"] <= min(last["freeze_started_ns"], too["freeze_started_ns"])


def test_foreign_freeze_is_left_alone(tmp_path: Path) -> None:
    """Check that EBUSY fails the freeze, and that only the run's own freezes are thawed."""
    with FreezeHarness(tmp_path, ("ext4", "ext4"), freeze_timeout_s=LONG_S) as harness:
        harness.start()
        ours, foreign = harness.disks
        harness.guarded.freeze(foreign.mount_point)
        answer = harness.ask("freeze")
        assert answer["error"] == "FrozenByAnother"
        assert foreign.mount_point in answer["message"]
        assert ours.mount_point not in answer["message"]
        records = harness.do("thaw")
        assert records[1]["outcome"] == "busy" and records[1]["thaw_errno"] is None
        harness.do("stop")
        assert harness.guarded.thaw(foreign.mount_point), "a stranger's freeze was thawed"
        assert not harness.guarded.thaw(ours.mount_point)


def test_foreign_thaw_is_reported(tmp_path: Path) -> None:
    # Only FITHAW itself shows that the filesystem was not frozen any more.
    with FreezeHarness(tmp_path, ("ext4", "ext4"), freeze_timeout_s=LONG_S) as harness:
        harness.start()
        harness.do("freeze")
        assert harness.guarded.thaw(harness.disks[1].mount_point)
        assert outcomes(harness.do("thaw")) == [("held", "guard"), ("thawed_early", None)]


def test_unmounted_in_the_window_is_thawed(tmp_path: Path) -> None:
    # A freeze outlives the mount, and so does the descriptor.
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        harness.start()
        harness.do("freeze")
        subprocess.run(["umount", "--lazy", harness.disks[0].mount_point], check=True)
        assert outcomes(harness.do("thaw")) == [("held", "guard")]
        assert harness.ask("verify")["error"] == "MountChanged"


def test_guard_thaws_at_the_deadline(tmp_path: Path) -> None:
    """Check that the guard thaws for a run that does not, and that the run can see it."""
    with FreezeHarness(tmp_path, freeze_timeout_s=4, post=None) as harness:
        harness.start()
        deadline = harness.do("freeze")
        harness.wait_writable()
        assert harness.do("is_window_over") is True
        (record,) = harness.do("thaw")
        assert (record["outcome"], record["thawed_by"]) == ("held", "guard")
        assert record["thaw_started_ns"] >= deadline
        assert harness.do("is_taken_over") is False


def test_start_over_another_mount_fails(tmp_path: Path) -> None:
    """Check that the start fails over another filesystem and over a folder without a mount."""
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        point = harness.disks[0].mount_point
        plan = {"mount_point": point, "device": "x", "fstype": "ext4", "dev": 1}
        answer = harness.start(targets=[plan])
        assert answer["error"] == "MountChanged" and point in answer["message"]
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        folder = harness.disks[0].path / "folder"
        folder.mkdir()
        plan = {"mount_point": str(folder), "device": "x", "fstype": "ext4"}
        answer = harness.start(targets=[{**plan, "dev": folder.stat().st_dev}])
        assert answer["error"] == "MountChanged" and str(folder) in answer["message"]


def test_same_filesystem_twice_fails(tmp_path: Path) -> None:
    # The second freeze would seem to be that of another process.
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        disk = harness.disks[0]
        dev = disk.path.stat().st_dev
        disk_target = {"mount_point": disk.mount_point, "device": "x", "fstype": "ext4", "dev": dev}
        assert harness.start(targets=[disk_target, disk_target])["error"] == "FilesystemTwice"


def test_post_script_without_filesystems_runs(tmp_path: Path) -> None:
    """Check that the supervisors run the post-script of a run without filesystems."""
    with FreezeHarness(tmp_path, ()) as harness:
        harness.start(post=harness.post)
        harness.do("mark_due", "flush", "freeze")
        assert harness.do("thaw") == []
        harness.run.kill()
        harness.wait_ended()
        assert harness.post_script_starts() == 1


def test_post_script_that_is_not_due_never_runs(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        harness.start(post=harness.post)
        assert harness.do("run_once") is None
        harness.run.kill()
        harness.wait_ended()
        assert harness.post_script_starts() == 0


def test_post_script_is_retried_by_its_runner(tmp_path: Path) -> None:
    # The first attempt names the runner; the second must not take that for another process.
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        again = tmp_path / "again"
        body = f"[ -e '{again}' ] && echo ok && exit 0; touch '{again}'; exit 3"
        harness.start(post=script(tmp_path / "twice.sh", body, retries=2))
        outcome = harness.do("mark_due", "run_once")
        assert (outcome["rc"], outcome["attempts"]) == (0, 2)
        assert "ok" in outcome["tail"]


def test_post_script_that_changed_is_not_started(tmp_path: Path) -> None:
    with FreezeHarness(tmp_path, freeze_timeout_s=LONG_S) as harness:
        harness.start(post=harness.post)
        (tmp_path / "post.sh").write_text("#!/bin/sh\necho evil\n")
        outcome = harness.do("mark_due", "run_once")
        assert outcome["not_started"] and outcome["attempts"] == 0
        harness.do("stop")
        assert harness.post_script_starts() == 0
