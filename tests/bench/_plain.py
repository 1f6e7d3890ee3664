# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plain way: a playbook that freezes, asks for one snapshot after the other, and thaws."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Sequence

_PLAYBOOK = """\
- name: The plain way
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Freeze, take and thaw
      block:
        - name: Freeze
          ansible.builtin.command: "fsfreeze -f {{ item }}"
          loop: "{{ mounts }}"
        - name: Ask for the snapshots
          ansible.builtin.uri:
            url: "{{ item }}&comp=snapshot"
            method: PUT
            body: ""
            status_code: 201
          loop: "{{ urls }}"
      always:
        - name: Thaw
          ansible.builtin.command: "fsfreeze -u {{ item }}"
          loop: "{{ mounts }}"
"""


def run(folder: Path, mounts: Sequence[str], urls: Sequence[str]) -> None:
    """Run it once. How long it took is what a writer saw; raises when a task failed."""
    playbook, values = folder / "plain.yml", folder / "plain.json"
    playbook.write_text(_PLAYBOOK)
    values.touch(mode=0o600)
    chosen = {"mounts": list(mounts), "urls": list(urls)}
    values.write_text(json.dumps({**chosen, "ansible_python_interpreter": sys.executable}))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)]
    command += ["-e", f"@{values}"]
    home = {"ANSIBLE_LOCAL_TEMP": str(folder), "ANSIBLE_REMOTE_TEMP": str(folder)}
    done = subprocess.run(
        command,
        env={**os.environ, **home, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"The plain playbook failed: {done.stdout[-2000:]}{done.stderr[-500:]}")
