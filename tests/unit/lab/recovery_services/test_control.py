# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test what the lab adds to Azure: the record of requests, faults, limits, and the process."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lab._process import PATIENCE_S, ROOT, LabError
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices
from tests.unit.lab.recovery_services.client import VERSION, Client


def test_the_record_of_requests(client: Client) -> None:
    client.get("/backupPolicies")
    client.protect()
    status = f"/subscriptions/{client.azure.subscription_id}/providers/"
    status += "Microsoft.RecoveryServices/locations/westeurope/backupStatus"
    vm = client.azure.state()["vms"][0]["id"]
    client.send("POST", f"{status}?{VERSION}", {"resourceType": "VM", "resourceId": vm})
    client.send("POST", f"{client.vault}/backupFabrics/Azure/refreshContainers?{VERSION}")
    client.sign_in()
    requests = client.azure.requests()
    assert [(one.action.rpartition("/vaults/")[2], one.write) for one in requests] == [
        ("backupPolicies/read", False),
        ("backupFabrics/protectionContainers/protectedItems/write", True),
        ("Microsoft.RecoveryServices/locations/backupStatus/action", False),
        ("backupFabrics/refreshContainers/action", True),
        ("signin", False),
    ]
    assert requests[1].body["properties"]["policyId"].endswith("DefaultPolicy")
    assert client.azure.secret not in json.dumps([vars(one) for one in requests])
    assert [one.method for one in client.azure.writes()] == ["PUT", "POST"]


def test_faults_come_in_their_order_and_number(client: Client) -> None:
    azure = client.azure
    azure.fault(method="GET", path="backupjobs", status=429, code="C", retry_after=3, skip=1)
    azure.fault(path="backupPolicies", status=500, body={"ErrorCode": "CloudInternalError"})
    azure.fault(path="backupPolicies", status=502, times=2, body="not JSON")
    assert client.get("/backupJobs").status == 200
    answer = client.get("/backupJobs")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "C", "3")
    assert client.get("/backupJobs").status == 200
    assert client.get("/backupPolicies").body == {"ErrorCode": "CloudInternalError"}
    assert client.get("/backupPolicies").body == b"not JSON"
    assert client.get("/backupPolicies").status == 502
    assert client.get("/backupPolicies").status == 200
    assert azure.faults() == []


def test_a_connection_that_is_cut(client: Client) -> None:
    client.azure.fault(method="PUT", path="protectedItems", kind="reset")
    with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
        client.protect()
    assert client.azure.state()["vaults"]["vault1"]["jobs"] == []
    client.azure.fault(method="PUT", path="protectedItems", kind="reset", after=True)
    with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
        client.protect()
    assert len(client.azure.state()["vaults"]["vault1"]["jobs"]) == 1
    assert [one.status for one in client.azure.requests()] == [0, 0]


def test_answers_that_make_no_sense(client: Client) -> None:
    client.azure.fault(path="backupJobs", kind="malformed")
    client.azure.fault(path="backupJobs", kind="empty")
    first, second = client.get("/backupJobs"), client.get("/backupJobs")
    assert isinstance(first.body, bytes)
    assert (first.status, second.status, second.body) == (200, 200, None)


def test_an_operation_that_never_ends(client: Client) -> None:
    client.azure.fault(method="PUT", path="protectedItems", kind="never_ends")
    assert client.protect().status == 202
    client.azure.advance(10**6)
    (job,) = client.get("/backupJobs").body["value"]
    assert job["properties"]["status"] == "InProgress"


def test_a_request_before_which_something_changes(client: Client) -> None:
    client.protect()
    client.azure.advance(120)
    client.azure.fault(path="backupJobs", change={"remove_vm": "db01"}, skip=1)
    client.azure.fault(path="backupPolicies", change={"add_vm": {"name": "db01"}}, after=True)
    for left in (True, False):
        assert client.get("/backupJobs").status == 200
        assert any(vm["id"].endswith("/db01") for vm in client.azure.state()["vms"]) is left
    assert client.get("/backupPolicies").status == 200
    assert any(vm["id"].endswith("/db01") for vm in client.azure.state()["vms"])


def test_a_client_that_waits_moves_a_clock_that_is_stepped(client: Client) -> None:
    azure = client.azure

    def waits(seconds: float) -> Any:
        before = datetime.fromisoformat(azure.now()[:19])
        answer = client.send("POST", "/lab/wait", {"seconds": seconds}).body
        after = datetime.fromisoformat(azure.now()[:19])
        return answer["real_s"], answer["stepped"], (after - before).total_seconds()

    assert waits(3) == (3.0, False, 0.0)
    azure.stepped = True
    try:
        azure.reset(speed=200)
    finally:
        azure.stepped = False
    assert waits(3) == (0.0, True, 600.0)
    azure.run_at(2)
    assert waits(3) == (0.0, True, 6.0)
    # Before the answer to a client, as long as that waits for it.
    azure.fault(path="backupJobs", delay_s=30)
    before = datetime.fromisoformat(azure.now()[:19])
    client.sign_in()
    client.get("/backupJobs")
    assert datetime.fromisoformat(azure.now()[:19]) - before == timedelta(seconds=60)
    azure.hold()
    assert waits(3) == (3.0, False, 0.0)


def test_a_fault_that_is_none_is_refused(azure: RecoveryServices) -> None:
    with pytest.raises(LabError, match="kind is one of"):
        azure.fault(kind="earthquake")
    with pytest.raises(LabError, match="colour"):
        azure.fault(colour="red")


@pytest.mark.slow
def test_the_hourly_limits(client: Client) -> None:
    client.azure.reset(limits=True)
    client.sign_in()
    header = "x-ms-ratelimit-remaining-subscription-resource-requests"
    left = [client.get("/backupProtectedItems").headers[header] for _once in range(2)]
    assert left == ["299", "298"]
    for _once in range(298):
        client.get("/backupProtectedItems")
    answer = client.get("/backupProtectedItems")
    assert (answer.status, answer.code) == (429, "ResourceRequestsThrottled")
    assert "vaults/backupProtectedItems/read' exceeded the limit of '300'" in str(answer.body)
    assert int(answer.headers["retry-after"]) > 3000
    assert client.get("/backupJobs").headers[header] == "449"
    client.azure.advance(3601)
    assert client.get("/backupProtectedItems").headers[header] == "299"


def test_a_limit_of_another_region(client: Client) -> None:
    action = "Microsoft.RecoveryServices/vaults/backupJobs/read"
    client.azure.reset({**seeds.default(), "limits": {action: 2}}, limits=True)
    assert [client.get("/backupJobs").status for _once in range(3)] == [200, 200, 429]
    assert f"'{action}' exceeded the limit of '2'" in str(client.get("/backupJobs").body)


def test_without_limits_nothing_counts_down(client: Client) -> None:
    header = "x-ms-ratelimit-remaining-subscription-resource-requests"
    assert {client.get("/backupJobs").headers[header] for _once in range(3)} == {"449"}


def test_a_seed_that_is_none_changes_nothing(client: Client) -> None:
    with pytest.raises(LabError, match="KeyError"):
        client.azure.reset({"subscriptions": [], "vaults": []})
    assert client.get("").status == 200
    assert client.send("POST", "/lab/reset", raw="{").status == 400


def test_the_date_is_the_service_s_own(client: Client) -> None:
    client.azure.advance(400 * 86400)
    year = int(client.azure.now()[:4])
    assert f" {year} " in client.get("").headers["date"]


def test_the_process_alone(tmp_path: Path) -> None:
    """Check that a process started by hand prints its address first and cleans up."""
    seeds.write(seeds.fleet(1), tmp_path / "a seed.json")
    argv = [sys.executable, "-m", "tests.lab.recovery_services", "--seed"]
    process = subprocess.Popen(
        [*argv, str(tmp_path / "a seed.json"), "--speed", "5"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert Path(said["ca_file"]).exists()
        assert Path(said["ca_file"]).is_relative_to(tmp_path)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert not Path(said["ca_file"]).exists()
    finally:
        process.kill()
        process.stdout.close() if process.stdout else None


@pytest.mark.slow
def test_the_process_ends_with_the_one_that_started_it() -> None:
    program = (
        "from tests.lab.recovery_services.lab import RecoveryServices\n"
        "import os\n"
        "azure = RecoveryServices().__enter__()\n"
        "print(azure.process.pid, azure.folder, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    number, folder = done.stdout.strip().split(" ", 1)
    deadline = time.monotonic() + PATIENCE_S
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{number}").exists()
    for left in Path(folder).iterdir():
        left.unlink()
    Path(folder).rmdir()
