# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One real snapshot on this machine, with the proof that it is consistent, and its VM in a vault.

Starts a blob store, makes two disks of page blobs, puts a workload on them, and runs
`playbook.yml` over localhost. The vault is the lab's, on a clock of its own. Ends with 0 only when
every line of the proof holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List, Set

from tests.lab._process import LAB, ROOT, LabError, orderly_end
from tests.lab.azurite import Azurite, signatures
from tests.lab.blob_disk import BlobDisk
from tests.lab.demo import vault
from tests.lab.demo.proof import NAMES, Seen, lines, texts_below
from tests.lab.demo.timeline import timeline, verdict
from tests.lab.disk import MIB
from tests.lab.frozen import Guarded
from tests.lab.workload import Workload

_BEGAN = time.monotonic()
#: The guarded time covers the whole playbook, on a machine that may be several times slower; the
#: module itself thaws after 10 s.
_GUARDED_S = 180.0
_PLAYBOOK = Path(__file__).with_name("playbook.yml")


def say(text: str) -> None:
    """Print a line of progress, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:6.1f} s  {text}", flush=True)


class Demo:
    """The parts of the demo, for as long as `stack` lasts."""

    def __init__(self, stack: ExitStack) -> None:
        # Only root can write there, as the scripts demand, and it is never mounted noexec.
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce-demo-", dir="/var/lib"))
        stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.azurite = stack.enter_context(Azurite())
        say(f"a blob store: Azurite on port {self.azurite.port}")
        self.azure = stack.enter_context(vault.azure())
        say(
            "the lab's own Azure with a vault and a VM for these disks; "
            f"its clock runs {self.azure.speed:.0f} times as fast"
        )
        self.disks: List[BlobDisk] = []
        for name, fstype in (("data", "ext4"), ("log", "xfs")):
            disk = stack.enter_context(BlobDisk(self.azurite, name, 64 * MIB, fstype))
            self.disks.append(disk)
            say(f"a disk made of a page blob: {NAMES[fstype]} on {disk.device}")
        self.workload = stack.enter_context(
            Workload([disk.path for disk in self.disks], self.folder)
        )
        say("a workload that appends synced records to both, and counts them in memory")
        # Permissions: read, write and delete, as Azure Backup's own have.
        self.uris = [self.azurite.sas(disk.url, "rwd") for disk in self.disks]

    def play(self) -> str:
        """Run the playbook, show its output as it comes, and give it back."""
        facts = [
            {
                "name": disk.name,
                "url": disk.url,
                "fstype": disk.fstype,
                "device": disk.device,
                "mount_point": disk.mount_point,
            }
            for disk in self.disks
        ]
        variables = {
            "demo_folder": str(self.folder),
            "demo_checkout": str(ROOT),
            "demo_socket": self.workload.address,
            "demo_data": facts[0],
            "demo_log": facts[1],
            "demo_vault": vault.variables(self.azure),
        }
        file = self.folder / "variables.json"
        file.write_text(json.dumps(variables))
        # Nothing of the machine's or the user's own configuration of Ansible counts.
        (self.folder / "ansible.cfg").touch()
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), str(_PLAYBOOK)]
        say("ansible-playbook " + str(_PLAYBOOK.relative_to(ROOT)))
        process = subprocess.Popen(
            [*argv, "--extra-vars", f"@{file}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=self._environment(),
            cwd=self.folder,
            start_new_session=True,
        )
        output = []
        try:
            assert process.stdout is not None
            for line in process.stdout:
                output.append(line)
                if line.strip():
                    print("          " + line.rstrip(), flush=True)
        finally:
            _end(process)
        if process.returncode != 0:
            raise LabError(f"ansible-playbook ended with {process.returncode}.")
        return "".join(output)

    def _environment(self) -> Dict[str, str]:
        clean = {name: text for name, text in os.environ.items() if "ANSIBLE" not in name}
        # A module that is killed leaves files behind: where they go with all the rest.
        temporary = self.folder / "tmp"
        temporary.mkdir()
        return {
            **clean,
            "TMPDIR": str(temporary),
            "DEMO_TMPDIR": tempfile.gettempdir(),
            **self.azure.environment(),
            "ANSIBLE_HOME": str(self.folder / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.folder / "ansible" / "tmp"),
            "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_NOCOWS": "true",
            "ANSIBLE_PIPELINING": "true",
            "ANSIBLE_RETRY_FILES_ENABLED": "false",
            "DEMO_KEY": self.azurite.key,
            "DEMO_DATA_DISK": self.uris[0],
            "DEMO_LOG_DISK": self.uris[1],
        }

    def run(self) -> Seen:
        """Play, and gather what the proof is made from."""
        with Guarded([disk.mount_point for disk in self.disks], _GUARDED_S) as guard:
            output = self.play()
        found: Dict[str, Any] = json.loads((self.folder / "found.json").read_text())
        texts = {"the playbook's output": output, **texts_below(self.folder)}
        return Seen(
            disks=self.disks,
            snapshot=found["snapshot"],
            control=found["control"],
            looks=found["looks"],
            history=self.workload.history(),
            had_to_thaw=guard.had_to_thaw,
            signatures=[form for uri in self.uris for form in signatures(uri)],
            texts=texts,
            vault=vault.look(self.azure, found["vault"]),
        )


def _end(process: subprocess.Popen[str]) -> None:
    """Wait for the playbook; end it and what it started when we are to stop."""
    if sys.exc_info()[0] is None:
        process.wait()
        return
    # Ansible ends its workers, which have sessions of their own, on Ctrl-C. When that reaches it
    # while it makes a worker, it hangs, and the worker is left to us.
    workers: Set[int] = set()
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        workers |= _children(process.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(10)
            break
        except subprocess.TimeoutExpired:
            continue
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker, signal.SIGTERM)


def _children(pid: int) -> Set[int]:
    """Return the processes that this one started and that lead a process group."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[2] == stat.parent.name:
                found.add(int(stat.parent.name))
    return found


def _show(seen: Seen) -> bool:
    """Print timeline, verdict and proof; whether all of it holds."""
    proof = lines(seen)
    for title, rows in (
        ("The run", timeline(seen.snapshot)),
        ("The verdict", verdict(seen.snapshot)),
        ("The vault (the lab's; a real one learns from the guest itself)", vault.shown(seen.vault)),
        ("The proof", [f"  {line}" for line in proof]),
    ):
        print(f"\n{title}")
        print("\n".join(rows), flush=True)
    failing = sum(1 for line in proof if not line.holds)
    took = time.monotonic() - _BEGAN
    if failing:
        print(f"\n{failing} of {len(proof)} lines of the proof FAIL; {took:.0f} s in all")
    else:
        print(f"\nevery line of the proof holds; {took:.0f} s in all")
    return not failing


def main() -> int:
    """Run the demo; the exit status."""
    if os.geteuid() != 0:
        print("The demo mounts and freezes disks of its own: run it as root.", file=sys.stderr)
        return 1
    LAB.mkdir(exist_ok=True)
    try:
        with orderly_end(), ExitStack() as stack:
            seen = Demo(stack).run()
            holds = _show(seen)
    except LabError as exc:
        print(f"The demo failed: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; what the demo had started is gone.", file=sys.stderr)
        return 130
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
