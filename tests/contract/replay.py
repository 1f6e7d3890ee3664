# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Send the requests of a recording to a server in their order, and compare the answers.

The state that a request needs comes from the requests before it, which are sent too. The rest is
derived from the recording: VMs that were made or deleted, the outcome of a backup, and time that
passed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional, Protocol, Sequence
from urllib.parse import unquote, urlsplit

from tests.contract.evidence import Exchange
from tests.contract.likeness import differences, in_order, progress

_COMPUTE = "/providers/microsoft.compute/"
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_EXPIRY = re.compile(r'(?<="recoveryPointExpiryTimeInUTC": ")[^"]+')
_NOBODY = "00000000-0000-0000-0000-000000000000"
#: How long to wait between two looks at something that changes by itself, and for how long.
_PAUSES_S = (*[1.0] * 5, *[5.0] * 12, *[30.0] * 30, *[60.0] * 120)
_AT_MOST_S = {"Backup": 3 * 3600.0, "Restore": 3600.0}
_USUALLY_AT_MOST_S = 300.0
_TO_DELETE_A_VM_S = 60.0


class Target(Protocol):
    """The server, and what can be done to it beside its requests."""

    def send(self, method: str, url: str, body: Any) -> Exchange:
        """Send a request."""

    def advance(self, seconds: float) -> None:
        """Let time pass; without it none does."""

    def add_vm(self, vm: Mapping[str, Any]) -> None:
        """Make a VM."""

    def remove_vm(self, vm_id: str) -> None:
        """Delete a VM."""

    def set_storage_version(self, vault_id: str, version: str) -> None:
        """Decide how a vault stores backups."""

    def next_backup(self, vm_id: str, result: str) -> None:
        """Decide what the next backup of a VM yields."""


@dataclass(frozen=True)
class Step:
    """The outcome of an exchange of a recording."""

    recorded: Exchange
    ours: Optional[Exchange] = None
    #: Empty when the answer is that of the recording.
    differences: Sequence[str] = ()
    #: Another exchange of the recording that it is like, if it is not like this one.
    like: Optional[Exchange] = None
    left_out: str = ""


@dataclass
class Replay:
    """One recording against one server, from its beginning."""

    recording: Sequence[Exchange]
    target: Target
    #: Recorded ids, and what they are called on this server.
    _ids: Dict[str, str] = field(default_factory=dict)
    _vms: Dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _vault: str = ""

    def run(self) -> Iterator[Step]:
        """Replay it."""
        for number, recorded in enumerate(self.recording):
            reason = self._reason_to_leave_out(recorded)
            if reason:
                yield Step(recorded, left_out=reason)
                continue
            self._presuppose(number, recorded)
            ours = self._send(recorded)
            self._learn(recorded, ours)
            if recorded.method == "DELETE" and _COMPUTE in recorded.path.lower():
                # Whoever deleted it waited for it.
                self.target.advance(_TO_DELETE_A_VM_S)
                del self._vms[recorded.path.lower()]
            found = self._differences(recorded, ours)
            like = self._like(recorded, ours) if found else None
            yield Step(recorded, ours, () if like else found, like)

    # --- what cannot be compared ----------------------------------------------------------------

    def _reason_to_leave_out(self, recorded: Exchange) -> str:
        path = recorded.path.lower()
        unknown = [one for one in _GUID.findall(path) if one != _NOBODY and one not in self._ids]
        if unknown:
            return "about an operation that was left out"
        return ""

    def _differences(self, recorded: Exchange, ours: Exchange) -> List[str]:
        if _COMPUTE in recorded.path.lower():
            return _compute_differences(recorded, ours)
        return differences(recorded, ours)

    def _like(self, recorded: Exchange, ours: Exchange) -> Optional[Exchange]:
        """Return another answer to the same request at the same stage: some moments are short."""
        for other in self.recording:
            same = (other.method, other.path) == (recorded.method, recorded.path)
            if same and progress(other) == progress(recorded) and not differences(other, ours):
                return other
        return None

    # --- the state that it presupposes ----------------------------------------------------------

    def _presuppose(self, number: int, recorded: Exchange) -> None:
        path = recorded.path.lower()
        if recorded.method == "PUT" and re.search(r"/vaults/[^/]+$", path):
            self._vault = recorded.path
        elif _COMPUTE in path and recorded.path.lower() not in self._vms:
            self._know_the_neighbours(number)
            self._add_vm(recorded.path, self._location(), recorded.response)
        elif path.endswith("/refreshcontainers"):
            self._add_neighbours(number)
        elif path.endswith("/backupprotectableitems"):
            self._remove_neighbours(recorded)
        elif recorded.method == "POST" and path.endswith("/backup"):
            self.target.set_storage_version(self._vault, self._storage_version())
            self.target.next_backup(_vm_of_item(recorded.path), self._outcome(number))

    def _storage_version(self) -> str:
        """Return how the recorded vault stores backups, which it says once it has some."""
        for later in reversed(self.recording):
            if later.path == self._vault and isinstance(later.response, dict):
                found = (later.response.get("properties") or {}).get("backupStorageVersion")
                if found in ("V1", "V2"):
                    return str(found)
        return "V2"

    def _location(self) -> str:
        return str(next(one for one in self.recording if one.method == "PUT").request["location"])

    def _add_vm(self, vm_id: str, location: str, seen: Optional[Mapping[str, Any]] = None) -> None:
        parts = vm_id.split("/")
        properties = (seen or {}).get("properties", {})
        storage = properties.get("storageProfile", {})
        vm = {
            "subscription": parts[2],
            "resource_group": parts[4],
            "name": parts[8],
            "location": location,
            "os_type": storage.get("osDisk", {}).get("osType", "Linux"),
            "luns": [disk["lun"] for disk in storage.get("dataDisks", ())],
            "agent": _agent(properties),
            "size": properties.get("hardwareProfile", {}).get("vmSize", "Standard_DS1_v2"),
        }
        self._vms[vm_id.lower()] = vm
        self.target.add_vm(vm)

    def _neighbours(self, number: int) -> List[str]:
        """Return the VMs of the list of protectable items that comes next."""
        for later in self.recording[number:]:
            if later.path.lower().endswith("/backupprotectableitems"):
                return [one["properties"]["virtualMachineId"] for one in later.response["value"]]
        return []

    def _add_neighbours(self, number: int) -> None:
        for vm_id in self._neighbours(number):
            if vm_id.lower() not in self._vms:
                self._add_vm(vm_id, self._location())

    def _know_the_neighbours(self, number: int) -> None:
        """Let the vault find the VMs that it lists before its first discovery."""
        before = len(self._vms)
        self._add_neighbours(number)
        if len(self._vms) > before:
            self._refresh()

    def _refresh(self) -> None:
        version = "api-version=2025-02-01"
        url = f"{self._vault}/backupFabrics/Azure/refreshContainers?{version}"
        self.target.send("POST", url, None)
        self.target.advance(60.0)

    def _remove_neighbours(self, recorded: Exchange) -> None:
        """Delete those that the list does not have any more; what is protected is not in it."""
        listed = {
            one["properties"]["virtualMachineId"].lower() for one in recorded.response["value"]
        }
        own = "/".join(self._vault.split("/")[:5]).lower()
        for vm_id in list(self._vms):
            if vm_id not in listed and not vm_id.startswith(f"{own}/"):
                self.target.remove_vm(vm_id)
                del self._vms[vm_id]
        if any(vm_id not in self._vms for vm_id in listed):
            for vm_id in listed - set(self._vms):
                self._add_vm(vm_id, self._location())
            self._refresh()

    def _outcome(self, number: int) -> str:
        """Return what the backup that is asked for yielded."""
        words = {"AppConsistent": "application", "FileSystemConsistent": "file-system"}
        for later in self.recording[number:]:
            answer = later.response if isinstance(later.response, dict) else {}
            properties = answer.get("properties") or {}
            if properties.get("operation") == "Backup" and "Warnings" in properties["status"]:
                return "warning"
            if later.path.endswith("/recoveryPoints"):
                kind = answer["value"][0]["properties"]["recoveryPointType"]
                return words.get(kind, "crash")
        return "file-system"

    # --- sending --------------------------------------------------------------------------------

    def _send(self, recorded: Exchange) -> Exchange:
        """Send it, again and again with time passing if only time is missing to the answer."""
        url = self._renamed(recorded.url)
        request = recorded.request
        if request is not None:
            request = json.loads(_EXPIRY.sub(_in_a_month(), self._renamed(json.dumps(request))))
        ours = self.target.send(recorded.method, url, request)
        waited = 0.0
        limit = _AT_MOST_S.get(_operation(recorded), _USUALLY_AT_MOST_S)
        for pause in _PAUSES_S:
            over = recorded.method != "GET" or progress(ours) == progress(recorded)
            if over or waited >= limit or _is_over(ours):
                break
            self.target.advance(pause)
            waited += pause
            ours = self.target.send(recorded.method, url, request)
        return ours

    def _renamed(self, text: str) -> str:
        for theirs, ours in self._ids.items():
            text = text.replace(theirs, ours)
        return text

    def _learn(self, recorded: Exchange, ours: Exchange) -> None:
        """Remember what the server calls the things that the recording has names for."""
        for name in ("azure-asyncoperation", "location"):
            if name in recorded.headers and name in ours.headers:
                self._same(_last(recorded.headers[name]), _last(ours.headers[name]))
        theirs, own = recorded.response, ours.response
        if not isinstance(theirs, dict) or not isinstance(own, dict):
            return
        job = (theirs.get("properties") or {}).get("jobId")
        if job:
            self._same(job, (own.get("properties") or {}).get("jobId"))
        if recorded.path.endswith("/recoveryPoints"):
            for one, other in zip(in_order(theirs["value"]), in_order(own.get("value", []))):
                self._same(one["name"], other["name"])

    def _same(self, theirs: str, ours: Optional[str]) -> None:
        if ours and theirs != _NOBODY:
            self._ids.setdefault(theirs, ours)


def _agent(properties: Mapping[str, Any]) -> str:
    """Return the message of the VM agent."""
    statuses = properties.get("instanceView", {}).get("vmAgent", {}).get("statuses", ())
    unready = [one for one in statuses if one["displayStatus"] != "Ready"]
    return str(unready[0]["message"]) if unready else "Ready"


def _in_a_month() -> str:
    """Return a time that lies ahead, as the recorded ones did then."""
    then = datetime.now(timezone.utc) + timedelta(days=30)
    return f"{then:%Y-%m-%d}T00:00:00.000Z"


def _last(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _operation(exchange: Exchange) -> str:
    answer = exchange.response if isinstance(exchange.response, dict) else {}
    return str((answer.get("properties") or {}).get("operation", ""))


def _is_over(exchange: Exchange) -> bool:
    """Return True if what is looked at will not change any more."""
    answer = exchange.response if isinstance(exchange.response, dict) else {}
    status = (answer.get("properties") or {}).get("status") or answer.get("status")
    return status is not None and status not in ("InProgress", "Cancelling")


def _vm_of_item(path: str) -> str:
    parts = unquote(path).split("/")
    _kind, _version, group, name = parts[parts.index("protectedItems") + 1].split(";")
    return f"{group}/{name}"


def _compute_differences(recorded: Exchange, ours: Exchange) -> List[str]:
    """Return the parts of the lab's answer that the recording lacks; the lab may have fewer."""
    if recorded.method != "GET" or recorded.status != ours.status:
        return differences(_lowered(recorded), _lowered(ours))
    return list(_not_in("$", recorded.response, ours.response))


def _lowered(exchange: Exchange) -> Exchange:
    """Return the exchange with headers in lower case: Compute writes regions as CentralUSEUAP."""
    headers = {name: value.lower() for name, value in exchange.headers.items()}
    return replace(exchange, headers=headers)


#: Differs between the recorded VMs and is not about backups.
_OWN = (
    "tags",
    "linuxConfiguration",
    "windowsConfiguration",
    "resources",
    "time",
    "securityProfile",
)


def _not_in(path: str, recorded: Any, ours: Any) -> Iterator[str]:
    if isinstance(ours, dict) and isinstance(recorded, dict):
        for key in ours:
            if key in _OWN:
                continue
            if key not in recorded:
                yield f"{path}.{key} is not in the recording"
            else:
                yield from _not_in(f"{path}.{key}", recorded[key], ours[key])
    elif isinstance(ours, list) and isinstance(recorded, list):
        for one in ours if recorded else ():
            yield from _not_in(f"{path}[]", recorded[0], one)
    elif type(ours) is not type(recorded):
        yield f"{path}: {ours!r:.80}, recorded {recorded!r:.80}"
