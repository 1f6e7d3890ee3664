# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The filesystems, blobs, scripts, proxy and writers of one case, and its run."""

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
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Callable

from tests.faults import _processes as processes
from tests.faults._case import POST, PRE, MissedPhaseError, Setting
from tests.faults._witness import Witness
from tests.lab.azurite import Azurite, signatures
from tests.lab.blob_disk import BlobDisk
from tests.lab.disk import LoopDisk, MountedDisk
from tests.lab.frozen import Guarded
from tests.lab.own_lock import own_lock
from tests.lab.proxy import FaultProxy, Gate, Rule, hold
from tests.lab.stall import StallWriter

CHECKOUT = Path(__file__).resolve().parents[2]
#: Scripts must lie in a folder that only root may write to, and so must its parents. Not below
#: `/run`, which a distribution may mount noexec.
BASE = "/var/lib"
LIMIT_S = 300.0
_BLOB_SIZE = 1 << 20
_SIZES = {"ext4": 32 << 20, "xfs": 64 << 20, "btrfs": 128 << 20}
_MODULE = "ansible_collections.quiesce.azure_backup.plugins.modules.vm_snapshot"


class Harness:
    """A context manager, at whose exit nothing of the case is frozen, mounted or running."""

    def __init__(self, setting: Setting, azurite: Azurite, tree: Path) -> None:
        self.setting, self.azurite, self.tree = setting, azurite, tree
        self.token = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce-faults-", dir=BASE))
        self.marks = self.folder / "marks"
        self.scratch = self.folder / "tmp"
        self.config_path = self.folder / "VMSnapshotScriptPluginConfig.json"
        self.disks: list[MountedDisk] = []
        #: The servers of the served disks.
        self.servers: list[subprocess.Popen[bytes]] = []
        self.outer: dict[int, LoopDisk] = {}
        #: The disks' blobs, without and with a SAS.
        self.blobs: list[str] = []
        self.urls: list[str] = []
        self.secrets: list[str] = []
        #: Addresses of the status and log documents of the case.
        self.documents: list[str] = []
        self.gate = Gate()
        self.run: subprocess.Popen[bytes] | None = None
        self.hit_ns: int | None = None
        self.command_lines = ""
        #: Prefixes of names in the scratch folder that do not belong to the module.
        self.unjudged_files: set[str] = set()
        #: True: the output of the run is not that of the module.
        self.unjudged_output = False
        self.more_env: dict[str, str] = dict(setting.env)
        self.witness = Witness(self)
        self._stack = contextlib.ExitStack()

    # -- making and unmaking ------------------------------------------------------------------

    def __enter__(self) -> Harness:
        try:
            self._make()
        except BaseException as error:
            self.witness.capture(f"the case could not be made: {error!r}", error)
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _capture_if_failed(self, _kind: object, error: BaseException | None, _at: object) -> None:
        """Capture evidence when a step of the clean-up fails, before the next step."""
        if error is not None:
            self.witness.capture(f"the case could not be left: {error!r}", error)

    def _make(self) -> None:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._stack.push(self._capture_if_failed)
        for folder in (self.marks, self.scratch):
            folder.mkdir()
        for index, fstype in enumerate(self.setting.filesystems):
            self.disks.append(self._disk(index, fstype))
            self._stack.push(self._capture_if_failed)
        self.mount_points = [str(disk.mount_point) for disk in self.disks]
        for _disk in range(self.setting.bare_disks):
            self.disks.append(self._stack.enter_context(LoopDisk(16 << 20, "")))
        outers = [str(disk.mount_point) for disk in self.outer.values()]
        self.guarded = self._stack.enter_context(Guarded([*self.mount_points, *outers], 600))
        self._stack.push(self._capture_if_failed)
        self.proxy = self._stack.enter_context(FaultProxy(self.azurite.account_url))
        self._blobs()
        self._scripts()
        free = [
            mount
            for index, mount in enumerate(self.mount_points)
            if index not in (*self.setting.blockable, *self.setting.served)
        ]
        self.write_to(free)
        self._stack.push(self._capture_if_failed)
        # Everything held is released first, then the callbacks of the case run, then those above.
        self._exit_callbacks = self._stack.enter_context(contextlib.ExitStack())
        self._stack.callback(self._release_all)

    def write_to(self, mounts: list[str]) -> None:
        """Start writers on these filesystems, until the case is left."""
        self.writers = StallWriter(mounts)
        self._stack.enter_context(self.writers)

    def on_exit(self, callback: Callable[..., Any], *arguments: Any) -> None:
        """Call this when the case is left, before its filesystems are unmounted."""
        self._exit_callbacks.callback(callback, *arguments)

    def _disk(self, index: int, fstype: str) -> MountedDisk:
        size = _SIZES[fstype]
        if index in self.setting.served:
            disk = BlobDisk(self.azurite, f"{self.token}-{index}", size, fstype)
            self.servers.append(self._stack.enter_context(disk).server)
            return disk
        if index not in self.setting.blockable:
            return self._stack.enter_context(LoopDisk(size, fstype))
        outer = self._stack.enter_context(LoopDisk(size + (32 << 20), "ext4"))
        self.outer[index] = outer
        return self._stack.enter_context(LoopDisk(size, fstype, outer.mount_point))

    def _blobs(self) -> None:
        self.container = f"case-{self.token[:12]}"
        for index in range(len(self.disks)):
            self.blobs.append(self.azurite.page_blob(f"disk{index}", _BLOB_SIZE, self.container))
            self.urls.append(self.signed(self.blobs[-1], self.setting.permission))

    def signed(self, url: str, permission: str = "rw") -> str:
        """Return the address with a SAS, through the proxy; record its signature as a secret.

        Azurite requires the SAS of an account to delete a snapshot.
        """
        sign = self.azurite.account_sas if "d" in permission else self.azurite.sas
        signed = sign(url, permission)
        self.secrets += signatures(signed)
        return self.proxy.url(signed)

    def _scripts(self) -> None:
        config: dict[str, Any] = {
            "pluginName": "ScriptRunner",
            "preScriptLocation": "",
            "postScriptLocation": "",
            "preScriptParams": [],
            "postScriptParams": [],
            "preScriptNoOfRetries": 0,
            "postScriptNoOfRetries": 0,
            "timeoutInSeconds": self.setting.script_timeout,
            "continueBackupOnFailure": True,
            "fsFreezeEnabled": True,
        }
        for kind, body, held in (
            (PRE, self.setting.pre, self.setting.hold_pre),
            (POST, self.setting.post, self.setting.hold_post),
        ):
            if body is not None:
                config[f"{kind}ScriptLocation"] = str(self._script(kind, body, held))
        config.update(self.setting.config)
        if self.setting.pre is None and self.setting.post is None:
            return
        self.config_path.write_text(json.dumps(config))
        self.config_path.chmod(0o600)

    def _script(self, kind: str, body: str, held: bool) -> Path:
        path = self.script_path(kind)
        path.parent.mkdir(exist_ok=True)
        waiting = f'until [ -e "$MARKS/{kind}.go" ]; do sleep 0.02; done\n' if held else ""
        path.write_text(
            f'#!/bin/sh\nMARKS="{self.marks}"\nMOUNT="{self.mount_points[0]}"\n'
            f'echo x >> "$MARKS/{kind}.started"\n{waiting}{body}\n'
        )
        path.chmod(0o700)
        return path

    def script_path(self, kind: str) -> Path:
        """Return the path of the script of this kind."""
        apart = self.folder / f"{kind}-folder" if self.setting.scripts_apart else self.folder
        return apart / f"{kind}.sh"

    def _release_all(self) -> None:
        self.release()
        processes.resume_all(self.token)
        processes.kill_all(self.token)
        for mount in self.mount_points:
            self.guarded.thaw(mount)
        for member in processes.mentions(str(self.folder)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, 9)
        processes.wait_for(lambda: not processes.marked(self.token), 30)
        if self.run is not None:
            self.run.wait(LIMIT_S)

    # -- the run ------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """Return the options of the module for this case."""
        options: dict[str, Any] = {
            "disks": [
                {"name": f"disk{index}", "blob_uri": url, "device": str(self.disks[index].device)}
                for index, url in enumerate(self.urls)
            ],
            "config_path": str(self.config_path),
            "freeze": list(self.mount_points),
            "freeze_timeout": self.setting.freeze_timeout,
            "task_id": self.token,
        }
        options.update(self.setting.options)
        return options

    def environment(self) -> dict[str, str]:
        """Return the environment of the module's process."""
        return {
            "PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            "PYTHONPATH": str(self.tree),
            "HOME": str(self.scratch),
            "TMPDIR": str(self.scratch),
            "LANG": "C.UTF-8",
            processes.MARK: self.token,
            **self.more_env,
        }

    def write_arguments(self, name: str = "arguments", **more: Any) -> Path:
        """Write the file with the arguments of the module's process."""
        path = self.folder / f"{name}.json"
        arguments = {
            **self.options(),
            **more,
            "_ansible_remote_tmp": str(self.scratch),
            "_ansible_tmpdir": str(self.scratch),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        return path

    def command(self, arguments: Path) -> list[str]:
        """Return the command that becomes the module's process."""
        return self.isolated([sys.executable, "-B", "-m", _MODULE, str(arguments)])

    def isolated(self, command: list[str]) -> list[str]:
        """Return the command with a run lock of its own, so that cases can run in parallel."""
        return [*own_lock(self.folder / "locks"), *command]

    def start(self, wrapper: tuple[str, ...] = (), **more: Any) -> None:
        """Start the module as a process of its own."""
        self.run = self.spawn("run", [*wrapper, *self.command(self.write_arguments(**more))])
        self.witness.note(f"the run was started: {self.run.pid}")

    @property
    def run_pid(self) -> int:
        """The number of the module's process."""
        assert self.run is not None
        return self.run.pid

    def spawn(
        self, name: str, command: list[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process whose output goes to files of the case."""
        out, err = (self.folder / f"{name}.{end}" for end in ("out", "err"))
        with out.open("wb") as stdout, err.open("wb") as stderr:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=dict(self.environment(), **(env or {})),
                cwd="/",
                start_new_session=True,
            )

    def output(self, name: str = "run") -> str:
        """Return the standard output and error of a process so far."""
        return "".join(
            path.read_text(errors="replace")
            for path in (self.folder / f"{name}.out", self.folder / f"{name}.err")
            if path.exists()
        )

    def result(self, name: str = "run") -> dict[str, Any] | None:
        """Return the result of the module; None if it left none."""
        for path in (self.folder / f"{name}.kept", self.folder / f"{name}.out"):
            text = path.read_text(errors="replace") if path.exists() else ""
            for line in reversed(text.splitlines()):
                if line.startswith("{"):
                    with contextlib.suppress(ValueError):
                        result = json.loads(line)
                        return result if isinstance(result, dict) else None
        return None

    # -- phases and holds ---------------------------------------------------------------------

    def roles(self) -> dict[str, int]:
        """Return the living processes of the three, by role."""
        assert self.run is not None
        return processes.by_role(self.token, self.run.pid)

    def need(self, what: str, condition: Any, limit_s: float = LIMIT_S) -> None:
        """Wait until the condition is true; raise `MissedPhaseError` if it never is."""
        assert self.run is not None

        def ready() -> bool:
            return bool(condition()) or self._ended()

        if not processes.wait_for(ready, limit_s, 0.005) or not condition():
            raise MissedPhaseError(
                f"{what}: not seen; the output of the run: {self.output()[-1500:]}"
            )
        self.witness.note(f"seen: {what}")
        self.hit_ns = time.monotonic_ns()

    def _ended(self) -> bool:
        return self.run is not None and self.run.poll() is not None

    def started(self, kind: str) -> int:
        """Return the number of starts of the pre-script or the post-script."""
        path = self.marks / f"{kind}.started"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def go(self, kind: str) -> None:
        """Release the held script."""
        (self.marks / f"{kind}.go").touch()

    def hold_snapshots(self, path: str = "") -> None:
        """Make the requests for snapshots wait at the gate from now on."""
        self.proxy.rules.append(Rule(hold(self.gate), path=path))

    def block_storage(self, index: int) -> None:
        """Block all writes to the disk of this filesystem from now on."""
        self.guarded.freeze(str(self.outer[index].mount_point))
        self.witness.note(f"the storage of {self.mount_points[index]} is blocked")

    def release(self) -> None:
        """Release everything that the case holds."""
        self.witness.note("everything held is released")
        for kind in (PRE, POST):
            self.go(kind)
        self.gate.open()
        self.unblock_storage()

    def unblock_storage(self) -> None:
        """Unblock the writes to the disks."""
        for server in self.servers:
            server.send_signal(signal.SIGCONT)
        for outer in self.outer.values():
            self.guarded.thaw(str(outer.mount_point))

    def note_command_lines(self) -> None:
        """Keep the command lines of the case in the process list now."""
        for member in [*processes.marked(self.token), *processes.mentions(str(self.folder))]:
            with contextlib.suppress(OSError):
                self.command_lines += (Path("/proc") / str(member.pid) / "cmdline").read_text()
