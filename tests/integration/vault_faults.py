# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules of the vault when the lab's control plane has trouble: what the tests of it share."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence
from urllib.parse import quote, urlencode, urlsplit

from tests.lab.module_run import ModuleProcess, ModuleRun, run_module, start_module
from tests.lab.recovery_services.call import SIGNATURE
from tests.lab.recovery_services.lab import RecoveryServices, Request

GROUP = "app-rg"
#: More requests than any test sends.
ALWAYS = 10_000
#: No module runs longer, on however slow a machine.
LIMIT_S = 600.0
#: A fault carries this correlation ID, and the failure must contain it.
CORRELATION = "12345678-abcd-4def-8abc-1234567890ab"
SUPPORT = {"x-ms-correlation-request-id": CORRELATION}
#: The second shape of Azure's errors.
OTHER_SHAPE = {
    "ErrorCode": "CloudInternalError",
    "Message": {"Language": "en-us", "Value": "Microsoft Azure Backup met an internal error."},
    "Values": {},
}
_POLLS = ("protected_vm", "protectable_vm_info", "vm_backup", "backup_job", "backup_job_info")


def item(vm: str, group: str = GROUP) -> str:
    """Return the end of the path of a VM's item."""
    return f"/protectedItems/VM;iaasvmcontainerv2;{group};{vm}$"


def options_for(azure: RecoveryServices, module: str, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the options, and with them those that every test needs."""
    fast = {"poll_interval": 0.1} if module in _POLLS else {}
    return {**azure.options(vault=options.get("vault", "vault1")), **fast, **options}


def run(
    azure: RecoveryServices,
    module: str,
    *,
    check: bool = False,
    diff: bool = False,
    **options: Any,
) -> ModuleRun:
    """Run a module; nothing secret may be in what it says."""
    given = options_for(azure, module, options)
    done = run_module(module, given, check=check, diff=diff, limit_s=LIMIT_S)
    return checked(azure, done)


def started(azure: RecoveryServices, module: str, **options: Any) -> ModuleProcess:
    """Start a module."""
    return start_module(module, options_for(azure, module, options))


def checked(azure: RecoveryServices, done: ModuleRun) -> ModuleRun:
    """Return the run of a module that ended as modules end, and kept to itself what is secret."""
    said = done.stdout + done.stderr
    assert not done.stderr, done.stderr
    for secret in (azure.secret, SIGNATURE, "eyJ"):
        assert secret not in said, said
    assert done.result, said
    assert done.result.get("failure", {}).get("name") != "InternalError", done["traceback"]
    return done


def protect(azure: RecoveryServices, *vms: str, **options: Any) -> ModuleRun:
    """Run protected_vm for these VMs of `GROUP`."""
    if options.get("state", "protected") == "protected":
        options.setdefault("policy", "DefaultPolicy")
    return run(azure, "protected_vm", vms=[f"{GROUP}/{vm}" for vm in vms], **options)


def back_up(azure: RecoveryServices, *vms: str, **options: Any) -> ModuleRun:
    """Run vm_backup for these VMs of `GROUP`."""
    return run(azure, "vm_backup", vms=[f"{GROUP}/{vm}" for vm in vms], **options)


def explained(failure: Mapping[str, Any], name: str, *words: str) -> None:
    """Assert that a failure has Azure's code, says what it was about, and what to do."""
    assert failure["name"] == name, failure
    for word in words:
        assert word in failure["message"], (word, failure)
    assert len(failure["recommended_action"]) > 15, failure


def by_name(done: ModuleRun) -> Dict[str, Dict[str, Any]]:
    """Return the VMs of a result."""
    return {vm["name"].lower(): vm for vm in done["vms"]}


def failed(done: ModuleRun) -> Dict[str, str]:
    """Return the names of the failures of a result, by VM."""
    return {vm["name"]: vm["failure"]["name"] for vm in done["vms"] if vm["failure"]}


def writes(azure: RecoveryServices) -> List[Request]:
    """Return the requests that could have changed something, without those to sign in."""
    return [one for one in azure.writes() if one.action not in ("signin", "metadata")]


def listed(azure: RecoveryServices, vault: str = "vault1") -> Dict[str, Dict[str, Any]]:
    """Return the items that the vault really has, by VM."""
    items = azure.state()["vaults"][vault]["items"]
    return {one["properties"]["friendlyName"].lower(): one["properties"] for one in items}


def jobs(azure: RecoveryServices, operation: str = "", vault: str = "vault1") -> Dict[str, str]:
    """Return the VMs of the jobs that there really are, by the jobs' ids."""
    found = azure.state()["vaults"][vault]["jobs"]
    return {
        one["name"]: one["properties"]["entityFriendlyName"].lower()
        for one in found
        if operation in ("", one["properties"]["operation"])
    }


def state_of(azure: RecoveryServices, vm: str) -> str:
    """Return the state of a VM in the words of a result, by what the vault really has."""
    has = listed(azure).get(vm)
    if has is None:
        return "not_protected"
    if has.get("isScheduledForDeferredDelete"):
        return "soft_deleted"
    return "stopped" if has["protectionState"] == "ProtectionStopped" else "protected"


def add_vms(azure: RecoveryServices, names: Sequence[str], state: str = "") -> None:
    """Add VMs; protected, `stopped` or `soft_deleted` in vault1 where a state is given."""
    for name in names:
        azure.change(add_vm={"name": name, "luns": [0]})
        if not state:
            continue
        more: Dict[str, Any] = {}
        if state == "stopped":
            more = {"state": "ProtectionStopped", "policy": ""}
        if state == "soft_deleted":
            more = {"deleted_s": 3600, "policy": ""}
        azure.change(add_item={"vault": "vault1", "vm": name, **more})


def send_often(azure: RecoveryServices, path: str, count: int) -> int:
    """Read something so often, as others would who use the same vault; the last status."""
    address = urlsplit(azure.url)
    context = ssl.create_default_context(cafile=str(azure.ca_file))
    way = http.client.HTTPSConnection(
        str(address.hostname), address.port, timeout=300, context=context
    )
    try:
        form = {
            "grant_type": "client_credentials",
            "client_id": azure.client_id,
            "client_secret": azure.secret,
            "scope": f"{azure.url}/.default",
        }
        way.request(
            "POST",
            f"/{azure.tenant}/oauth2/v2.0/token",
            urlencode(form),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        token = json.loads(way.getresponse().read())["access_token"]
        status = 0
        for _time in range(count):
            way.request(
                "GET",
                f"{quote(path)}?api-version=2024-04-01",
                headers={"Authorization": f"Bearer {token}"},
            )
            answer = way.getresponse()
            answer.read()
            status = answer.status
        return status
    finally:
        way.close()


def wait_for(happens: Callable[[], object]) -> None:
    """Return when something is so; fail when it is not after minutes."""
    end = time.monotonic() + LIMIT_S
    while not happens():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


class Way(NamedTuple):
    """A change of VMs: the state before, the requests, and the state after."""

    before: str
    method: str
    operations: List[str]
    after: str
    options: Dict[str, Any]


WAYS = {
    "protect": Way("", "PUT", ["ConfigureBackup"], "protected", {}),
    "resume": Way("stopped", "PUT", ["ConfigureBackup"], "protected", {}),
    "undelete and protect": Way(
        "soft_deleted", "PUT", ["Undelete", "ConfigureBackup"], "protected", {}
    ),
    "stop": Way("protected", "PUT", ["DisableBackup"], "stopped", {"state": "stopped"}),
    "delete": Way("protected", "DELETE", ["DeleteBackupData"], "soft_deleted", {"state": "absent"}),
    "undelete": Way("soft_deleted", "PUT", ["Undelete"], "stopped", {"state": "undeleted"}),
}


def agrees(azure: RecoveryServices, done: ModuleRun) -> None:
    """Check that the result agrees with the vault for each VM, and that each change has a job."""
    worked_on = set(jobs(azure).values())
    for name, vm in by_name(done).items():
        assert vm["state"] == state_of(azure, name), (name, vm)
        assert not vm["changed"] or name in worked_on, vm
    assert done["changed"] is any(vm["changed"] for vm in done["vms"])


def finishes(azure: RecoveryServices, way: Way, *vms: str, left: Any) -> None:
    """Without faults, a second run changes those that are left, and a third nothing."""
    azure.forget_faults()
    second = protect(azure, *vms, **way.options)
    assert not second.failed, second.stdout
    assert {vm["name"] for vm in second["vms"] if vm["changed"]} == set(left)
    assert {state_of(azure, vm) for vm in vms} == {way.after}
    agrees(azure, second)
    azure.forget_requests()
    third = protect(azure, *vms, **way.options)
    assert not third.failed and third["changed"] is False
    assert writes(azure) == []


def stays(**fault: Any) -> Dict[str, Any]:
    """Return a fault that every attempt meets."""
    return {"times": ALWAYS, "headers": SUPPORT, **fault}
