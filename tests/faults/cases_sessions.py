# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of what a run lives in: connection, job, memory, control group."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from tests.faults import _processes as processes
from tests.faults._case import APPLICATION, DIED, WINDOW, Case, MissedPhaseError, UnavailableError
from tests.faults._harness import LIMIT_S, Harness
from tests.lab.interpreter import interpreter

_SSHD = "/usr/sbin/sshd"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def _ssh(harness: Harness, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """Start an SSH server on loopback; yield it and the ssh command that connects to it."""
    if shutil.which("ssh") is None or not Path(_SSHD).exists():
        raise UnavailableError("no SSH server or client is installed (Debian: openssh-server)")
    folder = harness.folder / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, capture_output=True, timeout=LIMIT_S)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    port = _free_port()
    settings = {
        "Port": str(port),
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "PermitRootLogin": "yes",
        "StrictModes": "no",
        "UsePAM": "no",
    }
    config = folder / "sshd_config"
    config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    server = subprocess.Popen(
        [_SSHD, "-D", "-e", "-f", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
    )
    harness.on_exit(_end_tree, server)
    words = ["ssh", "-q", "-F", "none", "-p", str(port), "-i", str(folder / "user")]
    words += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known"]
    words += ["-o", "ConnectionAttempts=30", *options, f"{getpass.getuser()}@127.0.0.1"]
    yield server, words


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text()
                if int(stat[stat.rindex(")") + 2 :].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def _end_tree(server: subprocess.Popen[bytes]) -> None:
    for child in _children(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    server.kill()
    server.wait(LIMIT_S)


def _connection_cut(terminal: bool) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.hold_snapshots()
        with _ssh(harness, *(["-tt"] if terminal else [])) as (server, words):
            exports = [
                f"{name}={shlex.quote(value)}" for name, value in harness.environment().items()
            ]
            command = [shlex.quote(word) for word in harness.command(harness.write_arguments())]
            harness.run = harness.spawn(
                "run", [*words, " ".join(["exec env -i", *exports, *command])]
            )
            harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))
            for connection in _children(server.pid):
                # Only the processes of the connection, not the sessions below them.
                for pid in [*_children(connection), connection]:
                    name = processes.process(pid)
                    if name is not None and name.comm == "sshd":
                        os.kill(pid, signal.SIGKILL)
            harness.run.kill()
            _end_tree(server)
        harness.gate.open()

    return inject


#: A run under async, which keeps the result that the run would print.
_PLAYBOOK = """\
- name: A run under async
  hosts: localhost
  gather_facts: false
  tasks:
    - name: Take the snapshot
      quiesce.azure_backup.vm_snapshot:
      async: 120
      poll: 1
      register: taken
      ignore_errors: true  # a run that fails is judged by its kept result
    - name: Keep the result
      ansible.builtin.copy:
        content: "{{ taken | to_json }}"
        dest: "{{ kept }}"
        mode: "0600"
"""


def _asynchronously(kill: bool) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.hold_snapshots()
        playbook, values = harness.folder / "async.yml", harness.folder / "async.json"
        playbook.write_text(
            _PLAYBOOK.replace("vm_snapshot:", f"vm_snapshot: {json.dumps(harness.options())}")
        )
        playbook.chmod(0o600)
        kept = str(harness.folder / "run.kept")
        given = {"kept": kept, "ansible_python_interpreter": interpreter(harness.folder)}
        values.write_text(json.dumps(given))
        harness.more_env.update(
            ANSIBLE_COLLECTIONS_PATH=str(harness.tree),
            ANSIBLE_ASYNC_DIR=str(harness.scratch / "async"),
            ANSIBLE_LOCAL_TEMP=str(harness.scratch / "local"),
            ANSIBLE_REMOTE_TEMP=str(harness.scratch / "remote"),
        )
        ansible = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
        ansible += [str(playbook), "-e", f"@{values}"]
        harness.run = harness.spawn("run", harness.isolated(ansible))
        harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))
        if kill:
            guard = harness.roles().get(processes.GUARD)
            if guard is None:
                raise MissedPhaseError("no guard")
            stat = Path(f"/proc/{guard}/stat").read_text()
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            processes.send(parent, harness.token, signal.SIGKILL)
            # The output is Ansible's then, and so are the files that it had unpacked.
            harness.unjudged_output = True
            harness.unjudged_files.add("ansible_")
        harness.gate.open()
        # The module does not clean up Ansible's own files.
        harness.unjudged_files.update(("async", "local", "remote", ".ansible"))

    return inject


_INTO_GROUPS = 'for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@"'


def _hierarchies(*wanted: str) -> list[Path]:
    """Return the mount points of these cgroup hierarchies; `unified` is that of version 2."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _source, folder, fstype, options = line.split(" ")[:4]
        names = set(options.split(",")) if fstype == "cgroup" else set()
        if fstype == "cgroup2":
            names = {"unified"}
        if names & set(wanted):
            found.append(Path(folder))
    return found


@contextlib.contextmanager
def _groups(harness: Harness, *wanted: str) -> Iterator[list[Path]]:
    """Make a control group in each of these hierarchies that exists."""
    groups = [folder / f"quiesce-{harness.token[:12]}" for folder in _hierarchies(*wanted)]
    if not groups:
        raise UnavailableError(
            f"no hierarchy of control groups is mounted for {' or '.join(wanted)}"
        )
    for group in groups:
        try:
            group.mkdir()
        except OSError as error:
            raise UnavailableError(f"no control group can be made: {error}") from None
        harness.on_exit(_remove_group, group)
    yield groups


def _remove_group(group: Path) -> None:
    processes.wait_for(lambda: not (group / "cgroup.procs").read_text().split(), 30)
    with contextlib.suppress(OSError):
        group.rmdir()


def _limit_memory(group: Path, limit: int) -> None:
    for name in ("memory.limit_in_bytes", "memory.max"):
        if (group / name).exists():
            (group / name).write_text(str(limit))
            return
    raise UnavailableError("the memory of a control group cannot be limited here")


def _out_of_memory(harness: Harness) -> None:
    """Fill the group's memory with pages of no process, so that the kernel kills the run."""
    harness.hold_snapshots()
    with _groups(harness, "memory" if _hierarchies("memory") else "unified") as (group, *_others):
        _limit_memory(group, 192 << 20)
        harness.start(("sh", "-c", _INTO_GROUPS, str(group)))
        harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))
        assert harness.run is not None
        # The supervisors may not be allowed to lower their score, so raise that of the run.
        Path(f"/proc/{harness.run.pid}/oom_score_adj").write_text("1000")
        ballast = Path("/dev/shm") / f"quiesce-ballast-{harness.token}"
        harness.on_exit(lambda: ballast.unlink(missing_ok=True))
        fill = 'echo $$ > "$0/cgroup.procs"; exec dd if=/dev/zero of="$1" bs=1M count=256'
        filler = subprocess.Popen(
            ["sh", "-c", fill, str(group), str(ballast)], stderr=subprocess.DEVNULL
        )
        killed = processes.wait_for(lambda: processes.process(harness.run_pid) is None, 30)
        filler.kill()
        filler.wait(LIMIT_S)
        ballast.unlink(missing_ok=True)
        if not killed:
            raise MissedPhaseError("the run was not killed for its memory")
        harness.gate.open()


def _group_killed(harness: Harness) -> None:
    """Kill every process of the run's group until it is empty, like a session manager."""
    harness.hold_snapshots()
    with _groups(harness, "name=systemd", "unified") as groups:
        harness.start(("sh", "-c", _INTO_GROUPS, " ".join(str(group) for group in groups)))
        harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))
        members = _members(groups)
        if str(harness.run_pid) not in members:
            raise MissedPhaseError(f"the run is not in its group: {members}")
        while members:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(member), signal.SIGKILL)
            members = _members(groups)
        harness.gate.open()


def _members(groups: list[Path]) -> set[str]:
    return {pid for group in groups for pid in (group / "cgroup.procs").read_text().split()}


def cases() -> list[Case]:
    """Return all cases of this file."""
    return [
        Case(
            name="session/ssh",
            fault="the SSH connection is cut",
            phase=WINDOW,
            inject=_connection_cut(False),
            expect=(DIED,),
        ),
        Case(
            name="session/ssh-terminal",
            fault="the SSH connection with a terminal is cut",
            phase=WINDOW,
            inject=_connection_cut(True),
            expect=(DIED,),
        ),
        Case(
            name="session/async",
            fault="under async, without a fault",
            phase=WINDOW,
            inject=_asynchronously(False),
            expect=(APPLICATION,),
        ),
        Case(
            name="session/async-killed",
            fault="under async, SIGKILL to the run",
            phase=WINDOW,
            inject=_asynchronously(True),
            expect=(DIED,),
        ),
        Case(
            name="session/out-of-memory",
            fault="the run is killed for its memory",
            phase=WINDOW,
            inject=_out_of_memory,
            expect=(DIED,),
        ),
        Case(
            name="session/control-group",
            fault="the whole control group of the session is killed",
            phase=WINDOW,
            inject=_group_killed,
            expect=(DIED,),
            fast=True,
        ),
    ]
