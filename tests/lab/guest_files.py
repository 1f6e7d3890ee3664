# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A private place for the framework's files: a configuration and two scripts in a folder of root's.

The temp folder will not do: everybody may write there, so nothing in it is trusted.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, Dict, Tuple

#: What tells one file from another for the purpose of "nothing was changed".
State = Tuple[int, int, int, int, bytes]


class GuestFiles:
    """A folder below `/run`, its name with a space, that goes away with everything in it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce test ", dir="/run"))
        self.config = self.folder / "VMSnapshotScriptPluginConfig.json"
        self.plugin_host = self.folder / "VMSnapshotPluginHost.conf"
        self.workload = self.folder / "workload.conf"
        self.pre = self.folder / "pre.sh"
        self.post = self.folder / "post.sh"

    def __enter__(self) -> GuestFiles:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder)

    def settings(self, **changes: Any) -> Dict[str, Any]:
        """Return the configuration for the two scripts, with some of its values changed."""
        return {
            "pluginName": "ScriptRunner",
            "preScriptLocation": str(self.pre),
            "postScriptLocation": str(self.post),
            "preScriptParams": [],
            "postScriptParams": [],
            "preScriptNoOfRetries": 0,
            "postScriptNoOfRetries": 0,
            "timeoutInSeconds": 60,
            "continueBackupOnFailure": True,
            "fsFreezeEnabled": True,
            **changes,
        }

    def put_config(self, **changes: Any) -> None:
        """Write a good configuration, with some of its values changed."""
        put(self.config, json.dumps(self.settings(**changes)).encode(), 0o600)

    def put_scripts(self, pre: str = "exit 0", post: str = "exit 0") -> None:
        """Write both scripts, for `/bin/sh`."""
        put(self.pre, f"#!/bin/sh\n{pre}\n".encode(), 0o700)
        put(self.post, f"#!/bin/sh\n{post}\n".encode(), 0o700)

    def put_all(self, **changes: Any) -> None:
        """Write everything as it should be, but for these values of the configuration."""
        self.put_scripts()
        self.put_config(**changes)

    def state(self) -> Dict[str, State]:
        """Return everything in the folder; see `state_of`."""
        return state_of(self.folder)


def state_of(folder: Path) -> Dict[str, State]:
    """Return everything in the folder: what it is, whose, and what is in it."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
        found[str(path.relative_to(folder))] = (
            status.st_mode,
            status.st_uid,
            status.st_ino,
            status.st_mtime_ns,
            data,
        )
    return found


def put(path: Path, data: bytes, mode: int, uid: int = 0) -> None:
    """Write a file with this content, mode and owner."""
    path.write_bytes(data)
    os.chown(path, uid, 0)
    path.chmod(mode)
