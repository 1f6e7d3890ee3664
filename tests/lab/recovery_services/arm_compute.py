# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests to Compute, and those for subscriptions, tenants and resource groups."""

from __future__ import annotations

from typing import Any, Dict

from tests.lab.recovery_services import compute_bodies
from tests.lab.recovery_services.call import Call, Reply
from tests.lab.recovery_services.errors import gateway
from tests.lab.recovery_services.model import Operation, Vm, new_id
from tests.lab.recovery_services.queries import page
from tests.lab.recovery_services.routes import Routes

_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = _SUBSCRIPTION + "/resourceGroups/{group}"
_VMS = _GROUP + "/providers/Microsoft.Compute/virtualMachines"
_VM = _VMS + "/{vm}"


def add_to(routes: Routes) -> None:
    """Put these requests into the table."""
    routes.add("GET", "/tenants", list_tenants)
    routes.add("GET", "/subscriptions", list_subscriptions)
    routes.add("GET", _SUBSCRIPTION, get_subscription)
    routes.add("GET", _SUBSCRIPTION + "/resourceGroups", list_groups)
    routes.add("GET", _GROUP, get_group)
    routes.add("GET", _SUBSCRIPTION + "/providers/{namespace}", get_provider)
    anywhere = _SUBSCRIPTION + "/providers/Microsoft.Compute/virtualMachines"
    routes.add("GET", anywhere, list_vms)
    routes.add("GET", _VMS, list_vms)
    routes.add("GET", _VM, get_vm)
    routes.add("DELETE", _VM, delete_vm)
    routes.add("GET", _VM + "/instanceView", get_view)
    routes.add("GET", _VM + "/extensions", list_extensions)
    routes.add("GET", _VM + "/extensions/{extension}", get_extension)
    where = "/providers/Microsoft.Compute/locations/{region}/operations/{operation}"
    routes.add("GET", _SUBSCRIPTION + where, get_operation)


def list_tenants(call: Call) -> Reply:
    """Return the tenants that the client can see."""
    found = [
        {
            "id": f"/tenants/{tenant}",
            "tenantId": tenant,
            "displayName": "Lab",
            "defaultDomain": "lab.example",
            "tenantType": "AAD",
            "tenantCategory": "Home",
        }
        for tenant in (call.estate.tenant,)
    ]
    return Reply(200, {"value": found})


def _subscription(one: Dict[str, str]) -> Dict[str, Any]:
    return {
        "id": f"/subscriptions/{one['id']}",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": one["id"],
        "tenantId": one["tenant"],
        "displayName": one["name"],
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def list_subscriptions(call: Call) -> Reply:
    """Return the subscriptions that the client can see."""
    own = call.estate.tenant
    found = [
        _subscription(one) for one in call.estate.subscriptions.values() if one["tenant"] == own
    ]
    return Reply(200, {"value": found, "count": {"type": "Total", "value": len(found)}})


def get_subscription(call: Call) -> Reply:
    """Return a subscription."""
    return Reply(200, _subscription(call.estate.subscription(call.params["subscription"])))


def _group(subscription: str, name: str, location: str) -> Dict[str, Any]:
    return {
        "id": f"/subscriptions/{subscription}/resourceGroups/{name}",
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": location,
        "properties": {"provisioningState": "Succeeded"},
    }


def list_groups(call: Call) -> Reply:
    """Return the resource groups of a subscription."""
    subscription = call.estate.subscription(call.params["subscription"])["id"]
    found = [
        _group(subscription, name, location)
        for (owner, _key), (name, location) in call.estate.groups.items()
        if owner == subscription.lower()
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def get_group(call: Call) -> Reply:
    """Return a resource group."""
    subscription = call.params["subscription"]
    return Reply(200, _group(subscription, *call.estate.group(subscription, call.params["group"])))


def get_provider(call: Call) -> Reply:
    """Return a resource provider: all are registered."""
    subscription = call.estate.subscription(call.params["subscription"])["id"]
    namespace = call.params["namespace"]
    body = {
        "id": f"/subscriptions/{subscription}/providers/{namespace}",
        "namespace": namespace,
        "registrationState": "Registered",
        "registrationPolicy": "RegistrationRequired",
        "resourceTypes": [],
    }
    return Reply(200, body)


def _vm(call: Call) -> Vm:
    given = call.params
    return call.estate.vm(given["subscription"], given["group"], given["vm"])


def _expanded(call: Call) -> bool:
    return "instanceview" in call.query.get("$expand", "").lower()


def list_vms(call: Call) -> Reply:
    """Return the VMs of a subscription or resource group."""
    subscription, group = call.params["subscription"], call.params.get("group")
    call.estate.subscription(subscription)
    if group is not None:
        call.estate.group(subscription, group)
    now = call.estate.now()
    found = [
        compute_bodies.vm_body(vm, now, _expanded(call))
        for vm in call.estate.vms_of(subscription, group)
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def get_vm(call: Call) -> Reply:
    """Return a VM."""
    return Reply(200, compute_bodies.vm_body(_vm(call), call.estate.now(), _expanded(call)))


def delete_vm(call: Call) -> Reply:
    """Delete a VM."""
    vm = _vm(call)
    operation = Operation(new_id(), call.estate.now())
    if not call.estate.hang:
        operation.ends = call.estate.after(10.0, lambda _when: call.estate.remove_vm(vm))
    call.estate.vm_operations[operation.id] = operation
    where = (
        f"/subscriptions/{vm.subscription}/providers/Microsoft.Compute/locations/{vm.location}"
        f"/operations/{operation.id}"
    )
    headers = {
        "Azure-AsyncOperation": call.link(where),
        "Location": call.link(where) + "&monitor=true",
    }
    return Reply(202, None, headers)


def get_operation(call: Call) -> Reply:
    """Return how an operation on a VM stands."""
    operation = call.estate.vm_operations.get(call.params["operation"].lower())
    if operation is None:
        raise gateway(404, "NotFound", "The operation was not found.")
    over = operation.ends is not None and operation.ends <= call.estate.now()
    if "monitor" in call.query:
        return Reply(200 if over else 202)
    body = {
        "startTime": f"{operation.start:%Y-%m-%dT%H:%M:%S}+00:00",
        "status": "Succeeded" if over else "InProgress",
        "name": operation.id,
    }
    return Reply(200, body)


def get_view(call: Call) -> Reply:
    """Return a VM's instance view."""
    return Reply(200, compute_bodies.instance_view(_vm(call), call.estate.now()))


def list_extensions(call: Call) -> Reply:
    """Return a VM's extensions."""
    vm, now = _vm(call), call.estate.now()
    found = [
        compute_bodies.extension_body(vm, name, now, _expanded(call)) for name in vm.extensions
    ]
    return Reply(200, {"value": found})


def get_extension(call: Call) -> Reply:
    """Return a VM extension."""
    vm = _vm(call)
    for name in vm.extensions:
        if name.lower() == call.params["extension"].lower():
            now = call.estate.now()
            return Reply(200, compute_bodies.extension_body(vm, name, now, _expanded(call)))
    given = f"{vm.name}/{call.params['extension']}"
    raise gateway(
        404,
        "ResourceNotFound",
        f"The Resource 'Microsoft.Compute/virtualMachines/extensions/{given}' was not found.",
    )
