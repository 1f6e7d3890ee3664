# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans for the next jobs of VMs, as tests order them, and the duration of jobs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

#: Error codes by their title, as far as they are known.
_CODES = {
    "UserErrorBackupTookCrashConsistentSnapshot": 400446,
    "UserErrorVmNotFoundV2": 400136,
    "ResourceNotFound": 320001,
    "UserErrorJobSuccessfullyCancelled": 400158,
    "UserErrorGenericResourceNotFound": 400309,
    "RestoreOperationFailed": 400003,
}

_CONSISTENCY = {
    "application": "AppConsistent",
    "file-system": "FileSystemConsistent",
    "crash": "CrashConsistent",
    "warning": "CrashConsistent",
}


@dataclass(frozen=True)
class Plan:
    """The planned outcome of a job."""

    #: A consistency, `warning`, `failed`, or `completed` for a job without consistency.
    result: str = "completed"
    code: Optional[str] = None
    message: Optional[str] = None
    error_code: Optional[int] = None
    recommendations: Tuple[str, ...] = ()
    #: Instead of the usual time.
    duration_s: Optional[float] = None
    never_ends: bool = False

    @property
    def failed(self) -> bool:
        """True if the job will fail."""
        return self.result == "failed"

    @property
    def consistency(self) -> str:
        """The consistency of its recovery point."""
        return _CONSISTENCY.get(self.result, "FileSystemConsistent")

    def error(self, title: str, message: str, recommendation: str) -> Dict[str, object]:
        """Return the job's error, by default this one."""
        title = self.code or title
        return {
            "errorCode": self.error_code or _CODES.get(title, 400001),
            "errorTitle": title,
            "errorString": self.message or message,
            "recommendations": list(self.recommendations) or [recommendation],
        }


class Plans:
    """The plans, each for one job, taken in the order given."""

    def __init__(self) -> None:
        self._plans: List[Tuple[Optional[str], str, Plan]] = []

    def add(self, vm: Optional[str], operation: str, plan: Plan) -> None:
        """Plan for a VM, named in any way, or for any VM."""
        self._plans.append((vm.lower() if vm else None, operation.lower(), plan))

    def take(self, vm_id: str, operation: str) -> Optional[Plan]:
        """Return the plan for the job that begins."""
        parts = vm_id.lower().split("/")
        known = {vm_id.lower(), parts[-1], f"{parts[4]}/{parts[-1]}", f"{parts[4]};{parts[-1]}"}
        for index, (vm, which, plan) in enumerate(self._plans):
            if (vm is None or vm in known) and which == operation.lower():
                del self._plans[index]
                return plan
        return None


def recorded_seconds(operation: str, seed: str, first: bool = True) -> float:
    """Return how long such a job took in the recordings; the same for the same `seed`.

    `first` is True if the VM was not protected before, which takes longer than a change.
    """
    chance = random.Random(f"{seed}:{operation}:{first}")
    share = chance.random()
    spread = chance.uniform(0, 0.3)
    if operation == "ConfigureBackup" and first:
        return (30.5 if share < 0.65 else 50.3 if share < 0.85 else 60.6) + spread
    if operation in ("ConfigureBackup", "DisableBackup"):
        return 1.4 + spread
    if operation == "DeleteBackupData":
        return 10.8 + 5 * spread if share < 0.93 else 16.7 if share < 0.98 else 111.6
    if operation == "Backup":
        return (2471.0 if share < 0.75 else 4035.0 if share < 0.97 else 6976.0) + 20 * spread
    return 993.0 if operation == "Restore" else 11.0 + spread
