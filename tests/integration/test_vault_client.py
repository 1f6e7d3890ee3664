# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to a vault: the SDK as it is, over HTTPS, against the lab's Azure.

Over 400 lines, as all cases share one rig.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Clock
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.connection import (
    map_concurrently,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import VaultError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.ids import VmId
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.connection import (
    VaultConnection,
    connect,
)
from tests.lab.recovery_services.lab import RecoveryServices

READ = "Microsoft.RecoveryServices/vaults/backupPolicies/read"
NOBODY = "99999999-9999-4999-8999-999999999999"


class Hasty(Clock):
    """The real time, in which sleep takes none; says how long it would have slept."""

    def __init__(self) -> None:
        self.slept: List[float] = []
        self._lock = threading.Lock()

    def monotonic(self) -> float:
        with self._lock:
            return super().monotonic() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)


@dataclass
class Rig:
    """A connection, its clock, and its progress lines."""

    azure: RecoveryServices
    clock: Hasty = field(default_factory=Hasty)
    said: List[str] = field(default_factory=list)

    def connect(self, **options: Any) -> VaultConnection:
        given = {**self.azure.options(), "timeout": 600, **options}
        return connect(given, self.said.append, self.clock)

    def reads(self) -> List[int]:
        """Return the answers to reads of policies."""
        return [one.status for one in self.azure.requests() if one.action == READ]

    def sign_ins(self) -> int:
        return sum(one.path.endswith("/token") for one in self.azure.requests())


@pytest.fixture
def rig(recovery_services: RecoveryServices) -> Rig:
    return Rig(recovery_services)


def read(connection: VaultConnection, name: str = "DefaultPolicy") -> str:
    def send() -> Any:
        return connection.backup.protection_policies.get(
            **connection.vault_keywords, policy_name=name
        )

    return str(connection.read(f"read policy {name}", send)["name"])


def failure(work: Callable[[], Any]) -> VaultError:
    with pytest.raises(VaultError) as caught:
        work()
    return caught.value


def operation(connection: VaultConnection, method: str, name: str = "db01") -> Callable[[], Any]:
    """Return a PUT, DELETE or POST of a protected item."""
    vm = VmId(connection.vault.subscription_id, "app-rg", name)
    at: Dict[str, Any] = {
        **connection.vault_keywords,
        "fabric_name": "Azure",
        "container_name": vm.container,
        "protected_item_name": vm.item,
    }
    policy = f"{connection.vault.id}/backupPolicies/DefaultPolicy"
    bodies: Dict[str, Any] = {
        "PUT": {
            "properties": {
                "protectedItemType": "Microsoft.Compute/virtualMachines",
                "sourceResourceId": vm.id,
                "policyId": policy,
            }
        },
        "POST": {"properties": {"objectType": "IaasVMBackupRequest"}},
    }

    def send(**how: Any) -> Any:
        if method == "PUT":
            begin = connection.backup.protected_items.begin_create_or_update
            return begin(**at, parameters=bodies["PUT"], polling=False, **how)
        if method == "DELETE":
            return connection.backup.protected_items.delete(**at, **how)
        return connection.backup.backups.trigger(**at, parameters=bodies["POST"], **how)

    return lambda: connection.start(f"{method} it", send, vm)


def protect(rig: Rig, connection: VaultConnection, name: str = "db01") -> None:
    """Refresh and enable, until it is done."""
    connection.start(
        "refresh",
        lambda **how: connection.backup.protection_containers.refresh(
            **connection.vault_keywords, fabric_name="Azure", **how
        ),
    )
    rig.azure.advance(60)
    operation(connection, "PUT", name)()
    rig.azure.advance(120)
    rig.azure.forget_requests()


VMS = "backupManagementType eq 'AzureIaasVM'"

# --- what works ----------------------------------------------------------------------------------


def test_reads_with_one_sign_in_and_no_write(rig: Rig) -> None:
    connection = rig.connect()
    names = {
        one["name"]
        for one in connection.items(
            "list policies",
            lambda: connection.backup.backup_policies.list(**connection.vault_keywords, filter=VMS),
        )
    }
    assert {"DefaultPolicy", "EnhancedPolicy"} <= names
    assert connection.vault_resource()["location"] == "westeurope"
    connection.vault_resource()
    assert abs((connection.server_now() - connection.clock.now()).total_seconds()) < 3600 * 24
    requests = rig.azure.requests()
    assert rig.sign_ins() == 1 and not any(one.write for one in requests)
    assert sum(one.action.lower().endswith("vaults/read") for one in requests) == 1


def test_an_operation_that_azure_accepts_has_an_id(rig: Rig) -> None:
    connection = rig.connect()
    protect(rig, connection)
    for method in ("PUT", "POST", "DELETE"):
        started = operation(connection, method)()
        assert started.status == 202 and started.operation_id
        rig.azure.advance(20_000)
        status = connection.read(
            "look",
            lambda id_=started.operation_id: connection.backup.backup_operation_statuses.get(
                **connection.vault_keywords, operation_id=id_
            ),
        )
        assert status["name"] == started.operation_id


@pytest.mark.parametrize("name", ["Gold (new)", "a'b", "Ä+ö", "x%2e", "a b&c=d"])
def test_names_are_escaped(rig: Rig, name: str) -> None:
    connection = rig.connect()
    found = connection.find(
        "look",
        lambda: connection.backup.protection_policies.get(
            **connection.vault_keywords, policy_name=name
        ),
    )
    assert found is None
    asked = rig.azure.requests()[-1]
    assert asked.path.endswith(f"/backupPolicies/{name}") and asked.status == 404


# --- pauses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "pause"),
    [
        ({"status": 429, "retry_after": 7}, 7),
        ({"status": 503, "retry_after": 7}, 7),
        ({"status": 429}, 2),
        ({"status": 503}, 2),
        ({"status": 429, "message": "Please try again after '9' seconds."}, 9),
    ],
)
def test_a_pause_that_azure_asks_for_is_kept(rig: Rig, fault: Dict[str, Any], pause: float) -> None:
    rig.azure.fault(path="backupPolicies", **fault)
    assert read(rig.connect()) == "DefaultPolicy"
    assert rig.reads() == [fault["status"], 200]
    assert sum(rig.clock.slept) == pytest.approx(pause, abs=0.5)
    assert len(rig.said) == (1 if pause > 3 else 0)


def test_pauses_grow_and_end_at_the_deadline(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", status=429, code="ResourceRequestsThrottled", times=99)
    error = failure(lambda: read(rig.connect(timeout=40)))
    assert [round(pause) for pause in rig.clock.slept] == [2, 4, 8, 16]
    assert error.is_throttled and error.failure.name == "ResourceRequestsThrottled"
    assert "UTC" in error.failure.recommended_action and "timeout" in str(error)


def test_a_pause_beyond_the_deadline_is_an_error_at_once(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", status=429, retry_after=324)
    connection = rig.connect(timeout=60)
    assert failure(lambda: read(connection)).is_throttled
    # The others know it too, without asking.
    assert failure(lambda: read(connection)).is_throttled
    assert rig.reads() == [429] and not rig.clock.slept


def test_one_throttled_request_pauses_all_threads(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", status=429, retry_after=20)
    connection = rig.connect()
    read_all = map_concurrently(lambda _number: read(connection), range(30), workers=4)
    assert [outcome.value for outcome in read_all] == ["DefaultPolicy"] * 30
    # Requests under way got their answers; no other request was sent before the pause was over.
    assert rig.reads().count(429) == 1 and len(rig.reads()) == 31
    assert 1 <= len(rig.said) <= 2


# --- trouble -------------------------------------------------------------------------------------

HTML = "<html><head><title>Bad Gateway</title></head><body>x</body></html>"
TROUBLES: List[Dict[str, Any]] = [
    {"status": 500, "code": "RestApiInternalError", "message": "Wait."},
    {"status": 500, "body": {"ErrorCode": "CloudInternalError", "Message": {"Value": "Internal."}}},
    {"status": 500, "code": "CloudStorageUnexpectedError", "message": ""},
    {"status": 502, "body": HTML, "headers": {"Content-Type": "text/html"}},
    {"status": 502, "body": "{", "headers": {"Content-Type": "application/json"}},
    {"status": 504, "code": "GatewayTimeout"},
    {"kind": "reset"},
    {"kind": "malformed"},
    {"status": 200, "body": "[]"},
    {"kind": "empty"},
]


@pytest.mark.parametrize("fault", TROUBLES, ids=str)
def test_trouble_that_passes_is_not_seen(rig: Rig, fault: Dict[str, Any]) -> None:
    rig.azure.fault(path="backupPolicies", times=2, **fault)
    assert read(rig.connect()) == "DefaultPolicy"
    assert rig.clock.slept == [0.5, 1.0]


@pytest.mark.parametrize("fault", TROUBLES, ids=str)
def test_trouble_that_stays_is_told(rig: Rig, fault: Dict[str, Any]) -> None:
    rig.azure.fault(path="backupPolicies", times=99, **fault)
    error = failure(lambda: read(rig.connect()))
    body = fault.get("body")
    code = fault.get("code") or (body["ErrorCode"] if isinstance(body, dict) else None)
    if fault.get("status") == 200 or fault.get("kind") in ("malformed", "empty"):
        code = "MalformedAnswer"
    elif "kind" in fault:
        code = "ConnectionBroken"
    assert error.failure.name == (code or f"HTTP{fault['status']}")
    assert error.failure.recommended_action and error.failure.message.startswith("Could not read")
    assert "policy DefaultPolicy" in error.failure.message
    if "kind" not in fault:
        assert error.failure.correlation_id and error.failure.http_status == fault["status"]
    assert len(rig.clock.slept) == 4 and not error.is_wide


def test_a_proxys_page_is_known_as_one(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", times=9, status=403, body=HTML)
    error = failure(lambda: read(rig.connect()))
    assert "proxy" in error.failure.message and "Bad Gateway" in error.failure.message
    # A page with status 404 does not prove that the policy is missing.
    rig.azure.forget_faults()
    rig.azure.fault(path="backupPolicies", status=404, body=HTML)
    connection = rig.connect()
    assert failure(
        lambda: connection.find("read policy", lambda: read(connection))
    ).failure.name == ("HTTP404")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 504}, {"kind": "reset"}], ids=str)
def test_what_may_be_sent_twice_is(rig: Rig, method: str, fault: Dict[str, Any]) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method=method, path="protectedItems", **fault)
    assert operation(connection, method)().status == 202
    assert sum(one.method == method for one in rig.azure.requests()) == 2


@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"status": 504}, {"kind": "reset"}], ids=str
)
def test_a_backup_that_may_have_begun_is_not_begun_again(rig: Rig, fault: Dict[str, Any]) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method="POST", path="/backup$", **fault)
    error = failure(operation(connection, "POST"))
    assert error.kind in ("service", "connection") and not error.is_wide
    assert "app-rg/db01" in error.failure.message and error.failure.vm.endswith("/db01")
    assert sum(one.method == "POST" for one in rig.azure.requests()) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_backup_that_azure_wants_later_begins_later(rig: Rig, status: int) -> None:
    connection = rig.connect()
    protect(rig, connection)
    rig.azure.fault(method="POST", path="/backup$", status=status, retry_after=5)
    assert operation(connection, "POST")().status == 202


def test_what_a_provider_lacks_is_not_registered_behind_our_back(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", status=409, code="MissingSubscriptionRegistration")
    error = failure(lambda: read(rig.connect()))
    assert "az provider register" in error.failure.recommended_action
    assert all(one.path.endswith("/token") for one in rig.azure.requests() if one.method == "POST")


# --- who we are, and where -----------------------------------------------------------------------


def test_a_token_that_expires_meanwhile_is_renewed_once(rig: Rig) -> None:
    connection = rig.connect()
    read(connection)
    rig.azure.fault(path="backupPolicies", kind="expired_token")
    read_all = map_concurrently(lambda _number: read(connection), range(8))
    assert [outcome.value for outcome in read_all] == ["DefaultPolicy"] * 8
    assert rig.sign_ins() == 2


def test_a_token_that_is_refused_twice_is_an_error(rig: Rig) -> None:
    rig.azure.fault(path="backupPolicies", status=401, code="InvalidAuthenticationToken", times=9)
    error = failure(lambda: read(rig.connect()))
    assert error.kind == "authentication" and error.is_wide
    assert rig.reads() == [401, 401]


@pytest.mark.parametrize(
    ("options", "kind", "name", "words"),
    [
        ({"tenant": NOBODY}, "authentication", "InvalidTenant", "Set tenant"),
        ({"tenant": "no tenant"}, "authentication", "InvalidTenant", "Set tenant"),
        ({"client_id": NOBODY}, "authentication", "AADSTS700016", "Check client_id"),
        ({"secret": "no-such-secret"}, "authentication", "AADSTS7000215", "Set secret"),
        ({"subscription_id": NOBODY}, "subscription", "SubscriptionNotFound", "was not found"),
        ({"resource_group": "x-rg"}, "resource_group", "ResourceGroupNotFound", "group x-rg"),
        ({"vault": "x-vault"}, "vault", "ResourceNotFound", "Vault x-vault was not found"),
        ({"ca_certificates": None}, "connection", "CertificateNotTrusted", "ca_certificates"),
        (
            {"resource_manager_endpoint": "https://127.0.0.1:9"},
            "connection",
            "ConnectionRefused",
            "127.0.0.1:9",
        ),
        ({"authority": "https://127.0.0.1:9"}, "connection", "ConnectionRefused", "127.0.0.1:9"),
    ],
)
def test_who_and_where_in_words(
    rig: Rig, options: Dict[str, Any], kind: str, name: str, words: str
) -> None:
    error = failure(lambda: read(rig.connect(**options)))
    assert (error.kind, error.failure.name) == (kind, name)
    assert words in str(error) and error.is_wide
    assert rig.azure.secret not in str(error) and "no-such-secret" not in str(error)


def test_what_everything_would_fail_of_is_tried_a_few_times_only(rig: Rig) -> None:
    connection = rig.connect(secret="no-such-secret")
    done = map_concurrently(lambda _number: read(connection), range(50))
    assert all(outcome.error for outcome in done)
    assert rig.sign_ins() <= 8


def test_one_failure_leaves_the_others_alone(rig: Rig) -> None:
    connection = rig.connect()
    done = map_concurrently(
        lambda name: read(connection, name), ["DefaultPolicy", "none", "EnhancedPolicy"]
    )
    assert [outcome.error is None for outcome in done] == [True, False, True]


def test_a_vm_in_no_group_is_a_vm_that_is_not_there(rig: Rig) -> None:
    connection = rig.connect()
    vm = VmId(connection.vault.subscription_id, "no-rg", "db01")

    def look() -> Any:
        compute = connection.compute(vm.subscription_id)
        return compute.virtual_machines.get(resource_group_name=vm.resource_group, vm_name=vm.name)

    assert connection.find("read the VM", look, vm) is None
    error = failure(lambda: connection.read("read the VM", look, vm))
    assert "no-rg" in str(error) and not error.is_wide


def test_nothing_secret_is_in_an_error(rig: Rig) -> None:
    address = "https://x.example/op/1?api-version=1&t=638&c=MIIcert&s=signed&h=hash"
    said = {"error": {"code": "Odd", "message": f"At {address} with Bearer abcdefghijkl.mnop"}}
    rig.azure.fault(path="backupPolicies", status=400, body=said)
    text = json.dumps(failure(lambda: read(rig.connect())).failure.to_result())
    assert "REDACTED" in text
    for secret in ("MIIcert", "signed", "abcdefghijkl", "638"):
        assert secret not in text


def test_a_newer_sdk_asks_for_no_newer_form(rig: Rig) -> None:
    read(rig.connect())
    asked = [one.query["api-version"] for one in rig.azure.requests() if one.action == READ]
    assert asked == ["2025-02-01"]
