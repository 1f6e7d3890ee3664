# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run lives in comes to its end: connection, job, memory, control group."""

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
from pathlib import Path
from typing import Callable, Iterator, List, Set

from tests.faults import _processes as processes
from tests.faults._case import APPLICATION, DIED, WINDOW, Case, Missed, Unavailable
from tests.faults._rig import LIMIT_S, Rig
from tests.lab.interpreter import interpreter

_SSHD = "/usr/sbin/sshd"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def _ssh(rig: Rig, *options: str) -> Iterator["tuple[subprocess.Popen[bytes], list[str]]"]:
    """A server of its own on loopback, and the words that begin a command by way of it."""
    if shutil.which("ssh") is None or not Path(_SSHD).exists():
        raise Unavailable("no SSH server or client is installed (Debian: openssh-server)")
    folder = rig.folder / "ssh"
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
    rig.on_exit(_end_tree, server)
    words = ["ssh", "-q", "-F", "none", "-p", str(port), "-i", str(folder / "user")]
    words += ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known"]
    words += ["-o", "ConnectionAttempts=30", *options, f"{getpass.getuser()}@127.0.0.1"]
    yield server, words


def _children(pid: int) -> List[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                stat = (entry / "stat").read_text()
                if int(stat[stat.rindex(")") + 2 :].split()[1]) == pid:
                    found.append(int(entry.name))
    return found


def _end_tree(server: "subprocess.Popen[bytes]") -> None:
    for child in _children(server.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    server.kill()
    server.wait(LIMIT_S)


def _connection_cut(terminal: bool) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        rig.hold_snapshots()
        with _ssh(rig, *(["-tt"] if terminal else [])) as (server, words):
            exports = [f"{name}={shlex.quote(value)}" for name, value in rig.environment().items()]
            command = [shlex.quote(word) for word in rig.command(rig.write_arguments())]
            rig.run = rig.spawn("run", [*words, " ".join(["exec env -i", *exports, *command])])
            rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))
            for connection in _children(server.pid):
                # The connection's processes; the sessions below them are not touched.
                for one in [*_children(connection), connection]:
                    name = processes.process(one)
                    if name is not None and name.comm == "sshd":
                        os.kill(one, signal.SIGKILL)
            rig.run.kill()
            _end_tree(server)
        rig.gate.open()

    return inject


#: Under async, and the result as the run would have printed it.
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


def _asynchronously(kill: bool) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        rig.hold_snapshots()
        playbook, values = rig.folder / "async.yml", rig.folder / "async.json"
        playbook.write_text(
            _PLAYBOOK.replace("vm_snapshot:", f"vm_snapshot: {json.dumps(rig.options())}")
        )
        playbook.chmod(0o600)
        kept = str(rig.folder / "run.kept")
        given = {"kept": kept, "ansible_python_interpreter": interpreter(rig.folder)}
        values.write_text(json.dumps(given))
        rig.more_env.update(
            ANSIBLE_COLLECTIONS_PATH=str(rig.tree),
            ANSIBLE_ASYNC_DIR=str(rig.scratch / "async"),
            ANSIBLE_LOCAL_TEMP=str(rig.scratch / "local"),
            ANSIBLE_REMOTE_TEMP=str(rig.scratch / "remote"),
        )
        ansible = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "-c", "local"]
        ansible += [str(playbook), "-e", f"@{values}"]
        rig.run = rig.spawn("run", rig.isolated(ansible))
        rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))
        if kill:
            guard = rig.roles().get(processes.GUARD)
            if guard is None:
                raise Missed("no guard")
            stat = Path(f"/proc/{guard}/stat").read_text()
            parent = int(stat[stat.rindex(")") + 2 :].split()[1])
            processes.send(parent, rig.token, signal.SIGKILL)
            # What Ansible says then, and what it had unpacked for the module, is Ansible's.
            rig.unjudged_output = True
            rig.unjudged_files.add("ansible_")
        rig.gate.open()
        # Ansible's own files are not the module's to clean up.
        rig.unjudged_files.update(("async", "local", "remote", ".ansible"))

    return inject


_INTO_GROUPS = 'for group in $0; do echo $$ > "$group/cgroup.procs" || exit 1; done; exec "$@"'


def _hierarchies(*wanted: str) -> List[Path]:
    """Where these hierarchies of control groups are mounted; C(unified) is that of version 2."""
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
def _groups(rig: Rig, *wanted: str) -> Iterator[List[Path]]:
    """A new control group in each of these hierarchies that is there."""
    groups = [folder / f"quiesce-{rig.token[:12]}" for folder in _hierarchies(*wanted)]
    if not groups:
        raise Unavailable(f"no hierarchy of control groups is mounted for {' or '.join(wanted)}")
    for group in groups:
        try:
            group.mkdir()
        except OSError as error:
            raise Unavailable(f"no control group can be made: {error}") from None
        rig.on_exit(_remove_group, group)
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
    raise Unavailable("the memory of a control group cannot be limited here")


def _out_of_memory(rig: Rig) -> None:
    """The group's limit is met by pages that belong to no process, so the run is what is killed."""
    rig.hold_snapshots()
    with _groups(rig, "memory" if _hierarchies("memory") else "unified") as (group, *_others):
        _limit_memory(group, 192 << 20)
        rig.start(("sh", "-c", _INTO_GROUPS, str(group)))
        rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))
        assert rig.run is not None
        # Where lowering the score is not allowed, the supervisors cannot be spared; the run is.
        Path(f"/proc/{rig.run.pid}/oom_score_adj").write_text("1000")
        ballast = Path("/dev/shm") / f"quiesce-ballast-{rig.token}"
        rig.on_exit(lambda: ballast.unlink(missing_ok=True))
        fill = 'echo $$ > "$0/cgroup.procs"; exec dd if=/dev/zero of="$1" bs=1M count=256'
        filler = subprocess.Popen(
            ["sh", "-c", fill, str(group), str(ballast)], stderr=subprocess.DEVNULL
        )
        killed = processes.wait_for(lambda: processes.process(rig.run_pid) is None, 30)
        filler.kill()
        filler.wait(LIMIT_S)
        ballast.unlink(missing_ok=True)
        if not killed:
            raise Missed("the run was not killed for its memory")
        rig.gate.open()


def _group_killed(rig: Rig) -> None:
    """As a session manager ends a session: every process of its group, until there is none."""
    rig.hold_snapshots()
    with _groups(rig, "name=systemd", "unified") as groups:
        rig.start(("sh", "-c", _INTO_GROUPS, " ".join(str(group) for group in groups)))
        rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))
        members = _members(groups)
        if str(rig.run_pid) not in members:
            raise Missed(f"the run is not in its group: {members}")
        while members:
            for member in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(member), signal.SIGKILL)
            members = _members(groups)
        rig.gate.open()


def _members(groups: List[Path]) -> Set[str]:
    return {pid for group in groups for pid in (group / "cgroup.procs").read_text().split()}


def cases() -> List[Case]:
    """All of them."""
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
            fault="under async, nothing else",
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
