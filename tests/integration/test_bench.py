# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bench of the vault runs, and counts what it says it counts. How fast, no test asserts."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.lab._process import ROOT

_WRITE = "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write"


def test_the_bench_of_the_vault() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "vault", "--vms=1", "--speed=40", "--runs=1"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    start, first, unchanged, known, plain = map(json.loads, done.stdout.splitlines())
    assert start["run"] == "start" and "protected_vm" in start["import_s_by_module"]
    runs = [first, unchanged, known, plain]
    assert [line["run"] for line in runs] == ["first", "unchanged", "known", "plain"]
    for line in runs:
        assert line["vms"] == 1 and line["failed"] == 0 and line["throttled"] == 0
        assert line["requests"] == sum(line["requests_by_action"].values())
        assert line["requests_by_action"].get(_WRITE, 0) == (line is not unchanged)
    for line in (first, known, plain):
        # The service's own time on its fast clock.
        assert 30 < line["slowest_job_s"] * line["speed"] < 62 and line["ratio"] > 1
    assert first["discovery_s"] > 0 and "discovery_s" not in known
