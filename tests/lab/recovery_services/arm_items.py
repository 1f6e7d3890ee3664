# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for protected items, their recovery points, containers and what can be protected."""

from __future__ import annotations

from typing import Dict, Tuple

from tests.lab.recovery_services import backups, bodies, discovery, protection
from tests.lab.recovery_services.arm_vaults import VAULT
from tests.lab.recovery_services.call import Call, Reply
from tests.lab.recovery_services.job_bodies import operation_body
from tests.lab.recovery_services.jobs import state_of
from tests.lab.recovery_services.model import Item, Operation, Vault
from tests.lab.recovery_services.names import key_of_container, key_of_item
from tests.lab.recovery_services.queries import page, parse_filter
from tests.lab.recovery_services.routes import Routes
from tests.lab.recovery_services.times import parse_query_time

FABRIC = VAULT + "/backupFabrics/{fabric}"
ITEM = FABRIC + "/protectionContainers/{container}/protectedItems/{item}"
#: The service points to old versions of itself here.
OLD = "2019-05-13-preview"


def add_to(routes: Routes) -> None:
    """Put these requests into the table."""
    routes.add("POST", FABRIC + "/refreshContainers", refresh)
    routes.add("GET", FABRIC + "/operationResults/{operation}", fabric_result)
    routes.add("GET", FABRIC + "/operationsStatus/{operation}", status)
    routes.add("GET", VAULT + "/backupProtectableItems", list_protectable)
    routes.add("GET", VAULT + "/backupProtectionContainers", list_containers)
    routes.add("GET", VAULT + "/backupDeletedProtectionContainers", list_deleted)
    routes.add("GET", FABRIC + "/protectionContainers/{container}", get_container)
    routes.add("GET", FABRIC + "/protectionContainers/{container}/items", list_items)
    routes.add("GET", VAULT + "/backupProtectedItems", list_items)
    routes.add("GET", ITEM, get_item)
    routes.add("PUT", ITEM, put_item)
    routes.add("DELETE", ITEM, delete_item)
    routes.add("GET", ITEM + "/operationResults/{operation}", item_result)
    routes.add("GET", ITEM + "/operationsStatus/{operation}", status)
    routes.add("GET", VAULT + "/backupOperations/{operation}", status)
    routes.add("GET", VAULT + "/backupOperationResults/{operation}", vault_level_result)
    routes.add("POST", ITEM + "/backup", back_up)
    routes.add("GET", ITEM + "/recoveryPoints", list_points)
    routes.add("GET", ITEM + "/recoveryPoints/{point}", get_point)
    routes.add("POST", ITEM + "/recoveryPoints/{point}/restore", restore)


def _operation(call: Call) -> Operation:
    return protection.operation(call.vault(), call.params["operation"])


def status(call: Call) -> Reply:
    """Return how an operation stands."""
    operation = _operation(call)
    return Reply(200, operation_body(operation, call.estate.now()))


def refresh(call: Call) -> Reply:
    """Discover VMs."""
    vault = call.vault()
    operation = discovery.refresh(call.estate, vault)
    where = f"{vault.id}/backupFabrics/Azure"
    headers = {
        "Azure-AsyncOperation": call.link(f"{where}/operationsStatus/{operation.id}", OLD),
        "Location": call.link(f"{where}/operationResults/{operation.id}"),
    }
    return Reply(202, None, headers)


def fabric_result(call: Call) -> Reply:
    """Return whether a discovery is over."""
    if state_of(_operation(call), call.estate.now()) == "InProgress":
        return Reply(202, None, {"Location": call.link(call.path)})
    return Reply(204)


def vault_level_result(call: Call) -> Reply:
    """Return whether a deletion is over."""
    return fabric_result(call)


def list_protectable(call: Call) -> Reply:
    """Return the VMs that can be protected."""
    vault = call.vault()
    names = ("backupManagementType", "workloadType", "containerName", "status", "friendlyName")
    wanted = parse_filter(call.query.get("$filter"), names)
    found = [
        bodies.protectable_body(vault, vm)
        for vm in discovery.protectable(call.estate, vault)
        if wanted.permits(
            {
                "backupManagementType": "AzureIaasVM",
                "workloadType": "VM",
                "status": "NotProtected",
                "friendlyName": vm.name,
            }
        )
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def list_containers(call: Call, deleted: bool = False) -> Reply:
    """Return the containers; soft-deleted ones count as registered, as they do in the service."""
    vault = call.vault()
    names = ("backupManagementType", "containerType", "status", "friendlyName", "fabricName")
    wanted = parse_filter(call.query.get("$filter"), names)
    found = [
        bodies.container_body(vault, item)
        for item in discovery.containers(vault, deleted)
        if wanted.permits(
            {
                "backupManagementType": "AzureIaasVM",
                "status": wanted.get("status") if deleted else "Registered",
                "friendlyName": item.vm.name,
            }
        )
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def list_deleted(call: Call) -> Reply:
    """Return the containers whose items are soft-deleted."""
    return list_containers(call, deleted=True)


def get_container(call: Call) -> Reply:
    """Return a container."""
    vault = call.vault()
    key = key_of_container(call.params["container"])
    item = protection.item_of(vault, key, call.params["container"])
    return Reply(200, bodies.container_body(vault, item))


def list_items(call: Call) -> Reply:
    """Return the protected items of a vault, or of one of its containers."""
    vault = call.vault()
    names = [
        "backupManagementType",
        "itemType",
        "policyName",
        "friendlyName",
        "containerName",
        "fabricName",
        "healthState",
    ]
    wanted = parse_filter(call.query.get("$filter"), names)
    only = call.params.get("container")
    now = call.estate.now()
    found = [
        bodies.item_body(vault, item, now)
        for item in vault.items.values()
        if (only is None or item.key == key_of_container(only))
        and wanted.permits(
            {
                "backupManagementType": "AzureIaasVM",
                "itemType": "VM",
                "policyName": item.policy,
                "friendlyName": item.vm.name,
                "containerName": f"iaasvmcontainerv2;{item.key}",
                "healthState": "ActionRequired" if item.health else "Passed",
            }
        )
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def _item(call: Call) -> Tuple[Vault, Item]:
    vault = call.vault()
    key = key_of_item(call.params["container"], call.params["item"])
    return vault, protection.item_of(vault, key, call.params["item"])


def get_item(call: Call) -> Reply:
    """Return a protected item."""
    vault, item = _item(call)
    wanted = call.query.get("$filter") or ""
    extended = "extendedinfo" in wanted.lower()
    return Reply(200, bodies.item_body(vault, item, call.estate.now(), one=extended))


def _started(call: Call, vault: Vault, operation: Operation) -> Reply:
    """Return the 202 that points to an operation of an item, named as the client named it."""
    given = call.params
    where = (
        f"{vault.id}/backupFabrics/Azure/protectionContainers/{given['container']}"
        f"/protectedItems/{given['item']}"
    )
    headers: Dict[str, str] = {
        "Azure-AsyncOperation": call.signed(f"{where}/operationsStatus", operation.id),
        "Location": call.signed(f"{where}/operationResults", operation.id),
    }
    return Reply(202, None, {**headers, "Retry-After": "60"})


def put_item(call: Call) -> Reply:
    """Protect a VM, or change its protection."""
    vault = call.vault()
    key = key_of_item(call.params["container"], call.params["item"])
    return _started(call, vault, protection.put(call.estate, vault, key, call.properties))


def delete_item(call: Call) -> Reply:
    """Delete an item and its data."""
    vault = call.vault()
    key = key_of_item(call.params["container"], call.params["item"])
    operation = protection.delete(call.estate, vault, key)
    if operation is None:
        return Reply(204)
    headers = {
        "Azure-AsyncOperation": call.signed(f"{vault.id}/backupOperations", operation.id),
        "Location": call.signed(f"{vault.id}/backupOperationResults", operation.id),
        "Retry-After": "60",
    }
    return Reply(202, None, headers)


def item_result(call: Call) -> Reply:
    """Return the item, once the operation on it is over."""
    operation = _operation(call)
    now = call.estate.now()
    if state_of(operation, now) == "InProgress":
        return Reply(202, None, {"Location": call.link(call.path), "Retry-After": "60"})
    vault = call.vault()
    item = vault.items.get(operation.key)
    backup = operation.job is not None and operation.job.operation in ("Backup", "Restore")
    if item is None or backup:
        return Reply(204)
    return Reply(200, bodies.item_body(vault, item, now))


def back_up(call: Call) -> Reply:
    """Back up now."""
    vault, item = _item(call)
    return _started(call, vault, backups.back_up(call.estate, vault, item, call.properties))


def list_points(call: Call) -> Reply:
    """Return the recovery points of an item, the newest first."""
    vault, item = _item(call)
    names = ("startDate", "endDate", "restorePointQueryType", "extendedInfo", "moveReadyRPOnly")
    wanted = parse_filter(call.query.get("$filter"), (*names, "includeSoftDeletedRP"))
    points = item.points
    start, end = wanted.get("startDate"), wanted.get("endDate")
    if start:
        points = [point for point in points if point.time >= parse_query_time(start)]
    if end:
        points = [point for point in points if point.time <= parse_query_time(end)]
    found = [bodies.point_body(vault, item, point, listed=True) for point in points]
    return Reply(200, page(found, call.page_query(), call.address))


def get_point(call: Call) -> Reply:
    """Return a recovery point."""
    vault, item = _item(call)
    point = backups.point_of(item, call.params["point"])
    return Reply(200, bodies.point_body(vault, item, point))


def restore(call: Call) -> Reply:
    """Restore the disks of a recovery point."""
    vault, item = _item(call)
    point = backups.point_of(item, call.params["point"])
    operation = backups.restore(call.estate, vault, item, point, call.properties)
    return _started(call, vault, operation)
