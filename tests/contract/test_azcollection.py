# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure serves the modules of azure.azcollection, which were not made for it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

from tests.contract.outside import Outside
from tests.lab._process import LAB
from tests.lab.recovery_services.lab import RecoveryServices

PYTHON = LAB / "azcollection" / "bin" / "python"
HERE = Path(__file__).resolve().parent / "azcollection"
LIMIT_S = 900.0

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason="NOT TESTED: azure.azcollection is not in .lab; ./dev contract installs it",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Any]:
    """Run the playbook once: the results of its tasks by their names, and what the server got."""
    folder = tmp_path_factory.mktemp("azcollection")
    # Between two looks at an operation it sleeps 30 seconds, unless the first finds it done.
    with RecoveryServices(speed=0.0, per_look_s=600.0) as azure, Outside() as outside:
        for operation in ("ConfigureBackup", "Backup", "DisableBackup", "DeleteBackupData"):
            azure.next_job("db01", operation, duration_s=1.0)
        env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_STDOUT_CALLBACK": "json",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "AZURE_SUBSCRIPTION_ID": azure.subscription_id,
            "AZURE_TENANT": azure.tenant,
            "AZURE_CLIENT_ID": azure.client_id,
            "AZURE_SECRET": azure.secret,
            "AZURE_CLOUD_ENVIRONMENT": "Lab",
            "AZURE_DISABLE_INSTANCE_DISCOVERY": "true",
            "REQUESTS_CA_BUNDLE": str(azure.ca_file),
            # Makes that cloud known.
            "PYTHONPATH": str(HERE),
            "LAB_AZURE": azure.url,
            **outside.environment,
        }
        done = subprocess.run(
            [PYTHON, "-m", "ansible", "playbook", HERE / "playbook.yml"],
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        output = json.loads(done.stdout[done.stdout.index("{") :])
        return {
            "tasks": {
                task["task"]["name"]: task["hosts"]["localhost"]
                for task in output["plays"][0]["tasks"]
            },
            "requests": azure.requests(),
            "state": azure.state(),
            "outside": outside.wanted,
        }


def properties(results: Dict[str, Any], task: str, *keys: str) -> Dict[str, Any]:
    """Return the properties that a task found."""
    found = results["tasks"][task]
    for key in keys:
        found = found[key]
    return dict(found["properties"])


def test_it_reads_vault_and_policy(results: Dict[str, Any]) -> None:
    vault = properties(results, "vault", "response")
    assert vault["provisioningState"] == "Succeeded"
    policy = properties(results, "policy")
    assert policy["schedule_policy"]["schedule_run_frequency"] == "Daily"
    assert policy["instant_rp_retention_range_in_days"] == 2


def test_it_makes_a_policy_once(results: Dict[str, Any]) -> None:
    assert results["tasks"]["new policy"]["changed"] is True
    assert results["tasks"]["the same policy"]["changed"] is False


def test_it_protects_and_looks(results: Dict[str, Any]) -> None:
    assert properties(results, "protect", "response")["protectionState"] == "IRPending"
    found = properties(results, "look", "response")
    assert (found["friendlyName"], found["policyName"]) == ("db01", "DefaultPolicy")


def test_it_backs_up_stops_and_deletes(results: Dict[str, Any]) -> None:
    assert results["tasks"]["back up"]["changed"] is True
    vault = results["state"]["vaults"]["vault1"]
    kinds: List[str] = [job["properties"]["operation"] for job in vault["jobs"]]
    assert sorted(kinds) == ["Backup", "ConfigureBackup", "DeleteBackupData", "DisableBackup"]
    (item,) = vault["items"]
    assert item["properties"]["isScheduledForDeferredDelete"] is True


def test_nothing_left_this_machine(results: Dict[str, Any]) -> None:
    assert results["requests"]
    assert results["outside"] == []
