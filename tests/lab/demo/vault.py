# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's vault, and what the modules and the vault itself say of the VM in it.

The vault is the lab's: it speaks as Azure does, but it has no way into the guest. So the playbook
tells it what the guest's own snapshot has just proved, which Azure's learns from the guest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

GROUP = "app-rg"
VM = "demo01"
#: A backup takes 41 minutes of Azure's time, and a second of the demo's.
SPEED = 2500.0
#: What a vault is asked for, by the action's end, in the order of the playbook.
_WRITES = ("refreshContainers/action", "protectedItems/write", "protectedItems/backup/action")
#: What Azure calls what the guest's module calls so.
_AZURES = {
    "application": "AppConsistent",
    "file-system": "FileSystemConsistent",
    "crash": "CrashConsistent",
}
#: How a JSON Web Token begins, which is what a bearer token of Azure is.
_TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}")


@dataclass(frozen=True)
class Vault:
    """Observations of the vault."""

    #: The results of the modules: `protected`, `backup` and `again`.
    reported: Mapping[str, Any]
    #: The VM's item, its backup's job, and Azure's word for each recovery point's consistency, as
    #: the vault itself has them.
    item: Mapping[str, Any]
    job: Mapping[str, Any]
    points: Sequence[str]
    #: The actions of all requests that could change something, the oldest first.
    writes: Sequence[str]
    secret: str


def azure() -> RecoveryServices:
    """Return a vault, and one VM with two data disks that it has not heard of."""
    seed = seeds.empty()
    # Longer than the demo on the fast clock, where an hour is a few seconds.
    seed["token_lifetime_s"] = 30 * 86400.0
    seeds.add_vault(seed, "vault1")
    seeds.add_vm(seed, VM, GROUP, luns=(0, 1))
    return RecoveryServices(seed=seed, speed=SPEED)


def variables(azure: RecoveryServices) -> Dict[str, str]:
    """Return the variables of the playbook; the credentials are in its environment."""
    return {
        "resource_group": azure.resource_group,
        "vault": "vault1",
        "vm": f"{GROUP}/{VM}",
        "lab_url": azure.url,
        "lab_ca": str(azure.ca_file),
    }


def look(azure: RecoveryServices, reported: Mapping[str, Any]) -> Vault:
    """Read the vault itself, besides the results of the modules."""
    vault = azure.state()["vaults"]["vault1"]
    jobs = [one for one in vault["jobs"] if one["properties"]["operation"] == "Backup"]
    return Vault(
        reported=reported,
        item=vault["items"][0]["properties"] if vault["items"] else {},
        job={"name": jobs[0]["name"], **jobs[0]["properties"]} if jobs else {},
        points=[point for points in vault["points"].values() for point in points],
        writes=[one.action for one in azure.requests() if one.write],
        secret=azure.secret,
    )


def shown(vault: Vault) -> List[str]:
    """Return the VM in the vault, its backup and its recovery point, as the modules show them."""
    protected, backup = vault.reported["protected"]["vms"][0], vault.reported["backup"]["vms"][0]
    point = backup["recovery_point"] or {}
    tiers = ", ".join(f"{one['type']} {one['status']}" for one in point.get("tiers") or [])
    tasks = (vault.job.get("extendedInfo") or {}).get("tasksList") or []
    state = f"{protected['state']}, policy {protected['policy']}"
    rows = [
        f"  VM              {protected['name']}: {state}",
        f"  job             {backup['job_id']}: {backup['status']}",
    ]
    rows += [f"                  {one['taskId']}: {one['status']}" for one in tasks]
    rows.append(
        f"  recovery point  {point.get('recovery_point_id')} of {point.get('time')}: "
        f"{backup['consistency']}-consistent; {tiers}"
    )
    return rows


def proof(vault: Vault, proved: str, texts: Mapping[str, str]) -> List[Tuple[bool, str, str]]:
    """Return what must hold, why, and in which words; `proved` is the guest's verdict."""
    return [
        _protected(vault),
        _job(vault),
        _point(vault, proved),
        _second_run(vault),
        _no_secret(vault, texts),
    ]


def _protected(vault: Vault) -> Tuple[bool, str, str]:
    reported, item = vault.reported["protected"], vault.item
    state, policy = item.get("protectionState"), item.get("policyName")
    holds = reported["changed"] and reported["vms"][0]["state"] == "protected"
    words = f"in the lab's vault, where its state is {state}, under {policy}"
    return holds and (state, policy) == ("Protected", "DefaultPolicy"), "protected", words


def _job(vault: Vault) -> Tuple[bool, str, str]:
    reported, job = vault.reported["backup"]["vms"][0], vault.job
    same = reported["job_id"] == job.get("name") and reported["status"] == job.get("status")
    tasks = (job.get("extendedInfo") or {}).get("tasksList") or []
    done = sum(1 for one in tasks if one["status"] == "Completed")
    words = f"{job.get('status')}, {done} of {len(tasks)} tasks"
    words += "" if same else f"; but the module says {reported['job_id']}: {reported['status']}"
    holds = same and job.get("status") == "Completed" and 0 < done == len(tasks)
    return holds, "backup job", words


def _point(vault: Vault, proved: str) -> Tuple[bool, str, str]:
    reported = vault.reported["backup"]["vms"][0]
    words = (
        f"{', '.join(vault.points) or 'none'} in the vault, {reported['consistency']} says the "
        f"module, {proved} proved on the guest"
    )
    same = reported["consistency"] == proved and list(vault.points) == [_AZURES.get(proved)]
    return same and reported["recovery_point"] is not None, "recovery point", words


def _second_run(vault: Vault) -> Tuple[bool, str, str]:
    changed = vault.reported["again"]["changed"]
    sent = [next((end for end in _WRITES if one.endswith(end)), one) for one in vault.writes]
    words = f"of protected_vm: {'changed' if changed else 'unchanged'}; all that was ever written: "
    return not changed and sent == list(_WRITES), "second run", words + ", ".join(sent)


def _no_secret(vault: Vault, texts: Mapping[str, str]) -> Tuple[bool, str, str]:
    where = [name for name, text in texts.items() if vault.secret in text or _TOKEN.search(text)]
    words = f"no client secret and no token in the same {len(texts)} texts"
    if where:
        words = "found in " + ", ".join(where)
    return not where and bool(vault.secret), "no secret", words
