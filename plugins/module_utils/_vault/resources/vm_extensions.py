# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The VM agent and the extensions of a VM, as Azure's Compute tells them, and what is wrong there.

Plain values of plain answers, so that no version of the SDK's models matters.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..._arm.advice import recommended
from ..._arm.ids import equals_ignoring_case, last_segment

Wire = Mapping[str, Any]
# The extension that takes the snapshots: type on Linux, and on Windows.
SNAPSHOT_TYPES = ("vmsnapshotlinux", "vmsnapshot")
READY, NOT_READY, ABSENT = "ready", "not_ready", "absent"
_RUNNING = "running"
_DONE = ("succeeded",)
_UNDER_WAY = ("creating", "updating", "deleting", "transitioning")


@dataclass(frozen=True)
class Status:
    """One line of what a VM, its agent or an extension says of itself."""

    code: str
    level: str
    display_status: str
    message: str
    time: Optional[str]

    @classmethod
    def from_azure(cls, wire: Wire) -> Status:
        """Read one element of C(statuses)."""
        return cls(
            wire.get("code") or "",
            wire.get("level") or "",
            wire.get("displayStatus") or "",
            wire.get("message") or "",
            wire.get("time"),
        )

    @property
    def state(self) -> str:
        """The state in the code: C(failed) of C(ProvisioningState/failed/2)."""
        return self.code.partition("/")[2].partition("/")[0].lower()

    def to_result(self) -> Dict[str, Any]:
        """The status as a part of a result."""
        return {
            "code": self.code,
            "level": self.level,
            "display_status": self.display_status,
            "message": self.message,
            "time": self.time,
        }


@dataclass(frozen=True)
class Agent:
    """The VM agent. C(state): ready, not_ready, or absent where Azure knows nothing of it."""

    state: str
    version: Optional[str] = None
    statuses: Tuple[Status, ...] = ()

    @classmethod
    def from_azure(cls, wire: Optional[Wire]) -> Agent:
        """Read C(instanceView.vmAgent)."""
        statuses = _statuses(wire or {})
        if not wire or not statuses:
            return cls(ABSENT)
        version = wire.get("vmAgentVersion")
        ready = all(equals_ignoring_case(status.display_status, "Ready") for status in statuses)
        return cls(
            READY if ready else NOT_READY,
            None if version is None or equals_ignoring_case(version, "Unknown") else version,
            statuses,
        )

    def to_result(self) -> Dict[str, Any]:
        """The agent as a part of a result."""
        return {
            "state": self.state,
            "version": self.version,
            "statuses": [status.to_result() for status in self.statuses],
        }


@dataclass(frozen=True)
class Extension:
    """One extension: what the VM's description says of it, and what it says of itself."""

    name: str
    publisher: str = ""
    type: str = ""
    version: Optional[str] = None
    provisioning_state: Optional[str] = None
    statuses: Tuple[Status, ...] = ()

    @classmethod
    def from_azure(cls, resource: Wire, view: Wire) -> Extension:
        """Read an element of C(resources) and the one of that name of the instance view."""
        properties = resource.get("properties") or {}
        view = view or properties.get("instanceView") or {}
        # The instance view has publisher and type in one.
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
        """Whether it is the extension of Azure Backup."""
        return self.type.lower() in SNAPSHOT_TYPES

    @property
    def failed(self) -> bool:
        """Whether it says, or Azure says of it, that something went wrong."""
        state = (self.provisioning_state or "succeeded").lower()
        if state not in (*_DONE, *_UNDER_WAY):
            return True
        return any(
            equals_ignoring_case(status.level, "Error") or status.state == "failed"
            for status in self.statuses
        )

    @property
    def is_silent(self) -> bool:
        """Return True if neither it nor Azure says how it is."""
        return not self.provisioning_state and not self.statuses

    @property
    def message(self) -> str:
        """What it says of its state, the bad before the good."""
        worst_first = sorted(
            self.statuses, key=lambda status: not equals_ignoring_case(status.level, "Error")
        )
        return next((status.message for status in worst_first if status.message), "")

    def to_result(self) -> Dict[str, Any]:
        """The extension as a part of a result."""
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
    """What a VM says of itself."""

    name: str
    os_type: Optional[str]
    provisioning_state: Optional[str]
    power_state: Optional[str]
    agent: Agent
    #: The one of Azure Backup first.
    extensions: Tuple[Extension, ...]

    @property
    def is_running(self) -> bool:
        """Whether what it says is of now."""
        return self.power_state == _RUNNING

    def to_result(self) -> Dict[str, Any]:
        """The VM as a part of a result, without its name."""
        snapshot = next((one for one in self.extensions if one.takes_snapshots), None)
        return {
            "os_type": self.os_type,
            "provisioning_state": self.provisioning_state,
            "power_state": self.power_state,
            "current": self.is_running,
            "agent": self.agent.to_result(),
            "snapshot_extension": snapshot.to_result() if snapshot else None,
            "extensions": [one.to_result() for one in self.extensions],
            "findings": findings(self),
        }


def names_only(wire: Wire) -> bool:
    """Whether the answer names extensions and says nothing more of them."""
    resources = wire.get("resources") or ()
    listed = _view(wire).get("extensions") or ()
    return any(not one.get("properties") for one in resources) or (bool(listed) and not resources)


def machine_of(wire: Wire, resources: Optional[List[Wire]] = None) -> Machine:
    """Read a VM with its instance view, and its extensions where they were asked for apart."""
    view = _view(wire)
    properties = wire.get("properties") or {}
    os_disk = (properties.get("storageProfile") or {}).get("osDisk") or {}
    power = [one.state for one in _statuses(view) if one.code.lower().startswith("powerstate/")]
    found = list(resources if resources is not None else wire.get("resources") or ())
    views = {str(one.get("name")).lower(): one for one in view.get("extensions") or ()}
    extensions = [Extension.from_azure(one, views.pop(_name(one), {})) for one in found]
    extensions += [Extension.from_azure({}, one) for one in views.values()]
    extensions.sort(key=lambda one: (not one.takes_snapshots, one.name.lower()))
    return Machine(
        name=wire.get("name") or "",
        os_type=os_disk.get("osType"),
        provisioning_state=properties.get("provisioningState"),
        power_state=power[0] if power else None,
        agent=Agent.from_azure(view.get("vmAgent")),
        extensions=tuple(extensions),
    )


def findings(machine: Machine) -> List[Dict[str, str]]:
    """What stands in the way of a backup, by Azure's name for it, and what to do."""
    found: List[Dict[str, str]] = []
    if not machine.is_running:
        found.append(
            _finding(
                "VmNotRunning",
                f"VM {machine.name} is {machine.power_state or 'in no known power state'}: what is "
                "said here of its agent and its extensions is of when it ran last, or missing.",
                "Start the VM to see its present state. Backups of a VM that does not run are "
                "only crash-consistent, and its extension is installed only when it runs.",
            )
        )
    state = str(machine.provisioning_state or "").lower()
    if state not in ("failed", *_DONE, *_UNDER_WAY):
        found.append(
            _finding(
                "VmProvisioningStateUnknown",
                f"The provisioning of VM {machine.name} is {machine.provisioning_state or 'none'!r}"
                ", of which it is not known whether it is in the way of a backup.",
                "Look at the VM in the portal.",
            )
        )
    if state == "failed":
        name = "UserErrorVmProvisioningStateFailed"
        message = f"The provisioning of VM {machine.name} failed."
        found.append(_finding(name, message, recommended(name, message)))
    # Of a VM that does not run it says nothing new.
    if machine.is_running and machine.agent.state != READY:
        found.append(_of_agent(machine))
    found.extend(_of_extension(machine, one) for one in machine.extensions if one.failed)
    found.extend(
        _finding(
            "ExtensionStateUnknown",
            f"Azure does not say how the extension {one.name} of {machine.name} is.",
            "Look at the extension in the portal, and run the task again.",
        )
        for one in machine.extensions
        if one.is_silent and one.takes_snapshots
    )
    return found


def _of_agent(machine: Machine) -> Dict[str, str]:
    name = "UserErrorGuestAgentStatusUnavailable"
    if machine.agent.state == ABSENT:
        return _finding(
            name,
            f"Azure knows of no VM agent on {machine.name}.",
            "Install the current VM agent on the VM and start it: the backup extension needs it. "
            "Images of the gallery have it; VMs that were brought to Azure often do not.",
        )
    said = next((one.message for one in machine.agent.statuses if one.message), "")
    return _finding(
        name,
        f"The VM agent on {machine.name} is not ready{f': {said}' if said else '.'}",
        "See that the agent runs on the VM and is the current version, and that the VM reaches "
        "Azure's public endpoints (DNS of the virtual network, firewall, proxy). "
        "/var/log/waagent.log on the VM says more.",
    )


def _of_extension(machine: Machine, extension: Extension) -> Dict[str, str]:
    said = f": {extension.message}" if extension.message else "."
    message = f"The extension {extension.name} of {machine.name} has failed{said}"
    if not extension.takes_snapshots:
        return _finding(
            "ExtensionFailed",
            message,
            "It is not the one of Azure Backup; remove it or mend it, as its publisher says.",
        )
    name = "ExtensionOperationFailed"
    action = (
        "Uninstall the extension; the next backup installs it again. Before that, see that the VM "
        "agent is current and that the VM reaches Azure's public endpoints. "
        "/var/log/waagent.log on the VM says more."
    )
    return _finding(name, message, action)


def _finding(name: str, message: str, action: str) -> Dict[str, str]:
    return {"name": name, "message": message, "recommended_action": action}


def _view(wire: Wire) -> Wire:
    return (wire.get("properties") or {}).get("instanceView") or {}


def _statuses(wire: Wire, name: str = "statuses") -> Tuple[Status, ...]:
    return tuple(Status.from_azure(one) for one in wire.get(name) or ())


def _name(resource: Wire) -> str:
    return str(resource.get("name") or last_segment(resource.get("id") or "")).lower()
