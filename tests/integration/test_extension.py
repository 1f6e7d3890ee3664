# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test vm_snapshot with the extension's own documents, and the documents that it writes."""

from __future__ import annotations

import base64
import json
import time
import uuid
from contextlib import closing
from typing import Any, Dict, Iterator, List, Optional

import pytest

from tests.integration.guest_rig import Guest
from tests.lab.azurite import Azurite, signatures
from tests.lab.module_run import ModuleRun

EPOCH_TICKS = 621_355_968_000_000_000
MINUTE_TICKS = 60 * 10_000_000

STATUS_KEYS = {
    "name": str,
    "operation": str,
    "status": str,
    "substatus": list,
    "code": str,
    "taskId": str,
    "formattedMessage": dict,
    "storageDetails": dict,
    "commandStartTimeUTCTicks": (str, type(None)),
    "telemetryData": list,
    "uniqueMachineId": str,
    "snapshotInfo": list,
    "vmHealthInfo": dict,
}


def now_ticks() -> int:
    return EPOCH_TICKS + int(time.time() * 10_000_000)


class Service:
    """The side of Azure Backup: it writes the settings and reads the status."""

    def __init__(self, azurite: Azurite, guest: Guest) -> None:
        self.azurite = azurite
        self.guest = guest
        self.task_id = f"{uuid.uuid4()}_1"
        self.ticks: Any = str(now_ticks())
        name = uuid.uuid4()
        self.status = azurite.block_blob(f"{name}%20status")
        self.logs = azurite.block_blob(f"{name}%20log")
        self.object_str: Optional[str] = None
        self.uris: List[str] = []

    def in_page_blobs(self) -> None:
        """Let status and log go to page blobs that are too small for them."""
        self.status = self.azurite.page_blob(f"{uuid.uuid4()}", 512, "documents")
        self.logs = self.azurite.page_blob(f"{uuid.uuid4()}", 512, "documents")

    def options(self) -> Dict[str, Any]:
        options = self.guest.options()
        blobs = [one["blob_uri"] for one in options.pop("disks")]
        status, logs = (self.azurite.sas(one, "rw") for one in (self.status, self.logs))
        self.uris = [*blobs, status, logs]
        coded = base64.b64encode(json.dumps({"blobSASUri": blobs}).encode()).decode()
        options["extension_settings"] = {
            "settings": {
                "taskId": self.task_id,
                "commandToExecute": "snapshot",
                "commandStartTimeUTCTicks": self.ticks,
                "locale": "en-us",
                "vmType": "microsoft.compute/virtualmachines",
                "statusBlobUri": status,
            },
            "protected_settings": {
                "objectStr": coded if self.object_str is None else self.object_str,
                "logsBlobUri": logs,
            },
        }
        return options

    def run(self) -> ModuleRun:
        done = self.guest.run_with(self.options())
        self.check(done)
        return done

    def check(self, done: ModuleRun) -> None:
        """Check that nothing is frozen, and that no signature is anywhere."""
        self.guest.check_left(done)
        texts = [done.stdout, done.stderr]
        texts += [self.azurite.read(one).decode() for one in (self.status, self.logs)]
        for uri in self.uris:
            for secret in signatures(uri):
                assert all(secret not in text for text in texts)

    def read(self) -> Dict[str, Any]:
        """Return the status document; its form is checked."""
        data = self.azurite.read(self.status).rstrip(b"\0")
        (document,) = json.loads(data)
        assert set(document) == {"version", "timestampUTC", "status"}
        stamp = document["timestampUTC"]
        assert stamp.startswith("/Date(") and stamp.endswith(")/") and stamp[6:-2].isdigit()
        assert f"\\{stamp[:-1]}\\/".encode() in data
        status = document["status"]
        assert set(status) == set(STATUS_KEYS)
        for key, kind in STATUS_KEYS.items():
            assert isinstance(status[key], kind), key
        assert status["formattedMessage"]["lang"] == "en-US"
        status["message"] = json.loads(status["formattedMessage"]["message"])
        assert set(status["message"]) == {
            "messageStr",
            "snapshotConsistency",
            "jobMessage",
            "isSizeComputationFailed",
        }
        assert isinstance(status, dict)
        return status

    def log(self) -> str:
        return self.azurite.read(self.logs).rstrip(b"\0").decode()


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    with closing(Guest(azurite, ["ext4", "xfs"])) as guest:
        yield guest


@pytest.fixture(name="service")
def _service(azurite: Azurite, guest: Guest) -> Service:
    return Service(azurite, guest)


@pytest.mark.parametrize("pages", [False, True])
def test_application_consistent(service: Service, guest: Guest, pages: bool) -> None:
    if pages:
        service.in_page_blobs()
    guest.configure(pre="echo quiet")
    done = service.run()
    assert not done.failed, done
    assert done["consistency"] == "application"
    assert done["snapshot_set"]["task_id"] == service.task_id
    status = service.read()
    assert (status["status"], status["code"]) == ("success", "0")
    assert status["taskId"] == service.task_id
    assert status["commandStartTimeUTCTicks"] == service.ticks
    assert status["message"]["snapshotConsistency"] == 2
    assert status["vmHealthInfo"] == {"vmHealthState": 0, "vmHealthStatusCode": 0}
    assert len(status["snapshotInfo"]) == 2
    for info, blob in zip(status["snapshotInfo"], guest.blobs):
        (snapshot,) = service.azurite.snapshots(blob)
        assert info["isSuccessful"] is True and info["errorMessage"] is None
        assert info["blobUri"] == blob
        assert info["snapshotUri"] == f"{blob}?snapshot={snapshot.snapshot}"
    log = service.log()
    assert "window began" in log
    assert "quiet" in log
    assert log.rstrip().endswith("consistency: application")


def test_a_script_that_fails_and_the_policy_goes_on(service: Service, guest: Guest) -> None:
    guest.configure(pre="echo oh no; exit 3")
    done = service.run()
    assert not done.failed, done
    status = service.read()
    assert (status["status"], status["code"]) == ("success", "1")
    assert status["message"]["snapshotConsistency"] == 1
    assert "Pre-ScriptExecutionFailed" in status["message"]["messageStr"]
    assert status["vmHealthInfo"] == {"vmHealthState": 128, "vmHealthStatusCode": 300}
    assert "oh no" in service.log()
    assert guest.snapshots() == [1, 1]


def test_a_script_that_fails_and_the_policy_ends_the_run(service: Service, guest: Guest) -> None:
    guest.configure(pre="exit 3", continueBackupOnFailure=False)
    assert service.run().failed
    status = service.read()
    assert (status["status"], status["code"]) == ("error", "300")
    assert status["message"]["snapshotConsistency"] == 0
    assert [info["isSuccessful"] for info in status["snapshotInfo"]] == [False, False]
    assert guest.snapshots() == [0, 0]
    assert guest.scripts_ran() == ["pre", "post"]


def test_the_status_says_that_the_run_has_begun(service: Service, guest: Guest) -> None:
    go = guest.folder / "go"
    guest.configure(pre=f'until [ -e "{go}" ]; do sleep 0.1; done')
    running = guest.start_with(service.options())
    try:
        guest.wait_for_scripts(running)
        status = service.read()
        assert (status["status"], status["code"]) == ("success", "4")
        assert status["snapshotInfo"] == []
    finally:
        go.touch()
        done = running.finish()
    service.check(done)
    assert service.read()["code"] == "0"


def test_a_command_that_came_too_late(service: Service, guest: Guest) -> None:
    guest.configure()
    service.ticks = str(now_ticks() - 141 * MINUTE_TICKS)
    done = service.run()
    assert done.failed
    assert done["failure"]["name"] == "GuestAgentInvokedCommandTooLate"
    status = service.read()
    assert (status["status"], status["code"]) == ("error", "402")
    assert status["vmHealthInfo"] == {"vmHealthState": 256, "vmHealthStatusCode": 402}
    assert "140 minutes" in service.log()
    assert guest.scripts_ran() == []
    assert guest.snapshots() == [0, 0]


def test_documents_that_are_damaged(service: Service, guest: Guest) -> None:
    guest.configure()
    service.object_str = "c2lnbmF0dXJl!"
    done = service.run()
    assert done.failed
    assert done["failure"]["code"] == 11
    status = service.read()
    assert (status["status"], status["code"]) == ("error", "11")
    assert "objectStr" in status["message"]["messageStr"]
    assert guest.scripts_ran() == []


def test_a_task_runs_once(service: Service, guest: Guest) -> None:
    guest.configure()
    assert not service.run().failed
    done = service.run()
    assert done.failed
    assert service.task_id in done["msg"]
    # What the first one reported stands.
    assert service.read()["code"] == "0"
    assert "application" in service.log()
    assert guest.scripts_ran() == ["pre", "post"]
    assert guest.snapshots() == [1, 1]
