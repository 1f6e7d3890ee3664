# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real filesystems in small image files. These tests mount them and never freeze them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def run(*words: object) -> str:
    """Run a program and return its output."""
    done = subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, text=True, timeout=120
    )
    return done.stdout.strip()


class LoopDevices:
    """Loop devices and mounts; `close` removes them in reverse order."""

    def __init__(self) -> None:
        self._undo: list[list[object]] = []

    def device(self, image: Path, fstype: str = "ext4", mib: int = 16) -> str:
        """Make a loop device over a new image; it gets a filesystem unless `fstype` is empty."""
        with image.open("wb") as file:
            file.truncate(mib << 20)
        if fstype:
            run(f"mkfs.{fstype}", "-q", image)
        found = run("losetup", "--find", "--show", image)
        self._undo.append(["losetup", "-d", found])
        return found

    def mount(self, *words: object) -> None:
        """Mount with these options; the last word is the mount point."""
        run("mount", *words)
        self._undo.append(["umount", words[-1]])

    def close(self) -> None:
        """Unmount and detach everything."""
        for words in reversed(self._undo):
            run(*words)
