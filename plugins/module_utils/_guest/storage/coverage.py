# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that freezing the targets stops every write to the given disks.

Only then do the snapshots of the disks show one moment.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ..._disks import Disk
from ..._errors import SettingsError
from ..model import Target
from .block_devices import BlockDevices
from .device_stack import Stack, own_stack
from .freeze_plan import find_devices
from .mountinfo import Mount, Place, read_mounts, unescape
from .paths import FREEZABLE
from .proc_scan import LIMIT_S, foreign_mounts, openers

# The boot loader's files are written and synced only when a kernel or a loader is installed.
_BOOT = frozenset(("/boot/efi", "/boot", "/efi"))


@dataclass(frozen=True)
class Coverage:
    """The result of the check.

    `covered` is True when nothing else can write to the disks, and False when `problems` names
    what can. It is None when no problem was found but the check is incomplete: the device of a
    disk is unknown, or not all processes could be checked in time.
    """

    covered: bool | None
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_coverage(
    targets: Sequence[Target],
    disks: Sequence[Disk],
    *,
    mounts: Sequence[Mount] | None = None,
    blocks: BlockDevices | None = None,
    proc: str = "/proc",
    place_at: Callable[[str], Place | None] | None = None,
    limit_s: float = LIMIT_S,
) -> Coverage:
    """Check that freezing the targets stops every write to the disks.

    Read the mounts of all mount namespaces and find the processes that use a device without a
    filesystem. Problems are returned, not raised, and nothing is changed. Call this again just
    before the freeze, because a pre-script may mount. The keyword parameters replace this
    machine in tests.
    """
    blocks = blocks or BlockDevices()
    place_at = place_at or blocks.paths.place_at
    own = list(read_mounts(f"{proc}/self/mountinfo") if mounts is None else mounts)
    if mounts is None:
        own_stack(own, blocks)
    try:
        known, unknown_warnings = find_devices(disks, blocks)
    except SettingsError as error:
        return Coverage(False, (str(error),))
    elsewhere, complete = foreign_mounts(proc, limit_s)
    seen = {mount.dev for mount in own}
    hidden = {mount.dev: pid for mount, pid in elsewhere if mount.dev not in seen}
    stack = Stack(own, blocks, [mount for mount, _pid in elsewhere])
    check = _CoverageCheck(stack, {number: name for name, number in known.items()}, proc, limit_s)
    frozen = {_superblock(own, target, place_at) for target in targets}
    warnings = list(unknown_warnings)
    all_known = len(known) == len(disks)
    check.check_filesystems(frozen, hidden)
    complete = check.check_raw_devices() and complete
    if not complete:
        warnings.append("Could not determine all processes that use the disks.")
    if all_known:
        check.check_targets(targets, own, place_at)
    check.check_idle_disks(frozen)
    covered = False if check.problems else (True if all_known and complete else None)
    return Coverage(covered, tuple(check.problems), tuple(warnings + check.warnings))


def _superblock(
    mounts: Sequence[Mount], target: Target, place_at: Callable[[str], Place | None]
) -> int | None:
    """Return the filesystem of a target; None if its path now leads to another one."""
    place = place_at(target.mount_point)
    if place is None or place.st_dev != target.dev:
        return None
    for mount in mounts:
        if mount.mount_id == place.mount_id:
            return mount.dev
    return None


class _CoverageCheck:
    """One check, and the problems and warnings that it has found so far."""

    def __init__(self, stack: Stack, disks: dict[int, str], proc: str, limit_s: float) -> None:
        self._stack = stack
        self._blocks = stack.blocks
        #: The names of the disks by their numbers.
        self._disks = disks
        self._proc = proc
        self._limit_s = limit_s
        self._beneath: dict[int, frozenset[int]] = {
            dev: stack.beneath(dev) for dev in stack.filesystems
        }
        self.problems: list[str] = []
        self.warnings: list[str] = []

    def _on(self, beneath: frozenset[int]) -> str:
        names = sorted(name for number, name in self._disks.items() if number in beneath)
        return f"disk{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""

    def check_filesystems(self, frozen: set[int | None], hidden: dict[int, int]) -> None:
        """Check that every writable filesystem on the disks is frozen."""
        for dev, mounts in self._stack.filesystems.items():
            mount, on = mounts[0], self._on(self._beneath[dev])
            if not on or dev in frozen or mount.filesystem_read_only:
                continue
            subject = f"The filesystem of {mount.source} at {mount.mount_point} is on {on}"
            if dev in hidden:
                subject += f" (mounted only in the mount namespace of process {hidden[dev]})"
            if mount.fstype in FREEZABLE:
                self.problems.append(f"{subject} and is not frozen.")
            elif mount.fstype == "vfat" and mount.mount_point in _BOOT:
                self.warnings.append(f"{subject}. It holds the boot loader; FAT cannot be frozen.")
            else:
                self.problems.append(f"{subject}; {mount.fstype} cannot be frozen.")

    def check_raw_devices(self) -> bool:
        """Check that no device without a mounted filesystem is in use.

        Return False when not all users of the devices could be determined.
        """
        mounted = {number for dev in self._stack.filesystems for number in self._stack.devices(dev)}
        swaps = _swaps(self._proc, self._blocks)
        raw = []
        for number in self._tree():
            if number in mounted or self._blocks.above(number):
                continue
            if number in swaps:
                on = self._on(self._stack.beneath(number))
                self.warnings.append(f"{self._blocks.node(number)} on {on} is in use as swap.")
            else:
                raw.append(number)
        users, complete = (
            openers(self._proc, raw, self._blocks.paths, self._limit_s) if raw else ({}, True)
        )
        for number in raw:
            pid = users.get(number)
            user = f"process {pid}" if pid is not None else ""
            if not user and self._stack.may_hang(number):
                # Opening the device may read it, and then wait for that filesystem.
                self.warnings.append(
                    f"Could not check for use of {self._blocks.node(number)} by the kernel: the "
                    "device is on a filesystem that may not answer."
                )
                complete = False
            elif not user and _is_claimed(self._blocks, number):
                user = "the kernel (a pool, a storage target, or a mount that no process sees)"
            if user:
                self.problems.append(
                    f"{self._blocks.node(number)} on {self._on(self._stack.beneath(number))} "
                    f"is used directly, without a filesystem that could be frozen, by {user}."
                )
        return complete

    def _tree(self) -> list[int]:
        """Return the disks and all devices on them: partitions, volumes, loops over their files."""
        devices: set[int] = set()
        pending = list(self._disks)
        pending += [
            loop
            for loop in self._blocks.loops()
            if not self._stack.beneath(loop).isdisjoint(self._disks)
        ]
        while pending:
            number = pending.pop()
            if number not in devices:
                devices.add(number)
                pending.extend(self._blocks.above(number))
        return sorted(devices)

    def check_targets(
        self,
        targets: Sequence[Target],
        mounts: Sequence[Mount],
        place_at: Callable[[str], Place | None],
    ) -> None:
        """Check that each target is on the disks, and wholly on them."""
        for target in targets:
            dev = _superblock(mounts, target, place_at)
            if dev is None:
                self.problems.append(
                    f"The planned filesystem is no longer mounted at {target.mount_point}."
                )
            elif self._beneath[dev].isdisjoint(self._disks):
                self.warnings.append(
                    f"{target.mount_point} is not on any of the given disks; it is frozen anyway."
                )
            else:
                missing = sorted(str(self._blocks.node(number)) for number in self._missing(dev))
                if missing:
                    self.problems.append(
                        f"The filesystem at {target.mount_point} is also on "
                        f"{', '.join(missing)}, which is not among the given disks."
                    )

    def _missing(self, dev: int) -> set[int]:
        """Return the lowest devices that a filesystem needs and that are on no given disk."""
        missing: set[int] = set()
        seen: set[int] = set()
        pending = [dev]
        while pending:
            number = pending.pop()
            if number in self._disks or number in seen:
                continue
            seen.add(number)
            down = list(self._blocks.below(number))
            if number in self._stack.filesystems:
                down += [device for device in self._stack.devices(number) if device != number]
            down += self._stack.image_holders(number)
            if not down and self._blocks.exists(number):
                missing.add(number)
            pending.extend(down)
        return missing

    def check_idle_disks(self, frozen: set[int | None]) -> None:
        """Warn about each given disk that holds no target."""
        for number, name in self._disks.items():
            if not any(number in self._beneath[dev] for dev in frozen if dev is not None):
                self.warnings.append(f"No filesystem on disk {name} is frozen.")


def _swaps(proc: str, blocks: BlockDevices) -> set[int]:
    try:
        lines = (Path(proc) / "swaps").read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError):
        return set()
    names = [unescape(line.split(maxsplit=1)[0]) for line in lines if line.strip()]
    numbers = [blocks.number_at(name) for name in names]
    return {number for number in numbers if number is not None}


def _is_claimed(blocks: BlockDevices, number: int) -> bool:
    """Return True if the kernel holds a device exclusively, as mounts and pools do."""
    node = str(blocks.node(number))
    if blocks.number_at(node) != number:
        return False
    try:
        # Closed at once: this writes nothing and keeps no other user from the device.
        os.close(os.open(node, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
