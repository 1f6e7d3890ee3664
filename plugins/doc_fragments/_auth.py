# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options for credentials and cloud endpoints."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of `auth_arguments` in `_arm/options.py`."""

    DOCUMENTATION = r"""
options:
  auth_source:
    description:
      - The source of the credentials.
      - V(auto) uses a service principal if O(secret) is known. Otherwise it uses azure-identity's
        C(DefaultAzureCredential) without interactive sign-in. This tries the environment, a
        workload identity, a managed identity and the Azure CLI, among others. A secret without
        O(tenant) or O(client_id) is an error, and no other source is tried. If O(tenant) is set,
        the Azure CLI requests a token of that tenant.
      - V(service_principal) uses O(tenant), O(client_id) and O(secret).
      - V(env) uses only the environment variables of azure-identity. These are E(AZURE_TENANT_ID),
        E(AZURE_CLIENT_ID), and E(AZURE_CLIENT_SECRET) or E(AZURE_CLIENT_CERTIFICATE_PATH).
        E(AZURE_TENANT) and E(AZURE_SECRET) are also accepted.
      - V(msi) uses the managed identity of the machine on which the module runs. O(client_id)
        selects a user-assigned identity.
      - V(cli) uses the login of the Azure CLI (C(az login)).
      - V(workload_identity) uses O(tenant), O(client_id) and O(federated_token_file). V(auto) does
        the same if all three are known and O(secret) is not.
      - If it is not set, the environment variables E(ANSIBLE_AZURE_AUTH_SOURCE) and
        E(AZURE_AUTH_SOURCE) are used, in this order.
    type: str
    choices: [auto, cli, env, msi, service_principal, workload_identity]
    default: auto
  subscription_id:
    description:
      - The subscription ID. Not required if the vault is given by its resource ID.
      - Defaults to the default subscription of the Azure CLI with O(auth_source=cli). The same
        applies to O(auth_source=auto) if the options give neither a service principal nor a
        workload identity.
      - If it is not set, the environment variable E(AZURE_SUBSCRIPTION_ID) is used.
    type: str
  tenant:
    description:
      - The ID or domain of the Microsoft Entra tenant of the service principal or the workload
        identity. The Azure CLI requests a token of this tenant.
      - If it is not set, the environment variables E(AZURE_TENANT) and E(AZURE_TENANT_ID) are used,
        in this order.
    type: str
  client_id:
    description:
      - The application (client) ID of the service principal or the workload identity, or the client
        ID of a user-assigned managed identity.
      - If it is not set, the environment variable E(AZURE_CLIENT_ID) is used.
    type: str
  secret:
    description:
      - The client secret of the service principal.
      - If it is not set, the environment variables E(AZURE_SECRET) and E(AZURE_CLIENT_SECRET) are
        used, in this order.
    type: str
  federated_token_file:
    description:
      - The file with the token of a workload identity, such as the one that Kubernetes writes for a
        service account. Microsoft Entra accepts this token for O(client_id).
      - If it is not set, the environment variable E(AZURE_FEDERATED_TOKEN_FILE) is used.
    type: path
  cloud:
    description:
      - The name of the cloud, V(AzureCloud), V(AzureChinaCloud) or V(AzureUSGovernment). V(azure),
        V(china) and V(usgov) are aliases. The cloud determines the endpoints that
        O(resource_manager_endpoint) and O(authority) do not give.
      - If it is not set, the environment variables E(AZURE_CLOUD) and E(AZURE_CLOUD_ENVIRONMENT)
        are used, in this order.
    type: str
    default: AzureCloud
  resource_manager_endpoint:
    description:
      - The URL of Azure Resource Manager for a region, such as
        V(https://westeurope.management.azure.com), or for a private cloud, such as
        V(https://management.example.org). The endpoint of a known cloud takes precedence over
        O(cloud), and uses the tokens of that cloud.
      - If it is not set, the environment variable E(AZURE_RESOURCE_MANAGER_ENDPOINT) is used.
    type: str
  authority:
    description:
      - The URL of the token endpoint of a private cloud, such as V(https://login.example.org).
      - If it is not set, the environment variable E(AZURE_AUTHORITY_HOST) is used.
    type: str
  ca_certificates:
    description:
      - A PEM file of trusted certificates that replace the default ones. Use it for a cloud or a
        proxy with its own certificate authority.
      - If it is not set, the environment variable E(AZURE_CA_CERTIFICATES) is used.
    type: path
attributes:
  action_group:
    description: Use C(group/quiesce.azure_backup.azure) in C(module_defaults) to set the
      credentials once for all modules of the group.
    support: full
    membership:
      - quiesce.azure_backup.azure
requirements:
  - Python >= 3.10
  - azure-identity >= 1.18.0
  - azure-mgmt-recoveryservicesbackup >= 9.1.0
"""
