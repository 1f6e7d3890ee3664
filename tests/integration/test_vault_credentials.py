# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Test the sources of credentials: the real azure-identity, and its requests on this machine."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.credentials import (
    Tokens,
    cloud_of,
    make_credential,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._vault.connection import connect
from tests.lab.module_run import run_module
from tests.lab.recovery_services.entra import ASSERTION
from tests.lab.recovery_services.lab import RecoveryServices

SERVICE_PRINCIPAL = ("tenant", "client_id", "secret")
LOGGED_OUT = """\
#!/bin/sh
echo "ERROR: Please run 'az login' to setup account." >&2
exit 1
"""


@pytest.fixture(autouse=True)
def no_azure_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove Azure's variables from the environment, and its tools from the path and the home."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


def without(azure: RecoveryServices, *names: str, **more: Any) -> Dict[str, Any]:
    """Return the lab's options without some of them."""
    return {name: value for name, value in {**azure.options(), **more}.items() if name not in names}


def token(azure: RecoveryServices) -> str:
    """Return a token of the lab's Azure."""
    options = azure.options()
    cloud = cloud_of(options)
    return Tokens(lambda: make_credential(options, cloud), cloud.scope).current()


def read(options: Dict[str, Any]) -> str:
    connection = connect(options)
    return str(connection.vault_resource()["name"])


def failure(options: Dict[str, Any]) -> QuiesceError:
    with pytest.raises(QuiesceError) as caught:
        read(options)
    return caught.value


@pytest.mark.parametrize("source", ["auto", "service_principal"])
def test_a_service_principal_of_the_options(
    recovery_services: RecoveryServices, source: str
) -> None:
    assert read(without(recovery_services, auth_source=source)) == "vault1"


@pytest.mark.parametrize("missing", SERVICE_PRINCIPAL)
def test_a_service_principal_that_lacks_something(
    recovery_services: RecoveryServices, missing: str
) -> None:
    error = failure(without(recovery_services, missing))
    assert error.failure.name == "MissingCredentials" and missing in error.failure.message
    assert not recovery_services.requests()


@pytest.mark.parametrize("source", ["auto", "env"])
def test_the_environment(
    recovery_services: RecoveryServices,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    monkeypatch.setenv("AZURE_TENANT_ID", recovery_services.tenant)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", recovery_services.secret)
    monkeypatch.setenv("AZURE_CLIENT_ID", recovery_services.client_id)
    assert read(without(recovery_services, *SERVICE_PRINCIPAL, auth_source=source)) == "vault1"


def test_the_environment_by_the_names_of_the_options(
    recovery_services: RecoveryServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TENANT", recovery_services.tenant)
    monkeypatch.setenv("AZURE_SECRET", recovery_services.secret)
    monkeypatch.setenv("AZURE_CLIENT_ID", recovery_services.client_id)
    assert read(without(recovery_services, *SERVICE_PRINCIPAL, auth_source="env")) == "vault1"


def test_an_environment_that_has_nothing(recovery_services: RecoveryServices) -> None:
    error = failure(without(recovery_services, *SERVICE_PRINCIPAL, auth_source="env"))
    assert error.failure.name == "NoCredentials" and "AZURE_CLIENT_ID" in str(error)
    assert not recovery_services.requests()


def az(folder: Path, script: str) -> None:
    """Put an Azure CLI on the path."""
    program = folder / "az"
    program.write_text(script)
    program.chmod(0o755)


def logged_in(azure: RecoveryServices) -> str:
    """Return an Azure CLI that is logged in."""
    expires = int(time.time()) + 3600
    got = json.dumps(
        {
            "accessToken": token(azure),
            "expires_on": expires,
            "expiresOn": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(expires)),
            "subscription": azure.subscription_id,
            "tenant": azure.tenant,
            "tokenType": "Bearer",
        }
    )
    account = json.dumps({"id": azure.subscription_id, "name": "Lab"})
    # Only what the shell itself has, as there is nothing else on the path.
    return f"""\
#!/bin/sh
echo "$*" >>"$HOME/az.log"
if [ "$2" = show ]; then printf '%s\\n' '{account}'; else printf '%s\\n' '{got}'; fi
"""


def test_the_azure_cli_and_its_subscription(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    az(tmp_path, logged_in(recovery_services))
    options = without(recovery_services, *SERVICE_PRINCIPAL, "subscription_id", auth_source="cli")
    assert read(options) == "vault1"


def test_auto_finds_the_azure_cli(
    recovery_services: RecoveryServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not to ask the network for a machine's identity.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    az(tmp_path, logged_in(recovery_services))
    assert read(without(recovery_services, *SERVICE_PRINCIPAL, auth_source="auto")) == "vault1"


@pytest.mark.parametrize("source", ["auto", "cli"])
def test_the_azure_cli_gets_a_token_of_the_tenant(
    recovery_services: RecoveryServices,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    az(tmp_path, logged_in(recovery_services))
    for tenant in (None, recovery_services.tenant, "lab.example"):
        options = without(recovery_services, *SERVICE_PRINCIPAL, auth_source=source, tenant=tenant)
        assert read({**options, "tenant": tenant}) == "vault1"
    asked = [line for line in (tmp_path / "az.log").read_text().splitlines() if "token" in line]
    assert ["--tenant" in line for line in asked] == [False, True, True]
    assert f"--tenant {recovery_services.tenant}" in asked[1] and "--tenant lab.example" in asked[2]


def test_auto_takes_the_subscription_of_the_azure_cli(
    recovery_services: RecoveryServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    options = without(recovery_services, *SERVICE_PRINCIPAL, "subscription_id", auth_source="auto")
    for script in (None, LOGGED_OUT):
        if script:
            az(tmp_path, script)
        error = failure(options)
        assert error.failure.name == "MissingSubscription" and "az login" in str(error)
    az(tmp_path, logged_in(recovery_services))
    assert read(options) == "vault1"


def test_other_identities_ignore_the_subscription_of_the_cli(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    az(tmp_path, logged_in(recovery_services))
    given = without(recovery_services, "subscription_id", auth_source="auto")
    federated = {**without(recovery_services, "subscription_id", "secret"), **workload(tmp_path)}
    for options in (given, {**federated, "auth_source": "auto"}):
        assert failure(options).failure.name == "MissingSubscription"
    assert not (tmp_path / "az.log").exists()


# --- the identity of a workload ------------------------------------------------------------------


def workload(folder: Path, token_of_it: str = ASSERTION) -> Dict[str, str]:
    """Write the token of a workload as Kubernetes does; return the option that names it."""
    file = folder / "azure-identity-token"
    file.write_text(token_of_it)
    return {"federated_token_file": str(file)}


@pytest.mark.parametrize("source", ["auto", "workload_identity"])
def test_the_identity_of_a_workload_by_options(
    recovery_services: RecoveryServices, tmp_path: Path, source: str
) -> None:
    options = {**without(recovery_services, "secret", auth_source=source), **workload(tmp_path)}
    assert read(options) == "vault1"


@pytest.mark.parametrize("tenant", ["AZURE_TENANT", "AZURE_TENANT_ID"])
@pytest.mark.parametrize("source", ["auto", "workload_identity"])
def test_the_identity_of_a_workload_by_the_environment(
    recovery_services: RecoveryServices, tmp_path: Path, source: str, tenant: str
) -> None:
    azure = recovery_services
    given = without(azure, *SERVICE_PRINCIPAL, auth_source=source)
    done = run_module(
        "backup_policy_info",
        given,
        env={
            "AZURE_FEDERATED_TOKEN_FILE": workload(tmp_path)["federated_token_file"],
            "AZURE_CLIENT_ID": azure.client_id,
            tenant: azure.tenant,
        },
    )
    assert not done.failed, done.stdout
    assert not done.stderr and "federated" not in str(done.result.get("warnings", ""))


@pytest.mark.parametrize("missing", ["tenant", "client_id", "federated_token_file"])
def test_the_identity_of_a_workload_that_lacks_something(
    recovery_services: RecoveryServices, tmp_path: Path, missing: str
) -> None:
    given = without(recovery_services, "secret", auth_source="workload_identity")
    options = {**given, **workload(tmp_path)}
    del options[missing]
    error = failure(options)
    assert error.failure.name == "MissingCredentials" and missing in error.failure.message
    assert not recovery_services.requests()


def test_the_token_of_a_workload_that_is_no_good(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    given = without(recovery_services, "secret", auth_source="workload_identity")
    error = failure({**given, "federated_token_file": str(tmp_path / "nowhere")})
    assert error.failure.name == "InvalidFederatedToken" and "nowhere" in str(error)
    assert not recovery_services.requests()
    error = failure({**given, **workload(tmp_path, "of-another-workload")})
    assert getattr(error, "kind", "") == "authentication"
    assert "AADSTS700213" in str(error) + error.failure.name
    assert "of-another-workload" not in str(error)


# --- addresses and what tokens are for -----------------------------------------------------------

PUBLIC, CHINA, GOVERNMENT = (
    ("https://login.microsoftonline.com", "https://management.azure.com/.default"),
    ("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default"),
    ("https://login.microsoftonline.us", "https://management.core.usgovcloudapi.net/.default"),
)


@pytest.mark.parametrize(
    ("endpoint", "cloud", "expected"),
    [
        ("https://management.azure.com", "AzureCloud", PUBLIC),
        ("https://westeurope.management.azure.com/", "AzureCloud", PUBLIC),
        ("WestEurope.Management.Azure.com", "", PUBLIC),
        ("https://eastus2.management.azure.com:443", "azure", PUBLIC),
        ("https://chinaeast2.management.chinacloudapi.cn", "AzureChinaCloud", CHINA),
        ("https://usgovvirginia.management.usgovcloudapi.net", "usgov", GOVERNMENT),
        # The address knows better.
        ("https://usgovvirginia.management.usgovcloudapi.net", "AzureCloud", GOVERNMENT),
        (
            "https://management.example.org",
            "AzureCloud",
            (PUBLIC[0], "https://management.example.org/.default"),
        ),
        (
            "https://notmanagement.azure.com",
            "AzureCloud",
            (PUBLIC[0], "https://notmanagement.azure.com/.default"),
        ),
    ],
)
def test_an_address_of_a_region_has_the_tokens_of_its_cloud(
    endpoint: str, cloud: str, expected: Tuple[str, str]
) -> None:
    found = cloud_of({"resource_manager_endpoint": endpoint, "cloud": cloud})
    assert (found.authority, found.scope) == expected
    assert found.resource_manager.startswith("https://")
    given = cloud_of({"resource_manager_endpoint": endpoint, "authority": "https://login.a.org"})
    assert given.authority == "https://login.a.org" and given.scope == expected[1]


def test_an_azure_cli_that_is_not_logged_in(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    az(tmp_path, LOGGED_OUT)
    given = without(recovery_services, *SERVICE_PRINCIPAL, auth_source="cli")
    for options in (given, {**given, "subscription_id": None}):
        error = failure(options)
        assert error.failure.name == "AzureCliNotLoggedIn" and "az login" in str(error)


def test_no_azure_cli(recovery_services: RecoveryServices) -> None:
    given = without(recovery_services, *SERVICE_PRINCIPAL, auth_source="cli")
    for options in (given, {**given, "subscription_id": None}):
        error = failure(options)
        assert error.failure.name == "AzureCliNotFound" and "auth_source" in str(error)


@contextmanager
def identity_endpoint(answer: Dict[str, Any], status: int = 200) -> Iterator[List[str]]:
    """Yield what gives a machine's identity its tokens; on this machine instead."""
    asked: List[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        os.environ["IDENTITY_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}/token"
        os.environ["IDENTITY_HEADER"] = "header"
        yield asked
    finally:
        del os.environ["IDENTITY_ENDPOINT"], os.environ["IDENTITY_HEADER"]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("source", ["auto", "msi"])
def test_a_managed_identity(recovery_services: RecoveryServices, source: str) -> None:
    got = {
        "access_token": token(recovery_services),
        "expires_on": str(int(time.time()) + 3600),
        "resource": recovery_services.url,
        "token_type": "Bearer",
    }
    # A tenant means nothing to it, and does no harm.
    options = without(recovery_services, "secret", auth_source=source, client_id="mine")
    with identity_endpoint(got) as asked:
        assert read(options) == "vault1"
        assert len(asked) == 1 and "client_id=mine" in asked[0]


def test_no_managed_identity(recovery_services: RecoveryServices) -> None:
    options = without(recovery_services, *SERVICE_PRINCIPAL, auth_source="msi")
    with identity_endpoint({"statusCode": 400, "message": "No identity."}, 400):
        error = failure(options)
    assert getattr(error, "kind", "") == "authentication"
    assert error.failure.name == "NoManagedIdentity", str(error)
    assert error.failure.recommended_action and not recovery_services.requests()


def test_a_missing_sdk_is_told_as_ansible_tells_it(
    recovery_services: RecoveryServices, tmp_path: Path
) -> None:
    (tmp_path / "azure").mkdir()
    (tmp_path / "azure" / "__init__.py").write_text("")
    run = run_module(
        "backup_policy_info",
        recovery_services.options(),
        env={"PYTHONPATH": f"{tmp_path}:{sysconfig.get_path('purelib')}"},
    )
    assert run.failed and run["failure"]["name"] == "MissingLibrary"
    assert "azure-identity" in run["msg"] and sys.executable in run["msg"]
    # All at once, with the command that installs them.
    assert run["failure"]["recommended_action"] == (
        f"Run: {sys.executable} -m pip install 'azure-identity>=1.18.0' "
        "'azure-mgmt-recoveryservicesbackup>=9.1.0' 'azure-mgmt-compute>=33.0.0'"
    )
    assert not recovery_services.requests()


@pytest.mark.parametrize(
    ("module", "options", "name", "oldest"),
    [
        ("backup_policy_info", {}, "azure-mgmt-recoveryservicesbackup", "9.1.0"),
        ("vm_extension_info", {"vms": ["app-rg/db01"]}, "azure-mgmt-compute", "33.0.0"),
    ],
)
def test_an_sdk_that_is_too_old_is_named_with_both_versions(
    recovery_services: RecoveryServices,
    tmp_path: Path,
    module: str,
    options: Dict[str, Any],
    name: str,
    oldest: str,
) -> None:
    info = tmp_path / f"{name.replace('-', '_')}-8.5.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 8.5.1\n")
    run = run_module(
        module,
        {**recovery_services.options(), **options},
        env={"PYTHONPATH": f"{tmp_path}:{sysconfig.get_path('purelib')}"},
    )
    assert run.failed and run["failure"]["name"] == "MissingLibrary"
    assert f"{name} 8.5.1 is installed, but {oldest} or newer is needed" in run["msg"]
    assert f"-m pip install '{name}>={oldest}'" in run["failure"]["recommended_action"]
    assert not recovery_services.requests()
