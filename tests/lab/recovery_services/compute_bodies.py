# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Answers of Compute: VMs, their instance views and extensions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List

from tests.lab.recovery_services.model import Vm

_OK = "Provisioning succeeded"


def _disk(vm: Vm, name: str) -> str:
    return (
        f"/subscriptions/{vm.subscription}/resourceGroups/{vm.resource_group}"
        f"/providers/Microsoft.Compute/disks/{name}"
    )


def _status(code: str, shown: str, when: str = "", level: str = "Info") -> Dict[str, Any]:
    found = {"code": code, "level": level, "displayStatus": shown}
    return {**found, "time": when} if when else found


def vm_body(vm: Vm, now: datetime, view: bool = False) -> Dict[str, Any]:
    """Return a VM; `view`: with its instance view.

    One long literal: it is read beside an answer of the service.
    """
    os_disk = f"{vm.name}_OsDisk_1"
    configuration = {"provisionVMAgent": True, "patchSettings": {"patchMode": "ImageDefault"}}
    key = "linuxConfiguration" if vm.os_type == "Linux" else "windowsConfiguration"
    properties: Dict[str, Any] = {
        "hardwareProfile": {"vmSize": vm.size},
        "provisioningState": "Succeeded",
        "vmId": vm.vm_id,
        "storageProfile": {
            "imageReference": {
                "publisher": "Debian",
                "offer": "debian-12",
                "sku": "12-gen2",
                "version": "latest",
                "exactVersion": "0.20250519.2117",
            },
            "osDisk": {
                "osType": vm.os_type,
                "name": os_disk,
                "createOption": "FromImage",
                "caching": "ReadWrite",
                "managedDisk": {
                    "storageAccountType": "Premium_LRS",
                    "id": _disk(vm, os_disk),
                },
                "deleteOption": "Detach",
                "diskSizeGB": 30,
            },
            "dataDisks": [_data_disk(vm, lun) for lun in vm.luns],
            "diskControllerType": "SCSI",
        },
        "osProfile": {
            "computerName": vm.name,
            "adminUsername": "azureuser",
            key: configuration,
            "secrets": [],
            "allowExtensionOperations": True,
            "requireGuestProvisionSignal": True,
        },
        "networkProfile": {
            "networkInterfaces": [
                {
                    "id": f"/subscriptions/{vm.subscription}/resourceGroups/{vm.resource_group}"
                    f"/providers/Microsoft.Network/networkInterfaces/{vm.name}-nic"
                }
            ]
        },
    }
    if view:
        properties["instanceView"] = instance_view(vm, now)
    properties["timeCreated"] = "2025-05-28T12:37:53.9494208+00:00"
    body: Dict[str, Any] = {
        "name": vm.name,
        "id": vm.id,
        "type": "Microsoft.Compute/virtualMachines",
        "location": vm.location,
        "properties": properties,
        "etag": '"2"',
    }
    if vm.tags:
        body["tags"] = vm.tags
    if vm.extensions:
        body["resources"] = extensions(vm)
    return body


def _data_disk(vm: Vm, lun: int) -> Dict[str, Any]:
    name = f"{vm.name}-data-{lun}"
    return {
        "lun": lun,
        "name": name,
        "createOption": "Attach",
        "caching": "None",
        "managedDisk": {"storageAccountType": "Premium_LRS", "id": _disk(vm, name)},
        "deleteOption": "Detach",
        "diskSizeGB": 64,
        "toBeDetached": False,
    }


def instance_view(vm: Vm, now: datetime) -> Dict[str, Any]:
    """Return what a VM says of itself."""
    when = f"{now:%Y-%m-%dT%H:%M:%S}+00:00"
    ready = vm.agent == "Ready"
    agent = _status(
        "ProvisioningState/succeeded" if ready else "ProvisioningState/Unavailable",
        "Ready" if ready else "Not Ready",
        when,
        "Info" if ready else "Warning",
    )
    agent["message"] = "Guest Agent is running" if ready else vm.agent
    handlers = [
        {
            "type": f"{one['publisher']}.{one['type']}",
            "typeHandlerVersion": one.get("handler_version", one["version"]),
            "status": _status("ProvisioningState/succeeded", "Ready"),
        }
        for one in vm.extensions.values()
    ]
    names = [f"{vm.name}_OsDisk_1", *(f"{vm.name}-data-{lun}" for lun in vm.luns)]
    # Only the agent knows these.
    system = {"computerName": vm.name, "osName": "debian", "osVersion": "12"} if ready else {}
    view: Dict[str, Any] = {
        **system,
        "vmAgent": {
            "vmAgentVersion": "2.13.1.1" if ready else "Unknown",
            "statuses": [agent],
            **({"extensionHandlers": handlers} if handlers else {}),
        },
        "disks": [
            {"name": name, "statuses": [_status("ProvisioningState/succeeded", _OK, when)]}
            for name in names
        ],
        "hyperVGeneration": "V2",
    }
    if vm.extensions:
        view["extensions"] = [extension_view(name, one, now) for name, one in vm.extensions.items()]
    view["statuses"] = [
        _status("ProvisioningState/succeeded", _OK, when),
        _status(f"PowerState/{vm.power}", f"VM {vm.power}"),
    ]
    return view


def extension_view(name: str, one: Dict[str, Any], now: datetime) -> Dict[str, Any]:
    """Return what a VM extension says of itself."""
    state = one.get("state", "succeeded")
    status = _status(
        f"ProvisioningState/{state}",
        f"Provisioning {state}",
        f"{now:%Y-%m-%dT%H:%M:%S}+00:00",
        "Info" if state == "succeeded" else "Error",
    )
    if one.get("message"):
        status["message"] = one["message"]
    return {
        "name": name,
        "type": f"{one['publisher']}.{one['type']}",
        "typeHandlerVersion": one.get("handler_version", one["version"]),
        "statuses": [status],
    }


def extension_body(vm: Vm, name: str, now: datetime, view: bool = False) -> Dict[str, Any]:
    """Return a VM extension."""
    one = vm.extensions[name]
    state = one.get("state", "succeeded")
    properties: Dict[str, Any] = {
        "autoUpgradeMinorVersion": True,
        "provisioningState": "Succeeded" if state == "succeeded" else "Failed",
        "publisher": one["publisher"],
        "type": one["type"],
        "typeHandlerVersion": one["version"],
        "settings": one.get("settings", {}),
    }
    if view:
        properties["instanceView"] = extension_view(name, one, now)
    return {
        "name": name,
        "id": f"{vm.id}/extensions/{name}",
        "type": "Microsoft.Compute/virtualMachines/extensions",
        "location": vm.location,
        "properties": properties,
    }


def extensions(vm: Vm) -> List[Dict[str, Any]]:
    """Return the VM extensions as a VM names them: by their ids only."""
    return [{"id": f"{vm.id}/extensions/{name}"} for name in vm.extensions]
