# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options that the modules on the controller share, and what they mean.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Set, Tuple

from ansible.module_utils.common.parameters import env_fallback

from .._errors import refuse
from .ids import VaultId, VmId

# The environment variables of each option: first ours and azure.azcollection's, then the SDK's.
ENVIRONMENT: Dict[str, Tuple[str, ...]] = {
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


def auth_arguments() -> Dict[str, Any]:
    """The options of the fragment C(_auth)."""
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
        # A path; what is in the file is kept back when it is read.
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


def vault_arguments() -> Dict[str, Any]:
    """The options of the fragments C(_auth) and C(_vault)."""
    return {
        **auth_arguments(),
        "vault": {"type": "str", "required": True},
        "resource_group": {"type": "str"},
    }


def vms_arguments() -> Dict[str, Any]:
    """The options that choose VMs."""
    return {
        "vms": {"type": "list", "elements": "str"},
        "vm": {"type": "str"},
        "vm_resource_group": {"type": "str"},
    }


def wait_arguments(timeout_s: int) -> Dict[str, Any]:
    """The options of waiting."""
    return {
        "wait": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": timeout_s},
        "poll_interval": {"type": "float", "default": 5.0},
    }


def chosen_vault(params: Mapping[str, Any], subscription_id: str) -> VaultId:
    """The vault of the options; one without a name where a module takes none, and none is given."""
    if params.get("vault") is None:
        return VaultId(subscription_id, params.get("resource_group") or "", "")
    return VaultId.parse(params["vault"], subscription_id, params.get("resource_group") or "")


def chosen_vms(
    params: Mapping[str, Any], connection: Any, required: bool = True
) -> Tuple[VmId, ...]:
    """The VMs of the options, each once, in the order in which they were given.

    A null, which Ansible takes for an option that is given, and an empty name are refused: what was
    to be backed up, and was not, must not look done. An empty list is a choice.
    """
    given = named_vms(params)
    if params.get("vm") is None and params.get("vms") is None and required:
        refuse("MissingVms", "Neither vms nor vm has a value.", "Say vms or vm.")
    vault: VaultId = connection.vault
    group = params.get("vm_resource_group") or vault.resource_group
    found: Dict[str, VmId] = {}
    for text in given:
        vm = VmId.parse(text, vault.subscription_id, group)
        found.setdefault(vm.key, vm)
    return tuple(found.values())


def named_vms(params: Mapping[str, Any]) -> List[str]:
    """Return the VMs as the options name them."""
    one = [params["vm"]] if params.get("vm") is not None else []
    return [*(params.get("vms") or ()), *one]


def vms_named_by_id(params: Mapping[str, Any]) -> Set[str]:
    """Return C(VmId.key) of the VMs that are given by their resource ids."""
    ids = (text for text in named_vms(params) if "/subscriptions/" in text.lower())
    return {VmId.from_resource_id(text).key for text in ids}


def check_wait(params: Mapping[str, Any]) -> None:
    """Refuse times to wait that make no sense."""
    if params.get("timeout") is not None and params["timeout"] < 1:
        refuse("InvalidTimeout", "timeout must be at least 1 second.")
    if params.get("poll_interval") is not None and params["poll_interval"] < 0.1:
        refuse("InvalidPollInterval", "poll_interval must be at least 0.1 seconds.")


def _text(name: str) -> Dict[str, Any]:
    return {"type": "str", "fallback": (env_fallback, list(ENVIRONMENT[name]))}
