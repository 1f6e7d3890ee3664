# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fake machine made of files: sysfs, device nodes, mounts and processes.

Tests use it where they need more disks than the machine has that runs them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.block_devices import (
    BlockDevices,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.storage.mountinfo import (
    Mount,
    Place,
    parse_mountinfo,
)

#: A major number for local use without a driver: opening such a device fails.
MAJOR = 240


class FakeMachine:
    """Block devices in a fake sysfs, device nodes without a driver, and mounts."""

    def __init__(self, folder: Path) -> None:
        self.sys, self.dev, self.proc = folder / "sys", folder / "dev", folder / "proc"
        for path in (self.sys / "dev" / "block", self.sys / "devices", self.dev, self.proc):
            path.mkdir(parents=True)
        (self.proc / "swaps").write_text("Filename\tType\tSize\tUsed\tPriority\n")
        self.blocks = BlockDevices(str(self.sys), str(self.dev))
        self._numbers: dict[str, int] = {}
        self._lines: list[str] = []
        self._places: dict[str, Place] = {}

    def device(
        self,
        name: str,
        *,
        of: str | None = None,
        legs: tuple[str, ...] = (),
        image: str | None = None,
    ) -> str:
        """Add a disk, a partition `of` a disk, a volume over `legs`, or a loop over `image`."""
        number = os.makedev(MAJOR, len(self._numbers))
        self._numbers[name] = number
        parent = self.sys / "devices"
        folder = (parent / of / name) if of else (parent / name)
        folder.mkdir()
        (folder / "dev").write_text(f"{self.show(name)}\n")
        for links in ("slaves", "holders"):
            (folder / links).mkdir()
        if of:
            (folder / "partition").write_text("1\n")
        for leg in legs:
            (folder / "slaves" / leg).symlink_to(self._folder(leg))
            (self._folder(leg) / "holders" / name).symlink_to(folder)
        if image is not None:
            (folder / "loop").mkdir()
            (folder / "loop" / "backing_file").write_text(f"{image}\n")
        (self.sys / "dev" / "block" / self.show(name)).symlink_to(folder)
        os.mknod(self.dev / name, stat.S_IFBLK | 0o600, number)
        return str(self.dev / name)

    def _folder(self, name: str) -> Path:
        return Path(os.path.realpath(self.sys / "dev" / "block" / self.show(name)))

    def number(self, name: str) -> int:
        """Return the device number of a device."""
        return self._numbers[name]

    def show(self, name: str) -> str:
        """Return the device number of a device as `major:minor`."""
        number = self._numbers[name]
        return f"{os.major(number)}:{os.minor(number)}"

    def btrfs(self, uuid: str, *names: str) -> None:
        """Add a btrfs over several devices."""
        for name in names:
            folder = self.sys / "fs" / "btrfs" / uuid / "devices"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(self._folder(name))

    def mount(
        self,
        source: str,
        point: str,
        fstype: str = "ext4",
        *,
        number: str = "",
        options: str = "rw,relatime",
        extra: str = "rw",
        root: str = "/",
    ) -> None:
        """Mount a device, or any other source under its own `number`."""
        mount_id = len(self._lines) + 20
        dev = number or self.show(source)
        shown = str(self.dev / source) if source in self._numbers else source
        words = [root, point, options, "shared:1", "-", fstype, shown, extra]
        escaped = " ".join(word.replace(" ", r"\040") for word in words)
        self._lines.append(f"{mount_id} 1 {dev} {escaped}")
        major, minor = dev.split(":")
        self._places[point] = Place(mount_id, os.makedev(int(major), int(minor)), True)

    @property
    def mountinfo(self) -> str:
        """The mounts as the kernel writes them."""
        return "".join(f"{line}\n" for line in self._lines)

    @property
    def mounts(self) -> list[Mount]:
        """The mounts."""
        return parse_mountinfo(self.mountinfo)

    def place_at(self, path: str) -> Place | None:
        """Return the place of the last mount at a path."""
        return self._places.get(path)
