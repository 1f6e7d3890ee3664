# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test sign-in and permissions."""

from __future__ import annotations

from typing import Dict, Optional
from urllib.parse import urlencode

import pytest

from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices
from tests.unit.lab.recovery_services.client import VERSION, Client


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


def test_a_subscription_of_another_tenant(client: Client) -> None:
    seed = seeds.default()
    foreign = {"id": "eeeeeeee-5555-4eee-8eee-eeeeeeeeeeee", "name": "Foreign", "tenant": "other"}
    seed["subscriptions"].append(foreign)
    client.azure.reset(seed)
    answer = client.send("GET", f"/subscriptions/{foreign['id']}?{VERSION}")
    assert (answer.status, answer.code) == (401, "InvalidAuthenticationTokenTenant")
    listed = client.send("GET", f"/subscriptions?{VERSION}").body["value"]
    assert [one["displayName"] for one in listed] == ["Lab"]


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
    path = f"{client.vault}9?{VERSION}"
    answer = client.send("PUT", path, {"location": "westeurope"})
    assert (answer.status, answer.code) == (409, "MissingSubscriptionRegistration")
    assert answer.body["error"]["details"][0]["target"] == "Microsoft.RecoveryServices"
    assert client.get("").status == 200
