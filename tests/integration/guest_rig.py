# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A guest with real disks, blobs, a configuration and scripts, and vm_snapshot run on it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from tests.lab.azurite import Azurite
from tests.lab.disk import MIB, LoopDisk
from tests.lab.frozen import Guarded
from tests.lab.module_run import ModuleProcess, ModuleRun, run_module, start_module
from tests.lab.own_lock import own_lock

PATIENCE_S = 300.0


class Guest:
    """A guest with disks, a configuration and scripts that say what they saw."""

    def __init__(self, azurite: Azurite, fstypes: List[str], guarded_s: float = 600.0) -> None:
        self._azurite = azurite
        self.disks: List[LoopDisk] = []
        self.blobs: List[str] = []
        #: Which way the module takes to each blob.
        self.route: Callable[[str], str] = str
        self._stack = ExitStack()
        try:
            # Root alone can write to it and to all above it; and its name has a space.
            self.folder = Path(tempfile.mkdtemp(prefix="quiesce test ", dir="/var/lib"))
            self._stack.callback(shutil.rmtree, self.folder)
            # A lock of this guest's own, so that other tests on this machine do not come between.
            self.locks = Path(tempfile.mkdtemp(prefix="quiesce-lock-", dir="/var/lib"))
            self._stack.callback(shutil.rmtree, self.locks)
            for fstype in fstypes:
                self._add(fstype)
            # From the start of a test, and a slow machine may be long in freezing anything.
            self.guarded = self._stack.enter_context(
                Guarded([d.mount_point for d in self.disks], guarded_s)
            )
        except BaseException:
            self._stack.close()
            raise

    def close(self) -> None:
        self._stack.close()

    def _add(self, fstype: str) -> None:
        disk = self._stack.enter_context(LoopDisk(fstype=fstype))
        self.disks.append(disk)
        self.blobs.append(self._azurite.page_blob(f"{uuid.uuid4()}.vhd", MIB))

    @property
    def config(self) -> Path:
        return self.folder / "config.json"

    @property
    def ran(self) -> Path:
        return self.folder / "ran"

    def script(self, kind: str, body: str, mode: int = 0o700) -> Path:
        path = self.folder / f"{kind} script"
        path.write_text(f'#!/bin/sh\necho {kind} >> "{self.ran}"\n{body}\n')
        path.chmod(mode)
        return path

    def configure(self, pre: str = "exit 0", post: str = "exit 0", **changes: Any) -> None:
        """Write both scripts and the configuration."""
        values = {
            "pluginName": "ScriptRunner",
            "preScriptLocation": str(self.script("pre", pre)),
            "postScriptLocation": str(self.script("post", post)),
            "preScriptParams": [],
            "postScriptParams": [],
            "preScriptNoOfRetries": 0,
            "postScriptNoOfRetries": 0,
            "timeoutInSeconds": 60,
            "continueBackupOnFailure": True,
            "fsFreezeEnabled": True,
            **changes,
        }
        self.config.write_text(json.dumps(values))
        self.config.chmod(0o600)

    def scripts_ran(self) -> List[str]:
        return self.ran.read_text().split() if self.ran.exists() else []

    def options(self, **more: Any) -> Dict[str, Any]:
        named = []
        for number, (disk, blob) in enumerate(zip(self.disks, self.blobs)):
            named.append(
                {
                    "name": f"disk{number}",
                    "device": disk.device,
                    "blob_uri": self.route(self._azurite.account_sas(blob)),
                }
            )
        return {
            "disks": named,
            "config_path": str(self.config),
            "freeze": [disk.mount_point for disk in self.disks],
            # Only what must end at the deadline is given a short one.
            "freeze_timeout": 20,
            **more,
        }

    def run(self, check: bool = False, **more: Any) -> ModuleRun:
        """Run the module with the options, and these, and see that it left nothing."""
        done = self.run_with(self.options(**more), check=check)
        self.check_left(done)
        return done

    def run_with(
        self, options: Dict[str, Any], before: Sequence[str] = (), **how: Any
    ) -> ModuleRun:
        """Run the module with exactly these options; `before` are words before its command."""
        prefix = [*before, *own_lock(self.locks)]
        return run_module("vm_snapshot", options, prefix=prefix, **how)

    def start(self, **more: Any) -> ModuleProcess:
        """Start the module with the options, and these."""
        return self.start_with(self.options(**more))

    def start_with(self, options: Dict[str, Any], prefix: Sequence[str] = ()) -> ModuleProcess:
        """Start the module with exactly these options, and these words before it."""
        return start_module("vm_snapshot", options, prefix=[*own_lock(self.locks), *prefix])

    def check_left(self, done: ModuleRun) -> None:
        """Check what must hold after every run."""
        self.check_thawed()
        for text in (done.stdout, done.stderr):
            assert "sig=" not in text.replace("sig=REDACTED", "")

    def check_thawed(self) -> None:
        """Check that nothing is frozen, and that every filesystem can be written to."""
        for disk in self.disks:
            assert not self.guarded.thaw(disk.mount_point), "left frozen"
            (disk.path / "written").write_text("x")

    def snapshots(self) -> List[int]:
        return [len(self._azurite.snapshots(blob)) for blob in self.blobs]

    def wait_for_scripts(self, process: ModuleProcess) -> None:
        """Wait until the first script of a run runs."""
        until = time.monotonic() + PATIENCE_S
        while not self.scripts_ran():
            assert process.process.poll() is None, process.finish()
            assert time.monotonic() < until, "no script ever ran"
            time.sleep(0.05)

    def document(self) -> str:
        """Return the address of a new blob for a document."""
        return self._azurite.block_blob(str(uuid.uuid4()))


def holds(done: ModuleRun) -> Dict[str, Optional[bool]]:
    """Return the evidence without its words."""
    return {name: one["holds"] for name, one in done["evidence"].items()}


def warnings(done: ModuleRun) -> List[str]:
    """Return the warnings, in each form that Ansible uses."""
    return [
        one if isinstance(one, str) else one["event"]["msg"]
        for one in done.result.get("warnings", ())
    ]
