# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure serves Azure's own command line, which was not made for it."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from tests.contract.outside import Outside
from tests.lab._process import LAB
from tests.lab.recovery_services.lab import RecoveryServices

PYTHON = LAB / "az" / "bin" / "python"
LIMIT_S = 900.0

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="NOT TESTED: az is not in .lab; ./dev contract installs it"
)


class Az:
    """The command line, signed in to the lab's Azure as to a cloud of its own."""

    def __init__(self, azure: RecoveryServices, folder: Path, outside: Outside) -> None:
        self.azure = azure
        self._env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(folder),
            "AZURE_CONFIG_DIR": str(folder / "config"),
            "AZURE_CORE_COLLECT_TELEMETRY": "no",
            # Microsoft does not know the lab as an authority.
            "AZURE_CORE_INSTANCE_DISCOVERY": "no",
            "REQUESTS_CA_BUNDLE": str(azure.ca_file),
            **outside.environment,
        }
        self._know_the_newest_version(folder / "config")
        endpoints = ("resource-manager", "active-directory", "active-directory-resource-id")
        self("cloud", "register", "--name", "lab", *self._each(endpoints, azure.url))
        self("cloud", "set", "--name", "lab")
        secret = folder / "secret"
        secret.write_text(azure.secret)
        who = ("--username", azure.client_id, "--password", f"@{secret}", "--tenant", azure.tenant)
        self("login", "--service-principal", *who)

    @staticmethod
    def _know_the_newest_version(config: Path) -> None:
        """Spare it its daily look for a newer one: it has just looked."""
        (core,) = (LAB / "az").glob("lib/*/site-packages/azure_cli_core-*.dist-info")
        version = core.name.partition("-")[2][: -len(".dist-info")]
        config.mkdir()
        looked = {"versions": {"core": {"local": version}}, "update_time": f"{datetime.now()}"}
        (config / "versionCheck.json").write_text(json.dumps(looked))

    @staticmethod
    def _each(endpoints: tuple[str, ...], url: str) -> Iterator[str]:
        for endpoint in endpoints:
            yield from (f"--endpoint-{endpoint}", url)

    def __call__(self, *words: str) -> Any:
        """Run a command, which must succeed, and return what it answers."""
        done = subprocess.run(
            [PYTHON, "-m", "azure.cli", *words, "--output", "json"],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"az {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout) if done.stdout.strip() else None

    def backup(self, *words: str, **options: str) -> Any:
        """Run `az backup` for the vault."""
        given = {"vault-name": "vault1", "resource-group": self.azure.resource_group, **options}
        pairs = [(f"--{name.replace('_', '-')}", value) for name, value in given.items()]
        return self("backup", *words, *(word for pair in pairs for word in pair))


ITEM = {
    "container_name": "db01",
    "item_name": "db01",
    "backup_management_type": "AzureIaasVM",
}


@pytest.fixture(scope="module")
def outside() -> Iterator[Outside]:
    """The proxy for all requests to other machines."""
    with Outside() as found:
        yield found


@pytest.fixture(scope="module")
def az(outside: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Az]:
    """The command line and an Azure in which these tests follow upon each other."""
    # It looks for the first time at once, and sleeps 30 seconds before the second time.
    with RecoveryServices(speed=0.0, per_look_s=600.0) as azure:
        yield Az(azure, tmp_path_factory.mktemp("az"), outside)


def one(listed: List[Dict[str, Any]]) -> Any:
    """Return the properties of the only element."""
    (found,) = listed
    return found["properties"]


def test_it_sees_vaults_and_policies(az: Az) -> None:
    assert {vault["name"] for vault in az("backup", "vault", "list")} == {"vault1", "vault2"}
    names = {policy["name"] for policy in az.backup("policy", "list")}
    assert {"DefaultPolicy", "EnhancedPolicy"} <= names
    shown = az.backup("policy", "show", name="EnhancedPolicy")
    assert shown["properties"]["schedulePolicy"]["scheduleRunFrequency"] == "Hourly"
    assert az.backup("item", "list") == []


def test_it_discovers_and_protects_a_vm(az: Az) -> None:
    vm = (
        f"/subscriptions/{az.azure.subscription_id}/resourceGroups/app-rg/providers"
        "/Microsoft.Compute/virtualMachines/db01"
    )
    job = az.backup(
        "protection",
        "enable-for-vm",
        vm=vm,
        policy_name="DefaultPolicy",
        disk_list_setting="include",
        diskslist="0",
    )
    assert job["properties"]["operation"] == "ConfigureBackup"
    assert job["properties"]["status"] == "Completed"
    item = one(az.backup("item", "list"))
    assert (item["friendlyName"], item["protectionState"]) == ("db01", "IRPending")
    container = one(az.backup("container", "list", backup_management_type="AzureIaasVM"))
    assert container["registrationStatus"] == "Registered"
    assert az("backup", "protection", "check-vm", "--vm", vm).endswith("/vaults/vault1")


def test_it_backs_up_and_waits_and_finds_the_recovery_point(az: Az) -> None:
    az.azure.next_backup("db01", "application")
    job = az.backup("protection", "backup-now", **ITEM, retain_until="31-12-2099")
    # It would look every 30 seconds.
    az.azure.advance(8 * 3600.0)
    az.backup("job", "wait", name=job["name"], timeout="200")
    shown = az.backup("job", "show", name=job["name"])
    assert shown["properties"]["status"] == "Completed"
    kinds = [listed["properties"]["operation"] for listed in az.backup("job", "list")]
    assert sorted(kinds) == ["Backup", "ConfigureBackup"]
    point = one(az.backup("recoverypoint", "list", **ITEM))
    assert point["recoveryPointType"] == "AppConsistent"
    item = one(az.backup("item", "list"))
    assert (item["protectionState"], item["lastBackupStatus"]) == ("Protected", "Completed")


def test_it_stops_deletes_and_undeletes(az: Az) -> None:
    stopped = az.backup("protection", "disable", "--yes", **ITEM)
    assert stopped["properties"]["operation"] == "DisableBackup"
    assert one(az.backup("item", "list"))["protectionState"] == "ProtectionStopped"
    deleted = az.backup("protection", "disable", "--yes", **ITEM, delete_backup_data="true")
    assert deleted["properties"]["operation"] == "DeleteBackupData"
    assert one(az.backup("item", "list"))["isScheduledForDeferredDelete"] is True
    undeleted = az.backup("protection", "undelete", **ITEM, workload_type="VM")
    assert undeleted["properties"]["operation"] == "Undelete"
    assert not one(az.backup("item", "list")).get("isScheduledForDeferredDelete")


def test_nothing_left_this_machine(az: Az, outside: Outside) -> None:
    assert az.azure.requests()
    assert outside.wanted == []
