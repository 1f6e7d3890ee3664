# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that the modules on the controller share: specs, and their values as objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.common.parameters import env_fallback

from .._errors import SettingsError
from .ids import VaultId, VmId

# The environment variables of each option: azure.azcollection's names first, then the SDK's.
ENVIRONMENT: dict[str, tuple[str, ...]] = {
    "auth_source": ("ANSIBLE_AZURE_AUTH_SOURCE", "AZURE_AUTH_SOURCE"),
    "subscription_id": ("AZURE_SUBSCRIPTION_ID",),
    "tenant": ("AZURE_TENANT", "AZURE_TENANT_ID"),
    "client_id": ("AZURE_CLIENT_ID",),
    "secret": ("AZURE_SECRET", "AZURE_CLIENT_SECRET"),
    "federated_token_file": ("AZURE_FEDERATED_TOKEN_FILE",),
    "cloud": ("AZURE_CLOUD", "AZURE_CLOUD_ENVIRONMENT"),
    "resource_manager_endpoint": ("AZURE_RESOURCE_MANAGER_ENDPOINT",),
    "authority": ("AZURE_AUTHORITY_HOST",),
    "ca_certificates": ("AZURE_CA_CERTIFICATES",),
}
AUTH_SOURCES = ("auto", "cli", "env", "msi", "service_principal", "workload_identity")


def auth_arguments() -> dict[str, Any]:
    """Return the options of the fragment `_auth`."""
    return {
        "auth_source": {
            "type": "str",
            "choices": list(AUTH_SOURCES),
            "default": "auto",
            "fallback": (env_fallback, list(ENVIRONMENT["auth_source"])),
        },
        "subscription_id": _text("subscription_id"),
        "tenant": _text("tenant"),
        "client_id": _text("client_id"),
        "secret": {**_text("secret"), "no_log": True},
        # Only a path. The file's content is registered as a secret when it is read.
        "federated_token_file": {
            **_text("federated_token_file"),
            "type": "path",
            "no_log": False,
        },
        "cloud": {**_text("cloud"), "default": "AzureCloud"},
        "resource_manager_endpoint": _text("resource_manager_endpoint"),
        "authority": _text("authority"),
        "ca_certificates": {**_text("ca_certificates"), "type": "path"},
    }


def vault_arguments() -> dict[str, Any]:
    """Return the options of the fragments `_auth` and `_vault`."""
    return {
        **auth_arguments(),
        "vault": {"type": "str", "required": True},
        "resource_group": {"type": "str"},
    }


def vms_arguments() -> dict[str, Any]:
    """Return the options that choose VMs."""
    return {
        "vms": {"type": "list", "elements": "str"},
        "vm": {"type": "str"},
        "vm_resource_group": {"type": "str"},
    }


def wait_arguments(timeout_s: int) -> dict[str, Any]:
    """Return the options for waiting."""
    return {
        "wait": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": timeout_s},
        "poll_interval": {"type": "float", "default": 5.0},
    }


def chosen_vault(params: Mapping[str, Any], subscription_id: str) -> VaultId:
    """Return the vault of the options; without the option, one without a name."""
    if params.get("vault") is None:
        return VaultId(subscription_id, params.get("resource_group") or "", "")
    return VaultId.parse(params["vault"], subscription_id, params.get("resource_group") or "")


def chosen_vms(
    params: Mapping[str, Any], connection: Any, required: bool = True
) -> tuple[VmId, ...]:
    """Return the VMs of the options, each once, in the order of the options.

    An empty list is a valid choice. A null, which Ansible takes for a set option, and an empty name
    are errors: otherwise a task that backs up nothing would succeed.
    """
    if params.get("vm") is None and params.get("vms") is None and required:
        raise SettingsError("MissingVms", "Neither vms nor vm has a value.", "Set vms or vm.")
    vault: VaultId = connection.vault
    group = params.get("vm_resource_group") or vault.resource_group
    found: dict[str, VmId] = {}
    for text in named_vms(params):
        vm = VmId.parse(text, vault.subscription_id, group)
        found.setdefault(vm.key, vm)
    return tuple(found.values())


def named_vms(params: Mapping[str, Any]) -> list[str]:
    """Return the VMs as the options name them."""
    single = [params["vm"]] if params.get("vm") is not None else []
    return [*(params.get("vms") or ()), *single]


def vms_named_by_id(params: Mapping[str, Any]) -> set[str]:
    """Return `VmId.key` of the VMs that the options give by resource ID."""
    ids = (text for text in named_vms(params) if "/subscriptions/" in text.lower())
    return {VmId.from_resource_id(text).key for text in ids}


def check_wait(params: Mapping[str, Any]) -> None:
    """Raise `SettingsError` if timeout or poll_interval is too short."""
    if params.get("timeout") is not None and params["timeout"] < 1:
        raise SettingsError(
            "InvalidTimeout", "timeout must be at least 1 second.", "Set timeout to 1 or more."
        )
    if params.get("poll_interval") is not None and params["poll_interval"] < 0.1:
        raise SettingsError(
            "InvalidPollInterval",
            "poll_interval must be at least 0.1 seconds.",
            "Set poll_interval to 0.1 or more.",
        )


def _text(name: str) -> dict[str, Any]:
    return {"type": "str", "fallback": (env_fallback, list(ENVIRONMENT[name]))}
