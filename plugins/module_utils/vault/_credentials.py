# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom Azure takes us for: credentials of azure-identity, tokens, and the cloud's addresses.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import importlib.util
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Mapping, Optional

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    QuiesceError,
    refuse,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._names import VaultId

_RENEW_BEFORE_S = 300
_GIVE_SUBSCRIPTION = (
    "Give subscription_id or the vault's resource id, or set AZURE_SUBSCRIPTION_ID."
)


@dataclass(frozen=True)
class Cloud:
    """The addresses of one cloud."""

    resource_manager: str
    authority: str
    scope: str
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
    """The addresses of the options."""
    name = (params.get("cloud") or "").strip().lower()
    known = _CLOUDS.get(_ALIASES.get(name, name))
    endpoint = (params.get("resource_manager_endpoint") or "").strip().rstrip("/")
    authority = (params.get("authority") or "").strip().rstrip("/")
    if known is None:
        refuse(
            "InvalidCloud",
            f"There is no cloud {params.get('cloud')!r}.",
            "Say AzureCloud, AzureChinaCloud or AzureUSGovernment, "
            "or give resource_manager_endpoint and authority.",
        )
    return Cloud(
        endpoint or known.resource_manager,
        authority or known.authority,
        f"{endpoint}/.default" if endpoint else known.scope,
        custom=bool(authority),
    )


def subscription_of(params: Mapping[str, Any]) -> str:
    """The subscription of the options: as given, or that of the vault's id."""
    given = (params.get("subscription_id") or "").strip()
    vault = (params.get("vault") or "").strip()
    if not given and "/subscriptions/" in vault.lower():
        return VaultId.of_id(vault).subscription_id
    if not given:
        refuse("MissingSubscription", "There is no subscription_id.", _GIVE_SUBSCRIPTION)
    return str(given)


def require_sdk(package: str) -> None:
    """Raise Ansible's standard error when a package of the SDK is missing."""
    try:
        found = importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        library = package.replace(".", "-")
        raise QuiesceError(Failure("MissingLibrary", missing_required_lib(library)))


def make_credential(params: Mapping[str, Any], cloud: Cloud) -> Any:
    """The credential of the options; asks nothing yet."""
    from azure.identity import ClientSecretCredential

    options: Dict[str, Any] = {"authority": cloud.authority}
    if cloud.custom:
        options["disable_instance_discovery"] = True
    if params.get("ca_certificates"):
        options["connection_verify"] = params["ca_certificates"]
    return ClientSecretCredential(
        params["tenant"], params["client_id"], params["secret"], **options
    )


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
                self._token, self._expires_on = got.token, got.expires_on
            return self._token
