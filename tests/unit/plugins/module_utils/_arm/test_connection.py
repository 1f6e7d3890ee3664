# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any, Dict

import pytest
from azure.core.exceptions import (
    ClientAuthenticationError,
    DeserializationError,
    HttpResponseError,
)
from azure.core.pipeline import Pipeline
from azure.core.pipeline.transport import RequestsTransport
from azure.core.rest import HttpRequest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.clock import Deadline
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.connection import (
    ArmConnection,
    ClientConfig,
    map_concurrently,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.credentials import (
    Tokens,
    _transport_options,
    check_certificates,
    cloud_of,
    subscription_of,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.errors import (
    Operation,
    SignInError,
    VaultError,
    from_sdk,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    SettingsError,
)
from tests.unit.plugins.module_utils.fakes import FakeClock

HOST = "https://management.azure.invalid"


def sent(**options: Any) -> Exception:
    """Return what the SDK raises for a request without a response."""
    with Pipeline(RequestsTransport()) as pipeline, pytest.raises(Exception) as caught:
        pipeline.run(HttpRequest("GET", HOST), **options)
    return caught.value


def test_unknown_host_names_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_address: Any, **_options: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = from_sdk(sent(), Operation("read it", endpoint=HOST))
    assert error.failure.name == "EndpointNotFound" and error.is_wide
    assert "management.azure.invalid" in str(error) and "DNS" in str(error)
    # The message names the authority if that is the unknown host.
    failed = SignInError(sent(), "https://login.azure.invalid")
    assert "login.azure.invalid" in str(from_sdk(failed, Operation("read it", endpoint=HOST)))


def test_read_timeout_may_have_taken_effect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with Pipeline(RequestsTransport()) as pipeline, pytest.raises(Exception) as caught:
            pipeline.run(HttpRequest("GET", f"http://127.0.0.1:{port}/"), read_timeout=0.2)
    endpoint = f"https://127.0.0.1:{port}"
    for action, is_read in (("read it", False), ("stop it", True)):
        error = from_sdk(caught.value, Operation(action, endpoint=endpoint, is_read=is_read))
        assert error.failure.name == "AnswerTimedOut" and not error.is_wide
        assert ("may have taken effect" in str(error)) is not is_read


def test_sign_in_timeout_is_limited_by_the_task() -> None:
    cloud = cloud_of({})
    for timeout, waits in ((None, 60), (28800, 60), (30, 30), (1, 10)):
        assert _transport_options({"timeout": timeout}, cloud)["read_timeout"] == waits


NO_CREDENTIALS = """\
DefaultAzureCredential failed to retrieve a token from the included credentials.
Attempted credentials:
\tEnvironmentCredential: Environment variables are not fully configured.
Visit https://sdk.example/environment/troubleshoot to troubleshoot this issue.
\tAzureCliCredential: Please run 'az login' to set up an account
To mitigate this issue, please refer to https://sdk.example/troubleshoot."""
EXPIRED = """\
Authentication failed: AADSTS7000222: The provided client secret keys for app 'x' are expired.\r
Trace ID: 1b2b3b4b-0000-0000-0000-000000000001\r
Correlation ID: 2b2b3b4b-0000-0000-0000-000000000002\r
Timestamp: 2026-11-21 12:00:00Z"""


def test_sign_in_without_credentials_is_wide() -> None:
    error = from_sdk(
        SignInError(ClientAuthenticationError(NO_CREDENTIALS), HOST), Operation("read it")
    )
    assert error.failure.name == "NoCredentials" and error.is_wide
    assert "AzureCliCredential: Please run 'az login'" in error.failure.message
    assert "sdk.example" not in str(error) and "AZURE_TENANT_ID" in str(error)


def test_refused_sign_in_has_code_and_action() -> None:
    error = from_sdk(SignInError(ClientAuthenticationError(EXPIRED), HOST), Operation("read it"))
    assert error.failure.name == "AADSTS7000222" and error.kind == "authentication"
    assert error.failure.correlation_id == "2b2b3b4b-0000-0000-0000-000000000002"
    assert "Trace ID" not in str(error) and "create a new one" in error.failure.recommended_action


@pytest.mark.parametrize(("is_read", "may_be_done"), [(True, False), (False, True)])
def test_answer_that_the_sdk_cannot_read_is_malformed(is_read: bool, may_be_done: bool) -> None:
    error = from_sdk(
        DeserializationError("Unable to deserialize"), Operation("do it", is_read=is_read)
    )
    assert error.failure.name == "MalformedAnswer" and error.kind == "service"
    assert ("may have taken effect" in error.failure.recommended_action) is may_be_done


def start_with_unreadable_answer(status: int, is_read: bool = False) -> VaultError:
    """Return the error of an operation whose response the SDK cannot read."""
    cloud, clock = cloud_of({}), FakeClock()
    config = ClientConfig(cloud, Tokens(Credential, "s", "a"), clock, Deadline(clock, 60))
    connection = ArmConnection(config)

    def send(**_options: Any) -> None:
        connection._responses.note(SimpleNamespace(status_code=status, headers={}))
        raise DeserializationError("Unable to deserialize")

    with pytest.raises(VaultError) as caught:
        connection.start("do it", send, is_read=is_read)
    return caught.value


@pytest.mark.parametrize(("status", "is_doubtful"), [(202, True), (200, True), (400, False)])
def test_start_accepted_without_a_readable_answer_is_doubtful(
    status: int, is_doubtful: bool
) -> None:
    assert start_with_unreadable_answer(status).is_doubtful is is_doubtful


@pytest.mark.parametrize("is_read", [True, False])
def test_start_of_a_read_cannot_have_taken_effect(is_read: bool) -> None:
    action = start_with_unreadable_answer(200, is_read).failure.recommended_action
    assert ("may have taken effect" in action) is not is_read


def test_from_sdk_raises_own_defects() -> None:
    with pytest.raises(TypeError):
        from_sdk(TypeError("argument"), Operation("read it"))
    error = VaultError(Failure("A", "B"))
    assert from_sdk(error, Operation("read it")) is error


def test_error_without_response_is_of_the_network() -> None:
    error = from_sdk(HttpResponseError("Connection broken"), Operation("read it", endpoint=HOST))
    assert error.kind == "connection"


@pytest.mark.parametrize(
    ("words", "is_busy"), [("Another operation is in progress.", True), ("No.", False)]
)
def test_is_busy_goes_by_azures_own_words(words: str, is_busy: bool) -> None:
    message = f"Could not protect VM in progress-conflict: X: {words}"
    failure = Failure("X", message, http_status=400, azure_message=words)
    assert VaultError(failure, "request").is_busy is is_busy


def test_failure_result_has_known_fields_only() -> None:
    assert set(Failure("A", "B").to_result()) == {"name", "code", "message", "recommended_action"}
    more = Failure("A", "B", correlation_id="c", http_status=404, vm="/v").to_result()
    assert (more["correlation_id"], more["http_status"], more["vm"]) == ("c", 404, "/v")


# --- clouds and credentials ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "addresses"),
    [
        ({}, ("management.azure.com", "login.microsoftonline.com", "management.azure.com")),
        (
            {"cloud": "AzureChinaCloud"},
            (
                "management.chinacloudapi.cn",
                "login.chinacloudapi.cn",
                "management.chinacloudapi.cn",
            ),
        ),
        (
            {"cloud": "usgov"},
            (
                "management.usgovcloudapi.net",
                "login.microsoftonline.us",
                "management.core.usgovcloudapi.net",
            ),
        ),
        (
            {"resource_manager_endpoint": "https://arm.example/", "authority": "login.example"},
            ("arm.example", "login.example", "arm.example"),
        ),
    ],
)
def test_cloud_endpoints_by_option(params: Dict[str, Any], addresses: "tuple[str, ...]") -> None:
    cloud = cloud_of(params)
    found = (cloud.resource_manager, cloud.authority, cloud.scope.replace("/.default", ""))
    assert found == tuple(f"https://{address}" for address in addresses)
    assert cloud.custom == ("authority" in params) and cloud.scope.endswith("/.default")


def test_cloud_endpoints_equal_those_of_the_sdk() -> None:
    try:
        from azure.core import AzureClouds
        from azure.mgmt.core.tools import get_arm_endpoints
    except ImportError:
        pytest.skip("This version of the SDK has no list of addresses to compare with.")
    from azure.identity import AzureAuthorityHosts

    for name, known, authority in (
        ("AzureCloud", AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
        ("AzureChinaCloud", AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
        (
            "AzureUSGovernment",
            AzureClouds.AZURE_US_GOVERNMENT,
            AzureAuthorityHosts.AZURE_GOVERNMENT,
        ),
    ):
        cloud, endpoints = cloud_of({"cloud": name}), get_arm_endpoints(known)
        assert cloud.resource_manager == endpoints["resource_manager"].rstrip("/")
        assert [cloud.scope] == endpoints["credential_scopes"]
        assert cloud.authority == f"https://{authority}"


@pytest.mark.parametrize(
    "params",
    [
        {"cloud": "AzureMoonCloud"},
        {"resource_manager_endpoint": "http://arm.example"},
        {"resource_manager_endpoint": "https://user@arm.example"},
        {"resource_manager_endpoint": "https://"},
        {"resource_manager_endpoint": "https://arm.example?x=1"},
        {"authority": "http://login.example"},
        {"authority": "https://[::1"},
        {"authority": "https://login..example"},
        {"authority": f"https://{'x' * 64}.example"},
    ],
)
def test_cloud_invalid_endpoint_is_an_error(params: Dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        cloud_of(params)


def test_subscription_of_options_or_vault() -> None:
    vault = "/subscriptions/S/resourceGroups/g/providers/Microsoft.RecoveryServices/vaults/v"
    assert subscription_of({"subscription_id": "A", "vault": vault}) == "A"
    assert subscription_of({"vault": vault}) == "S"
    with pytest.raises(SettingsError, match="AZURE_SUBSCRIPTION_ID"):
        subscription_of({"vault": "v", "auth_source": "auto"})


def test_unreadable_ca_certificates_are_an_error(tmp_path: Any) -> None:
    check_certificates(None)
    bad = tmp_path / "ca.pem"
    bad.write_text("no certificate")
    for path in (bad, tmp_path / "none"):
        with pytest.raises(SettingsError, match=r"ca_certificates.*PEM"):
            check_certificates(str(path))


class Credential:
    """A credential whose tokens are numbered and valid for an hour."""

    def __init__(self, made: "list[Credential]", now: "list[float]") -> None:
        self.now = now
        made.append(self)
        self.name, self.count = f"token-{len(made)}", 0

    def get_token(self, _scope: str) -> Any:
        self.count += 1
        expires_on = self.now[0] + 3600
        return type("Token", (), {"token": f"{self.name}-{self.count}", "expires_on": expires_on})


def test_token_is_renewed_before_expiry_and_when_refused() -> None:
    made: "list[Credential]" = []
    now = [0.0]
    tokens = Tokens(lambda: Credential(made, now), "scope", now=lambda: now[0])
    assert tokens.current() == tokens.current() == "token-1-1"
    now[0] = 3400
    assert tokens.current() == "token-1-2"
    assert tokens.current(refused="token-1-2") == "token-2-1"
    # A second thread whose request had the old token gets the new one.
    assert tokens.current(refused="token-1-2") == "token-2-1"
    assert len(made) == 2


# --- many items ----------------------------------------------------------------------------------


def test_map_concurrently_keeps_order_and_stops_on_wide_error() -> None:
    done: "list[int]" = []

    def work(number: int) -> int:
        if number == 3:
            raise VaultError(Failure("Odd", "It is."))
        done.append(number)
        return number * 10

    found = map_concurrently(work, range(20), workers=3)
    assert [outcome.item for outcome in found] == list(range(20))
    assert [outcome.item for outcome in found if outcome.error] == [3]
    assert found[4].value == 40
    with pytest.raises(VaultError):
        pytest.fail(str(found[3].value))

    def denied(_number: int) -> int:
        done.append(0)
        raise VaultError(Failure("Denied", "It is."), "authentication", is_wide=True)

    done.clear()
    assert all(outcome.error for outcome in map_concurrently(denied, range(50), 4))
    assert len(done) <= 4


def test_map_concurrently_raises_own_defects() -> None:
    done: "list[int]" = []

    def work(number: int) -> int:
        done.append(number)
        raise KeyError("x")

    for items in (range(1), range(50)):
        done.clear()
        with pytest.raises(KeyError):
            map_concurrently(work, items, 4)
        assert len(done) <= 4
