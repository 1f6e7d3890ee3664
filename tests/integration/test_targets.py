# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The integration targets of the modules, each run by ansible-playbook on this machine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest
import yaml

from tests.lab._process import ROOT
from tests.lab.guest_files import GuestFiles
from tests.lab.interpreter import interpreter
from tests.lab.recovery_services.lab import RecoveryServices

TARGETS = Path(__file__).with_name("targets")
NAMES = sorted(path.name for path in TARGETS.iterdir() if (path / "tasks" / "main.yml").is_file())
#: The modules that sign in to Azure.
VAULT = yaml.safe_load((ROOT / "meta" / "runtime.yml").read_text())["action_groups"]["azure"]
#: How a JSON Web Token begins, which is what a bearer token of Azure is.
TOKEN = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}")


def test_every_module_has_its_target() -> None:
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("[a-z]*.py")}
    assert set(VAULT) <= modules
    # One module is tested by files of its own, because it freezes what must be guarded.
    assert modules - set(NAMES) == {"vm_snapshot"}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in VAULT])
def test_target_on_a_guest(name: str, tmp_path: Path) -> None:
    with GuestFiles() as guest:
        play = {"vars": {"guest_folder": str(guest.folder)}}
        ok_and_changed(run_target(name, play, python_of_hosts(), tmp_path), changes=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name in VAULT])
def test_target_on_a_controller(
    name: str, tmp_path: Path, recovery_services: RecoveryServices
) -> None:
    azure = recovery_services
    variables = {
        "lab_url": azure.url,
        "lab_ca": str(azure.ca_file),
        "lab_options": azure.options(),
    }
    play = {
        "vars": variables,
        "module_defaults": {"group/quiesce.azure_backup.azure": "{{ lab_options }}"},
    }
    output = run_target(name, play, interpreter(tmp_path), tmp_path)
    ok_and_changed(output, changes=not name.endswith("_info"))
    assert azure.secret not in output
    assert not TOKEN.search(output)
    # So that a form of token that this does not know cannot hide.
    assert "Bearer" not in output


def run_target(name: str, play: Dict[str, Any], python: str, folder: Path) -> str:
    """Run a target as a role of this play; its output, which is shown when the test fails."""
    playbook = folder / "playbook.json"
    playbook.touch(mode=0o600)
    whole = {
        "name": name,
        "hosts": "localhost",
        "gather_facts": False,
        "roles": [{"role": str(TARGETS / name)}],
        **play,
    }
    # JSON is YAML too.
    playbook.write_text(json.dumps([whole]))
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            # As much as Ansible says of what modules were given.
            *("-vvv", "--connection", "local", "--inventory", "localhost,"),
            # As JSON, because a path may hold a space.
            *("--extra-vars", json.dumps({"ansible_python_interpreter": python})),
            str(playbook),
        ],
        env={
            **os.environ,
            "ANSIBLE_HOME": str(folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
            "ANSIBLE_NOCOLOR": "1",
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
    return done.stdout


def ok_and_changed(output: str, changes: bool) -> None:
    """Assert that tasks were run, and, if the module changes anything, that some did."""
    recap = re.search(r"localhost +: ok=(\d+) +changed=(\d+).* failed=0 ", output)
    assert recap is not None and int(recap[1]) > 5
    assert int(recap[2]) > 0 or not changes


def python_of_hosts() -> str:
    """Return the interpreter of the guests: the system's, as on a real one."""
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
