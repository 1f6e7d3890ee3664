# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the reading of a VM's agent and extensions, and the findings."""

from __future__ import annotations

from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.resources.vm_extensions import (
    machine_of,
    names_only,
)

SNAPSHOT = "Microsoft.Azure.RecoveryServices"


def status(code: str, shown: str = "", message: str = "", level: str = "Info") -> Dict[str, Any]:
    return {"code": code, "displayStatus": shown, "message": message, "level": level}


READY = status("ProvisioningState/succeeded", "Ready", "Guest Agent is running")
DONE = status("ProvisioningState/succeeded", "Provisioning succeeded")
BROKEN = status("ProvisioningState/failed/7", "Provisioning failed", "No route", "Error")


def extension(name: str, kind: str, publisher: str = SNAPSHOT, state: Any = None) -> Dict[str, Any]:
    properties = {"publisher": publisher, "type": kind, "typeHandlerVersion": "1.0"}
    if state:
        properties["provisioningState"] = state
    return {"name": name, "properties": properties}


def view_of(name: str, kind: str, *statuses: Any, publisher: str = SNAPSHOT) -> Dict[str, Any]:
    view = {"name": name, "type": f"{publisher}.{kind}", "typeHandlerVersion": "1.0.9203.0"}
    return {**view, "statuses": list(statuses)}


def vm(
    resources: Any = (),
    views: Any = (),
    agent: Optional[List[Any]] = None,
    power: Optional[str] = "running",
    state: str = "Succeeded",
) -> Dict[str, Any]:
    statuses = [DONE, *([status(f"PowerState/{power}")] if power else [])]
    view: Dict[str, Any] = {"statuses": statuses, "extensions": list(views)}
    if agent is not None:
        view["vmAgent"] = {"vmAgentVersion": "2.13.1.1", "statuses": agent}
    properties = {
        "provisioningState": state,
        "storageProfile": {"osDisk": {"osType": "Linux"}},
        "instanceView": view,
    }
    return {"name": "db01", "properties": properties, "resources": list(resources)}


def found_in(payload: Dict[str, Any]) -> List[str]:
    result = machine_of(payload).to_result()
    for finding in result["findings"]:
        assert "db01" in finding["message"] and finding["recommended_action"]
    return [finding["name"] for finding in result["findings"]]


def test_healthy_vm_has_no_findings() -> None:
    payload = vm(
        [
            extension("monitor", "AzureMonitorLinuxAgent", "Microsoft.Azure.Monitor", "Succeeded"),
            extension("VMSnapshotLinux", "VMSnapshotLinux", state="Succeeded"),
        ],
        [view_of("vmsnapshotlinux", "VMSnapshotLinux", DONE)],
        [READY],
    )
    assert found_in(payload) == []
    result = machine_of(payload).to_result()
    assert [one["name"] for one in result["extensions"]] == ["VMSnapshotLinux", "monitor"]
    assert result["snapshot_extension"] == result["extensions"][0]
    assert result["snapshot_extension"]["version"] == "1.0.9203.0"
    assert result["snapshot_extension"]["publisher"] == SNAPSHOT
    assert result["extensions"][1]["version"] == "1.0"
    assert result["agent"]["state"] == "ready" and result["agent"]["version"] == "2.13.1.1"
    assert (result["power_state"], result["current"], result["os_type"]) == (
        "running",
        True,
        "Linux",
    )


def test_missing_extension_is_no_finding() -> None:
    payload = vm(agent=[READY])
    assert found_in(payload) == []
    assert machine_of(payload).to_result()["snapshot_extension"] is None


@pytest.mark.parametrize(
    ("agent", "state"),
    [
        (None, "absent"),
        ([], "absent"),
        ([status("ProvisioningState/Unavailable", "Not Ready", "not yet", "Warning")], "not_ready"),
    ],
)
def test_agent_states(agent: Optional[List[Any]], state: str) -> None:
    payload = vm(agent=agent)
    assert machine_of(payload).agent.state == state
    assert found_in(payload) == ["UserErrorGuestAgentStatusUnavailable"]
    (finding,) = machine_of(payload).to_result()["findings"]
    assert ("Install" in finding["recommended_action"]) == (state == "absent")
    # VmNotRunning already explains a missing agent.
    for power in ("deallocated", "stopped", None):
        assert found_in(vm(agent=agent, power=power)) == ["VmNotRunning"]


def test_agent_unknown_version_is_none() -> None:
    payload = vm(agent=[READY])
    payload["properties"]["instanceView"]["vmAgent"]["vmAgentVersion"] = "Unknown"
    assert machine_of(payload).agent.version is None


@pytest.mark.parametrize("state", ["Failed", "Canceled"])
def test_extension_with_failed_resource_is_a_finding(state: str) -> None:
    ours = vm([extension("x", "VMSnapshot", state=state)], agent=[READY])
    assert found_in(ours) == ["ExtensionOperationFailed"]
    other = vm([extension("x", "CustomScript", "Other", state)], agent=[READY])
    assert found_in(other) == ["ExtensionFailed"]


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Updating"])
def test_extension_in_progress_is_no_finding(state: str) -> None:
    assert found_in(vm([extension("x", "VMSnapshotLinux", state=state)], agent=[READY])) == []


def test_extension_with_error_status_is_a_finding() -> None:
    view = view_of("x", "VMSnapshotLinux", DONE, BROKEN)
    payload = vm([extension("x", "VMSnapshotLinux", state="Succeeded")], [view], [READY])
    assert found_in(payload) == ["ExtensionOperationFailed"]
    (finding,) = machine_of(payload).to_result()["findings"]
    assert finding["message"].endswith("has failed: No route")
    # An error may also be in the substatuses.
    view = {**view_of("x", "VMSnapshotLinux", DONE), "substatuses": [BROKEN]}
    assert found_in(vm([extension("x", "VMSnapshotLinux")], [view], [READY])) == [
        "ExtensionOperationFailed"
    ]


def test_extension_with_error_level_is_a_finding() -> None:
    broken = status("ComponentStatus/CommandResult", "Error", "No space", level="error")
    payload = vm([extension("x", "Script", "Other")], [view_of("x", "Script", broken)], [READY])
    assert found_in(payload) == ["ExtensionFailed"]


def test_extension_only_in_the_instance_view_is_read() -> None:
    payload = vm(views=[view_of("x", "VMSnapshotLinux", BROKEN)], agent=[READY])
    (one,) = machine_of(payload).extensions
    assert (one.publisher, one.type, one.provisioning_state) == (
        SNAPSHOT,
        "VMSnapshotLinux",
        "Failed",
    )
    assert names_only(payload)


def test_extensions_of_a_separate_list_are_read() -> None:
    payload = vm(resources=[{"id": "/x/extensions/VMSnapshotLinux"}], agent=[READY])
    assert names_only(payload) and not names_only(vm(agent=[READY]))
    listed = extension("VMSnapshotLinux", "VMSnapshotLinux", state="Failed")
    listed["properties"]["instanceView"] = view_of("VMSnapshotLinux", "VMSnapshotLinux", BROKEN)
    (one,) = machine_of(payload, [listed]).extensions
    assert one.failed and one.message == "No route" and one.version == "1.0.9203.0"


def test_failed_provisioning_is_a_finding() -> None:
    assert found_in(vm(agent=[READY], state="Failed")) == ["UserErrorVmProvisioningStateFailed"]


def test_empty_vm_is_read() -> None:
    result = machine_of({"name": "db01"}).to_result()
    assert result["agent"] == {"state": "absent", "version": None, "statuses": []}
    names = [one["name"] for one in result["findings"]]
    assert names == ["VmNotRunning", "VmProvisioningStateUnknown"]
    assert not result["current"]
