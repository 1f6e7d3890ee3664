# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plain way to protect VMs: the SDK alone, one VM after the other, each to its end.

Run as a process of its own, in the environment of the lab's Azure, with a number of VMs and the
speed of its clock.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Dict
from urllib.parse import urlsplit

from azure.identity import ClientSecretCredential
from azure.mgmt.recoveryservicesbackup import RecoveryServicesBackupClient
from azure.mgmt.recoveryservicesbackup.models import (
    AzureIaaSComputeVMProtectedItem,
    ProtectedItemResource,
)

_PLACE = {"vault_name": "vault1", "resource_group_name": "backup-rg", "fabric_name": "Azure"}


def protect(count: int, speed: float) -> None:
    """Protect `vm0001` and so on; raises what the SDK raises."""
    given, url = os.environ, os.environ["AZURE_RESOURCE_MANAGER_ENDPOINT"]
    trust: Dict[str, Any] = {"connection_verify": given["AZURE_CA_CERTIFICATES"]}
    credential = ClientSecretCredential(
        given["AZURE_TENANT_ID"],
        given["AZURE_CLIENT_ID"],
        given["AZURE_CLIENT_SECRET"],
        authority=urlsplit(given["AZURE_AUTHORITY_HOST"]).netloc,
        disable_instance_discovery=True,
        **trust,
    )
    subscription = given["AZURE_SUBSCRIPTION_ID"]
    client = RecoveryServicesBackupClient(
        credential,
        subscription,
        base_url=url,
        credential_scopes=[f"{url}/.default"],
        # The SDK's own, sped up as Azure is.
        polling_interval=30 / speed,
        **trust,
    )
    policy = client.protection_policies.get("vault1", "backup-rg", "DefaultPolicy")
    for number in range(1, count + 1):
        name = f"vm{number:04d}"
        vm = f"/subscriptions/{subscription}/resourceGroups/app-rg/providers/Microsoft.Compute"
        item = AzureIaaSComputeVMProtectedItem(
            source_resource_id=f"{vm}/virtualMachines/{name}", policy_id=policy.id
        )
        client.protected_items.begin_create_or_update(
            **_PLACE,
            container_name=f"IaasVMContainer;iaasvmcontainerv2;app-rg;{name}",
            protected_item_name=f"VM;iaasvmcontainerv2;app-rg;{name}",
            parameters=ProtectedItemResource(properties=item),
        ).result()


if __name__ == "__main__":
    protect(int(sys.argv[1]), float(sys.argv[2]))
