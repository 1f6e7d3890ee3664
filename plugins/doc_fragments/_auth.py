# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a module signs in to Azure.

PRIVATE: for this collection only.
"""

from __future__ import annotations


class ModuleDocFragment:
    """The options of M(auth_arguments) in C(_arm/options.py)."""

    DOCUMENTATION = r"""
options:
  auth_source:
    description:
      - Where the credentials come from.
      - V(auto) takes a service principal when O(secret) is known, and otherwise what
        azure-identity's C(DefaultAzureCredential) finds without asking anybody, such as the
        environment, a workload's or a machine's identity, and the Azure CLI. A secret without
        O(tenant) or O(client_id) is refused; nothing else is tried in its place. Where O(tenant) is
        set, the Azure CLI is asked for a token of that tenant.
      - V(service_principal) takes O(tenant), O(client_id) and O(secret).
      - V(env) takes the environment alone, by the names that azure-identity reads
        (E(AZURE_TENANT_ID), E(AZURE_CLIENT_ID), and E(AZURE_CLIENT_SECRET) or
        E(AZURE_CLIENT_CERTIFICATE_PATH)), or E(AZURE_TENANT) and E(AZURE_SECRET) instead.
      - V(msi) takes the managed identity of the machine that the module runs on, or the one that
        has O(client_id).
      - V(cli) takes the login of the Azure CLI (C(az login)).
      - V(workload_identity) takes O(tenant), O(client_id) and O(federated_token_file). So does
        V(auto) when all three are known, and O(secret) is not.
      - If it is not set, the environment variables E(ANSIBLE_AZURE_AUTH_SOURCE) and
        E(AZURE_AUTH_SOURCE) are looked at, in this order.
    type: str
    choices: [auto, cli, env, msi, service_principal, workload_identity]
    default: auto
  subscription_id:
    description:
      - The subscription. Not needed where the vault is given by its resource id. With
        O(auth_source=cli), and with O(auth_source=auto) where neither a service principal nor a
        workload's identity is given by options, it is the default one of the Azure CLI.
      - If it is not set, the environment variable E(AZURE_SUBSCRIPTION_ID) is looked at.
    type: str
  tenant:
    description:
      - The id or the domain of the Microsoft Entra tenant of the service principal or the workload,
        or the one that the Azure CLI gets a token of.
      - If it is not set, the environment variables E(AZURE_TENANT) and E(AZURE_TENANT_ID) are
        looked at, in this order.
    type: str
  client_id:
    description:
      - The application's (client) id of the service principal or the workload, or the client id of
        a managed identity that was assigned by a user.
      - If it is not set, the environment variable E(AZURE_CLIENT_ID) is looked at.
    type: str
  secret:
    description:
      - The client secret of the service principal.
      - If it is not set, the environment variables E(AZURE_SECRET) and E(AZURE_CLIENT_SECRET) are
        looked at, in this order.
    type: str
  federated_token_file:
    description:
      - The file with the token of a workload, such as Kubernetes writes it for a service account,
        that Microsoft Entra takes for O(client_id).
      - If it is not set, the environment variable E(AZURE_FEDERATED_TOKEN_FILE) is looked at.
    type: path
  cloud:
    description:
      - The cloud, by its usual name, V(AzureCloud), V(AzureChinaCloud) or V(AzureUSGovernment);
        V(azure), V(china) and V(usgov) mean the same. It decides on the addresses that
        O(resource_manager_endpoint) and O(authority) do not give.
      - If it is not set, the environment variables E(AZURE_CLOUD) and E(AZURE_CLOUD_ENVIRONMENT)
        are looked at, in this order.
    type: str
    default: AzureCloud
  resource_manager_endpoint:
    description:
      - The address of Azure Resource Manager, for a region, such as
        V(https://westeurope.management.azure.com), or for a cloud of its own, such as
        V(https://management.example.org). One of a known cloud goes before O(cloud), and its tokens
        are those of that cloud.
      - If it is not set, the environment variable E(AZURE_RESOURCE_MANAGER_ENDPOINT) is looked at.
    type: str
  authority:
    description:
      - The address where tokens are got, for a cloud of its own, such as
        V(https://login.example.org).
      - If it is not set, the environment variable E(AZURE_AUTHORITY_HOST) is looked at.
    type: str
  ca_certificates:
    description:
      - A file of certificates in PEM format that are trusted instead of the usual ones, for a
        cloud or a proxy with a certificate authority of its own.
      - If it is not set, the environment variable E(AZURE_CA_CERTIFICATES) is looked at.
    type: path
attributes:
  action_group:
    description: Use C(group/quiesce.azure_backup.azure) in C(module_defaults) to say once, for all
      modules of the group, how they sign in.
    support: full
    membership:
      - quiesce.azure_backup.azure
requirements:
  - Python >= 3.10
  - azure-identity >= 1.18.0
  - azure-mgmt-recoveryservicesbackup >= 9.1.0
"""
