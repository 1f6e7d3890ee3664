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

import pytest

from tests.lab.guest_files import GuestFiles

TARGETS = Path(__file__).with_name("targets")
NAMES = sorted(path.name for path in TARGETS.iterdir() if (path / "tasks" / "main.yml").is_file())


def test_there_are_targets() -> None:
    assert {"snapshot_scripts", "snapshot_scripts_info"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_target(name: str, tmp_path: Path) -> None:
    playbook = tmp_path / "playbook.json"
    with GuestFiles() as guest:
        play = {
            "name": name,
            "hosts": "localhost",
            "gather_facts": False,
            "roles": [{"role": str(TARGETS / name)}],
            "vars": {"guest_folder": str(guest.folder)},
        }
        # JSON is YAML too.
        playbook.write_text(json.dumps([play]))
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("--connection", "local", "--inventory", "localhost,"),
                # As JSON, because a path may hold a space.
                *("--extra-vars", json.dumps({"ansible_python_interpreter": python_of_hosts()})),
                str(playbook),
            ],
            env={
                **os.environ,
                "ANSIBLE_HOME": str(tmp_path / "ansible"),
                "ANSIBLE_LOCAL_TEMP": str(tmp_path / "local"),
                "ANSIBLE_REMOTE_TEMP": str(tmp_path / "remote"),
                "ANSIBLE_NOCOLOR": "1",
            },
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
    print(done.stdout)
    assert done.returncode == 0
    recap = re.search(r"localhost +: ok=(\d+) +changed=(\d+).* failed=0 ", done.stdout)
    assert recap is not None and int(recap[1]) > 5 and int(recap[2]) > 0


def python_of_hosts() -> str:
    """The interpreter of the guests: the system's, as on a real one."""
    return "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
