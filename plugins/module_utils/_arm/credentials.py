# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azure credentials, access tokens and cloud endpoints."""

from __future__ import annotations

import json
import logging
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable
from urllib.parse import urlsplit

from .._errors import Failure, QuiesceError, SettingsError
from .._libraries import AZURE_IDENTITY, unusable
from .._redact import register_secret
from .advice_codes import LOG_IN
from .ids import VaultId

_RENEW_BEFORE_S = 300
_CLI_TIMEOUT_S = 60
_SIGN_IN_S = 60
_SERVICE_PRINCIPAL = ("tenant", "client_id", "secret")
_WORKLOAD_IDENTITY = ("tenant", "client_id", "federated_token_file")
# Values of AZURE_TOKEN_CREDENTIALS that permit a workload identity.
_PERMITS_WORKLOAD_IDENTITY = ("", "prod", "workloadidentitycredential")
_SET_SUBSCRIPTION = (
    "Set subscription_id, or set vault to the vault's resource ID, or set AZURE_SUBSCRIPTION_ID. "
    "If the task may sign in by the Azure CLI, 'az login' also gives it a default subscription."
)


@dataclass(frozen=True)
class Cloud:
    """The endpoints of one cloud, without a trailing slash."""

    resource_manager: str
    authority: str
    scope: str
    #: True if Microsoft's list of authorities lacks this one.
    custom: bool = False


_CLOUDS = {
    "azurecloud": Cloud(
        "https://management.azure.com",
        "https://login.microsoftonline.com",
        "https://management.azure.com/.default",
    ),
    "azurechinacloud": Cloud(
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn/.default",
    ),
    "azureusgovernment": Cloud(
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://management.core.usgovcloudapi.net/.default",
    ),
}
_ALIASES = {
    "": "azurecloud",
    "azure": "azurecloud",
    "azurepubliccloud": "azurecloud",
    "china": "azurechinacloud",
    "usgov": "azureusgovernment",
    "azureusgovernmentcloud": "azureusgovernment",
}


def cloud_of(params: Mapping[str, Any]) -> Cloud:
    """Return the endpoints of the options.

    `resource_manager_endpoint` outranks `cloud`. An endpoint of a known cloud, or of one of its
    regions, takes tokens of that cloud's authority, for the audience of all its endpoints.
    """
    endpoint = _endpoint(params, "resource_manager_endpoint")
    authority = _endpoint(params, "authority")
    name = (params.get("cloud") or "").strip().lower()
    known = _CLOUDS.get(_ALIASES.get(name, name))
    if known is None:
        raise SettingsError(
            "InvalidCloud",
            f"cloud {params.get('cloud')!r} is unknown.",
            "Set cloud to AzureCloud, AzureChinaCloud or AzureUSGovernment. For any other "
            "cloud, set resource_manager_endpoint and authority instead.",
        )
    owner = _owner_of(endpoint)
    cloud = owner or known
    return Cloud(
        endpoint or cloud.resource_manager,
        authority or cloud.authority,
        f"{endpoint}/.default" if endpoint and owner is None else cloud.scope,
        custom=authority not in ("", *(known.authority for known in _CLOUDS.values())),
    )


def _owner_of(endpoint: str) -> Cloud | None:
    """Return the known cloud that an endpoint of Resource Manager belongs to."""
    host = urlsplit(endpoint).hostname or ""
    for cloud in _CLOUDS.values():
        known = urlsplit(cloud.resource_manager).hostname
        if host == known or host.endswith(f".{known}"):
            return cloud
    return None


def subscription_of(params: Mapping[str, Any]) -> str:
    """Return the subscription of the options or of the vault's ID, or the Azure CLI's default."""
    given = (params.get("subscription_id") or "").strip()
    vault = (params.get("vault") or "").strip()
    if given:
        return str(given)
    if "/subscriptions/" in vault.lower():
        return VaultId.from_resource_id(vault).subscription_id
    source = params.get("auth_source") or "auto"
    if source == "cli":
        return _subscription_of_cli()
    if source == "auto" and not params.get("secret") and not _is_workload(params):
        try:
            return _subscription_of_cli()
        except QuiesceError:
            # The CLI is optional here, so the error is that of the missing option.
            pass
    raise SettingsError("MissingSubscription", "subscription_id is missing.", _SET_SUBSCRIPTION)


def make_credential(params: Mapping[str, Any], cloud: Cloud) -> Any:
    """Return the credential of the options. No request is sent yet."""
    try:
        from azure import identity
    except ImportError as error:
        raise QuiesceError(unusable(AZURE_IDENTITY, error)) from error

    # Without a handler, the libraries would log to the module's standard error.
    for name in ("azure", "msal"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    options = _transport_options(params, cloud)
    source = params.get("auth_source") or "auto"
    client_id = params.get("client_id") or None
    if source == "service_principal" or (source == "auto" and params.get("secret")):
        return _service_principal(_required(params, _SERVICE_PRINCIPAL), options)
    if source == "workload_identity" or (source == "auto" and _is_workload(params)):
        return _workload_identity(_required(params, _WORKLOAD_IDENTITY), options)
    if source == "env":
        found = _from_environment()
        if all(found):
            return _service_principal(found, options)
        return identity.EnvironmentCredential(**options)
    if source == "msi":
        return identity.ManagedIdentityCredential(client_id=client_id)
    if source == "cli":
        return identity.AzureCliCredential(
            tenant_id=params.get("tenant") or "", process_timeout=_CLI_TIMEOUT_S
        )
    return _default_credential(params, options)


def _default_credential(params: Mapping[str, Any], options: dict[str, Any]) -> Any:
    """Return the credential that tries each kind in turn."""
    from azure.identity import DefaultAzureCredential

    tenant = params.get("tenant")
    if params.get("client_id"):
        options["managed_identity_client_id"] = params["client_id"]
    if tenant:
        options["additionally_allowed_tenants"] = ["*"]
        options["workload_identity_tenant_id"] = tenant
    found = DefaultAzureCredential(
        exclude_interactive_browser_credential=True,
        exclude_shared_token_cache_credential=True,
        exclude_visual_studio_code_credential=True,
        process_timeout=_CLI_TIMEOUT_S,
        **options,
    )
    return _TenantCredential(found, tenant) if tenant else found


class _TenantCredential:
    """A credential for the tokens of one tenant, for kinds that have no such option."""

    def __init__(self, credential: Any, tenant: str) -> None:
        self._credential = credential
        self._tenant = tenant

    def get_token(self, scope: str) -> Any:
        """Return a token of that tenant."""
        return self._credential.get_token(scope, tenant_id=self._tenant)


class Tokens:
    """The token of all threads. It is renewed before it expires, and when Azure refuses it."""

    def __init__(
        self,
        make: Callable[[], Any],
        scope: str,
        authority: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self.authority = authority
        self._make = make
        self._scope = scope
        self._now = now
        self._lock = threading.Lock()
        self._credential: Any = None
        self._token = ""
        self._expires_on: float = 0

    def current(self, refused: str | None = None) -> str:
        """Return a token that is valid for 5 minutes or more and is not the refused one."""
        with self._lock:
            if self._credential is None or (refused and refused == self._token):
                # A new credential, as the old one would return the same token from its cache.
                self._credential, self._token = self._make(), ""
            if not self._token or self._expires_on - self._now() < _RENEW_BEFORE_S:
                got = self._credential.get_token(self._scope)
                register_secret(got.token)
                self._token, self._expires_on = got.token, got.expires_on
            return self._token


def _service_principal(found: tuple[str, ...], options: Mapping[str, Any]) -> Any:
    from azure.identity import ClientSecretCredential

    tenant, client_id, secret = found
    register_secret(secret)
    return ClientSecretCredential(tenant, client_id, secret, **options)


def _workload_identity(found: tuple[str, ...], options: Mapping[str, Any]) -> Any:
    from azure.identity import WorkloadIdentityCredential

    tenant, client_id, token_file = found
    try:
        register_secret(Path(token_file).read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        raise SettingsError(
            "InvalidFederatedToken",
            f"federated_token_file cannot be read: {token_file}: {error}.",
            "Set federated_token_file to the file with the workload's token, which "
            "Kubernetes or the pipeline writes.",
        ) from error
    return WorkloadIdentityCredential(
        tenant_id=tenant, client_id=client_id, token_file_path=token_file, **options
    )


def _is_workload(params: Mapping[str, Any]) -> bool:
    """Return True if a workload identity has all its options, and no other kind outranks it."""
    chosen = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    return (
        all(params.get(name) for name in _WORKLOAD_IDENTITY)
        and chosen in _PERMITS_WORKLOAD_IDENTITY
        and not os.environ.get("AZURE_CLIENT_CERTIFICATE_PATH")
    )


def _required(params: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the values of the options; raise `SettingsError` if one is missing."""
    missing = [name for name in names if not params.get(name)]
    if missing:
        kind = "a workload identity" if names == _WORKLOAD_IDENTITY else "a service principal"
        raise SettingsError(
            "MissingCredentials",
            f"{' and '.join(missing)} of {kind} must be set.",
            f"Set {', '.join(names[:-1])} and {names[-1]}, or choose another auth_source.",
        )
    return tuple(params[name] for name in names)


def _from_environment() -> tuple[str, ...]:
    """Return a service principal from the environment, by the SDK's names or the options'."""
    get = os.environ.get
    return (
        get("AZURE_TENANT_ID") or get("AZURE_TENANT") or "",
        get("AZURE_CLIENT_ID") or "",
        get("AZURE_CLIENT_SECRET") or get("AZURE_SECRET") or "",
    )


def _transport_options(params: Mapping[str, Any], cloud: Cloud) -> dict[str, Any]:
    """Return azure-identity's options for its requests to the authority."""
    options: dict[str, Any] = {
        "authority": cloud.authority,
        "connection_timeout": 20,
        "retry_connect": 2,
        # The default of 300 s, up to four times, ignores the task's timeout.
        "read_timeout": min(max(params.get("timeout") or _SIGN_IN_S, 10), _SIGN_IN_S),
        "retry_read": 1,
    }
    if cloud.custom:
        # Otherwise azure-identity asks Microsoft's authority about this one.
        options["disable_instance_discovery"] = True
    if params.get("ca_certificates"):
        options["connection_verify"] = params["ca_certificates"]
    return options


def check_certificates(path: str | None) -> None:
    """Raise `SettingsError` for a file of certificates that cannot be read."""
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        raise SettingsError(
            "InvalidCaCertificates",
            f"ca_certificates cannot be read: {path}: {error}.",
            "Set ca_certificates to a file in PEM format that the task's user may read.",
        ) from error


def _endpoint(params: Mapping[str, Any], name: str) -> str:
    """Return an option's endpoint without a trailing slash; raise `SettingsError` for others."""
    given = (params.get(name) or "").strip()
    if given and "://" not in given:
        given = f"https://{given}"
    try:
        parts = urlsplit(given)
        is_valid = parts.scheme == "https" and bool(parts.hostname) and not parts.query
        is_valid = is_valid and "@" not in parts.netloc and parts.port != 0
        # An impossible host name is an error of this option, not of the library that resolves it.
        (parts.hostname or "").encode("idna")
    except ValueError:
        is_valid = False
    if given and not is_valid:
        raise SettingsError(
            "InvalidEndpoint",
            f"{name} must begin with https:// and a host name, as tokens are sent there.",
            f"Set {name} to an address such as https://HOST.",
        )
    return str(given).rstrip("/")


def _subscription_of_cli() -> str:
    """Return the default subscription of the Azure CLI."""
    program = shutil.which("az")
    if program is None:
        raise QuiesceError(
            Failure("AzureCliNotFound", "The Azure CLI (az) is not on the path.", LOG_IN)
        )
    try:
        # Not run_command, which needs a module object.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [program, "account", "show", "--output", "json"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_CLI_TIMEOUT_S,
            check=False,
        )
        found = json.loads(done.stdout).get("id") if done.returncode == 0 else None
    except (OSError, ValueError, AttributeError, subprocess.TimeoutExpired):
        found = None
    if not found:
        raise QuiesceError(
            Failure("AzureCliNotLoggedIn", "The Azure CLI has no default subscription.", LOG_IN)
        )
    return str(found)
