# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_extension_info against the lab's Azure."""

from __future__ import annotations

from typing import Any, Dict, List

import pytest

from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services import seed
from tests.lab.recovery_services.lab import RecoveryServices

pytestmark = pytest.mark.quick

SNAPSHOT = {
    "publisher": "Microsoft.Azure.RecoveryServices",
    "type": "VMSnapshotLinux",
    "version": "1.0",
    "handler_version": "1.0.9203.0",
}
MONITOR = {
    "publisher": "Microsoft.Azure.Monitor",
    "type": "AzureMonitorLinuxAgent",
    "version": "1.33",
}


def look(azure: RecoveryServices, check: bool = False, **options: Any) -> ModuleRun:
    return run_module("vm_extension_info", {**azure.options(), **options}, check=check)


def reads(azure: RecoveryServices) -> List[str]:
    return [one.action for one in azure.requests() if "Compute" in one.path]


def with_extensions(azure: RecoveryServices, **more: Any) -> None:
    estate = seed.default()
    for vm in estate["vms"]:
        if vm["name"] == "db01":
            vm.update({"extensions": {"Monitor": MONITOR, "VMSnapshotLinux": SNAPSHOT}, **more})
    azure.reset(seed=estate)


@pytest.mark.parametrize("check", [False, True])
def test_extensions_and_agent(recovery_services: RecoveryServices, check: bool) -> None:
    azure = recovery_services
    with_extensions(azure)
    done = look(azure, check, vm="app-rg/db01")
    assert not done.failed, done
    assert not done["changed"] and not azure.writes()
    (vm,) = done["vms"]
    assert vm["name"] == "db01" and vm["failure"] is None and vm["findings"] == []
    assert vm["agent"]["state"] == "ready" and vm["agent"]["version"] and vm["current"]
    assert [one["name"] for one in vm["extensions"]] == ["VMSnapshotLinux", "Monitor"]
    ours = vm["snapshot_extension"]
    assert ours == vm["extensions"][0]
    assert ours["type"] == "VMSnapshotLinux" and ours["version"] == "1.0.9203.0"
    assert ours["publisher"] == SNAPSHOT["publisher"]
    assert ours["provisioning_state"] == "Succeeded" and ours["statuses"]
    assert len(reads(azure)) <= 2


def test_one_request_where_there_are_no_extensions(recovery_services: RecoveryServices) -> None:
    done = look(recovery_services, vms=["app-rg/db02", "APP-RG/DB02"])
    (vm,) = done["vms"]
    assert vm["extensions"] == [] and vm["snapshot_extension"] is None and vm["findings"] == []
    assert len(reads(recovery_services)) == 1


def test_findings(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    broken = {**SNAPSHOT, "state": "failed", "message": "The VM has no network."}
    with_extensions(azure, agent="VM agent does not answer", extensions={"VMSnapshotLinux": broken})
    (vm,) = look(azure, vm="app-rg/db01")["vms"]
    assert [one["name"] for one in vm["findings"]] == [
        "UserErrorGuestAgentStatusUnavailable",
        "ExtensionOperationFailed",
    ]
    assert "VM agent does not answer" in vm["findings"][0]["message"]
    assert "The VM has no network." in vm["findings"][1]["message"]
    assert vm["agent"]["state"] == "not_ready" and vm["agent"]["version"] is None
    assert vm["snapshot_extension"]["message"] == "The VM has no network."


@pytest.mark.parametrize("power", ["deallocated", "stopped"])
def test_a_vm_that_does_not_run(recovery_services: RecoveryServices, power: str) -> None:
    azure = recovery_services
    with_extensions(azure, power=power)
    (vm,) = look(azure, vm="app-rg/db01")["vms"]
    assert (vm["power_state"], vm["current"]) == (power, False)
    assert [one["name"] for one in vm["findings"]] == ["VmNotRunning"]
    assert power in vm["findings"][0]["message"]


def test_a_vm_that_is_not_there_leaves_the_others_alone(
    recovery_services: RecoveryServices,
) -> None:
    azure = recovery_services
    done = look(azure, vms=["app-rg/nope", "no-rg/db01", "app-rg/db01"])
    assert done.failed and "2 of 3 VMs failed" in done["msg"]
    nope, no_group, db01 = done["vms"]
    assert db01["failure"] is None and db01["agent"]["state"] == "ready"
    assert nope["failure"]["http_status"] == 404 and "nope" in nope["failure"]["message"]
    assert "no-rg" in no_group["failure"]["message"]
    assert nope["failure"]["recommended_action"] and no_group["failure"]["recommended_action"]


def test_names_and_ids(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    options: Dict[str, Any] = azure.options()
    vm_id = f"/subscriptions/{azure.subscription_id}/resourceGroups/APP-RG/providers"
    vm_id += "/microsoft.compute/VIRTUALMACHINES/Db01"
    alone = {key: options[key] for key in options if key not in ("vault", "resource_group")}
    # Neither a vault nor, with an id, a subscription is needed.
    without = {**alone, "subscription_id": None}
    env = {"AZURE_SUBSCRIPTION_ID": ""}
    done = run_module("vm_extension_info", {**without, "vm": vm_id}, env=env)
    assert not done.failed, done
    assert done["vms"][0]["agent"]["state"] == "ready"
    for names in ({"vm_resource_group": "app-rg"}, {"resource_group": "app-rg"}):
        done = run_module("vm_extension_info", {**alone, **names, "vm": "db01"})
        assert not done.failed, done
    assert [one.write for one in azure.requests()].count(True) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "one of the following is required"),
        ({"vm": "app-rg/db01", "vms": ["app-rg/db02"]}, "mutually exclusive"),
        ({"vm": "app-rg/a/b?c"}, "cannot be the name"),
        ({"vm": "/subscriptions/x/resourceGroups/y"}, "not the resource ID of a VM"),
    ],
)
def test_bad_options(
    recovery_services: RecoveryServices, options: Dict[str, Any], words: str
) -> None:
    done = look(recovery_services, **options)
    assert done.failed and words in done["msg"]
    assert recovery_services.requests() == []


def test_many_vms(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    azure.reset(seed=seed.fleet(60))
    names = [f"app-rg/vm{number:04}" for number in range(1, 61)]
    done = look(azure, vms=names)
    assert not done.failed, done
    assert [f"app-rg/{vm['name']}" for vm in done["vms"]] == names
    assert len(reads(azure)) == 60
