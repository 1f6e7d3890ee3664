# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Disks of the tests: an image behind a loop device, with a filesystem that is mounted."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Dict, List, Optional, Sequence

from tests.lab._process import PATIENCE_S, LabError, run
from tests.lab.frozen import thaw

MIB = 1 << 20

#: No discard: what was never written stays a hole. No lazy work: nothing writes after the mount.
_MKFS: Dict[str, List[str]] = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K", "-m", "single", "-d", "single"],
}
#: mkfs.xfs makes filesystems this small for tests only, and this is how a test says so.
_SMALL_XFS = {"TEST_DIR": "1", "TEST_DEV": "1", "QA_CHECK_FS": "1"}
#: The smallest image for which each makes a filesystem.
SMALLEST = {"ext4": 16 * MIB, "xfs": 64 * MIB, "btrfs": 128 * MIB}


def attach(image: Path, *, read_only: bool = False, direct_io: bool = False) -> str:
    """Return a loop device for the file; its name."""
    argv = ["losetup", "--find", "--show", *(["--read-only"] if read_only else [])]
    argv += ["--direct-io=on"] if direct_io else []
    until = time.monotonic() + PATIENCE_S
    while True:
        done = run(*argv, str(image), check=False)
        if done.returncode == 0:
            return done.stdout.strip()
        # Somebody else may have taken the device that was free a moment ago.
        if time.monotonic() > until:
            raise LabError(f"No loop device for {image}: {done.stderr.strip()}")
        time.sleep(0.1)


def detach(device: str, image: Path) -> None:
    """Detach the loop device, if it still is the image's, and wait until it is free."""
    backing = Path("/sys/block") / Path(device).name / "loop" / "backing_file"

    def ours() -> bool:
        try:
            return backing.read_text().rstrip("\n").startswith(str(image))
        except OSError:
            return False

    until = time.monotonic() + PATIENCE_S
    while ours():
        run("losetup", "--detach", device, check=False)
        if not ours():
            return
        if time.monotonic() > until:
            raise LabError(f"{device} is still in use: {holders(device)}")
        time.sleep(0.05)


def make_filesystem(device: str, fstype: str) -> None:
    """Make the filesystem on the device."""
    run(*_MKFS[fstype], device, limit_s=300, env_more=_SMALL_XFS)


def mount(device: str, point: Path, fstype: str, options: Sequence[str] = ()) -> None:
    """Mount the device; raises `LabError` with the kernel's message if it refuses."""
    run("mount", "-t", fstype, "-o", ",".join(["noatime", *options]), device, str(point))


def unmount(point: Path) -> None:
    """Thaw what is mounted there, if it is frozen, and unmount it; raises when it is in use."""
    until = time.monotonic() + PATIENCE_S
    while is_mounted(point):
        fd = os.open(point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            while thaw(fd):
                pass
        finally:
            os.close(fd)
        done = run("umount", str(point), check=False, limit_s=300)
        if done.returncode != 0 and time.monotonic() > until:
            users = holders(str(point))
            run("umount", "--lazy", str(point), check=False)
            raise LabError(f"{point} was still in use: {done.stderr.strip()} {users}")
        time.sleep(0 if done.returncode == 0 else 0.1)


def is_mounted(point: Path) -> bool:
    """Return True if something is mounted exactly there."""
    escaped = str(point).replace("\\", "\\134").replace(" ", "\\040")
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(line.split(" ")[4] == escaped for line in lines)


def holders(path: str) -> str:
    """Return which processes have something open there, for an error's text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            links = [str(one.readlink()) for one in (process / "fd").iterdir()]
            links.append(str((process / "cwd").readlink()))
            if any(one.startswith(path) for one in links):
                found.append(f"{process.name} {(process / 'comm').read_text().strip()}")
    return "in use by " + (", ".join(found) or "no visible process")


class MountedDisk:
    """Base of all disks: a device, a filesystem on it and a mount point."""

    mount_point: str
    device: str
    fstype: str

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._options = options
        self._stack = ExitStack()

    @property
    def path(self) -> Path:
        """The mount point."""
        return Path(self.mount_point)

    def _folder(self, parent: Optional[str], prefix: str) -> Path:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def _make_and_mount(self, fstype: str) -> None:
        self.fstype = fstype
        make_filesystem(self.device, fstype)
        self.mount()

    def mount(self) -> None:
        """Mount it, if it is not mounted, at a new place."""
        point = Path(tempfile.mkdtemp(prefix=f"quiesce-{self.fstype}-"))
        self.mount_point = str(point)
        self._stack.callback(self._unmount, point)
        mount(self.device, point, self.fstype, self._options)

    def _unmount(self, point: Path) -> None:
        try:
            unmount(point)
        finally:
            if not is_mounted(point):
                point.rmdir()

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


class LoopDisk(MountedDisk):
    """A new disk of `size` bytes in memory with a filesystem, mounted; a context manager.

    `folder` holds the image instead of memory, `fstype` is ext4, xfs, btrfs or empty for a bare
    device, and `options` are for the mount.
    """

    def __init__(
        self,
        size: int = 64 * MIB,
        fstype: str = "ext4",
        folder: str = "/dev/shm",
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(options)
        self.fstype = fstype
        self._size = max(size, SMALLEST.get(fstype, size))
        self._parent = folder

    def __enter__(self) -> LoopDisk:
        try:
            self.image = self._folder(self._parent, "quiesce-disk-") / "image"
            with self.image.open("wb") as opened:
                opened.truncate(self._size)
            self.device = attach(self.image)
            self._stack.callback(detach, self.device, self.image)
            if self.fstype:
                self._make_and_mount(self.fstype)
        except BaseException:
            self._stack.close()
            raise
        return self
