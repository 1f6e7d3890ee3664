# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A disk whose bytes are a page blob, and a disk that shows a snapshot of one.

nbdkit with our plugin serves the blob, nbdfuse makes it a file, and a loop device with direct I/O
makes that file a disk.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
import sysconfig
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import List, Optional, Sequence

from tests.lab._process import PATIENCE_S, LabError, run, start, stop, wait_until
from tests.lab.azurite import Azurite
from tests.lab.disk import MIB, SMALLEST, MountedDisk, attach, detach, is_mounted

_PLUGIN = Path(__file__).with_name("page_blob_plugin.py")
_RECORD = struct.Struct("<qqq8s")  # as in the plugin, which only nbdkit can import


@dataclass(frozen=True)
class Write:
    """One request that changed the disk, as it arrived at the disk's server."""

    ns: int
    offset: int
    length: int
    #: `write`, `zero` or `trim`.
    kind: str


class _Server:
    """nbdkit and nbdfuse for one blob; what it starts is put on the stack to be ended."""

    def __init__(
        self, stack: ExitStack, folder: Path, key: str, url: str, snapshot: Optional[str]
    ) -> None:
        _same_python()
        self.writes_log = folder / "writes"
        self._log = folder / "server.log"
        socket = folder / "socket"
        argv = ["nbdkit", "--foreground", "--unix", str(socket), "--threads", "8", "python"]
        argv += [f"script={_PLUGIN}", f"url={url}", f"log={self.writes_log}"]
        argv += [f"snapshot={snapshot}"] if snapshot else []
        env = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}
        env.update(PAGE_BLOB_KEY=key, PYTHONDONTWRITEBYTECODE="1")
        self.nbdkit = start(argv, self._log, env=env)
        stack.callback(stop, self.nbdkit)
        wait_until("nbdkit listens", socket.exists, process=self.nbdkit, log=self._log)

        view = folder / "view"
        view.mkdir()
        self.image = view / "disk"
        argv = ["nbdfuse", *(["--readonly"] if snapshot else []), str(self.image)]
        self.nbdfuse = start([*argv, f"nbd+unix:///?socket={socket}"], self._log)
        stack.callback(_end_view, self.nbdfuse, view)
        wait_until("the disk's file is there", self._is_there, process=self.nbdfuse, log=self._log)

    def _is_there(self) -> bool:
        return is_mounted(self.image.parent) and self.image.exists()

    def writes(self) -> List[Write]:
        data = self.writes_log.read_bytes() if self.writes_log.exists() else b""
        whole = data[: len(data) - len(data) % _RECORD.size]
        return [
            Write(ns, offset, length, kind.rstrip(b"\0").decode())
            for ns, offset, length, kind in _RECORD.iter_unpack(whole)
        ]


class BlobDisk(MountedDisk):
    """A new disk of `size` bytes that are a page blob, with a filesystem, mounted.

    A context manager; enter it in a thread that lives as long as the disk.
    """

    def __init__(
        self,
        azurite: Azurite,
        name: str,
        size: int = 64 * MIB,
        fstype: str = "ext4",
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(options)
        self.name = name
        self.fstype = fstype
        self.size = max(size, SMALLEST.get(fstype, size))
        self._azurite = azurite

    def __enter__(self) -> BlobDisk:
        try:
            folder = self._folder("/run", "quiesce-blob-")
            self.url = self._azurite.page_blob(self.name, self.size)
            self._server = _Server(self._stack, folder, self._azurite.key, self.url, None)
            self.device = attach(self._server.image, direct_io=True)
            self._stack.callback(detach, self.device, self._server.image)
            if self.fstype:
                self._make_and_mount(self.fstype)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        # A server that a test has stopped would hold up the unmount for ever.
        for process in (self._server.nbdkit, self._server.nbdfuse):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
        super().__exit__(*exc)

    @property
    def server(self) -> Popen[bytes]:
        """The process that serves the disk; stopped by a signal, the disk stalls."""
        return self._server.nbdkit

    def writes(self) -> List[Write]:
        """Return every request so far that changed the disk, in the order of their arrival."""
        return self._server.writes()


class SnapshotDisk:
    """A snapshot of a page blob as a read-only device; a context manager.

    `key` is the account's, `device` becomes the loop device. Nothing is mounted.
    """

    def __init__(self, key: str, url: str, snapshot: str) -> None:
        self._key, self._url, self._snapshot = key, url.partition("?")[0], snapshot
        self._disk = MountedDisk()

    def __enter__(self) -> SnapshotDisk:
        stack = self._disk._stack
        try:
            folder = self._disk._folder("/run", "quiesce-blob-")
            server = _Server(stack, folder, self._key, self._url, self._snapshot)
            self.device = attach(server.image, read_only=True, direct_io=True)
            stack.callback(detach, self.device, server.image)
        except BaseException:
            stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._disk.__exit__(*exc)


def _end_view(nbdfuse: Popen[bytes], view: Path) -> None:
    def gone() -> bool:
        if is_mounted(view):
            run("fusermount3", "-u", str(view), check=False)
        return not is_mounted(view)

    try:
        wait_until(f"{view} is unmounted", gone, limit_s=PATIENCE_S)
    finally:
        stop(nbdfuse)


def _same_python() -> None:
    """Check that nbdkit's Python can use our packages: the plugin runs in it."""
    output = run("nbdkit", "python", "--dump-plugin").stdout
    theirs = [line for line in output.splitlines() if line.startswith("python_version=")]
    ours = f"python_version={sys.version_info[0]}.{sys.version_info[1]}."
    if not theirs or not theirs[0].startswith(ours):
        raise LabError(
            f"nbdkit's Python is {theirs}, this one is {sys.version.split()[0]}: "
            "make .venv with the Python of the distribution, /usr/bin/python3."
        )
