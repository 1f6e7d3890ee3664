# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad and odd input to the modules of the vault: a clear error, nothing changed; or all well."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest

from tests.integration.vault_faults import checked, writes
from tests.lab.module_run import ModuleRun, run_module
from tests.lab.recovery_services import seed
from tests.lab.recovery_services.lab import RecoveryServices

UNKNOWN = "99999999-9999-4999-8999-999999999999"
VM = {"vm": "app-rg/db01"}
#: Every module that signs in to Azure, with what it needs.
MODULES: Dict[str, Dict[str, Any]] = {
    "backup_job": {"job_id": UNKNOWN, "state": "finished"},
    "backup_job_info": {},
    "backup_policy": {"name": "gold"},
    "backup_policy_info": {},
    "protectable_vm_info": {},
    "protected_vm": {**VM, "policy": "DefaultPolicy"},
    "protected_vm_info": {},
    "recovery_point_info": VM,
    "vm_backup": VM,
    "vm_extension_info": VM,
}
# The one that needs no vault.
OF_A_VAULT = [name for name in MODULES if name != "vm_extension_info"]
VM_MODULES = [name for name in MODULES if "vm" in MODULES[name]]
WRITES = ("backup_job", "backup_policy", "protectable_vm_info", "protected_vm", "vm_backup")
# One that only looks and one that writes, for what is the same in all.
TWO = ("protected_vm_info", "protected_vm")


def run(azure: RecoveryServices, module: str, check: bool = False, **options: Any) -> ModuleRun:
    """Run a module with what it needs and these options."""
    given = {**azure.options(), **MODULES[module], **options}
    return checked(azure, run_module(module, given, check=check))


def refused(azure: RecoveryServices, done: ModuleRun, name: str, *words: str) -> None:
    """Check that the module failed with this name and these words, and changed nothing."""
    assert done.failed, done
    failure = done["failure"]
    assert failure["name"] == name, failure
    for word in words:
        assert word in failure["message"] and word in done["msg"], (word, failure)
    assert len(failure["recommended_action"]) > 15
    assert done["msg"].endswith(failure["recommended_action"])
    assert not done.result.get("changed")
    assert [one for one in writes(azure) if one.status < 400] == []


# --- who asks, and for what --------------------------------------------------------------------

#: What is given wrongly, what the failure is called, and what it says.
WRONG: Dict[str, Tuple[Dict[str, Any], str, str]] = {
    "subscription": ({"subscription_id": UNKNOWN}, "SubscriptionNotFound", UNKNOWN),
    "no id": ({"subscription_id": "not an id"}, "InvalidSubscriptionId", "not an id"),
    "tenant": ({"tenant": UNKNOWN}, "InvalidTenant", "does not know the tenant"),
    "client": ({"client_id": UNKNOWN}, "AADSTS700016", ""),
    "secret": ({"secret": "a-wrong-secret"}, "AADSTS7000215", "Invalid client secret"),
}
WRONG_VAULT: Dict[str, Tuple[Dict[str, Any], str, str]] = {
    "vault": (
        {"vault": "nope"},
        "ResourceNotFound",
        "nope was not found in resource group backup-rg",
    ),
    "group": (
        {"resource_group": "nope"},
        "ResourceGroupNotFound",
        "Resource group nope was not found",
    ),
}
#: Invalid values, for which no request is sent.
IMPOSSIBLE: Dict[str, Tuple[Dict[str, Any], str, str]] = {
    "empty": ({"vault": ""}, "InvalidVaultName", "''"),
    "path": ({"vault": "a/../b"}, "InvalidVaultName", "'a/../b'"),
    "query": ({"vault": "a?b"}, "InvalidVaultName", "'a?b'"),
    "ampersand": ({"resource_group": "a&b"}, "InvalidVaultName", "a&b"),
    "percent": ({"vault": "a%2Fb"}, "InvalidVaultName", "'a%2Fb'"),
    "half an id": ({"vault": "/subscriptions/x/resourceGroups/y"}, "InvalidVaultId", "/y"),
    "id of a VM": (
        {
            "vault": "/subscriptions/x/resourceGroups/y/providers/Microsoft.Compute"
            "/virtualMachines/z"
        },
        "InvalidVaultId",
        "virtualMachines/z",
    ),
    "certificates": ({"ca_certificates": "/no/such.pem"}, "InvalidCaCertificates", "/no/such.pem"),
}


@pytest.mark.parametrize(
    ("case", "module"),
    [
        *((case, module) for case in WRONG for module in TWO),
        *(("secret", module) for module in MODULES if module not in TWO),
        *(("subscription", module) for module in MODULES if module not in TWO),
    ],
)
def test_wrong_account(recovery_services: RecoveryServices, module: str, case: str) -> None:
    options, name, words = WRONG[case]
    done = run(recovery_services, module, **options)
    refused(recovery_services, done, name, words)
    assert "a-wrong-secret" not in done.stdout


@pytest.mark.parametrize(
    ("case", "module", "check"),
    [
        *(("vault", module, module in WRITES) for module in OF_A_VAULT),
        *(("vault", module, False) for module in WRITES),
        *(("group", module, False) for module in TWO),
    ],
)
def test_wrong_vault(
    recovery_services: RecoveryServices, module: str, case: str, check: bool
) -> None:
    options, name, words = WRONG_VAULT[case]
    done = run(recovery_services, module, check, **options)
    refused(recovery_services, done, name, words)
    assert not check or writes(recovery_services) == []


@pytest.mark.parametrize("module", TWO)
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_impossible_vault(recovery_services: RecoveryServices, module: str, case: str) -> None:
    options, name, words = IMPOSSIBLE[case]
    done = run(recovery_services, module, **options)
    refused(recovery_services, done, name, words)
    assert recovery_services.requests() == []


@pytest.mark.parametrize("module", OF_A_VAULT)
def test_no_vault(recovery_services: RecoveryServices, module: str) -> None:
    given = {**recovery_services.options(), **MODULES[module]}
    del given["vault"]
    done = run_module(module, given)
    assert done.failed and "missing required arguments: vault" in done["msg"]
    assert recovery_services.requests() == []


@pytest.mark.parametrize("module", [*TWO, "vm_extension_info"])
def test_no_subscription(recovery_services: RecoveryServices, module: str) -> None:
    done = checked(
        recovery_services,
        run_module(
            module,
            {**recovery_services.options(), **MODULES[module], "subscription_id": None},
            env={"AZURE_SUBSCRIPTION_ID": ""},
        ),
    )
    refused(recovery_services, done, "MissingSubscription", "subscription_id")
    assert recovery_services.requests() == []


# --- VMs, policies and jobs --------------------------------------------------------------------

_Y = "/subscriptions/x/resourceGroups/y"
IMPOSSIBLE_VMS = {
    "": "InvalidVMName",
    "/": "InvalidVMName",
    "app-rg/": "InvalidVMName",
    "app-rg/a;b": "InvalidVMName",
    "app-rg/a?b": "InvalidVMName",
    "app-rg/..": "InvalidVMName",
    "a&b/db01": "InvalidVMName",
    _Y: "InvalidVMId",
    f"{_Y}/providers/Microsoft.RecoveryServices/vaults/z": "InvalidVMId",
}


@pytest.mark.parametrize(
    ("text", "module"),
    [
        *((text, "protected_vm") for text in IMPOSSIBLE_VMS),
        *(("app-rg/a;b", module) for module in VM_MODULES if module != "protected_vm"),
    ],
)
def test_impossible_vm(recovery_services: RecoveryServices, module: str, text: str) -> None:
    given = {**recovery_services.options(), **MODULES[module], "vms": ["app-rg/db01", text]}
    del given["vm"]
    done = checked(recovery_services, run_module(module, given))
    assert done.failed
    assert done["failure"]["name"].lower() == IMPOSSIBLE_VMS[text].lower(), done["failure"]
    assert done["failure"]["recommended_action"]
    assert recovery_services.requests() == []


@pytest.mark.parametrize("vm", ["app-rg/nope", "no-rg/db01"])
@pytest.mark.parametrize("module", VM_MODULES)
def test_vm_that_is_not_there(recovery_services: RecoveryServices, module: str, vm: str) -> None:
    azure = recovery_services
    done = run(azure, module, vm=vm)
    assert done.failed, done
    (one,) = done["vms"]
    assert vm.rpartition("/")[2] in done["msg"]
    assert one["failure"] == done["failure"]
    assert one["failure"]["recommended_action"]
    kinds = {"containers" in request.path.lower() for request in writes(azure)}
    assert kinds <= {True}, "only a refresh of containers may be written"


def test_an_empty_policy_is_no_filter_that_shows_every_vm(
    recovery_services: RecoveryServices,
) -> None:
    done = run(recovery_services, "protected_vm_info", policy=" ")
    assert done.failed and done["failure"]["name"] == "InvalidPolicyName"
    assert "policy is empty" in done["failure"]["message"]


def test_vm_that_is_not_protected_is_shown_as_such(recovery_services: RecoveryServices) -> None:
    done = run(recovery_services, "protected_vm_info", vms=["app-rg/nope", "app-rg/db01"])
    assert not done.failed, done
    assert [vm["state"] for vm in done["vms"]] == ["not_protected", "not_protected"]


@pytest.mark.parametrize(
    ("policy", "check"),
    [
        ("nope", False),
        ("nope", True),
        ("HourlyLogBackup", False),
        ("größe", False),
        (f"{_Y}/providers/Microsoft.RecoveryServices/vaults/x/backupPolicies/DefaultPolicy", False),
    ],
)
def test_policy_that_will_not_do(
    recovery_services: RecoveryServices, policy: str, check: bool
) -> None:
    done = run(recovery_services, "protected_vm", check, policy=policy)
    assert done.failed, done
    assert policy.rpartition("/")[2] in done["msg"]
    assert done["failure"]["recommended_action"]
    puts = [one for one in writes(recovery_services) if one.method != "POST"]
    assert puts == []
    assert not check or writes(recovery_services) == []


@pytest.mark.parametrize("job_id", ["", " ", "/", "..", "a?b", "a;b"])
def test_job_that_cannot_be(recovery_services: RecoveryServices, job_id: str) -> None:
    for module, options in (
        ("backup_job", {"job_id": job_id, "timeout": 20}),
        ("backup_job_info", {"job_ids": [UNKNOWN, job_id], "timeout": 20}),
    ):
        done = run(recovery_services, module, **options)
        refused(recovery_services, done, "InvalidJobId", repr(job_id))
    assert recovery_services.requests() == []


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_job_that_is_not_there(recovery_services: RecoveryServices, state: str) -> None:
    done = run(recovery_services, "backup_job", state=state)
    assert done.failed and UNKNOWN in done["msg"]
    assert done["failure"]["http_status"] == 404 or done["failure"]["name"]
    assert done["failure"]["recommended_action"]
    assert [one for one in writes(recovery_services) if one.status < 400] == []


# --- names that are odd, and good --------------------------------------------------------------


def life_of(azure: RecoveryServices, vault: Dict[str, Any], vm: str, policy: str) -> None:
    """Protect, back up, look, stop and delete, and each a second time where it may be."""
    quick = {**vault, "vm": vm, "poll_interval": 0.1}
    # A backup takes most of an hour.
    azure.run_at(4000.0)

    def done(module: str, **options: Any) -> ModuleRun:
        finished = run(azure, module, **options)
        assert not finished.failed, finished
        return finished

    name = vm.rpartition("/")[2].lower()
    made = done("backup_policy", **vault, name="odd")
    assert made["changed"]
    offered = done("protectable_vm_info", **vault)["vms"]
    assert name in [one["name"].lower() for one in offered]
    first = done("protected_vm", **quick, policy=policy)
    assert first["changed"] and first["vms"][0]["state"] == "protected"
    azure.forget_requests()
    again = done("protected_vm", **quick, policy=policy.upper())
    assert not again["changed"] and writes(azure) == []
    point = done("vm_backup", **quick)["vms"][0]["recovery_point"]
    found = done("recovery_point_info", **vault, vm=vm)["vms"]
    assert [one["recovery_point_id"] for one in found[0]["recovery_points"]] == [
        point["recovery_point_id"]
    ]
    counted = done("backup_job_info", **vault, vm=vm)["jobs"]
    assert {one["operation"] for one in counted} == {"ConfigureBackup", "Backup"}
    (shown,) = done("protected_vm_info", **vault)["vms"]
    assert (shown["name"].lower(), shown["state"]) == (name, "protected")
    assert done("vm_extension_info", vm=vm)["vms"][0]["agent"]["state"] == "ready"
    changed = done("protected_vm", **quick, policy="odd")
    assert changed["changed"]
    (shown,) = done("protected_vm_info", **vault, vm=vm.upper())["vms"]
    assert shown["policy"].lower() == "odd"
    used = done("backup_policy_info", **vault, name="ODD")["policies"]
    assert [one["protected_items_count"] for one in used] == [1]
    assert done("protected_vm", **quick, policy=None, state="stopped")["changed"]
    assert not done("protected_vm", **quick, policy=None, state="stopped")["changed"]
    gone = done("protected_vm", **quick, policy=None, state="absent")
    assert gone["changed"] and gone["vms"][0]["soft_deleted"]
    assert not done("protected_vm", **quick, policy=None, state="absent")["changed"]


ODD_NAMES: Dict[str, Tuple[str, str, str, str]] = {
    # The vault's group, the vault, the VM's group, the VM.
    "parentheses": ("backup(eu)", "vault-1", "team(a)", "db01"),
    "dots and underscores": ("backup.rg_1", "Vault9", "team.rg_", "db_0.1"),
    "letters of all kinds": ("größe-über", "vault1", "équipe-データ", "db01"),
}


@pytest.mark.parametrize("names", ODD_NAMES.values(), ids=ODD_NAMES.keys())
def test_names_that_need_escaping(
    recovery_services: RecoveryServices, names: Tuple[str, str, str, str]
) -> None:
    group, vault, vm_group, vm = names
    estate = seed.empty()
    seed.add_vault(estate, vault, group=group)
    seed.add_vm(estate, vm, group=vm_group)
    recovery_services.reset(seed=estate)
    where = {"vault": vault, "resource_group": group}
    life_of(recovery_services, where, f"{vm_group}/{vm}", "DefaultPolicy")


def test_names_in_another_case(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    estate = seed.default()
    for vm in estate["vms"]:
        # As Azure does at times: the item's group in capitals.
        vm["odd_case"] = True
    azure.reset(seed=estate)
    where = {"vault": "VAULT1", "resource_group": "Backup-RG"}
    life_of(azure, where, "APP-rg/DB01", "defaultPOLICY")


def test_a_vault_by_its_id(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    vault = (
        f"/SUBSCRIPTIONS/{azure.subscription_id.upper()}/resourcegroups/BACKUP-RG/providers"
        "/microsoft.recoveryservices/VAULTS/vault1/"
    )
    where = {"vault": vault, "resource_group": None, "subscription_id": None}
    for module in ("backup_policy_info", "protected_vm_info", "backup_job_info"):
        done = run_module(module, {**azure.options(), **where}, env={"AZURE_SUBSCRIPTION_ID": ""})
        assert not checked(azure, done).failed, done


# --- many --------------------------------------------------------------------------------------


def test_lists_of_more_than_a_page(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    estate = seed.fleet(405)
    names = [vm["name"] for vm in estate["vms"]]
    points = [{"age_s": 3600 * hour, "consistency": "file-system"} for hour in range(1, 231)]
    for name in names[:202]:
        more = points if name == names[0] else []
        seed.add_item(estate["vaults"][0], f"app-rg/{name}", points=more)
    azure.reset(seed=estate)
    shown = run(azure, "protected_vm_info")["vms"]
    assert sorted(vm["name"] for vm in shown) == names[:202]
    offered = run(azure, "protectable_vm_info")["vms"]
    assert sorted(vm["name"] for vm in offered) == names[202:]
    assert count(run(azure, "recovery_point_info", vm=f"app-rg/{names[0]}")) == 230
    # One that is on the last page only.
    last = {"vm": f"app-rg/{names[-1]}", "poll_interval": 0.1}
    done = run(azure, "protected_vm", **last)
    assert not done.failed and done["changed"]
    assert not run(azure, "protected_vm", **last)["changed"]


def count(done: ModuleRun) -> int:
    """Return how many recovery points a result has."""
    assert not done.failed, done
    points: List[Any] = [point for vm in done["vms"] for point in vm["recovery_points"]]
    return len({point["recovery_point_id"] for point in points})
