# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests for vaults, their configuration and their policies."""

from __future__ import annotations

from tests.lab.recovery_services import bodies, policies, vaults
from tests.lab.recovery_services.call import Call, Reply
from tests.lab.recovery_services.errors import AzureError, gateway
from tests.lab.recovery_services.job_bodies import operation_body, vault_operation_body
from tests.lab.recovery_services.jobs import state_of
from tests.lab.recovery_services.protection import operation as find_operation
from tests.lab.recovery_services.queries import page, parse_filter
from tests.lab.recovery_services.routes import Routes

_RS = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.RecoveryServices"
VAULT = _RS + "/vaults/{vault}"


def add_to(routes: Routes) -> None:
    """Put these requests into the table."""
    anywhere = "/subscriptions/{subscription}/providers/Microsoft.RecoveryServices/vaults"
    routes.add("GET", anywhere, list_vaults)
    routes.add("GET", _RS + "/vaults", list_vaults)
    routes.add("GET", VAULT, get_vault)
    routes.add("PUT", VAULT, put_vault)
    routes.add("PATCH", VAULT, patch_vault)
    routes.add("DELETE", VAULT, delete_vault)
    routes.add("GET", VAULT + "/operationStatus/{operation}", vault_operation)
    routes.add("GET", VAULT + "/operationResults/{operation}", vault_result)
    routes.add("GET", VAULT + "/backupconfig/{config}", get_config)
    routes.add("PUT", VAULT + "/backupconfig/{config}", put_config)
    routes.add("PATCH", VAULT + "/backupconfig/{config}", put_config)
    routes.add("GET", VAULT + "/backupstorageconfig/{config}", get_storage)
    routes.add("GET", VAULT + "/backupEncryptionConfigs/{config}", get_encryption)
    routes.add("GET", VAULT + "/backupResourceGuardProxies", no_proxies)
    routes.add("GET", VAULT + "/backupResourceGuardProxies/{proxy}", no_proxy)
    routes.add("GET", VAULT + "/backupPolicies", list_policies)
    routes.add("GET", VAULT + "/backupPolicies/{policy}", get_policy)
    routes.add("PUT", VAULT + "/backupPolicies/{policy}", put_policy)
    routes.add("DELETE", VAULT + "/backupPolicies/{policy}", delete_policy)
    routes.add("GET", VAULT + "/backupPolicies/{policy}/operations/{operation}", policy_status)
    results = "/backupPolicies/{policy}/operationResults/{operation}"
    routes.add("GET", VAULT + results, policy_result)


def list_vaults(call: Call) -> Reply:
    """Return the vaults of a subscription or resource group."""
    subscription = call.params["subscription"]
    group = call.params.get("group")
    call.estate.subscription(subscription)
    if group is not None:
        call.estate.group(subscription, group)
    found = [
        bodies.vault_body(vault)
        for vault in call.estate.vaults.values()
        if vault.subscription.lower() == subscription.lower()
        and (group is None or vault.resource_group.lower() == group.lower())
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def get_vault(call: Call) -> Reply:
    """Return a vault."""
    return Reply(200, bodies.vault_body(call.vault()))


def put_vault(call: Call) -> Reply:
    """Make or change a vault."""
    given = call.params
    before = len(call.estate.vaults)
    vault, operation = vaults.put(
        call.estate, given["subscription"], given["group"], given["vault"], call.body
    )
    if len(call.estate.vaults) == before:
        return Reply(200, bodies.vault_body(vault))
    where = call.link(f"{vault.id}/operationStatus/{operation.id}")
    return Reply(201, bodies.vault_body(vault), {"Azure-AsyncOperation": where})


def patch_vault(call: Call) -> Reply:
    """Change some of a vault."""
    return Reply(200, bodies.vault_body(vaults.patch(call.estate, call.vault(), call.body)))


def delete_vault(call: Call) -> Reply:
    """Delete a vault."""
    vault = call.vault()
    operation = vaults.delete(call.estate, vault)
    call.estate.gone[operation.id.lower()] = (vault, operation)
    return Reply(202, None, _both(call, vault.id, operation.id))


def _both(call: Call, vault_id: str, operation: str) -> dict[str, str]:
    return {
        "Azure-AsyncOperation": call.link(f"{vault_id}/operationStatus/{operation}"),
        "Location": call.link(f"{vault_id}/operationResults/{operation}"),
    }


def vault_operation(call: Call) -> Reply:
    """Return how an operation on a vault stands; it outlives the vault."""
    name = call.params["operation"].lower()
    known = call.estate.gone.get(name)
    if known is None:
        vault = call.vault()
        known = (vault, find_operation(vault, name))
    vault, operation = known
    now = call.estate.now()
    body = vault_operation_body(vault, operation, now)
    running = body["status"] == "InProgress"
    return Reply(200, body, _both(call, vault.id, operation.id) if running else {})


def vault_result(call: Call) -> Reply:
    """Return the result of an operation on a vault."""
    reply = vault_operation(call)
    if reply.body["status"] == "InProgress":
        return Reply(202, None, reply.headers)
    return Reply(204)


def get_config(call: Call) -> Reply:
    """Return the backup configuration."""
    return Reply(200, bodies.config_body(call.vault()))


def put_config(call: Call) -> Reply:
    """Change the backup configuration."""
    vault = call.vault()
    try:
        vaults.configure(call.estate, vault, call.body)
    except AzureError as error:
        # These errors have code and message only, unlike those about items.
        error.more.clear()
        raise
    return Reply(200, bodies.config_body(vault))


def get_storage(call: Call) -> Reply:
    """Return the storage configuration."""
    return Reply(200, bodies.storage_body(call.vault()))


def get_encryption(call: Call) -> Reply:
    """Return the encryption configuration."""
    return Reply(200, bodies.encryption_body(call.vault()))


def no_proxies(call: Call) -> Reply:
    """Return an empty list: the lab's vaults have no resource guard."""
    call.vault()
    return Reply(200, {"value": []})


def no_proxy(call: Call) -> Reply:
    """Refuse: the lab's vaults have no resource guard."""
    call.vault()
    raise gateway(404, "BMSUserErrorResourceGuardProxyNotFound", "The vault has no resource guard.")


def list_policies(call: Call) -> Reply:
    """Return the policies of a vault."""
    vault = call.vault()
    names = ("backupManagementType", "workloadType", "fabricName", "policyType")
    wanted = parse_filter(call.query.get("$filter"), names)
    found = [
        bodies.policy_body(vault, name, body, listed=True)
        for name, body in vault.policies.values()
        if wanted.permits(
            {
                "backupManagementType": body.get("backupManagementType"),
                "policyType": body.get("policyType"),
                "workloadType": body.get("workLoadType", "VM"),
            }
        )
    ]
    return Reply(200, page(found, call.page_query(), call.address))


def get_policy(call: Call) -> Reply:
    """Return a policy."""
    vault = call.vault()
    return Reply(200, bodies.policy_body(vault, *policies.find(vault, call.params["policy"])))


def put_policy(call: Call) -> Reply:
    """Make or change a policy."""
    vault = call.vault()
    name = call.params["policy"]
    operation = policies.put(call.estate, vault, name, call.body)
    if operation is None:
        return Reply(200, bodies.policy_body(vault, *policies.find(vault, name)))
    where = f"{vault.id}/backupPolicies/{policies.find(vault, name)[0]}"
    headers = {
        "Azure-AsyncOperation": call.link(f"{where}/operations/{operation.id}"),
        "Location": call.link(f"{where}/operationResults/{operation.id}"),
    }
    return Reply(202, None, headers)


def delete_policy(call: Call) -> Reply:
    """Delete a policy."""
    return Reply(200 if policies.delete(call.vault(), call.params["policy"]) else 204)


def policy_status(call: Call) -> Reply:
    """Return how an operation on a policy stands."""
    operation = find_operation(call.vault(), call.params["operation"])
    return Reply(200, operation_body(operation, call.estate.now()))


def policy_result(call: Call) -> Reply:
    """Return the result of an operation on a policy."""
    vault = call.vault()
    operation = find_operation(vault, call.params["operation"])
    if state_of(operation, call.estate.now()) == "InProgress":
        return Reply(202, None, {"Location": call.link(call.path)})
    return Reply(200, bodies.policy_body(vault, *policies.find(vault, call.params["policy"])))
