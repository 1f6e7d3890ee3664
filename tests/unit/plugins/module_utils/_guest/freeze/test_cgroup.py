# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Kill a whole login session at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.plugins.module_utils._guest.freeze.freeze_harness import FreezeHarness, until

pytestmark = pytest.mark.root


def _unified() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, folder, fstype, options = line.split(" ")[:4]
        if fstype == "cgroup2" and "rw" in options.split(","):
            return Path(folder)
    pytest.skip("control groups of version 2 are not mounted or not writable here")


@pytest.fixture
def session() -> Iterator[Path]:
    """Make a control group that can be killed as a whole."""
    group = _unified() / f"quiesce-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error.strerror}")
    try:
        if not (group / "cgroup.kill").exists():
            pytest.skip("the kernel cannot kill a control group as a whole (5.14 can)")
        yield group
    finally:
        until(lambda: not (group / "cgroup.procs").read_text(), "the group's end")
        group.rmdir()


def test_session_killed_watchdog_thaws_and_runs_post_script(tmp_path: Path, session: Path) -> None:
    """Check that the watchdog, which has left the group, survives run and guard."""

    def move(pid: int) -> None:
        (session / "cgroup.procs").write_text(f"{pid}\n")

    with FreezeHarness(tmp_path, ("ext4", "xfs")) as harness:
        harness.start(move, post=harness.post)
        harness.do("mark_due", "freeze")
        left = harness.do("protection")["watchdog_session"]
        assert left in ("in the root control group", "in a systemd scope of its own")
        members = {int(pid) for pid in (session / "cgroup.procs").read_text().split()}
        assert members == {harness.pids["run"], harness.pids["guard"]}
        (session / "cgroup.kill").write_text("1")
        harness.wait_ended("run", "guard")
        harness.wait_writable()
        harness.wait_ended()
        assert harness.post_script_starts() == 1
