# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The initial state of the lab's Azure, as a document that can be written to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

TENANT = "aaaaaaaa-1111-4aaa-8aaa-aaaaaaaaaaaa"
SUBSCRIPTION = "bbbbbbbb-2222-4bbb-8bbb-bbbbbbbbbbbb"
CLIENT_ID = "cccccccc-3333-4ccc-8ccc-cccccccccccc"
#: The credential of the lab's own client: of no use anywhere else.
SECRET = "lab-secret-not-for-any-cloud"
REGION = "westeurope"
#: The VM extension that a VM's first backup installs, as in a VM's `extensions` by its name,
#: `VMSnapshotLinux`. `state`, `message` and `settings` may be added.
SNAPSHOT_EXTENSION = {
    "publisher": "Microsoft.Azure.RecoveryServices",
    "type": "VMSnapshotLinux",
    "version": "1.0",
    "handler_version": "1.0.9233.0",
}

Seed = Dict[str, Any]


def empty() -> Seed:
    """Return a tenant, a client and a subscription with nothing in it.

    May also have `token_lifetime_s`, in real seconds; `limits`, requests an hour by action, for
    actions whose limit is to be another one (Azure's are not the same in each region); `chance`,
    on which the durations of jobs depend.
    """
    return {
        "tenant": TENANT,
        "client_id": CLIENT_ID,
        "secret": SECRET,
        "chance": "lab",
        "subscriptions": [{"id": SUBSCRIPTION, "name": "Lab"}],
        "resource_groups": [],
        "vms": [],
        "vaults": [],
    }


def default() -> Seed:
    """Return a vault with VMs around it that are not yet discovered, and an empty vault."""
    seed = empty()
    add_vault(seed, "vault1")
    add_vault(seed, "vault2")
    add_vm(seed, "db01", luns=(0, 1))
    add_vm(seed, "db02", luns=(0, 1))
    add_vm(seed, "web01")
    add_vm(seed, "far01", location="northeurope")
    return seed


def fleet(count: int) -> Seed:
    """Return a vault and `count` VMs, named `vm0001` and so on."""
    seed = empty()
    add_vault(seed, "vault1")
    add_vault(seed, "vault2")
    for number in range(1, count + 1):
        add_vm(seed, f"vm{number:04d}", luns=(0,))
    return seed


def add_vm(
    seed: Seed,
    name: str,
    group: str = "app-rg",
    location: str = REGION,
    luns: Sequence[int] = (),
    subscription: str = SUBSCRIPTION,
    **more: Any,
) -> Dict[str, Any]:
    """Add a VM; `more` is any other field of `model.Vm`."""
    vm = {
        "subscription": subscription,
        "resource_group": group,
        "name": name,
        "location": location,
        "luns": list(luns),
        **more,
    }
    seed["vms"].append(vm)
    return vm


def add_vault(
    seed: Seed,
    name: str,
    group: str = "backup-rg",
    location: str = REGION,
    subscription: str = SUBSCRIPTION,
    **more: Any,
) -> Dict[str, Any]:
    """Add a vault with the policies of every new one; `more` as in `model.Vault`."""
    vault = {
        "subscription": subscription,
        "resource_group": group,
        "name": name,
        "location": location,
        "policies": {},
        "items": [],
        **more,
    }
    seed["vaults"].append(vault)
    return vault


def add_policy(vault: Dict[str, Any], name: str, properties: Mapping[str, Any]) -> None:
    """Add a policy to a vault, as the service would give it back."""
    vault["policies"][name] = dict(properties)


def add_item(
    vault: Dict[str, Any],
    vm: str,
    policy: str = "DefaultPolicy",
    state: str = "Protected",
    points: Optional[List[Dict[str, Any]]] = None,
    **more: Any,
) -> None:
    """Protect a VM, `group/name` or a name that is the only one, from the beginning.

    `points` are recovery points: `age_s`, how long ago, and `consistency` as in
    `model.RecoveryPoint`; `more` is `deleted_s`, how long ago it was soft-deleted, `disks`.
    """
    vault["items"].append(
        {"vm": vm, "policy": policy, "state": state, "points": points or [], **more}
    )


def write(seed: Seed, path: Path) -> None:
    """Write it to a file."""
    path.write_text(json.dumps(seed, indent=1))


def read(path: Path) -> Seed:
    """Read it from a file."""
    found: Seed = json.loads(path.read_text())
    return found
