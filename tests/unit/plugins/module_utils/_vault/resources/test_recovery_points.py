# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the match of a recovery point and its job, and its consistency."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._consistency import reaches
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_backup import (
    read_request,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.backup.proof import (
    shortfall,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.jobs import Job
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.recovery_points import (
    RecoveryPoint,
    least,
    point_of_job,
    read_point,
)

START = datetime(2026, 11, 21, 10, 0, tzinfo=timezone.utc)
END = START + timedelta(minutes=70)
JOB = Job("j1", "Backup", "Completed", "db01", "rg;db01", START, END)


def point(name: str, minutes: float, expires_days: Optional[float] = None) -> RecoveryPoint:
    expires = None if expires_days is None else START + timedelta(days=expires_days)
    time = START + timedelta(minutes=minutes)
    return RecoveryPoint(name, "AppConsistent", "application", time, expires)


def chosen(points: List[RecoveryPoint], expires_days: Optional[float] = None) -> Optional[str]:
    expires = None if expires_days is None else START + timedelta(days=expires_days)
    found = point_of_job(points, JOB, expires)
    return found.id if found else None


def test_point_of_job_lies_between_start_and_end() -> None:
    assert chosen([point("new", 80), point("ours", 25), point("old", -30)]) == "ours"
    assert chosen([point("old", -1)]) is None
    assert chosen([]) is None


def test_point_of_job_prefers_expiry_then_first() -> None:
    both = [point("theirs", 40, 30), point("ours", 25, 100)]
    assert chosen(both, 100) == "ours"
    assert chosen(both, 30) == "theirs"
    assert chosen(both) == "ours"
    assert chosen([point("unknown", 40)], 100) == "unknown"
    assert chosen([point("ours", 25, 14)], 100) == "ours"


def test_read_point() -> None:
    of: Dict[str, Any] = {
        "objectType": "IaasVMRecoveryPoint",
        "recoveryPointType": "FileSystemConsistent",
        "recoveryPointTime": "2026-11-21T10:20:00.7036186Z",
        "recoveryPointTierDetails": [{"type": "InstantRP", "status": "Valid"}],
        "recoveryPointProperties": {"expiryTime": "2026-12-21T00:00:00Z"},
        "osType": "Linux",
        "createdWithPolicyType": "V2",
        "isSourceVMEncrypted": True,
        "keyAndSecret": {"bekDetails": {"secretData": "VERY-SECRET"}},
        "recoveryPointDiskConfiguration": {"includedDiskList": [{"lun": 1, "name": "data"}]},
    }
    result = read_point({"name": "781743033722243", "properties": of}).to_result()
    assert result["consistency"] == "file-system"
    assert result["recovery_point_id"] == "781743033722243"
    assert result["tiers"] == [{"type": "InstantRP", "status": "Valid"}]
    assert result["time"] == "2026-11-21T10:20:00Z"
    assert result["expiry_time"] == "2026-12-21T00:00:00Z"
    assert result["included_disks"] == [{"lun": 1, "name": "data"}]
    assert result["excluded_disks"] is None and result["encrypted"] is True
    # Azure may report V2 for a point under a Standard policy.
    assert result["created_with_policy_type"] == "V2" and "policy_type" not in result
    assert "SECRET" not in str(result)


def test_reaches_orders_consistencies() -> None:
    assert reaches("application", "file-system") and reaches("crash", "crash")
    assert not reaches("crash", "file-system") and not reaches(None, "crash")
    assert least(["application", "crash", "file-system"]) == "crash"
    assert least(["application", None]) is None
    assert least([]) is None


@pytest.mark.parametrize(
    ("kind", "consistency", "required", "words"),
    [
        ("CrashConsistent", "crash", "application", ["snapshot_scripts_info", "vm_extension_info"]),
        ("FileSystemConsistent", "file-system", "application", ["snapshot_scripts_info"]),
        ("CrashConsistent", "crash", "file-system", ["vm_extension_info"]),
        ("SomethingNew", None, "crash", ["vm_extension_info"]),
    ],
)
def test_shortfall_recommends_by_consistency(
    kind: str, consistency: Optional[str], required: str, words: List[str]
) -> None:
    made = RecoveryPoint("p1", kind, consistency, START)
    failure = shortfall(VmId("s", "rg", "db01"), JOB, made, required)
    assert failure is not None and failure.name == "ConsistencyNotReached"
    for word in ("snapshot_scripts_info", "vm_extension_info"):
        assert (word in failure.recommended_action) is (word in words)
    assert (consistency or kind) in failure.message and "db01" in failure.message


def test_backup_options() -> None:
    params = {"require_consistency": None, "wait": True, "poll_interval": 5.0}
    day = {**params, "retain_until": "2026-11-21"}
    assert read_request(day, START).retain_until == START.replace(hour=23, minute=59, second=59)
    for refused in ("2026-11-20", "2026-11-21T10:00:00Z", "2125-11-23", "whenever"):
        with pytest.raises(SettingsError):
            read_request({**params, "retain_until": refused}, START)
    read_request({**params, "retain_until": "2125-11-20"}, START)
