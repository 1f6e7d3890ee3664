# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure how long a module of the vault takes to start, compared with an empty module."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any, Callable, Dict, List

import yaml

from tests.bench._vault import moment
from tests.lab._process import ROOT, LabError
from tests.lab.module_run import run_module
from tests.lab.recovery_services.lab import RecoveryServices

_REFUSED = re.compile("missing required arguments|Unsupported parameters|one of the following")
_EMPTY = """\
import sys
from ansible.module_utils import basic
basic._ANSIBLE_ARGS = sys.stdin.buffer.read()
basic._ANSIBLE_PROFILE = "legacy"
basic.AnsibleModule(argument_spec={}).exit_json()
"""


def measure(runs: int) -> Dict[str, Any]:
    """Return the object of one line: medians over `runs` runs, in turns with the empty module.

    `import_s`: until the options have been read, by module; they are such that it refuses them.
    `first_request_s`: until it has also imported the SDK and its first request has arrived.
    `task_s`: until it has signed in, read one policy and ended.
    """
    meta = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())
    names: List[str] = meta["action_groups"]["azure"]
    empty: List[float] = []
    above: Dict[str, List[float]] = {name: [] for name in names}
    first: List[float] = []
    whole: List[float] = []
    with RecoveryServices() as azure:
        # The first of all is a warm-up.
        for run in range(runs + 1):
            for name in names:
                nothing = _seconds(_nothing)
                seconds = _seconds(partial(_refused, name))
                if run:
                    empty.append(nothing)
                    above[name].append(seconds - nothing)
            began = azure.now()
            azure.forget_requests()
            seconds = _seconds(partial(_one_policy, azure))
            whole += [seconds] if run else []
            arrived = moment(azure.requests()[0].at) - moment(began)
            first += [arrived.total_seconds()] if run else []
    base = statistics.median(empty)
    by_module = {name: round(statistics.median(above[name]), 3) for name in names}
    return {
        "run": "start",
        "empty_module_s": round(base, 3),
        "import_s": max(by_module.values()),
        "import_s_by_module": by_module,
        "first_request_s": round(statistics.median(first) - base, 3),
        "task_s": round(statistics.median(whole) - base, 3),
        "runs": runs,
    }


def _seconds(work: Callable[[], None]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _nothing() -> None:
    subprocess.run(
        [sys.executable, "-c", _EMPTY],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": {"_ansible_remote_tmp": "/tmp"}}).encode(),
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )


def _refused(name: str) -> None:
    done = run_module(name, {"no_such_option": 1})
    if not _REFUSED.match(str(done.result.get("msg"))):
        raise LabError(f"{name} did not read its options: {done.result} {done.stderr}")


def _one_policy(azure: RecoveryServices) -> None:
    done = run_module("backup_policy_info", {**azure.options(), "name": "DefaultPolicy"})
    if done.failed:
        raise LabError(f"backup_policy_info failed: {done.result} {done.stderr}")
