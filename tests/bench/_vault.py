# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure requests and time to protect a number of VMs, beside the plain way.

The lab's Azure has the times of real jobs and Azure's hourly limits. Its clock runs faster than the
real clock, at speed 2 by default. All seconds of the results are real. The slowest job, 61 s of
Azure's, takes 30 s. The time of our own process counts double compared with a job, so the ratios
are worse than those of Azure itself.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from typing import Any, Dict, Iterator, List, Optional

from tests.bench import _plain_vault
from tests.lab._process import LabError
from tests.lab.module_run import run_module
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices
from tests.lab.recovery_services.ledger import Request

#: The plain way waits for one VM after the other, so it is measured for few.
_PLAIN = (1, 10)
#: And it does little but wait, so that its clock may run faster without a change of the ratio.
_PLAIN_FASTER = 10.0
#: The module's own shortest pause between two looks, sped up as Azure is: so it sends as many
#: requests as it would to the real one.
_POLL_INTERVAL_S = 5.0
_LIMIT_S = 3600.0
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?")


def measure(vms: int, speed: float) -> Iterator[Dict[str, Any]]:
    """Yield an object for each run; each run is a separate process.

    `first`: VMs that the vault does not know yet, so that it must look for them; `unchanged`: the
    same once more; `known`: VMs that it has seen before; `plain`: these by the SDK alone.
    """
    with RecoveryServices(seed=seeds.fleet(vms), speed=speed, limits=True) as azure:
        azure.forget_requests()
        yield _line(azure, vms, "first", _protect)
        azure.forget_requests()
        yield _line(azure, vms, "unchanged", _protect)
        for run, work in (("known", _protect), ("plain", _plain)):
            if run != "plain" or vms in _PLAIN:
                azure.speed = speed * (_PLAIN_FASTER if run == "plain" else 1)
                azure.reset()
                _discover(azure)
                yield _line(azure, vms, run, work)


def _line(azure: RecoveryServices, vms: int, run: str, work: Any) -> Dict[str, Any]:
    began = time.monotonic()
    failed = work(azure, vms, run)
    wall_s = time.monotonic() - began
    sent = azure.requests()
    line: Dict[str, Any] = {
        "vms": vms,
        "run": run,
        "requests": len(sent),
        "requests_per_vm": round(len(sent) / vms, 3),
        "requests_by_action": dict(Counter(one.action for one in sent).most_common()),
        "throttled": sum(1 for one in sent if one.status == 429),
        "failed": failed,
        "wall_s": round(wall_s, 2),
    }
    if run != "unchanged":
        slowest_s = _slowest_job_s(azure) / azure.speed
        line["slowest_job_s"] = round(slowest_s, 2)
        line["ratio"] = round(wall_s / slowest_s, 2)
        search_s = _search_s(sent)
        if search_s is not None:
            # How long Azure looked for new VMs before the first job could begin.
            line["discovery_s"] = round(search_s / azure.speed, 2)
            line["ratio_with_discovery"] = round(wall_s / (slowest_s + line["discovery_s"]), 2)
    return {**line, "speed": azure.speed}


def _protect(azure: RecoveryServices, vms: int, run: str) -> int:
    """Protect the VMs by the module; return how many failed."""
    done = run_module(
        "protected_vm",
        {
            **azure.options(),
            "vms": [f"app-rg/vm{number:04d}" for number in range(1, vms + 1)],
            "policy": "DefaultPolicy",
            "poll_interval": max(0.1, _POLL_INTERVAL_S / azure.speed),
        },
        limit_s=_LIMIT_S,
    )
    found: List[Dict[str, Any]] = done.result.get("vms", [])
    if len(found) != vms:
        raise LabError(f"protected_vm failed: {done.result.get('msg')} {done.stderr}")
    failed = sum(1 for vm in found if vm["failure"])
    if not failed and done["changed"] != (run != "unchanged"):
        raise LabError(f"protected_vm says changed: {done['changed']}")
    return failed


def _plain(azure: RecoveryServices, vms: int, _run: str) -> int:
    """Protect the VMs by the SDK alone; return how many failed."""
    subprocess.run(
        [sys.executable, _plain_vault.__file__, str(vms), str(azure.speed)],
        env={**os.environ, **azure.environment()},
        check=True,
        timeout=_LIMIT_S,
    )
    return 0


def _discover(azure: RecoveryServices) -> None:
    """Let the vault find its VMs, which is not measured."""
    done = run_module("protectable_vm_info", {**azure.options(), "poll_interval": 0.2})
    if done.failed:
        raise LabError(f"protectable_vm_info failed: {done.result.get('msg')} {done.stderr}")
    azure.forget_requests()


def _slowest_job_s(azure: RecoveryServices) -> float:
    """Return the longest of all jobs, on Azure's clock."""
    jobs = azure.state()["vaults"]["vault1"]["jobs"]
    return max(_seconds(job["properties"]["duration"]) for job in jobs)


def _search_s(sent: List[Request]) -> Optional[float]:
    """Return the seconds from the start of a discovery to its end, on Azure's clock."""
    begun = [one.at for one in sent if one.action.endswith("/refreshContainers/action")]
    ended = [one.at for one in sent if one.status == 204 and "/operationResults/" in one.path]
    return (moment(ended[-1]) - moment(begun[0])).total_seconds() if begun and ended else None


def moment(text: str) -> datetime:
    """Return a time as the lab's Azure writes it."""
    return datetime.strptime(text[:26].rstrip("Z"), "%Y-%m-%dT%H:%M:%S.%f")


def _seconds(duration: str) -> float:
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise LabError(f"not a duration: {duration}")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds
