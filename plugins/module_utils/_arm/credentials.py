# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom Azure takes us for: credentials of azure-identity, tokens, and the cloud's addresses.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from .._errors import Failure, QuiesceError, refuse
from .._libraries import AZURE_IDENTITY, unusable
from .._redact import register_secret
from .ids import VaultId

_RENEW_BEFORE_S = 300
_CLI_TIMEOUT_S = 60
_SIGN_IN_S = 60
_SERVICE_PRINCIPAL = ("tenant", "client_id", "secret")
_WORKLOAD_IDENTITY = ("tenant", "client_id", "federated_token_file")
# Values of AZURE_TOKEN_CREDENTIALS that permit a workload's identity.
_PERMITS_WORKLOAD_IDENTITY = ("", "prod", "workloadidentitycredential")
_GIVE_SUBSCRIPTION = (
    "Give subscription_id or the vault's resource id, or set AZURE_SUBSCRIPTION_ID. The default "
    "subscription of the Azure CLI is taken where the task may sign in by the CLI and it is logged "
    "in (az login)."
)
_LOG_IN = "Log in with 'az login' as the user of the task, or choose another auth_source."


@dataclass(frozen=True)
class Cloud:
    """The addresses of one cloud, without a slash at their end."""

    resource_manager: str
    authority: str
    scope: str
    #: Whether the authority is one that Microsoft's own list of them does not have.
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
    """Return the addresses of the options.

    An endpoint of a known cloud, also that of a region, goes before O(cloud): its tokens come from
    that cloud's authority, for the one audience that all its endpoints have.
    """
    endpoint = _address(params, "resource_manager_endpoint")
    authority = _address(params, "authority")
    name = (params.get("cloud") or "").strip().lower()
    known = _CLOUDS.get(_ALIASES.get(name, name))
    if known is None:
        refuse(
            "InvalidCloud",
            f"There is no cloud {params.get('cloud')!r}.",
            "Say AzureCloud, AzureChinaCloud or AzureUSGovernment; for another, leave cloud out "
            "and give resource_manager_endpoint and authority.",
        )
    owner = _owner_of(endpoint)
    of = owner or known
    return Cloud(
        endpoint or of.resource_manager,
        authority or of.authority,
        f"{endpoint}/.default" if endpoint and owner is None else of.scope,
        custom=authority not in ("", *(cloud.authority for cloud in _CLOUDS.values())),
    )


def _owner_of(endpoint: str) -> Optional[Cloud]:
    """Return the cloud that an address of Resource Manager belongs to; None for one of its own."""
    host = urlsplit(endpoint).hostname or ""
    for cloud in _CLOUDS.values():
        known = urlsplit(cloud.resource_manager).hostname
        if host == known or host.endswith(f".{known}"):
            return cloud
    return None


def subscription_of(params: Mapping[str, Any]) -> str:
    """Return the subscription: as given, or that of the vault's id, or the Azure CLI's default."""
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
            # The CLI is one of several ways to sign in here: without it, the option is missing.
            pass
    return refuse("MissingSubscription", "There is no subscription_id.", _GIVE_SUBSCRIPTION)


def make_credential(params: Mapping[str, Any], cloud: Cloud) -> Any:
    """The credential of the options; asks nothing yet."""
    try:
        from azure import identity
    except ImportError as error:
        raise QuiesceError(unusable(AZURE_IDENTITY, error)) from error

    # A library that logs where nobody listens would write to the module's standard error.
    for name in ("azure", "msal"):
        logging.getLogger(name).addHandler(logging.NullHandler())
    options = _transport_options(params, cloud)
    source = params.get("auth_source") or "auto"
    client_id = params.get("client_id") or None
    if source == "service_principal" or (source == "auto" and params.get("secret")):
        return _service_principal(_given(params, _SERVICE_PRINCIPAL), options)
    if source == "workload_identity" or (source == "auto" and _is_workload(params)):
        return _workload_identity(_given(params, _WORKLOAD_IDENTITY), options)
    if source == "env":
        found = _of_environment()
        if all(found):
            return _service_principal(found, options)
        return identity.EnvironmentCredential(**options)
    if source == "msi":
        return identity.ManagedIdentityCredential(client_id=client_id)
    if source == "cli":
        return identity.AzureCliCredential(
            tenant_id=params.get("tenant") or "", process_timeout=_CLI_TIMEOUT_S
        )
    return _first_found(params, options)


def _first_found(params: Mapping[str, Any], options: Dict[str, Any]) -> Any:
    """Return what finds a credential in the places where there may be one."""
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
    return _OfTenant(found, tenant) if tenant else found


class _OfTenant:
    """A credential that is asked for the tokens of one tenant, as it has no option for it."""

    def __init__(self, credential: Any, tenant: str) -> None:
        self._credential = credential
        self._tenant = tenant

    def get_token(self, scope: str) -> Any:
        """Return a token of that tenant."""
        return self._credential.get_token(scope, tenant_id=self._tenant)


class Tokens:
    """The token of all threads: asked for once, again before it expires, or when refused."""

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

    def current(self, refused: Optional[str] = None) -> str:
        """A token that is good for some minutes, and that is not the one that was refused."""
        with self._lock:
            if self._credential is None or (refused and refused == self._token):
                # A new credential, as the old one would give the same token from its memory.
                self._credential, self._token = self._make(), ""
            if not self._token or self._expires_on - self._now() < _RENEW_BEFORE_S:
                got = self._credential.get_token(self._scope)
                register_secret(got.token)
                self._token, self._expires_on = got.token, got.expires_on
            return self._token


def _service_principal(found: Tuple[str, ...], options: Mapping[str, Any]) -> Any:
    from azure.identity import ClientSecretCredential

    tenant, client_id, secret = found
    register_secret(secret)
    return ClientSecretCredential(tenant, client_id, secret, **options)


def _workload_identity(found: Tuple[str, ...], options: Mapping[str, Any]) -> Any:
    from azure.identity import WorkloadIdentityCredential

    tenant, client_id, token_file = found
    try:
        register_secret(Path(token_file).read_text(encoding="utf-8").strip())
    except (OSError, ValueError) as error:
        refuse(
            "InvalidFederatedToken",
            f"federated_token_file cannot be used: {token_file}: {error}.",
            "Give the file that Kubernetes or the pipeline writes the token of the workload to.",
        )
    return WorkloadIdentityCredential(
        tenant_id=tenant, client_id=client_id, token_file_path=token_file, **options
    )


def _is_workload(params: Mapping[str, Any]) -> bool:
    """Return True if all that a workload's identity needs is known, and nothing goes before it."""
    chosen = os.environ.get("AZURE_TOKEN_CREDENTIALS", "").strip().lower()
    return (
        all(params.get(name) for name in _WORKLOAD_IDENTITY)
        and chosen in _PERMITS_WORKLOAD_IDENTITY
        and not os.environ.get("AZURE_CLIENT_CERTIFICATE_PATH")
    )


def _given(params: Mapping[str, Any], names: Tuple[str, ...]) -> Tuple[str, ...]:
    """Return the values of the options; refuse when one is missing."""
    missing = [name for name in names if not params.get(name)]
    if missing:
        what = "a workload's identity" if names == _WORKLOAD_IDENTITY else "a service principal"
        refuse(
            "MissingCredentials",
            f"For {what}, {' and '.join(missing)} must be given.",
            f"Give {', '.join(names[:-1])} and {names[-1]}, or choose another auth_source.",
        )
    return tuple(params[name] for name in names)


def _of_environment() -> Tuple[str, ...]:
    """A service principal of the environment, by the SDK's names or by those of our options."""
    get = os.environ.get
    return (
        get("AZURE_TENANT_ID") or get("AZURE_TENANT") or "",
        get("AZURE_CLIENT_ID") or "",
        get("AZURE_CLIENT_SECRET") or get("AZURE_SECRET") or "",
    )


def _transport_options(params: Mapping[str, Any], cloud: Cloud) -> Dict[str, Any]:
    """How azure-identity goes to the authority."""
    options: Dict[str, Any] = {
        "authority": cloud.authority,
        "connection_timeout": 20,
        "retry_connect": 2,
        # Of themselves they wait 300 s, up to four times, whatever the task's timeout.
        "read_timeout": min(max(params.get("timeout") or _SIGN_IN_S, 10), _SIGN_IN_S),
        "retry_read": 1,
    }
    if cloud.custom:
        # Otherwise Microsoft's own authority is asked whether it knows this one.
        options["disable_instance_discovery"] = True
    if params.get("ca_certificates"):
        options["connection_verify"] = params["ca_certificates"]
    return options


def check_certificates(path: Optional[str]) -> None:
    """Refuse a file of certificates that cannot be used."""
    if not path:
        return
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError) as error:
        refuse(
            "InvalidCaCertificates",
            f"ca_certificates cannot be used: {path}: {error}.",
            "Give a file of certificates in PEM format that the user of the task may read.",
        )


def _address(params: Mapping[str, Any], name: str) -> str:
    """The address of an option, without the slash at its end; refused when it is none."""
    given = (params.get(name) or "").strip()
    if given and "://" not in given:
        given = f"https://{given}"
    try:
        parts = urlsplit(given)
        good = parts.scheme == "https" and bool(parts.hostname) and not parts.query
        good = good and "@" not in parts.netloc and parts.port != 0
        # A name that could be no host's is refused here, not by the library that looks it up.
        (parts.hostname or "").encode("idna")
    except ValueError:
        good = False
    if given and not good:
        refuse(
            "InvalidEndpoint",
            f"{name} is not an address that begins with https://.",
            "Tokens are sent to nothing else. Give an address such as https://HOST.",
        )
    return str(given).rstrip("/")


def _subscription_of_cli() -> str:
    """The subscription that the Azure CLI has as its default."""
    program = shutil.which("az")
    if program is None:
        raise QuiesceError(
            Failure("AzureCliNotFound", "The Azure CLI (az) is not on the path.", _LOG_IN)
        )
    try:
        # Not run_command: this is called where no module is at hand.
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
            Failure("AzureCliNotLoggedIn", "The Azure CLI has no default subscription.", _LOG_IN)
        )
    return str(found)
