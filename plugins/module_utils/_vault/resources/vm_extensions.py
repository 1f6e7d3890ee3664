# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The VM agent and the extensions of a VM, and their problems, as Azure Compute reports them.

Reads plain JSON, so that the version of the SDK's models does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..._arm.advice import recommended
from ..._arm.ids import equals_ignoring_case, last_segment

Payload = Mapping[str, Any]
# The extension that takes the snapshots: type on Linux, and on Windows.
SNAPSHOT_TYPES = ("vmsnapshotlinux", "vmsnapshot")
READY, NOT_READY, ABSENT = "ready", "not_ready", "absent"
_RUNNING = "running"
_DONE = ("succeeded",)
_UNDER_WAY = ("creating", "updating", "deleting", "transitioning")


@dataclass(frozen=True)
class Status:
    """One status that a VM, its agent or an extension reports."""

    code: str
    level: str
    display_status: str
    message: str
    time: str | None

    @classmethod
    def from_azure(cls, payload: Payload) -> Status:
        """Read one element of `statuses`."""
        return cls(
            payload.get("code") or "",
            payload.get("level") or "",
            payload.get("displayStatus") or "",
            payload.get("message") or "",
            payload.get("time"),
        )

    @property
    def state(self) -> str:
        """Return the state in the code: `failed` in `ProvisioningState/failed/2`."""
        return self.code.partition("/")[2].partition("/")[0].lower()

    def to_result(self) -> dict[str, Any]:
        """Return the status as part of a result."""
        return {
            "code": self.code,
            "level": self.level,
            "display_status": self.display_status,
            "message": self.message,
            "time": self.time,
        }


@dataclass(frozen=True)
class Agent:
    """The VM agent. `state` is ready, not_ready, or absent if Azure does not report an agent."""

    state: str
    version: str | None = None
    statuses: tuple[Status, ...] = ()

    @classmethod
    def from_azure(cls, payload: Payload | None) -> Agent:
        """Read `instanceView.vmAgent`."""
        statuses = _statuses(payload or {})
        if not payload or not statuses:
            return cls(ABSENT)
        version = payload.get("vmAgentVersion")
        ready = all(equals_ignoring_case(status.display_status, "Ready") for status in statuses)
        return cls(
            READY if ready else NOT_READY,
            None if version is None or equals_ignoring_case(version, "Unknown") else version,
            statuses,
        )

    def to_result(self) -> dict[str, Any]:
        """Return the agent as part of a result."""
        return {
            "state": self.state,
            "version": self.version,
            "statuses": [status.to_result() for status in self.statuses],
        }


@dataclass(frozen=True)
class Extension:
    """One extension: its description in the VM, and its own status."""

    name: str
    publisher: str = ""
    type: str = ""
    version: str | None = None
    provisioning_state: str | None = None
    statuses: tuple[Status, ...] = ()

    @classmethod
    def from_azure(cls, resource: Payload, view: Payload) -> Extension:
        """Read an element of `resources` and the element of that name in the instance view."""
        properties = resource.get("properties") or {}
        view = view or properties.get("instanceView") or {}
        # The instance view joins publisher and type.
        publisher, _dot, kind = str(view.get("type") or "").rpartition(".")
        statuses = (*_statuses(view), *_statuses(view, "substatuses"))
        states = [status.state for status in statuses if status.code.lower().startswith("prov")]
        return cls(
            name=resource.get("name") or view.get("name") or last_segment(resource.get("id") or ""),
            publisher=properties.get("publisher") or publisher,
            type=properties.get("type") or kind,
            version=view.get("typeHandlerVersion") or properties.get("typeHandlerVersion"),
            provisioning_state=properties.get("provisioningState")
            or (states[0].capitalize() if states else None),
            statuses=statuses,
        )

    @property
    def takes_snapshots(self) -> bool:
        """Return True for the extension of Azure Backup."""
        return self.type.lower() in SNAPSHOT_TYPES

    @property
    def failed(self) -> bool:
        """Return True if the extension or Azure reports an error."""
        state = (self.provisioning_state or "succeeded").lower()
        if state not in (*_DONE, *_UNDER_WAY):
            return True
        return any(
            equals_ignoring_case(status.level, "Error") or status.state == "failed"
            for status in self.statuses
        )

    @property
    def is_silent(self) -> bool:
        """Return True if neither the extension nor Azure reports a state."""
        return not self.provisioning_state and not self.statuses

    @property
    def message(self) -> str:
        """Return the extension's first message, errors before other messages."""
        worst_first = sorted(
            self.statuses, key=lambda status: not equals_ignoring_case(status.level, "Error")
        )
        return next((status.message for status in worst_first if status.message), "")

    def to_result(self) -> dict[str, Any]:
        """Return the extension as part of a result."""
        return {
            "name": self.name,
            "publisher": self.publisher,
            "type": self.type,
            "version": self.version,
            "provisioning_state": self.provisioning_state,
            "message": self.message,
            "statuses": [status.to_result() for status in self.statuses],
        }


@dataclass(frozen=True)
class Machine:
    """One VM with its agent and extensions."""

    name: str
    os_type: str | None
    provisioning_state: str | None
    power_state: str | None
    agent: Agent
    #: The extension of Azure Backup comes first.
    extensions: tuple[Extension, ...]

    @property
    def is_running(self) -> bool:
        """Return True if the VM runs, so that its status is current."""
        return self.power_state == _RUNNING

    def to_result(self) -> dict[str, Any]:
        """Return the VM as part of a result, without its name."""
        snapshot = next((item for item in self.extensions if item.takes_snapshots), None)
        return {
            "os_type": self.os_type,
            "provisioning_state": self.provisioning_state,
            "power_state": self.power_state,
            "current": self.is_running,
            "agent": self.agent.to_result(),
            "snapshot_extension": snapshot.to_result() if snapshot else None,
            "extensions": [extension.to_result() for extension in self.extensions],
            "findings": findings(self),
        }


def names_only(payload: Payload) -> bool:
    """Return True if the response has extensions without their properties."""
    resources = payload.get("resources") or ()
    listed = _view(payload).get("extensions") or ()
    return any(not resource.get("properties") for resource in resources) or (
        bool(listed) and not resources
    )


def machine_of(payload: Payload, resources: list[Payload] | None = None) -> Machine:
    """Read a VM with its instance view, and its extensions if they were read separately."""
    view = _view(payload)
    properties = payload.get("properties") or {}
    os_disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    power = [item.state for item in _statuses(view) if item.code.lower().startswith("powerstate/")]
    found = list(resources if resources is not None else payload.get("resources") or ())
    views = {str(item.get("name")).lower(): item for item in view.get("extensions") or ()}
    extensions = [Extension.from_azure(item, views.pop(_name(item), {})) for item in found]
    extensions += [Extension.from_azure({}, item) for item in views.values()]
    extensions.sort(key=lambda item: (not item.takes_snapshots, item.name.lower()))
    return Machine(
        name=payload.get("name") or "",
        os_type=os_disk.get("osType"),
        provisioning_state=properties.get("provisioningState"),
        power_state=power[0] if power else None,
        agent=Agent.from_azure(view.get("vmAgent")),
        extensions=tuple(extensions),
    )


def findings(machine: Machine) -> list[dict[str, str]]:
    """Return the problems that can make a backup fail, each with Azure's name and an action."""
    found: list[dict[str, str]] = []
    if not machine.is_running:
        found.append(
            _finding(
                "VmNotRunning",
                f"VM {machine.name} is {machine.power_state or 'in an unknown power state'}: the "
                "status of its agent and extensions dates from when it last ran, or is missing.",
                "Start the VM to see its current status. Backups of a VM that does not run are "
                "only crash-consistent, and Azure installs its extension only while it runs.",
            )
        )
    state = str(machine.provisioning_state or "").lower()
    if state not in ("failed", *_DONE, *_UNDER_WAY):
        found.append(
            _finding(
                "VmProvisioningStateUnknown",
                f"VM {machine.name} is in provisioning state "
                f"{machine.provisioning_state or 'none'!r}. This collection does not know whether "
                "backups work in this state.",
                "Check the VM in the Azure portal.",
            )
        )
    if state == "failed":
        name = "UserErrorVmProvisioningStateFailed"
        message = f"The provisioning of VM {machine.name} failed."
        found.append(_finding(name, message, recommended(name, message)))
    # VmNotRunning already explains the agent of a VM that does not run.
    if machine.is_running and machine.agent.state != READY:
        found.append(_of_agent(machine))
    found.extend(_of_extension(machine, item) for item in machine.extensions if item.failed)
    found.extend(
        _finding(
            "ExtensionStateUnknown",
            f"Azure reports no state for the extension {item.name} of {machine.name}.",
            "Check the extension in the Azure portal, then run the task again.",
        )
        for item in machine.extensions
        if item.is_silent and item.takes_snapshots
    )
    return found


def _of_agent(machine: Machine) -> dict[str, str]:
    name = "UserErrorGuestAgentStatusUnavailable"
    if machine.agent.state == ABSENT:
        return _finding(
            name,
            f"Azure reports no VM agent on {machine.name}.",
            "Install the current VM agent on the VM and start it: the backup extension needs it. "
            "Gallery images include the agent; VMs that were migrated to Azure often lack it.",
        )
    message = next((item.message for item in machine.agent.statuses if item.message), "")
    return _finding(
        name,
        f"The VM agent on {machine.name} is not ready{f': {message}' if message else '.'}",
        "Check that the agent runs on the VM and is current, and that the VM reaches Azure's "
        "public endpoints (DNS of the virtual network, firewall, proxy). Read "
        "/var/log/waagent.log on the VM.",
    )


def _of_extension(machine: Machine, extension: Extension) -> dict[str, str]:
    reason = f": {extension.message}" if extension.message else "."
    message = f"The extension {extension.name} of {machine.name} has failed{reason}"
    if not extension.takes_snapshots:
        return _finding(
            "ExtensionFailed",
            message,
            "Repair or remove this extension as its publisher says. It does not belong to Azure "
            "Backup.",
        )
    name = "ExtensionOperationFailed"
    action = (
        "Check that the VM agent is current and that the VM reaches Azure's public endpoints, then "
        "uninstall the extension: the next backup installs it again. Read /var/log/waagent.log on "
        "the VM for the cause."
    )
    return _finding(name, message, action)


def _finding(name: str, message: str, action: str) -> dict[str, str]:
    return {"name": name, "message": message, "recommended_action": action}


def _view(payload: Payload) -> Payload:
    return (payload.get("properties") or {}).get("instanceView") or {}


def _statuses(payload: Payload, name: str = "statuses") -> tuple[Status, ...]:
    return tuple(Status.from_azure(status) for status in payload.get(name) or ())


def _name(resource: Payload) -> str:
    return str(resource.get("name") or last_segment(resource.get("id") or "")).lower()
