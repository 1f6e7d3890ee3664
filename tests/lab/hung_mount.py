# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A FUSE filesystem whose server can be stopped, with an image in it for a loop device.

Run as a program, this module controls the server: it starts, stops and continues it as the test
requests. It undoes everything when the test requests it or has exited. While the server is stopped,
it reads nothing in the filesystem.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import List

_SIZE = "64M"
_LIMIT_S = 60.0
_PR_SET_PDEATHSIG = 1


class HungMount:
    """The filesystem; a context manager."""

    def __enter__(self) -> HungMount:
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce-hung-", dir="/run"))
        #: Where it is mounted, and the image in it.
        self.mount_point = self.folder / "view"
        self.image = self.mount_point / "image"
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        self._expect(b"ready\n")
        return self

    def __exit__(self, *exc: object) -> None:
        self._keeper.communicate(timeout=2 * _LIMIT_S)
        if self._keeper.returncode:
            raise RuntimeError(f"{self.mount_point} could not be cleaned up.")

    def attach(self) -> str:
        """Return a new loop device over the image; it is detached with the rest."""
        done = subprocess.run(
            ["losetup", "--find", "--show", str(self.image)],
            check=True,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        return done.stdout.strip()

    def hang(self) -> None:
        """Stop the server: nothing in the filesystem is answered from now on."""
        self._say(b"hang\n", b"hung\n")

    def answer(self) -> None:
        """Let the server go on."""
        self._say(b"answer\n", b"answers\n")

    def _say(self, order: bytes, answer: bytes) -> None:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(order)
        self._keeper.stdin.flush()
        self._expect(answer)

    def _expect(self, answer: bytes) -> None:
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != answer:
            raise RuntimeError("The controller of a hanging mount did not obey.")


class _Server:
    """nbdfuse over memory, and what is made of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._view = folder / "view"
        self._view.mkdir()
        argv = ["nbdfuse", str(self._view / "image"), "--command"]
        self._process = subprocess.Popen(
            [*argv, "nbdkit", "-s", "--exit-with-parent", "memory", _SIZE],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            preexec_fn=_end_with_parent,
        )
        until = time.monotonic() + _LIMIT_S
        while not (self._view.is_mount() and (self._view / "image").exists()):
            if time.monotonic() > until or self._process.poll() is not None:
                self.end()
                raise RuntimeError("nbdfuse did not start.")
            time.sleep(0.01)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        """End the server, which ends every request with an error, and undo the mounts."""
        self._process.kill()
        self._process.wait(_LIMIT_S)
        loops = self._loops()
        for line in Path("/proc/self/mounts").read_text().splitlines():
            device, point = line.split(" ")[:2]
            if device in loops:
                _run("umount", "--lazy", point)
        for device in loops:
            _run("losetup", "--detach", device)
        _run("umount", "--lazy", str(self._view))
        shutil.rmtree(self._folder)

    def _loops(self) -> List[str]:
        found = []
        for entry in Path("/sys/block").glob("loop*"):
            with contextlib.suppress(OSError):
                text = (entry / "loop" / "backing_file").read_text()
                if text.startswith(f"{self._view}/"):
                    found.append(f"/dev/{entry.name}")
        return found


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _run(*words: str) -> None:
    subprocess.run(words, check=False, capture_output=True, timeout=_LIMIT_S)


def _main(folder: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    server = _Server(Path(folder))
    try:
        os.write(1, b"ready\n")
        while True:
            order = os.read(0, 64)
            if order == b"hang\n":
                server.send(signal.SIGSTOP)
                os.write(1, b"hung\n")
            elif order == b"answer\n":
                server.send(signal.SIGCONT)
                os.write(1, b"answers\n")
            else:
                break
    except BrokenPipeError:
        pass
    finally:
        server.end()


if __name__ == "__main__":
    _main(sys.argv[1])
