# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The server as clients meet it: over HTTPS, in a process of its own."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Iterator, Optional
from urllib.parse import quote, urlencode, urlsplit

import pytest

from tests.lab._process import ROOT, LabError
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

_VERSION = "api-version=2025-02-01"


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Azure's code of the error."""
        return str(self.body["error"]["code"])


@dataclass
class Client:
    """A client without an SDK, so that every byte is the test's own."""

    azure: RecoveryServices
    token: Optional[str] = None
    headers: Dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, raw: Optional[str] = None) -> Answer:
        """One request on a connection of its own."""
        address = urlsplit(self.azure.url)
        context = ssl.create_default_context(cafile=str(self.azure.ca_file))
        connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=30, context=context
        )
        headers = dict(self.headers)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        payload = raw if raw is not None else None if body is None else json.dumps(body)
        try:
            connection.request(method, path, body=payload, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text
        return Answer(answer.status, found, parsed)

    def get(self, path: str, **query: str) -> Answer:
        """A GET below the vault."""
        more = "".join(f"&{name.replace('_', '$')}={quote(value)}" for name, value in query.items())
        return self.send("GET", f"{self.vault}{path}?{_VERSION}{more}")

    @property
    def vault(self) -> str:
        """The path of the first vault."""
        return (
            f"/subscriptions/{self.azure.subscription_id}/resourceGroups/backup-rg"
            "/providers/Microsoft.RecoveryServices/vaults/vault1"
        )

    @property
    def item(self) -> str:
        """The path of the item of db01."""
        name = quote("iaasvmcontainerv2;app-rg;db01", safe="")
        fabric = f"{self.vault}/backupFabrics/Azure"
        return f"{fabric}/protectionContainers/IaasVMContainer%3B{name}/protectedItems/VM%3B{name}"

    def protect(self) -> Answer:
        """Protect db01."""
        properties = {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "sourceResourceId": f"/subscriptions/{self.azure.subscription_id}/resourceGroups/"
            "app-rg/providers/Microsoft.Compute/virtualMachines/db01",
            "policyId": f"{self.vault}/backupPolicies/DefaultPolicy",
        }
        return self.send("PUT", f"{self.item}?{_VERSION}", {"properties": properties})

    def sign_in(self, **changes: str) -> Answer:
        """Ask for a token, and use it from now on."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.azure.client_id,
            "client_secret": self.azure.secret,
            "scope": f"{self.azure.url}/.default",
            **changes,
        }
        answer = self.send("POST", f"/{self.azure.tenant}/oauth2/v2.0/token", raw=urlencode(form))
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer


@pytest.fixture(scope="module")
def process() -> Iterator[RecoveryServices]:
    """One server for all tests here."""
    with RecoveryServices(speed=0.0) as azure:
        yield azure


@pytest.fixture
def azure(process: RecoveryServices) -> RecoveryServices:
    """The server as in the beginning; its clock stands still."""
    process.reset()
    return process


@pytest.fixture
def client(azure: RecoveryServices) -> Client:
    """A client that has signed in."""
    client = Client(azure)
    assert client.sign_in().status == 200
    azure.forget_requests()
    return client


def test_sign_in(azure: RecoveryServices) -> None:
    client = Client(azure)
    opened = client.send("GET", f"/{azure.tenant}/v2.0/.well-known/openid-configuration").body
    assert opened["token_endpoint"] == f"{azure.url}/{azure.tenant}/oauth2/v2.0/token"
    answer = client.sign_in()
    assert answer.body["token_type"] == "Bearer"
    assert answer.body["access_token"].count(".") == 2
    assert client.get("").status == 200


def test_the_old_token_endpoint(azure: RecoveryServices) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": azure.client_id,
        "client_secret": azure.secret,
        "resource": f"{azure.url}/",
    }
    answer = Client(azure).send("POST", f"/{azure.tenant}/oauth2/token", raw=urlencode(form))
    assert Client(azure, answer.body["access_token"]).get("").status == 200


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        ({"client_id": "wrong"}, 400, "unauthorized_client", 700016),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
    ],
)
def test_sign_in_refused(
    azure: RecoveryServices, changes: Dict[str, str], status: int, error: str, number: int
) -> None:
    answer = Client(azure).sign_in(**changes)
    assert (answer.status, answer.body["error"]) == (status, error)
    assert answer.body["error_codes"] == [number]


def test_an_unknown_tenant(azure: RecoveryServices) -> None:
    answer = Client(azure).send("GET", "/nowhere/v2.0/.well-known/openid-configuration")
    assert (answer.status, answer.body["error_codes"]) == (400, [90002])


def test_what_a_cloud_is_registered_by(azure: RecoveryServices) -> None:
    client = Client(azure)
    old = client.send("GET", "/metadata/endpoints?api-version=2015-01-01").body
    assert old["authentication"]["loginEndpoint"] == f"{azure.url}/"
    new = client.send("GET", "/metadata/endpoints?api-version=2022-09-01").body
    assert new["resourceManager"] == f"{azure.url}/"
    assert "tenant_discovery_endpoint" in client.send("GET", "/common/discovery/instance").body


@pytest.mark.parametrize(
    ("token", "code"),
    [(None, "AuthenticationFailed"), ("a.b.c", "InvalidAuthenticationToken")],
)
def test_without_a_good_token(azure: RecoveryServices, token: Optional[str], code: str) -> None:
    answer = Client(azure, token).get("")
    assert (answer.status, answer.code) == (401, code)
    assert answer.headers["www-authenticate"].startswith("Bearer authorization_uri=")


def test_a_token_for_something_else(azure: RecoveryServices) -> None:
    client = Client(azure)
    client.sign_in(scope="https://storage.azure.com/.default")
    assert client.get("").code == "InvalidAuthenticationTokenAudience"


def test_a_token_expires(azure: RecoveryServices) -> None:
    azure.reset({**seeds.default(), "token_lifetime_s": 0.0})
    client = Client(azure)
    client.sign_in()
    assert client.get("").code == "ExpiredAuthenticationToken"


def test_a_token_that_expires_on_order_stays_expired(client: Client) -> None:
    client.azure.fault(path="backupPolicies", kind="expired_token")
    assert client.get("/backupPolicies").code == "ExpiredAuthenticationToken"
    assert client.get("/backupPolicies").status == 401
    client.sign_in()
    assert client.get("/backupPolicies").status == 200


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
        answer = client.send("GET", f"{path}?{_VERSION}")
        assert (answer.status, answer.code) == expected, path


def test_a_subscription_of_another_tenant(client: Client) -> None:
    seed = seeds.default()
    foreign = {"id": "eeeeeeee-5555-4eee-8eee-eeeeeeeeeeee", "name": "Foreign", "tenant": "other"}
    seed["subscriptions"].append(foreign)
    client.azure.reset(seed)
    answer = client.send("GET", f"/subscriptions/{foreign['id']}?{_VERSION}")
    assert (answer.status, answer.code) == (401, "InvalidAuthenticationTokenTenant")
    listed = client.send("GET", f"/subscriptions?{_VERSION}").body["value"]
    assert [one["displayName"] for one in listed] == ["Lab"]


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
    assert client.send("GET", f"{client.vault.upper()}?{_VERSION}").body["name"] == "vault1"
    odd = client.vault.replace("/subscriptions/", "/Subscriptions/")
    assert client.send("GET", f"{odd}/BACKUPPOLICIES/defaultpolicy/?{_VERSION}").status == 200


def test_a_body_that_is_none(client: Client) -> None:
    answer = client.send("PUT", f"{client.item}?{_VERSION}", raw='{"properties":')
    assert (answer.status, answer.code) == (400, "InvalidRequestContent")
    odd = [None, [], {"properties": []}, {"properties": {"extendedProperties": 1}}]
    odd.append({"location": "westeurope", "properties": {"securitySettings": "x"}})
    for body in odd:
        for path in (client.item, f"{client.vault}/backupPolicies/Gold", f"{client.vault}x"):
            assert client.send("PUT", f"{path}?{_VERSION}", body).status == 400, (path, body)


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
        f"{client.item}/backup?{_VERSION}",
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


def test_the_record_of_requests(client: Client) -> None:
    client.get("/backupPolicies")
    client.protect()
    status = f"/subscriptions/{client.azure.subscription_id}/providers/"
    status += "Microsoft.RecoveryServices/locations/westeurope/backupStatus"
    vm = client.azure.state()["vms"][0]["id"]
    client.send("POST", f"{status}?{_VERSION}", {"resourceType": "VM", "resourceId": vm})
    client.send("POST", f"{client.vault}/backupFabrics/Azure/refreshContainers?{_VERSION}")
    client.sign_in()
    requests = client.azure.requests()
    assert [(one.action.rpartition("/vaults/")[2], one.write) for one in requests] == [
        ("backupPolicies/read", False),
        ("backupFabrics/protectionContainers/protectedItems/write", True),
        ("Microsoft.RecoveryServices/locations/backupStatus/action", False),
        ("backupFabrics/refreshContainers/action", True),
        ("signin", False),
    ]
    assert requests[1].body["properties"]["policyId"].endswith("DefaultPolicy")
    assert client.azure.secret not in json.dumps([vars(one) for one in requests])
    assert [one.method for one in client.azure.writes()] == ["PUT", "POST"]


def test_faults_come_in_their_order_and_number(client: Client) -> None:
    azure = client.azure
    azure.fault(method="GET", path="backupjobs", status=429, code="C", retry_after=3, skip=1)
    azure.fault(path="backupPolicies", status=500, body={"ErrorCode": "CloudInternalError"})
    azure.fault(path="backupPolicies", status=502, times=2, body="not JSON")
    assert client.get("/backupJobs").status == 200
    answer = client.get("/backupJobs")
    assert (answer.status, answer.code, answer.headers["retry-after"]) == (429, "C", "3")
    assert client.get("/backupJobs").status == 200
    assert client.get("/backupPolicies").body == {"ErrorCode": "CloudInternalError"}
    assert client.get("/backupPolicies").body == b"not JSON"
    assert client.get("/backupPolicies").status == 502
    assert client.get("/backupPolicies").status == 200
    assert azure.faults() == []


def test_a_connection_that_is_cut(client: Client) -> None:
    client.azure.fault(method="PUT", path="protectedItems", kind="reset")
    with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
        client.protect()
    assert client.azure.state()["vaults"]["vault1"]["jobs"] == []
    client.azure.fault(method="PUT", path="protectedItems", kind="reset", after=True)
    with pytest.raises((ConnectionError, http.client.HTTPException, ssl.SSLError)):
        client.protect()
    assert len(client.azure.state()["vaults"]["vault1"]["jobs"]) == 1
    assert [one.status for one in client.azure.requests()] == [0, 0]


def test_answers_that_make_no_sense(client: Client) -> None:
    client.azure.fault(path="backupJobs", kind="malformed")
    client.azure.fault(path="backupJobs", kind="empty")
    first, second = client.get("/backupJobs"), client.get("/backupJobs")
    assert isinstance(first.body, bytes)
    assert (first.status, second.status, second.body) == (200, 200, None)


def test_an_operation_that_never_ends(client: Client) -> None:
    client.azure.fault(method="PUT", path="protectedItems", kind="never_ends")
    assert client.protect().status == 202
    client.azure.advance(10**6)
    (job,) = client.get("/backupJobs").body["value"]
    assert job["properties"]["status"] == "InProgress"


def test_a_fault_that_is_none_is_refused(azure: RecoveryServices) -> None:
    with pytest.raises(LabError, match="kind is one of"):
        azure.fault(kind="earthquake")
    with pytest.raises(LabError, match="colour"):
        azure.fault(colour="red")


def test_the_hourly_limits(client: Client) -> None:
    client.azure.reset(limits=True)
    client.sign_in()
    header = "x-ms-ratelimit-remaining-subscription-resource-requests"
    left = [client.get("/backupProtectedItems").headers[header] for _once in range(2)]
    assert left == ["299", "298"]
    for _once in range(298):
        client.get("/backupProtectedItems")
    answer = client.get("/backupProtectedItems")
    assert (answer.status, answer.code) == (429, "ResourceRequestsThrottled")
    assert "vaults/backupProtectedItems/read' exceeded the limit of '300'" in str(answer.body)
    assert int(answer.headers["retry-after"]) > 3000
    assert client.get("/backupJobs").headers[header] == "449"
    client.azure.advance(3601)
    assert client.get("/backupProtectedItems").headers[header] == "299"


def test_a_limit_of_another_region(client: Client) -> None:
    action = "Microsoft.RecoveryServices/vaults/backupJobs/read"
    client.azure.reset({**seeds.default(), "limits": {action: 2}}, limits=True)
    assert [client.get("/backupJobs").status for _once in range(3)] == [200, 200, 429]
    assert f"'{action}' exceeded the limit of '2'" in str(client.get("/backupJobs").body)


def test_without_limits_nothing_counts_down(client: Client) -> None:
    header = "x-ms-ratelimit-remaining-subscription-resource-requests"
    assert {client.get("/backupJobs").headers[header] for _once in range(3)} == {"449"}


def test_a_vault_comes_and_goes(client: Client) -> None:
    path = f"{client.vault.replace('vault1', 'vault3')}?{_VERSION}"
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
    config = f"{client.vault}/backupconfig/vaultconfig?{_VERSION}"
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
    assert client.send("PATCH", f"{client.vault}?{_VERSION}", wish).status == 200
    assert client.send("PATCH", config, days).code == "BMSUserErrorSoftDeleteUseVaultApi"
    assert client.send("GET", config).body["properties"]["softDeleteRetentionPeriodInDays"] == 20


def test_a_seed_that_is_none_changes_nothing(client: Client) -> None:
    with pytest.raises(LabError, match="KeyError"):
        client.azure.reset({"subscriptions": [], "vaults": []})
    assert client.get("").status == 200
    assert client.send("POST", "/lab/reset", raw="{").status == 400


def test_a_token_outlives_a_reset(client: Client) -> None:
    client.azure.reset()
    assert client.get("").status == 200


def test_what_the_client_may_not_do(client: Client) -> None:
    client.azure.change(deny="*/backupJobs/read")
    answer = client.get("/backupJobs")
    assert (answer.status, answer.code) == (403, "AuthorizationFailed")
    assert "action 'Microsoft.RecoveryServices/vaults/backupJobs/read'" in str(answer.body)
    assert answer.headers["x-ms-failure-cause"] == "gateway"
    assert client.get("/backupPolicies").status == 200


def test_a_subscription_that_is_not_registered(client: Client) -> None:
    client.azure.change(unregister="Microsoft.RecoveryServices")
    path = f"{client.vault}9?{_VERSION}"
    answer = client.send("PUT", path, {"location": "westeurope"})
    assert (answer.status, answer.code) == (409, "MissingSubscriptionRegistration")
    assert answer.body["error"]["details"][0]["target"] == "Microsoft.RecoveryServices"
    assert client.get("").status == 200


def test_a_vault_with_items_stays(client: Client) -> None:
    client.azure.change(add_item={"vault": "vault1", "vm": "db01"})
    ended = client.send("DELETE", f"{client.vault}?{_VERSION}")
    client.azure.advance(10)
    where = urlsplit(ended.headers["azure-asyncoperation"])
    answer = client.send("GET", f"{where.path}?{where.query}").body
    assert answer["error"]["code"] == "BMSUserErrorVaultDeletionNotPermitted"
    assert client.get("").status == 200


def test_the_vm_and_its_extensions(client: Client) -> None:
    group = f"/subscriptions/{client.azure.subscription_id}/resourceGroups/app-rg/providers/"
    vms = f"{group}Microsoft.Compute/virtualMachines"
    one = client.send("GET", f"{vms}/DB01?$expand=instanceView&{_VERSION}").body
    assert one["properties"]["storageProfile"]["dataDisks"][1]["lun"] == 1
    assert one["properties"]["instanceView"]["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    assert len(client.send("GET", f"{vms}?{_VERSION}").body["value"]) == 4
    agent = "VM status blob is found but not yet populated."
    client.azure.change(set_vm={"vm": "db01", "agent": agent})
    view = client.send("GET", f"{vms}/db01/instanceView?{_VERSION}").body
    assert view["vmAgent"]["statuses"][0]["message"] == agent
    assert client.send("GET", f"{vms}/db01/extensions?{_VERSION}").body == {"value": []}
    client.azure.remove_vm("app-rg/db01")
    assert client.send("GET", f"{vms}/db01?{_VERSION}").code == "ResourceNotFound"


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
    assert client.send("PUT", f"{item}?{_VERSION}", {"properties": properties}).status == 202
    client.azure.advance(100)
    found = client.send("GET", f"{item}?{_VERSION}").body["properties"]
    assert (found["friendlyName"], found["sourceResourceId"]) == ("vm (1)", vm)


def test_the_date_is_the_service_s_own(client: Client) -> None:
    client.azure.advance(400 * 86400)
    year = int(client.azure.now()[:4])
    assert f" {year} " in client.get("").headers["date"]


def test_the_process_alone(tmp_path: Path) -> None:
    """As somebody starts it by hand: its first line says how to reach it; it cleans up."""
    seeds.write(seeds.fleet(1), tmp_path / "a seed.json")
    argv = [sys.executable, "-m", "tests.lab.recovery_services", "--seed"]
    process = subprocess.Popen(
        [*argv, str(tmp_path / "a seed.json"), "--speed", "5"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert Path(said["ca_file"]).exists()
        assert Path(said["ca_file"]).is_relative_to(tmp_path)
        process.terminate()
        assert process.wait(30) == 0
        assert not Path(said["ca_file"]).exists()
    finally:
        process.kill()
        process.stdout.close() if process.stdout else None


def test_the_process_ends_with_the_one_that_started_it() -> None:
    program = (
        "from tests.lab.recovery_services.lab import RecoveryServices\n"
        "import os\n"
        "azure = RecoveryServices().__enter__()\n"
        "print(azure.process.pid, azure.folder, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    number, folder = done.stdout.strip().split(" ", 1)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{number}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{number}").exists()
    for left in Path(folder).iterdir():
        left.unlink()
    Path(folder).rmdir()
