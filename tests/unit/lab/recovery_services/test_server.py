# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control plane as clients meet it: over HTTPS, in a process of its own."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import pytest

from tests.lab.recovery_services import seed as seeds
from tests.unit.lab.recovery_services.client import VERSION, Client


def test_what_is_not_there(client: Client) -> None:
    vault, subscription = client.vault, client.azure.subscription_id
    cases = {
        vault.replace(subscription, "0" * 8 + subscription[8:]): (404, "SubscriptionNotFound"),
        vault.replace(subscription, "nobody"): (400, "InvalidSubscriptionId"),
        vault.replace("backup-rg", "no-rg"): (404, "ResourceGroupNotFound"),
        vault.replace("vault1", "vault9"): (404, "ResourceNotFound"),
        f"{vault}/backupPolicies/Nix": (404, "BMSUserErrorPolicyNotFound"),
        f"{vault}/backupJobs/nix": (404, "JobNotFound"),
        client.item: (404, "BMSUserErrorDataSourceObjectNotFound"),
        f"{vault}/nothing/of/the/kind": (404, "InvalidResourceType"),
    }
    for path, expected in cases.items():
        answer = client.send("GET", f"{path}?{VERSION}")
        assert (answer.status, answer.code) == expected, path


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "MissingApiVersionParameter"),
        ("api-version=today", "InvalidApiVersionParameter"),
        ("api-version=2031-01-01", "InvalidApiVersionParameter"),
    ],
)
def test_the_version_is_asked_for(client: Client, query: str, code: str) -> None:
    answer = client.send("GET", f"{client.vault}?{query}")
    assert (answer.status, answer.code) == (400, code)


@pytest.mark.parametrize("version", ["2019-05-13", "2019-05-13-preview", "2026-10-01"])
def test_versions_that_are_served(client: Client, version: str) -> None:
    assert client.send("GET", f"{client.vault}?api-version={version}").status == 200


def test_paths_in_any_case(client: Client) -> None:
    assert client.send("GET", f"{client.vault.upper()}?{VERSION}").body["name"] == "vault1"
    odd = client.vault.replace("/subscriptions/", "/Subscriptions/")
    assert client.send("GET", f"{odd}/BACKUPPOLICIES/defaultpolicy/?{VERSION}").status == 200


def test_a_body_that_is_none(client: Client) -> None:
    answer = client.send("PUT", f"{client.item}?{VERSION}", raw='{"properties":')
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    odd = [None, [], {"properties": []}, {"properties": {"extendedProperties": 1}}]
    odd.append({"location": "westeurope", "properties": {"securitySettings": "x"}})
    for body in odd:
        for path in (client.item, f"{client.vault}/backupPolicies/Gold", f"{client.vault}x"):
            assert client.send("PUT", f"{path}?{VERSION}", body).status == 400, (path, body)


def test_protecting_points_to_its_operation(client: Client) -> None:
    answer = client.protect()
    assert (answer.status, answer.body) == (202, None)
    assert answer.headers["retry-after"] == "60"
    location = urlsplit(answer.headers["location"])
    status = urlsplit(answer.headers["azure-asyncoperation"])
    assert "lab-signature-" in location.query
    begun = client.send("GET", f"{quote(status.path)}?{status.query}").body
    assert (begun["status"], begun["endTime"]) == ("InProgress", "0001-01-01T00:00:00")
    assert client.send("GET", f"{quote(location.path)}?{location.query}").status == 202
    client.azure.advance(70)
    ended = client.send("GET", f"{quote(status.path)}?{status.query}").body
    assert ended["status"] == "Succeeded"
    job = client.get(f"/backupJobs/{ended['properties']['jobId']}").body["properties"]
    assert job["status"] == "Completed"
    assert job["extendedInfo"]["propertyBag"]["Policy Name"] == "DefaultPolicy"
    result = client.send("GET", f"{quote(location.path)}?{location.query}")
    assert result.body["properties"]["protectionState"] == "IRPending"


def test_the_jobs_by_filter(client: Client) -> None:
    client.protect()
    client.azure.advance(100)
    client.send(
        "POST",
        f"{client.item}/backup?{VERSION}",
        {"properties": {"objectType": "IaasVMBackupRequest"}},
    )
    every = client.get("/backupJobs").body["value"]
    assert [job["properties"]["operation"] for job in every] == ["Backup", "ConfigureBackup"]
    for text, expected in {
        "status eq 'InProgress'": ["Backup"],
        "operation eq 'ConfigureBackup' and status eq 'Completed'": ["ConfigureBackup"],
        "startTime eq '2030-01-01 12:00:00 AM'": [],
        "startTime eq '2020-01-01 12:00:00 AM' and endTime eq '2030-01-01 12:00:00 AM'": [
            "Backup",
            "ConfigureBackup",
        ],
        "backupManagementType eq 'MAB'": [],
    }.items():
        found = client.get("/backupJobs", _filter=text).body["value"]
        assert [job["properties"]["operation"] for job in found] == expected, text


def test_a_list_of_201_items(client: Client) -> None:
    seed = seeds.fleet(201)
    for vm in seed["vms"]:
        seeds.add_item(seed["vaults"][0], vm["name"])
    client.azure.reset(seed)
    client.sign_in()
    first = client.get("/backupProtectedItems", _filter="itemType eq 'VM'").body
    address = urlsplit(first["nextLink"])
    second = client.send("GET", f"{address.path}?{address.query}").body
    assert (len(first["value"]), len(second["value"])) == (200, 1)
    assert "nextLink" not in second


def test_a_vault_comes_and_goes(client: Client) -> None:
    path = f"{client.vault.replace('vault1', 'vault3')}?{VERSION}"
    made = client.send("PUT", path, {"location": "westeurope", "sku": {"name": "Standard"}})
    assert (made.status, made.body["properties"]["provisioningState"]) == (201, "Provisioning")
    client.azure.advance(30)
    assert client.send("GET", path).body["properties"]["provisioningState"] == "Succeeded"
    assert client.send("PATCH", path, {"tags": {"a": "b"}}).body["tags"] == {"a": "b"}
    ended = client.send("DELETE", path)
    assert ended.status == 202
    client.azure.advance(10)
    where = urlsplit(ended.headers["azure-asyncoperation"])
    assert client.send("GET", f"{where.path}?{where.query}").body["status"] == "Succeeded"
    assert client.send("GET", path).status == 404


def test_soft_delete_of_the_vault_itself(client: Client) -> None:
    config = f"{client.vault}/backupconfig/vaultconfig?{VERSION}"
    days = {"properties": {"softDeleteRetentionPeriodInDays": 30}}
    assert client.send("PATCH", config, days).body["properties"] == {
        "enhancedSecurityState": "Enabled",
        "softDeleteFeatureState": "Enabled",
        "softDeleteRetentionPeriodInDays": 30,
        "isSoftDeleteFeatureStateEditable": True,
    }
    few = {"properties": {"softDeleteRetentionPeriodInDays": 3}}
    assert client.send("PATCH", config, few).code == "BMSUserErrorInvalidInput"
    soft = {"softDeleteState": "Enabled", "softDeleteRetentionPeriodInDays": 20}
    wish = {"properties": {"securitySettings": {"softDeleteSettings": soft}}}
    assert client.send("PATCH", f"{client.vault}?{VERSION}", wish).status == 200
    assert client.send("PATCH", config, days).code == "BMSUserErrorSoftDeleteUseVaultApi"
    assert client.send("GET", config).body["properties"]["softDeleteRetentionPeriodInDays"] == 20


def test_a_vault_with_items_stays(client: Client) -> None:
    client.azure.change(add_item={"vault": "vault1", "vm": "db01"})
    ended = client.send("DELETE", f"{client.vault}?{VERSION}")
    client.azure.advance(10)
    where = urlsplit(ended.headers["azure-asyncoperation"])
    answer = client.send("GET", f"{where.path}?{where.query}").body
    assert answer["error"]["code"] == "BMSUserErrorVaultDeletionNotPermitted"
    assert client.get("").status == 200


def test_the_vm_and_its_extensions(client: Client) -> None:
    group = f"/subscriptions/{client.azure.subscription_id}/resourceGroups/app-rg/providers/"
    vms = f"{group}Microsoft.Compute/virtualMachines"
    one = client.send("GET", f"{vms}/DB01?$expand=instanceView&{VERSION}").body
    assert one["properties"]["storageProfile"]["dataDisks"][1]["lun"] == 1
    assert one["properties"]["instanceView"]["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    assert len(client.send("GET", f"{vms}?{VERSION}").body["value"]) == 4
    agent = "VM status blob is found but not yet populated."
    client.azure.change(set_vm={"vm": "db01", "agent": agent})
    view = client.send("GET", f"{vms}/db01/instanceView?{VERSION}").body
    assert view["vmAgent"]["statuses"][0]["message"] == agent
    assert client.send("GET", f"{vms}/db01/extensions?{VERSION}").body == {"value": []}
    client.azure.remove_vm("app-rg/db01")
    assert client.send("GET", f"{vms}/db01?{VERSION}").code == "ResourceNotFound"


def test_names_that_need_escaping(client: Client) -> None:
    client.azure.change(add_vm={"name": "vm (1)", "resource_group": "rg_(a).b", "luns": []})
    vm = client.azure.state()["vms"][-1]["id"]
    name = quote("iaasvmcontainerv2;rg_(a).b;vm (1)", safe="")
    fabric = f"{client.vault}/backupFabrics/Azure"
    item = f"{fabric}/protectionContainers/IaasVMContainer%3B{name}/protectedItems/VM%3B{name}"
    properties = {
        "protectedItemType": "Microsoft.Compute/virtualMachines",
        "sourceResourceId": vm,
        "policyId": f"{client.vault}/backupPolicies/DefaultPolicy",
    }
    assert client.send("PUT", f"{item}?{VERSION}", {"properties": properties}).status == 202
    client.azure.advance(100)
    found = client.send("GET", f"{item}?{VERSION}").body["properties"]
    assert (found["friendlyName"], found["sourceResourceId"]) == ("vm (1)", vm)
