# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook of the vault's modules, run by ansible-playbook, while something goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

from tests.integration.vault_faults import (
    ALWAYS,
    CORRELATION,
    add_vms,
    item,
    jobs,
    state_of,
    writes,
)
from tests.lab.interpreter import interpreter
from tests.lab.recovery_services.call import SIGNATURE
from tests.lab.recovery_services.lab import RecoveryServices

FORBIDDEN = {
    "status": 403,
    "code": "AuthorizationFailed",
    "message": "Not for you.",
    "headers": {"x-ms-correlation-request-id": CORRELATION},
    "times": ALWAYS,
}


def play(
    azure: RecoveryServices, folder: Path, tasks: List[Dict[str, Any]], *words: str
) -> Dict[str, Any]:
    """Run the tasks and return what they registered. No secret may be in the output."""
    ansible = folder / "ansible"
    ansible.mkdir()
    results = folder / "results.json"
    every = {f"quiesce.azure_backup.{name}": {"vault": "vault1"} for name in MODULES}
    for options in every.values():
        options["resource_group"] = azure.resource_group
    names = [task["register"] for task in tasks if "register" in task]
    shown = ", ".join(f"'{name}': {name}" for name in names)
    playbook = folder / "playbook.json"
    keep = {
        "name": "keep the results",
        "ansible.builtin.copy": {
            "content": f"{{{{ {{ {shown} }} | to_json }}}}",
            "dest": str(results),
            "mode": "0600",
        },
        "check_mode": False,
        "no_log": True,
    }
    one = {
        "hosts": "localhost",
        "gather_facts": False,
        "module_defaults": every,
        "tasks": [*tasks, keep],
    }
    playbook.write_text(json.dumps([one]))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            *("--connection", "local", "--inventory", "localhost,", *words),
            *("--extra-vars", json.dumps({"ansible_python_interpreter": interpreter(folder)})),
            str(playbook),
        ],
        env={
            **os.environ,
            **azure.environment(),
            "ANSIBLE_HOME": str(ansible),
            "ANSIBLE_LOCAL_TEMP": str(ansible / "local"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
            "ANSIBLE_ASYNC_DIR": str(folder / "async"),
            "ANSIBLE_NOCOLOR": "1",
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=600,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    for secret in (azure.secret, SIGNATURE, "eyJ"):
        assert secret not in done.stdout
    found: Dict[str, Any] = json.loads(results.read_text())
    return {**found, "stdout": done.stdout}


MODULES = ("protected_vm", "vm_backup", "backup_job_info", "protectable_vm_info")


def test_tasks_in_trouble(recovery_services: RecoveryServices, tmp_path: Path) -> None:
    azure = recovery_services
    vms = ("one", "two", "three")
    add_vms(azure, vms)
    azure.fault(method="PUT", path=item("two"), **FORBIDDEN)
    azure.fault(method="GET", path="/backupJobs", status=429, retry_after=1)
    azure.next_backup("one", duration_s=120)
    azure.next_backup("three", "failed", duration_s=60)
    every = [f"app-rg/{vm}" for vm in vms]
    tasks: List[Dict[str, Any]] = [
        {
            "name": "protect all",
            "quiesce.azure_backup.protected_vm": {
                "vms": every,
                "policy": "DefaultPolicy",
                "poll_interval": 0.2,
            },
            "register": "protected",
            "ignore_errors": True,
        },
        {
            "name": "back up each, in the background",
            "quiesce.azure_backup.vm_backup": {"vm": "{{ item }}", "poll_interval": 0.2},
            "loop": every,
            "async": 600,
            "poll": 0,
            "register": "begun",
        },
        {
            "name": "see what became of each",
            "ansible.builtin.async_status": {"jid": "{{ item.ansible_job_id }}"},
            "loop": "{{ begun.results }}",
            "loop_control": {"label": "{{ item.item }}"},
            "register": "backups",
            "until": "backups is finished",
            "retries": 600,
            "delay": 0.5,
            "ignore_errors": True,
        },
    ]
    told = play(azure, tmp_path, tasks, "-v")
    protected = told["protected"]
    assert protected["failed"] and protected["changed"]
    assert [vm["state"] for vm in protected["vms"]] == [state_of(azure, vm) for vm in vms]
    assert [vm["failure"] and vm["failure"]["name"] for vm in protected["vms"]] == [
        None,
        "AuthorizationFailed",
        None,
    ]
    assert protected["failure"]["correlation_id"] == CORRELATION
    one, two, three = told["backups"]["results"]
    assert not one.get("failed") and one["changed"] and one["consistency"] == "file-system"
    assert two["failed"] and not two["changed"]
    assert two["failure"]["name"] == "VmNotProtected" and "two" in two["msg"]
    assert three["failed"] and three["changed"]
    assert three["failure"]["name"] == "UserErrorGuestAgentStatusUnavailable"
    assert three["vms"][0]["job_id"] in three["msg"]
    assert sorted(jobs(azure, "Backup").values()) == ["one", "three"]


def test_check_mode_in_trouble(recovery_services: RecoveryServices, tmp_path: Path) -> None:
    azure = recovery_services
    add_vms(azure, ["new"])
    add_vms(azure, ["old"], "protected")
    add_vms(azure, ["gone"], "soft_deleted")
    azure.fault(method="GET", path="/backupProtectedItems$", kind="reset")
    azure.fault(method="GET", path="/backupProtectableItems$", kind="expired_token")
    azure.fault(path="/backupStatus$", status=500, code="RestApiInternalError")
    before = azure.state()["vaults"]
    tasks: List[Dict[str, Any]] = [
        {
            "name": "each state",
            "quiesce.azure_backup.protected_vm": {
                "vms": ["app-rg/new", "app-rg/old", "app-rg/gone", "app-rg/nowhere"],
                "policy": "EnhancedPolicy",
                "state": "{{ item }}",
            },
            "loop": ["protected", "stopped", "absent", "undeleted"],
            "register": "states",
            "ignore_errors": True,
        },
        {
            "name": "back up",
            "quiesce.azure_backup.vm_backup": {"vms": ["app-rg/old", "app-rg/gone"]},
            "register": "backup",
            "ignore_errors": True,
        },
    ]
    told = play(azure, tmp_path, tasks, "--check", "--diff")
    assert writes(azure) == []
    after = azure.state()["vaults"]
    assert after["vault1"]["jobs"] == [] == before["vault1"]["jobs"]
    by_state = {one["item"]: one for one in told["states"]["results"]}
    failures = {
        state: {vm["name"]: vm["failure"]["name"] for vm in one["vms"] if vm["failure"]}
        for state, one in by_state.items()
    }
    assert failures["protected"] == {"nowhere": "VmNotFound"}
    assert failures["absent"] == {}
    assert set(failures["stopped"]) == {"new", "gone", "nowhere"}
    assert set(failures["undeleted"]) == {"new", "nowhere"}
    assert all(one["changed"] for one in by_state.values())
    assert "-" in told["stdout"] and "soft_deleted" in told["stdout"]
    assert told["backup"]["failed"] and told["backup"]["changed"]
