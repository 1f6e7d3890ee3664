# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a VM says of its agent and its extensions, and what is found wrong."""

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
    said = {"name": name, "type": f"{publisher}.{kind}", "typeHandlerVersion": "1.0.9203.0"}
    return {**said, "statuses": list(statuses)}


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


def found_in(wire: Dict[str, Any]) -> List[str]:
    result = machine_of(wire).to_result()
    for finding in result["findings"]:
        assert "db01" in finding["message"] and finding["recommended_action"]
    return [finding["name"] for finding in result["findings"]]


def test_all_is_well() -> None:
    wire = vm(
        [
            extension("monitor", "AzureMonitorLinuxAgent", "Microsoft.Azure.Monitor", "Succeeded"),
            extension("VMSnapshotLinux", "VMSnapshotLinux", state="Succeeded"),
        ],
        [view_of("vmsnapshotlinux", "VMSnapshotLinux", DONE)],
        [READY],
    )
    assert found_in(wire) == []
    result = machine_of(wire).to_result()
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


def test_no_extension_yet_is_no_finding() -> None:
    wire = vm(agent=[READY])
    assert found_in(wire) == []
    assert machine_of(wire).to_result()["snapshot_extension"] is None


@pytest.mark.parametrize(
    ("agent", "state"),
    [
        (None, "absent"),
        ([], "absent"),
        ([status("ProvisioningState/Unavailable", "Not Ready", "not yet", "Warning")], "not_ready"),
    ],
)
def test_agent(agent: Optional[List[Any]], state: str) -> None:
    wire = vm(agent=agent)
    assert machine_of(wire).agent.state == state
    assert found_in(wire) == ["UserErrorGuestAgentStatusUnavailable"]
    (finding,) = machine_of(wire).to_result()["findings"]
    assert ("Install" in finding["recommended_action"]) == (state == "absent")
    # A VM that does not run has no agent to speak of, and that is no news.
    for power in ("deallocated", "stopped", None):
        assert found_in(vm(agent=agent, power=power)) == ["VmNotRunning"]


def test_unknown_version_is_none() -> None:
    wire = vm(agent=[READY])
    wire["properties"]["instanceView"]["vmAgent"]["vmAgentVersion"] = "Unknown"
    assert machine_of(wire).agent.version is None


@pytest.mark.parametrize("state", ["Failed", "Canceled"])
def test_extension_that_failed_by_its_resource(state: str) -> None:
    ours = vm([extension("x", "VMSnapshot", state=state)], agent=[READY])
    assert found_in(ours) == ["ExtensionOperationFailed"]
    other = vm([extension("x", "CustomScript", "Other", state)], agent=[READY])
    assert found_in(other) == ["ExtensionFailed"]


@pytest.mark.parametrize("state", ["Succeeded", "Creating", "Updating"])
def test_extension_that_did_not_fail(state: str) -> None:
    assert found_in(vm([extension("x", "VMSnapshotLinux", state=state)], agent=[READY])) == []


def test_extension_that_failed_by_its_own_words() -> None:
    view = view_of("x", "VMSnapshotLinux", DONE, BROKEN)
    wire = vm([extension("x", "VMSnapshotLinux", state="Succeeded")], [view], [READY])
    assert found_in(wire) == ["ExtensionOperationFailed"]
    (finding,) = machine_of(wire).to_result()["findings"]
    assert finding["message"].endswith("has failed: No route")
    # And where it says so in what is below.
    view = {**view_of("x", "VMSnapshotLinux", DONE), "substatuses": [BROKEN]}
    assert found_in(vm([extension("x", "VMSnapshotLinux")], [view], [READY])) == [
        "ExtensionOperationFailed"
    ]


def test_extension_that_tells_an_error_under_another_code() -> None:
    told = status("ComponentStatus/CommandResult", "Error", "No space", level="error")
    wire = vm([extension("x", "Script", "Other")], [view_of("x", "Script", told)], [READY])
    assert found_in(wire) == ["ExtensionFailed"]


def test_extension_that_only_the_instance_view_has() -> None:
    wire = vm(views=[view_of("x", "VMSnapshotLinux", BROKEN)], agent=[READY])
    (one,) = machine_of(wire).extensions
    assert (one.publisher, one.type, one.provisioning_state) == (
        SNAPSHOT,
        "VMSnapshotLinux",
        "Failed",
    )
    assert names_only(wire)


def test_extensions_of_a_list_of_their_own() -> None:
    wire = vm(resources=[{"id": "/x/extensions/VMSnapshotLinux"}], agent=[READY])
    assert names_only(wire) and not names_only(vm(agent=[READY]))
    listed = extension("VMSnapshotLinux", "VMSnapshotLinux", state="Failed")
    listed["properties"]["instanceView"] = view_of("VMSnapshotLinux", "VMSnapshotLinux", BROKEN)
    (one,) = machine_of(wire, [listed]).extensions
    assert one.failed and one.message == "No route" and one.version == "1.0.9203.0"


def test_machine_that_failed_to_be_made() -> None:
    assert found_in(vm(agent=[READY], state="Failed")) == ["UserErrorVmProvisioningStateFailed"]


def test_a_vm_that_says_nothing() -> None:
    result = machine_of({"name": "db01"}).to_result()
    assert result["agent"] == {"state": "absent", "version": None, "statuses": []}
    names = [one["name"] for one in result["findings"]]
    assert names == ["VmNotRunning", "VmProvisioningStateUnknown"]
    assert not result["current"]
