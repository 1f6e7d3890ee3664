# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A task that protects VMs, run on the lab's control plane: what the tests of it share."""

from __future__ import annotations

from typing import Any, Dict, List

from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services.lab import RecoveryServices, Request

GROUP = "app-rg"


def run(
    azure: RecoveryServices,
    name: str = "protected_vm",
    *,
    vault: str = "vault1",
    check: bool = False,
    diff: bool = False,
    **options: Any,
) -> ModuleRun:
    """Run a module; nothing of the secret may be in what it says."""
    given = {**azure.options(vault=vault), **options}
    if name != "protected_vm_info":
        given.setdefault("poll_interval", 0.1)
    done = run_module(name, given, check=check, diff=diff)
    assert azure.secret not in done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return done


def protect(azure: RecoveryServices, *vms: str, **options: Any) -> ModuleRun:
    """Run protected_vm for these VMs, by default under the policy of every vault."""
    if options.get("state", "protected") == "protected":
        options.setdefault("policy", "DefaultPolicy")
    chosen = [vm if "/" in vm else f"{GROUP}/{vm}" for vm in vms]
    return run(azure, vms=chosen, **options)


def done_well(azure: RecoveryServices, *vms: str, **options: Any) -> ModuleRun:
    """Return the same as a step before the test; the record of requests is cleared."""
    done = protect(azure, *vms, **options)
    assert not done.failed, done.stdout
    azure.forget_requests()
    return done


def by_name(done: ModuleRun) -> Dict[str, Dict[str, Any]]:
    """Return the VMs of a result."""
    return {vm["name"].lower(): vm for vm in done["vms"]}


def only(done: ModuleRun) -> Dict[str, Any]:
    """Return the only VM of a result."""
    (vm,) = done["vms"]
    found: Dict[str, Any] = vm
    return found


def sent(azure: RecoveryServices, action: str) -> List[Request]:
    """Return the requests of an action, by the end of its name."""
    return [one for one in azure.requests() if one.action.lower().endswith(action.lower())]


def control_plane(azure: RecoveryServices) -> List[Request]:
    """Return all requests but those to sign in."""
    return [one for one in azure.requests() if one.action not in ("signin", "metadata")]


def listed(azure: RecoveryServices, vault: str = "vault1") -> Dict[str, Dict[str, Any]]:
    """Return what the vault has, by the VM's name, as it shows it."""
    items = azure.state()["vaults"][vault]["items"]
    return {one["properties"]["friendlyName"].lower(): one["properties"] for one in items}
