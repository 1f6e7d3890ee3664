# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lines of progress are shown at -v while a task waits, and at no other time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Sequence

import pytest

from tests.lab.interpreter import interpreter
from tests.lab.module_run import run_module
from tests.lab.recovery_services.lab import RecoveryServices

_LIMIT_S = 600.0
_LONG = 3000.0


@pytest.fixture(name="azure")
def _azure(recovery_services: RecoveryServices) -> RecoveryServices:
    """A vault that protects two VMs."""
    recovery_services.change(add_item={"vault": "vault1", "vm": "db01"})
    recovery_services.change(add_item={"vault": "vault1", "vm": "db02"})
    return recovery_services


class Play:
    """Tasks for ansible-playbook; its output is read line by line as it comes."""

    def __init__(self, azure: RecoveryServices, folder: Path) -> None:
        self.folder = folder
        self._options = {**azure.options(), "poll_interval": 0.2}

    @contextmanager
    def running(
        self, tasks: Sequence[Dict[str, Any]], *words: str, hosts: str = "localhost,"
    ) -> Iterator["subprocess.Popen[str]"]:
        """Run the tasks; `words` are options of ansible-playbook."""
        play = {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": {"group/quiesce.azure_backup.azure": self._options},
            "tasks": list(tasks),
        }
        playbook = self.folder / "playbook.json"
        playbook.write_text(json.dumps([play]))
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("--connection", "local", "--inventory", hosts),
                *(
                    "--extra-vars",
                    json.dumps({"ansible_python_interpreter": interpreter(self.folder)}),
                ),
                *words,
                str(playbook),
            ],
            env={
                **{key: value for key, value in os.environ.items() if "ANSIBLE" not in key},
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "local"),
                "ANSIBLE_REMOTE_TEMP": str(self.folder / "remote"),
                "ANSIBLE_ASYNC_DIR": str(self.folder / "async"),
                "ANSIBLE_NOCOLOR": "1",
                # A line at a time, as to a terminal: into a pipe Ansible writes in blocks.
                "PYTHONUNBUFFERED": "1",
                "ANSIBLE_LOCALHOST_WARNING": "0",
            },
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # What never comes is not waited for.
        timer = threading.Timer(_LIMIT_S, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def run(self, tasks: Sequence[Dict[str, Any]], *words: str, hosts: str = "localhost,") -> str:
        """Return all that it says, once it is over."""
        with self.running(tasks, *words, hosts=hosts) as process:
            said = process.communicate()[0]
            assert process.returncode == 0, said
        return said

    def left_over(self) -> List[str]:
        """Files of progress that are there still."""
        return [str(path) for path in self.folder.rglob("progress-*")]


@pytest.fixture(name="play")
def _play(azure: RecoveryServices, tmp_path: Path) -> Play:
    return Play(azure, tmp_path)


def task(module: str = "vm_backup", **options: Any) -> Dict[str, Any]:
    given = options or {"vm": "app-rg/db01"}
    return {"name": module, f"quiesce.azure_backup.{module}": given}


def read_until(
    process: "subprocess.Popen[str]", is_there: Callable[[Sequence[str]], bool]
) -> List[str]:
    """Return the lines up to the one with which the condition holds."""
    assert process.stdout is not None
    lines: List[str] = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if is_there(lines):
            return lines
    raise AssertionError("It did not come:\n" + "\n".join(lines))


def has(*parts: str) -> Callable[[Sequence[str]], bool]:
    return lambda lines: all(any(part in line for line in lines) for part in parts)


def test_a_line_is_shown_while_the_task_still_waits(azure: RecoveryServices, play: Play) -> None:
    azure.hold()
    azure.next_backup("db01", duration_s=_LONG)
    with play.running([task()], "-v") as process:
        lines = read_until(process, has("<localhost> db01: Backup InProgress"))
        azure.advance(60)
        lines += read_until(process, has("<localhost> db01: Backup InProgress, Take Snapshot"))
        # The job cannot have ended: the clock stands until this advances it.
        assert not has("changed: [localhost]")(lines)
        assert len(play.left_over()) == 1
        azure.advance(0.7 * _LONG)
        lines += read_until(process, has("Transfer data to vault"))
        assert not has("changed: [localhost]")(lines)
        azure.advance(_LONG)
        rest = process.communicate()[0]
    assert process.returncode == 0, rest
    assert rest.index("db01: Backup Completed") < rest.index("changed: [localhost]")
    assert "_progress_file" not in "".join(lines) + rest
    assert play.left_over() == []


def test_hosts_show_their_lines_side_by_side(azure: RecoveryServices, play: Play) -> None:
    azure.hold()
    azure.next_backup("db01", duration_s=_LONG)
    azure.next_backup("db02", duration_s=_LONG)
    tasks = [task(vm="app-rg/{{ inventory_hostname }}")]
    with play.running(tasks, "-v", "--forks", "2", hosts="db01,db02,") as process:
        read_until(process, has("<db01> db01: Backup InProgress", "<db02> db02: Backup InProgress"))
        azure.advance(2 * _LONG)
        rest = process.communicate()[0]
    assert process.returncode == 0, rest
    assert "<db01> db01: Backup Completed" in rest and "<db02> db02: Backup Completed" in rest
    assert play.left_over() == []


def test_without_v_nothing_is_shown(azure: RecoveryServices, play: Play) -> None:
    azure.next_backup("db01", duration_s=60)
    said = play.run([task()])
    assert "changed: [localhost]" in said and "InProgress" not in said
    assert play.left_over() == []


def test_loops_delegation_and_other_modules_show_lines(azure: RecoveryServices, play: Play) -> None:
    for vm in ("db01", "db02", "db01"):
        azure.next_backup(vm, duration_s=800)
    begin = {**task(vm="app-rg/db01", wait=False), "register": "begun"}
    finish = task("backup_job", job_id="{{ begun.vms[0].job_id }}", state="finished")
    said = play.run(
        [
            {**task(vm="app-rg/{{ item }}"), "loop": ["db01", "db02"]},
            begin,
            {**finish, "delegate_to": "localhost"},
            task("protected_vm", vm="app-rg/web01", policy="DefaultPolicy"),
        ],
        "-v",
    )
    lines = [line for line in said.splitlines() if line.startswith("<localhost>")]
    shown = [
        *("db01: Backup InProgress", "db01: Backup Completed"),
        *("db02: Backup InProgress", "db02: Backup Completed"),
        *("db01: Backup InProgress", "db01: Backup Completed"),
        "web01: ConfigureBackup Completed",
    ]
    where = 0
    for part in shown:
        found = [number for number in range(where, len(lines)) if part in lines[number]]
        assert found, f"{part} does not come after line {where} of {lines}"
        where = found[0] + 1
    assert play.left_over() == []


def test_no_log_hides_the_lines_too(azure: RecoveryServices, play: Play) -> None:
    azure.next_backup("db01", duration_s=60)
    said = play.run([{**task(), "no_log": True}], "-v")
    assert "changed: [localhost]" in said and "db01" not in said


@pytest.mark.parametrize("poll", [1, 0])
def test_async_is_as_without_an_action_plugin(
    azure: RecoveryServices, play: Play, poll: int
) -> None:
    azure.next_backup("db01", duration_s=200)
    tasks = [{**task(), "async": 600, "poll": poll, "register": "job"}]
    status = {
        "name": "wait",
        "ansible.builtin.async_status": {"jid": "{{ job.ansible_job_id }}"},
        "register": "job",
        "until": "job is finished",
        "retries": 600,
        "delay": 1,
    }
    shown = {"name": "show", "ansible.builtin.debug": {"msg": "reached {{ job.consistency }}"}}
    said = play.run([*tasks, *([status] if poll == 0 else []), shown], "-v")
    assert "reached file-system" in said
    assert "db01: Backup InProgress" not in said
    assert play.left_over() == []


def test_check_mode_and_errors_are_as_without_an_action_plugin(
    azure: RecoveryServices, play: Play
) -> None:
    failing = {**task(vm="app-rg/web01"), "ignore_errors": True}
    said = play.run([task(), failing], "-v", "--check", "--diff")
    assert "changed: [localhost]" in said and "VmNotProtected" in said
    assert azure.writes() == []
    assert play.left_over() == []


def test_module_alone_writes_to_existing_file_only(azure: RecoveryServices, tmp_path: Path) -> None:
    target, missing, link = tmp_path / "lines", tmp_path / "missing", tmp_path / "link"
    target.touch()
    link.symlink_to(target)
    for path in (missing, link, tmp_path, target):
        azure.next_backup("db01", duration_s=30)
        given = {**azure.options(), "vm": "app-rg/db01", "poll_interval": 0.1}
        done = run_module("vm_backup", {**given, "_progress_file": str(path)})
        assert not done.failed, done.result
        if path != target:
            assert target.read_text() == "" and not missing.exists()
    assert target.read_text().splitlines()[-1].startswith("db01: Backup Completed")
