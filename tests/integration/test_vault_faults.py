# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every module of the vault when the request that it is about is refused, or meets trouble.

Each module has a vault and a VM of its own, so that all can run at the same time.
"""

from __future__ import annotations

import re
from typing import Any, Dict, List, NamedTuple, Tuple

import pytest

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    LIMIT_S,
    OTHER_SHAPE,
    SUPPORT,
    add_vms,
    checked,
    explained,
    item,
    jobs,
    run,
    send_often,
    started,
    writes,
)
from tests.lab.module_run import ModuleRun
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices


class Task(NamedTuple):
    """The task of a module, and the request by which the module does it."""

    options: Dict[str, Any]
    method: str
    path: str
    #: What an error must name, beside the vault or the VM.
    words: Tuple[str, ...] = ()


VM, VAULT, JOB = "VM", "VAULT", "JOB"
TASKS = {
    "protected_vm": Task({"vm": VM, "policy": "EnhancedPolicy"}, "PUT", "/protectedItems/", (VM,)),
    "protected_vm_info": Task({}, "GET", "/backupProtectedItems$", ("list", VAULT)),
    "protectable_vm_info": Task({}, "POST", "/refreshContainers$", ("refresh", VAULT)),
    "backup_policy": Task(
        {"name": "EnhancedPolicy", "instant_restore_days": 3},
        "PUT",
        "/backupPolicies/",
        ("EnhancedPolicy", VAULT),
    ),
    "backup_policy_info": Task({}, "GET", "/backupPolicies$", ("policies", VAULT)),
    "vm_backup": Task({"vm": VM}, "POST", "/backup$", ("back up", VM)),
    "backup_job": Task({"job_id": JOB, "state": "cancelled"}, "POST", "/cancel$", ("cancel", JOB)),
    "backup_job_info": Task({}, "GET", "/backupJobs$", ("jobs", VAULT)),
    "recovery_point_info": Task({"vm": VM}, "GET", "/recoveryPoints$", ("recovery points", VM)),
    "vm_extension_info": Task({"vm": VM}, "GET", "/virtualMachines/", (VM,)),
}


class Everyone:
    """All modules, each in its own vault."""

    def __init__(self, azure: RecoveryServices) -> None:
        self.azure = azure
        seed = seeds.empty()
        for module in TASKS:
            vault = seeds.add_vault(seed, self.vault(module))
            seeds.add_vm(seed, self.vm(module))
            point = {"age_s": 7200}
            seeds.add_item(vault, self.vm(module), "DefaultPolicy", points=[point])
        azure.reset(seed=seed)
        azure.next_backup(self.vm("backup_job"), duration_s=90_000)
        azure.next_backup(self.vm("vm_backup"), duration_s=60)
        self.job_id = run(
            azure,
            "vm_backup",
            vault=self.vault("backup_job"),
            vm=f"app-rg/{self.vm('backup_job')}",
            wait=False,
        )["vms"][0]["job_id"]
        azure.forget_requests()

    @staticmethod
    def vault(module: str) -> str:
        return f"vault-{module.replace('_', '-')}"

    @staticmethod
    def vm(module: str) -> str:
        return f"vm-{module.replace('_', '-')}"

    def words(self, module: str) -> List[str]:
        known = {VM: self.vm(module), VAULT: self.vault(module), JOB: self.job_id}
        return [known.get(word, word) for word in TASKS[module].words]

    def fault(self, module: str, **fault: Any) -> None:
        """Order a fault of the request that the module is about."""
        task = TASKS[module]
        path = f"{self.vault(module)}.*{task.path}"
        if module == "vm_extension_info":
            path = f"/virtualMachines/{self.vm(module)}"
        self.azure.fault(**{"method": task.method, "path": path, **fault})

    def run(self, **more: Any) -> Dict[str, ModuleRun]:
        """Run all of them; `more` for protected_vm."""
        known = {VM: "app-rg/{}", JOB: self.job_id}
        running = {}
        for module, task in TASKS.items():
            options: Dict[str, Any] = {
                name: str(known.get(value, value)).format(self.vm(module))
                if isinstance(value, str)
                else value
                for name, value in task.options.items()
            }
            if module == "protected_vm":
                options.update(more)
            running[module] = started(self.azure, module, vault=self.vault(module), **options)
        return {
            module: checked(self.azure, process.finish(LIMIT_S))
            for module, process in running.items()
        }

    def writes(self) -> Dict[str, int]:
        """Return how many requests each module has sent that could have changed something."""
        sent = dict.fromkeys(TASKS, 0)
        for one in writes(self.azure):
            for module in TASKS:
                if f"/{self.vault(module)}/" in one.path:
                    sent[module] += 1
        return sent


#: What each changes when it is let; `vm_extension_info` and its like nothing.
CHANGES = {"protected_vm", "backup_policy", "vm_backup", "backup_job"}


def test_nobody_may_do_anything(recovery_services: RecoveryServices) -> None:
    everyone = Everyone(recovery_services)
    said = "The client 'x' with object id 'y' does not have authorization to perform action 'z'."
    for module in TASKS:
        everyone.fault(
            module,
            status=403,
            code="AuthorizationFailed",
            message=said,
            headers=SUPPORT,
            times=ALWAYS,
        )
    for module, done in everyone.run().items():
        assert done.failed and not done.result.get("changed"), (module, done.stdout)
        failure = done["failure"]
        explained(failure, "AuthorizationFailed", "does not have authorization")
        explained(failure, "AuthorizationFailed", *everyone.words(module))
        assert failure["http_status"] == 403 and failure["correlation_id"] == CORRELATION, module
        assert failure["message"] in done["msg"]
        assert failure["recommended_action"] in done["msg"]
    sent = everyone.writes()
    assert all(count <= 1 for count in sent.values()), sent
    recovery_services.forget_faults()
    for module, done in everyone.run().items():
        assert not done.failed, done.stdout
        assert done["changed"] is (module in CHANGES), module


#: Trouble that each module has all the time, and the failure's name.
LASTING: Dict[str, Tuple[Dict[str, Any], str]] = {
    "protected_vm": ({"status": 503, "code": "ServerTimeout"}, "ServerTimeout"),
    "protected_vm_info": ({"kind": "malformed"}, "MalformedAnswer"),
    "protectable_vm_info": ({"status": 500, "body": OTHER_SHAPE}, "CloudInternalError"),
    "backup_policy": ({"status": 504, "code": "GatewayTimeout"}, "GatewayTimeout"),
    "backup_policy_info": ({"kind": "empty"}, "MalformedAnswer"),
    "vm_backup": ({"kind": "reset"}, "ConnectionBroken"),
    "backup_job": ({"status": 500, "code": "Internal", "message": ""}, "Internal"),
    "backup_job_info": ({"status": 502, "body": "<title>Bad\nGateway</title>"}, "HTTP502"),
    "recovery_point_info": (
        {"status": 500, "code": "RestApiInternalError"},
        "RestApiInternalError",
    ),
    "vm_extension_info": ({"kind": "reset"}, "ConnectionBroken"),
}


def test_everyone_has_trouble_that_stays(recovery_services: RecoveryServices) -> None:
    everyone = Everyone(recovery_services)
    for module, (fault, _name) in LASTING.items():
        everyone.fault(module, times=ALWAYS, headers=SUPPORT, **fault)
    # A busy service gets minutes, unless the timeout is shorter.
    for module, done in everyone.run(timeout=5).items():
        assert done.failed and not done.result.get("changed"), (module, done.stdout)
        failure = done["failure"]
        explained(failure, LASTING[module][1], *everyone.words(module))
        if "status" in LASTING[module][0]:
            assert failure["http_status"] == LASTING[module][0]["status"]
            assert failure["correlation_id"] == CORRELATION
    # What may be done twice is tried again, a few times; what may not, once.
    sent = everyone.writes()
    assert sent["vm_backup"] == sent["backup_job"] == 1
    assert 1 < sent["backup_policy"] <= 5 and 1 < sent["protected_vm"] <= 10
    assert sum(len(jobs(recovery_services, "", everyone.vault(name))) for name in TASKS) == 1


#: Trouble that each module has once or twice.
PASSING: Dict[str, Dict[str, Any]] = {
    "protected_vm": {"status": 502, "code": "BadGateway"},
    "protected_vm_info": {"kind": "reset", "times": 2},
    "protectable_vm_info": {"status": 429, "retry_after": 1, "times": 2},
    "backup_policy": {"kind": "reset", "after": True},
    "backup_policy_info": {"status": 504, "body": "", "times": 2},
    "vm_backup": {"kind": "expired_token"},
    "backup_job": {"status": 503, "code": "ServerTimeout", "retry_after": 1},
    "backup_job_info": {"kind": "malformed", "times": 2},
    "recovery_point_info": {"kind": "empty"},
    "vm_extension_info": {"status": 500, "body": OTHER_SHAPE, "times": 3},
}


def test_everyone_has_trouble_that_passes(recovery_services: RecoveryServices) -> None:
    everyone = Everyone(recovery_services)
    for module, fault in PASSING.items():
        everyone.fault(module, **fault)
    for module, done in everyone.run().items():
        assert not done.failed, (module, done.stdout)
        assert done["changed"] is (module in CHANGES), module
    assert recovery_services.faults() == []
    assert everyone.writes() == {
        **dict.fromkeys(TASKS, 0),
        "protected_vm": 2,
        "protectable_vm_info": 3,
        "backup_policy": 2,
        "vm_backup": 2,
        "backup_job": 2,
    }
    began = jobs(recovery_services, "Backup", everyone.vault("vm_backup"))
    assert len(began) == 1


@pytest.mark.parametrize("after", [True, False], ids=["carried out", "not carried out"])
def test_a_policy_whose_answer_is_unreadable(
    recovery_services: RecoveryServices, after: bool
) -> None:
    azure = recovery_services
    steps: Dict[str, Dict[str, Any]] = {
        "PUT": {"instant_restore_days": 3},
        "DELETE": {"state": "absent"},
    }
    for method, more in steps.items():
        options = {"name": "EnhancedPolicy", **more}
        before = azure.state()["vaults"]["vault1"]["policies"].get("EnhancedPolicy")
        azure.fault(method=method, path="/backupPolicies/", kind="malformed", after=after)
        done = run(azure, "backup_policy", **options)
        now = azure.state()["vaults"]["vault1"]["policies"].get("EnhancedPolicy")
        assert done.failed and bool(done.result.get("changed")) is (now != before) is after
        explained(done["failure"], "MalformedAnswer", "EnhancedPolicy", "vault1")
        again = run(azure, "backup_policy", **options)
        assert not again.failed and again["changed"] is not after


def test_answers_that_tell_secrets(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["one"], "protected")
    where = f"{azure.url}/operations/1?api-version=1&t=6390&c=CERTIFICATE&s=SIGNED&h=HASHED"
    text = f"See {where} and {where.replace('&', '&amp;')} Authorization: Bearer SECRET.TOKEN-1"
    tasks = {
        "protected_vm": ({"vm": "app-rg/one", "policy": "EnhancedPolicy"}, item("one")),
        "vm_backup": ({"vm": "app-rg/one"}, "/backup$"),
        "backup_job_info": ({}, "/backupJobs$"),
    }
    for module, (options, path) in tasks.items():
        azure.fault(path=path, status=400, code="BMSUserErrorInvalidInput", message=text)
        done = run(azure, module, **options)
        assert done.failed and done["failure"]["name"] == "BMSUserErrorInvalidInput"
        for secret in ("CERTIFICATE", "SIGNED", "HASHED", "SECRET.TOKEN-1"):
            assert secret not in done.stdout, (module, done.stdout)


def test_sign_in_that_fails(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    add_vms(azure, ["one", "two"], "protected")
    vms = {"vms": ["app-rg/one", "app-rg/two"]}
    wrong = run(azure, "vm_backup", **vms, secret="wrong-but-still-secret")
    assert wrong.failed and "wrong-but-still-secret" not in wrong.stdout
    explained(wrong["failure"], "AADSTS7000215")
    # In the middle: the token counts as expired, and no other token can be had.
    azure.fault(method="POST", path="/backup$", kind="expired_token")
    azure.fault(
        method="POST",
        path="/oauth2/",
        status=401,
        body={"error": "invalid_client", "error_description": "AADSTS7000222: It has expired."},
        skip=1,
        times=ALWAYS,
    )
    done = run(azure, "vm_backup", **vms)
    assert done.failed
    names = {vm["failure"]["name"] for vm in done["vms"] if vm["failure"]}
    assert names == {"AADSTS7000222"}
    explained(done["failure"], "AADSTS7000222", "back up", "expired")
    backed_up = {vm["name"] for vm in done["vms"] if vm["changed"]}
    assert backed_up == set(jobs(azure, "Backup").values())


# --- the hourly limits ---------------------------------------------------------------------------


def test_the_hourly_limits(recovery_services: RecoveryServices) -> None:
    azure = recovery_services
    # An hour is two seconds.
    azure.reset(limits=True, speed=1800)
    add_vms(azure, ["one"], "protected")
    path = azure.state()["vaults"]["vault1"]["id"]
    for action, limit in (("backupProtectedItems", 300), ("backupJobs", 450)):
        send_often(azure, f"{path}/{action}", limit)
    azure.forget_requests()
    azure.next_backup("one", duration_s=60)
    done = run(azure, "vm_backup", vm="app-rg/one")
    assert not done.failed, done.stdout
    assert len(jobs(azure, "Backup")) == 1
    assert sum(one.status == 429 for one in azure.requests()) <= 4


@pytest.mark.parametrize("module", ["protected_vm_info", "protected_vm", "vm_backup"])
def test_the_hourly_limits_when_there_is_no_time(
    recovery_services: RecoveryServices, module: str
) -> None:
    azure = recovery_services
    azure.reset(limits=True, speed=1)
    add_vms(azure, ["one"], "protected")
    path = azure.state()["vaults"]["vault1"]["id"]
    assert send_often(azure, f"{path}/backupProtectedItems", 301) == 429
    azure.forget_requests()
    options: Dict[str, Any] = {} if module == "protected_vm_info" else {"vm": "app-rg/one"}
    if module != "protected_vm_info":
        options["timeout"] = 60
    if module == "protected_vm":
        options["policy"] = "EnhancedPolicy"
    if module == "protected_vm_info":
        # Its own patience is an hour; a pause of more than that is asked for.
        azure.fault(path="/backupProtectedItems$", status=429, code="Slow", retry_after=7200)
    done = run(azure, module, **options)
    assert done.failed
    name = "Slow" if module == "protected_vm_info" else "ResourceRequestsThrottled"
    explained(done["failure"], name, "vault1", "UTC")
    assert done["failure"]["http_status"] == 429 and done["failure"]["correlation_id"]
    assert re.search(r"after \d{4}-\d\d-\d\d \d\d:\d\d", done["failure"]["recommended_action"])
    assert [one.status for one in azure.requests() if "Protected" in one.path] == [429]
    assert writes(azure) == []
