# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    CATALOGUE,
    Failure,
    documented,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.extension.status import (
    DiskStatus,
    StatusInput,
    clean,
    status_document,
)

SECRET = "c2VjcmV0"
BLOB = "https://a.blob.example/vhds/disk-1.vhd"
SAS = f"{BLOB}?sv=2020-10-02&sp=rw&sig={SECRET}%3D"
TIME = "2026-11-21T09:00:00.1234567Z"


def read(status: StatusInput) -> dict[str, Any]:
    data = status_document(status)
    assert SECRET.encode() not in data
    (found,) = json.loads(data)
    assert isinstance(found, dict)
    return found


def code_of(
    failure: Failure | None = None, consistency: str = "none", **more: Any
) -> dict[str, Any]:
    found = read(StatusInput("t_1", 1, consistency, failure=failure, **more))["status"]
    health = found["vmHealthInfo"]
    return {
        "code": found["code"],
        "status": found["status"],
        "state": health["vmHealthState"],
        "health": health["vmHealthStatusCode"],
    }


def test_the_whole_document() -> None:
    found = read(
        StatusInput(
            task_id="e07354cf_1",
            written_ms=1790000000123,
            consistency="application",
            disks=(DiskStatus(SAS, TIME), DiskStatus(SAS.replace("disk-1", "disk-2"), TIME)),
            command_start_ticks="6.36458E+17",
            version="0.1.0",
            telemetry={"osVersion": "Debian 12", "source": SAS},
        )
    )
    status = found.pop("status")
    assert found == {"version": "0.1.0", "timestampUTC": "/Date(1790000000123)/"}
    message = json.loads(status["formattedMessage"].pop("message"))
    assert message == {
        "messageStr": "The snapshots are application-consistent.",
        "snapshotConsistency": 2,
        "jobMessage": "",
        "isSizeComputationFailed": True,
    }
    assert status["snapshotInfo"].pop()["blobUri"] == BLOB.replace("disk-1", "disk-2")
    assert status == {
        "name": "Microsoft.Azure.RecoveryServices.VMSnapshotLinux",
        "operation": "Enable",
        "status": "success",
        "substatus": [],
        "code": "0",
        "taskId": "e07354cf_1",
        "formattedMessage": {"lang": "en-US"},
        "storageDetails": {
            "partitionCount": 0,
            "totalUsedSizeInBytes": 0,
            "isStoragespacePresent": False,
            "isSizeComputationFailed": True,
        },
        "commandStartTimeUTCTicks": "6.36458E+17",
        "telemetryData": [
            {"Value": "Debian 12", "Key": "osVersion"},
            {"Value": BLOB, "Key": "source"},
        ],
        "uniqueMachineId": "",
        "snapshotInfo": [
            {
                "isSuccessful": True,
                "snapshotUri": f"{BLOB}?snapshot={TIME}",
                "errorMessage": None,
                "blobUri": BLOB,
                "directDriveSnapshotIdentifier": None,
            }
        ],
        "vmHealthInfo": {"vmHealthState": 0, "vmHealthStatusCode": 0},
    }


def test_date_has_escaped_slashes() -> None:
    data = status_document(StatusInput("t_1", 1790000000123))
    assert b'"timestampUTC": "\\/Date(1790000000123)\\/"' in data


def test_status_is_ascii() -> None:
    failure = Failure("SnapshotFailed", 'Übel "/Date(1)/"\n', "")
    found = read(StatusInput("t_1", 1, failure=failure))
    message = json.loads(found["status"]["formattedMessage"]["message"])
    assert message["messageStr"] == 'SnapshotFailed: Übel "/Date(1)/"'


@pytest.mark.parametrize(
    ("consistency", "code", "number"),
    [("application", "0", 2), ("file-system", "1", 1), ("crash", "1", 3)],
)
def test_success(consistency: str, code: str, number: int) -> None:
    found = read(StatusInput("t_1", 1, consistency))["status"]
    assert (found["status"], found["code"]) == ("success", code)
    message = json.loads(found["formattedMessage"]["message"])
    assert message["snapshotConsistency"] == number
    assert consistency in message["messageStr"]
    assert message["isSizeComputationFailed"] is True
    assert found["storageDetails"]["isSizeComputationFailed"] is True


def test_in_progress() -> None:
    found = code_of(in_progress=True)
    assert found == {"code": "4", "status": "success", "state": 0, "health": 4}


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_documented_failures(name: str) -> None:
    entry = CATALOGUE[name]
    found = code_of(documented(name, "x"))
    assert found["code"] == str(entry.code)
    assert (found["status"], found["state"]) == ("error", 128)
    # The policy let the run continue: it succeeded, and the health shows the failure.
    found = code_of(None, "file-system", degraded_by=documented(name, "x"))
    assert found == {"code": "1", "status": "success", "state": 128, "health": entry.code}
    # The reached consistency is too low: the code shows the reason.
    low = Failure("ConsistencyTooLow", "x")
    found = code_of(low, "file-system", degraded_by=documented(name, "x"))
    assert (found["code"], found["status"]) == (str(entry.code), "error")


@pytest.mark.parametrize(
    ("name", "code", "state"),
    [
        ("FreezeFailed", 121, 128),
        ("FrozenByAnother", 121, 128),
        ("FreezeTimeout", 122, 128),
        ("FlushTimeout", 122, 128),
        ("SnapshotFailed", 76, 256),
        ("SnapshotTooLate", 76, 256),
        ("SnapshotCountExceeded", 85, 256),
        ("SnapshotOperationRateExceeded", 173, 0),
        ("InvalidFreeze", 11, 128),
        ("InternalError", 2, 0),
        ("SomethingElse", 2, 0),
    ],
)
def test_other_failures(name: str, code: int, state: int) -> None:
    found = code_of(Failure(name, "x"))
    assert found == {"code": str(code), "status": "error", "state": state, "health": code}


def test_code_of_a_failure_goes_first() -> None:
    assert code_of(Failure("GuestAgentInvokedCommandTooLate", "x", "", 402)) == {
        "code": "402",
        "status": "error",
        "state": 256,
        "health": 402,
    }


def test_some_snapshots_failed() -> None:
    disks = (DiskStatus(BLOB, TIME), DiskStatus(BLOB, None, f"refused {SAS} sig={SECRET}"))
    failure = Failure("AuthorizationFailure", "x")
    assert code_of(failure, disks=disks) == {
        "code": "76",
        "status": "error",
        "state": 256,
        "health": 761,
    }
    info = read(StatusInput("t_1", 1, failure=failure, disks=disks))["status"]["snapshotInfo"]
    assert info[1]["isSuccessful"] is False
    assert info[1]["snapshotUri"] is None
    assert info[1]["errorMessage"].startswith(f"refused {BLOB} ")


def test_all_snapshots_failed() -> None:
    disks = (DiskStatus(SAS, None, "x"), DiskStatus(SAS, None, "y"))
    assert code_of(Failure("Other", "x"), disks=disks)["health"] == 76
    assert SECRET not in repr(disks)


def test_clean() -> None:
    assert clean(f"see '{SAS}', then {SAS}") == f"see '{BLOB}', then {BLOB}"
    assert clean(f"{BLOB}?sig={SECRET}&snapshot={TIME}") == f"{BLOB}?snapshot={TIME}"
    assert SECRET not in clean(f"https%3A//a/b%3Fsp=r%26sig%3D{SECRET}")
    assert SECRET not in clean(f"https://a/b%3Fsp=r\\u0026sig={SECRET}")
    assert clean("what? nothing") == "what? nothing"
