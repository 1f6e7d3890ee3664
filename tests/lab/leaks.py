# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Look for a secret in everything that a machine shows while something runs on it."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, Iterable, List, Optional, Set

from tests.lab.azurite import signatures

_LOG = Path("/dev/log")
_LOG_FILES = ("syslog", "messages", "user.log")
_SPACE = re.compile(r"(\\[nrt]|\s)+")


def leaks(text: str, uris: Iterable[str]) -> List[str]:
    """Return the signatures of these addresses in the text: plain, encoded, or in base64."""
    # A long value may be broken into lines, or written with escapes for its line ends.
    dense = _SPACE.sub("", text)
    return [
        form
        for uri in uris
        for signature in signatures(uri)
        for form in (signature, *_in_base64(signature))
        if form in text or form in dense
    ]


def _in_base64(signature: str) -> List[str]:
    """Return the parts that the base64 of any text with the signature must contain, by offset."""
    found = []
    for offset in range(3):
        encoded = base64.b64encode(b"x" * offset + signature.encode()).decode()
        found.append(encoded[4 if offset else 0 : -4])
    return found


class Watch:
    """A context manager that collects the system's log and what the processes show.

    Where no service collects the log of this machine, as in a container, this does; elsewhere it
    reads the journal and the log's files.
    """

    def __init__(self, uris: Iterable[str]) -> None:
        self._uris = list(uris)
        #: Processes whose command line or environment had a signature, by what they were.
        self.processes: Set[str] = set()
        self.samples = 0
        self._datagrams: List[bytes] = []
        #: Whether this took the system's log itself.
        self.listened = False
        self._socket: Optional[socket.socket] = None
        self._stop = threading.Event()
        self._threads: List[threading.Thread] = []
        self._began = 0.0
        self._sizes: Dict[Path, int] = {}

    def __enter__(self) -> Watch:
        self._began = time.time()
        self._sizes = {path: path.stat().st_size for path in _log_files()}
        work = [self._sample]
        if not os.path.lexists(_LOG) and self._take_the_log():
            work.append(self._listen)
        self._threads = [threading.Thread(target=one, daemon=True) for one in work]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # What was sent last is still to be read.
        time.sleep(0.5)
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._socket is not None:
            self._socket.close()
            _LOG.unlink()

    def log(self) -> str:
        """Return the new part of the system's log; call it after the context."""
        texts = [data.decode(errors="replace") for data in self._datagrams]
        for path, size in self._sizes.items():
            with contextlib.suppress(OSError):
                texts.append(path.read_bytes()[size:].decode(errors="replace"))
        if self._socket is None and shutil.which("journalctl"):
            argv = ["journalctl", "--no-pager", "--all", "--output=verbose"]
            argv.append(f"--since=@{int(self._began)}")
            done = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", check=False
            )
            texts.append(done.stdout)
        return "\n".join(texts)

    def _take_the_log(self) -> bool:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(str(_LOG))
        except OSError:
            # Somebody else was faster, or nothing can be made in /dev here.
            self._socket.close()
            self._socket = None
            return False
        self._socket.settimeout(0.1)
        self.listened = True
        return True

    def _listen(self) -> None:
        assert self._socket is not None
        while not self._stop.is_set():
            with contextlib.suppress(socket.timeout):
                self._datagrams.append(self._socket.recv(1 << 20))

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self.samples += 1
            for process in Path("/proc").glob("[0-9]*"):
                for name in ("cmdline", "environ"):
                    self._look_at(process / name)

    def _look_at(self, file: Path) -> None:
        try:
            text = file.read_bytes().decode(errors="replace")
        except OSError:
            return
        # Quick first: nearly no process has anything of the kind.
        if len(text) > 20 and leaks(text, self._uris):
            with contextlib.suppress(OSError):
                title = (file.parent / "comm").read_text().strip()
                self.processes.add(f"{file.name} of {title}")


def _log_files() -> List[Path]:
    return [path for path in (Path("/var/log") / name for name in _LOG_FILES) if path.is_file()]


def leaks_below(folders: Iterable[Path], uris: Iterable[str]) -> List[str]:
    """Return the files below these folders that have a signature in them."""
    wanted = list(uris)
    return [
        str(file)
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and leaks(file.read_bytes().decode(errors="replace"), wanted)
    ]
