# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where credentials come from: azure-identity as it is, and what it asks, on this machine."""

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
from typing import Any, Dict, Iterator, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._client import connect
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._credentials import (
    Tokens,
    cloud_of,
    make_credential,
)
from tests.lab.module_run import run_module
from tests.lab.recovery_services.lab import RecoveryServices

SERVICE_PRINCIPAL = ("tenant", "client_id", "secret")
LOGGED_OUT = """\
#!/bin/sh
echo "ERROR: Please run 'az login' to setup account." >&2
exit 1
"""


@pytest.fixture(autouse=True)
def no_azure_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment without Azure's variables, and a path and home without its tools."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))


def without(azure: RecoveryServices, *names: str, **more: Any) -> Dict[str, Any]:
    """The lab's options without some of them."""
    return {name: value for name, value in {**azure.options(), **more}.items() if name not in names}


def token(azure: RecoveryServices) -> str:
    """A token of the lab's Azure."""
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
    """The Azure CLI of somebody who is logged in."""
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
    """What gives a machine's identity its tokens; on this machine instead."""
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


def test_a_managed_identity(recovery_services: RecoveryServices) -> None:
    got = {
        "access_token": token(recovery_services),
        "expires_on": str(int(time.time()) + 3600),
        "resource": recovery_services.url,
        "token_type": "Bearer",
    }
    options = without(recovery_services, *SERVICE_PRINCIPAL, auth_source="msi", client_id="mine")
    with identity_endpoint(got) as asked:
        assert read({**options, "client_id": "mine"}) == "vault1"
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
