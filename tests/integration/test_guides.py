# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the examples of the guide, README and modules for the vault against the lab's Azure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml

from tests.lab._process import ROOT
from tests.lab.module_run import module_file, run_module
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

#: Modules that wait do it for the lab's fast clock; nothing else of what is shown is changed.
_WAITING = ("backup_job", "backup_job_info", "protectable_vm_info", "protected_vm", "vm_backup")
_DEFAULTS = {f"quiesce.azure_backup.{name}": {"poll_interval": 0.2} for name in _WAITING}
_SPEED = 1000.0
#: What is shown with a date, so that it does not end with that date.
_DATES = {"2026-11-01": -20, "2026-11-16": -5}
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_MODULES = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["azure"]


def test_the_guide_to_the_vault(recovery_services: RecoveryServices, tmp_path: Path) -> None:
    text = of_today((ROOT / "docs/docsite/rst/guide_vault.rst").read_text())
    blocks = re.findall(r"^\.\. code-block:: yaml\n\n((?:(?: {4}.*)?\n)+)", text, re.MULTILINE)
    assert len(blocks) == text.count("code-block:: yaml") > 5
    plays: List[Dict[str, Any]] = []
    for block in blocks:
        shown = yaml.safe_load(textwrap.dedent(block))
        if "hosts" in shown[0]:
            plays += shown
        else:
            # "Put the tasks in the rest of this guide into plays of the same kind."
            same = {key: plays[0][key] for key in ("hosts", "gather_facts", "module_defaults")}
            plays.append({"name": shown[0]["name"], **same, "tasks": shown})
    begin(recovery_services)
    output = run_plays(plays, recovery_services, tmp_path)
    vault = recovery_services.state()["vaults"]["vault1"]
    states = {one["properties"]["protectionState"] for one in vault["items"]}
    assert len(vault["items"]) == 2 and states <= {"Protected", "IRPending"}
    assert "file-system-consistent" in output
    assert "web01" in output


def test_the_playbook_of_the_readme(recovery_services: RecoveryServices, tmp_path: Path) -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    (shown,) = [block for block in blocks if "quiesce.azure_backup.protected_vm" in block]
    begin(recovery_services)
    output = run_plays(yaml.safe_load(shown), recovery_services, tmp_path)
    assert "file-system-consistent" in output


@pytest.mark.parametrize("name", _MODULES)
def test_the_examples_of(name: str, recovery_services: RecoveryServices, tmp_path: Path) -> None:
    azure = recovery_services
    begin(azure)
    quick = {**azure.options(), "poll_interval": 0.2}
    if name not in ("protectable_vm_info", "protected_vm"):
        vms = ["app-rg/db01", "app-rg/db02", "app-rg/web01"]
        made = run_module("protected_vm", {**quick, "vms": vms, "policy": "DefaultPolicy"})
        assert not made.failed, made.result
    for _backup in range(2):
        azure.next_backup(vm="db01", result="application")
    text = module_file(name).read_text().partition('EXAMPLES = r"""\n')[2].partition('"""\n')[0]
    assert text.startswith("- name: ")
    if _ID.search(text) or name == "recovery_point_info":
        made = run_module("vm_backup", {**quick, "vm": "app-rg/db01"})
        assert not made.failed, made.result
        text = _ID.sub(made["vms"][0]["job_id"], text)
    play = {"name": name, "hosts": "localhost", "gather_facts": False, "module_defaults": {}}
    run_plays([{**play, "tasks": yaml.safe_load(of_today(text))}], azure, tmp_path)


def of_today(text: str) -> str:
    """Return the text with dates that are as far from today as they were when it was written."""
    today = datetime.now(timezone.utc)
    for date, days in _DATES.items():
        text = text.replace(date, f"{today + timedelta(days=days):%Y-%m-%d}")
    return text


def begin(azure: RecoveryServices) -> None:
    """Reset the lab to its usual VMs and vaults, on a clock on which a backup takes seconds."""
    # Tokens last longer than all of it: an hour is a few seconds.
    azure.reset(seed={**seeds.default(), "token_lifetime_s": 30 * 86400.0}, speed=_SPEED)


def run_plays(plays: List[Dict[str, Any]], azure: RecoveryServices, folder: Path) -> str:
    """Run them in this order, each with what is shown and no more; the output."""
    whole = [
        {**play, "module_defaults": {**_DEFAULTS, **play["module_defaults"]}} for play in plays
    ]
    playbook = folder / "playbook.json"
    # JSON is YAML too.
    playbook.write_text(json.dumps(whole))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-v", str(playbook)],
        env={
            **os.environ,
            **azure.environment(),
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0
    # Nothing that is shown is of the past: an option, a module or a way to write it. A backup
    # without a disk that was left out on purpose is warned of, as one without any other disk.
    warned = done.stdout.count("[WARNING]: ")
    assert warned == len(re.findall(r"\[WARNING\]: VM db01: recovery point \d+ holds", done.stdout))
    assert azure.secret not in done.stdout
    return done.stdout
