# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether freezing the targets stops every write to the disks of the set.

PRIVATE: for this collection only. Only then does a snapshot of the disks show one moment.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, Optional, Sequence, Set, Tuple

from ..._disks import Disk
from ..._errors import SettingsError
from ..model import Target
from .block_devices import BlockDevices
from .device_stack import Stack, own_stack
from .freeze_plan import find_devices
from .mountinfo import Mount, Place, read_mounts, unescape
from .paths import FREEZABLE
from .proc_scan import LIMIT_S, foreign_mounts, openers

# The boot loader's files are written when a kernel or a loader is installed, and are synced then.
_BOOT = frozenset(("/boot/efi", "/boot", "/efi"))


@dataclass(frozen=True)
class Coverage:
    """Whether the targets cover the disks.

    C(covered): True when nothing else can write to the disks; False when C(problems) says what
    can; None when no problem was found but the device of some disk is not known, or there was no
    time to look at all processes.
    """

    covered: Optional[bool]
    problems: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()


def disks_covered(
    targets: Sequence[Target],
    disks: Sequence[Disk],
    *,
    mounts: Optional[Sequence[Mount]] = None,
    blocks: Optional[BlockDevices] = None,
    proc: str = "/proc",
    look: Optional[Callable[[str], Optional[Place]]] = None,
    limit_s: float = LIMIT_S,
) -> Coverage:
    """Find out whether freezing the targets stops every write to the disks.

    Looks at the mounts of all mount namespaces and at who uses a device without a filesystem.
    Changes nothing and does not raise for what it finds; to be called again just before the
    freeze, because a pre-script may mount. The parameters behind the star replace this machine
    in tests.
    """
    blocks = blocks or BlockDevices()
    look = look or blocks.paths.look
    own = list(read_mounts(f"{proc}/self/mountinfo") if mounts is None else mounts)
    if mounts is None:
        own_stack(own, blocks)
    try:
        known, notes = find_devices(disks, blocks)
    except SettingsError as error:
        return Coverage(False, (str(error),))
    elsewhere, complete = foreign_mounts(proc, limit_s)
    seen = {mount.dev for mount in own}
    hidden = {mount.dev: pid for mount, pid in elsewhere if mount.dev not in seen}
    stack = Stack(own, blocks, [mount for mount, _pid in elsewhere])
    check = _Check(stack, {number: name for name, number in known.items()}, proc, limit_s)
    frozen = {_superblock(own, target, look) for target in targets}
    warnings = list(notes)
    everything_known = len(known) == len(disks)
    check.filesystems(frozen, hidden)
    complete = check.raw_devices() and complete
    if not complete:
        warnings.append("It was not found out what all processes use of the disks.")
    if everything_known:
        check.targets(targets, own, look)
    check.idle_disks(frozen)
    covered = False if check.problems else (True if everything_known and complete else None)
    return Coverage(covered, tuple(check.problems), tuple(warnings + check.warnings))


def _superblock(
    mounts: Sequence[Mount], target: Target, look: Callable[[str], Optional[Place]]
) -> Optional[int]:
    """The filesystem of a target; None when its path leads to another one by now."""
    place = look(target.mount_point)
    if place is None or place.st_dev != target.dev:
        return None
    for mount in mounts:
        if mount.mount_id == place.mount_id:
            return mount.dev
    return None


class _Check:
    """The findings, as they are gathered."""

    def __init__(self, stack: Stack, disks: Dict[int, str], proc: str, limit_s: float) -> None:
        self._stack = stack
        self._blocks = stack.blocks
        #: The names of the disks by their numbers.
        self._disks = disks
        self._proc = proc
        self._limit_s = limit_s
        self._beneath: Dict[int, FrozenSet[int]] = {
            dev: stack.beneath(dev) for dev in stack.filesystems
        }
        self.problems: List[str] = []
        self.warnings: List[str] = []

    def _on(self, beneath: FrozenSet[int]) -> str:
        names = sorted(name for number, name in self._disks.items() if number in beneath)
        return f"disk{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""

    def filesystems(self, frozen: Set[Optional[int]], hidden: Dict[int, int]) -> None:
        """Every filesystem on the disks that can be written to must be frozen."""
        for dev, mounts in self._stack.filesystems.items():
            mount, on = mounts[0], self._on(self._beneath[dev])
            if not on or dev in frozen or mount.filesystem_read_only:
                continue
            what = f"The filesystem of {mount.source} at {mount.mount_point} lies on {on}"
            if dev in hidden:
                what += f" (mounted only where process {hidden[dev]} sees it)"
            if mount.fstype in FREEZABLE:
                self.problems.append(f"{what} and is not frozen.")
            elif mount.fstype == "vfat" and mount.mount_point in _BOOT:
                self.warnings.append(f"{what}. FAT cannot be frozen; it holds the boot loader.")
            else:
                self.problems.append(f"{what}; {mount.fstype} cannot be frozen.")

    def raw_devices(self) -> bool:
        """A device without a mounted filesystem must not be in use by anything else.

        Returns False when not all users could be found out.
        """
        mounted = {number for dev in self._stack.filesystems for number in self._stack.devices(dev)}
        swaps = _swaps(self._proc, self._blocks)
        raw = []
        for number in self._tree():
            if number in mounted or self._blocks.above(number):
                continue
            if number in swaps:
                on = self._on(self._stack.beneath(number))
                self.warnings.append(f"Swap space on {self._blocks.node(number)} lies on {on}.")
            else:
                raw.append(number)
        users, complete = (
            openers(self._proc, raw, self._blocks.paths, self._limit_s) if raw else ({}, True)
        )
        for number in raw:
            pid = users.get(number)
            who = f"process {pid}" if pid is not None else ""
            if not who and self._stack.may_hang(number):
                # To open the device may be to read it.
                self.warnings.append(
                    f"The kernel was not asked who uses {self._blocks.node(number)}: the device "
                    "lies on a filesystem that may not answer."
                )
                complete = False
            elif not who and _is_claimed(self._blocks, number):
                who = "the kernel (a pool, a target, or a mount that no process sees)"
            if who:
                self.problems.append(
                    f"{self._blocks.node(number)} on {self._on(self._stack.beneath(number))} "
                    f"is used without a filesystem that could be frozen, by {who}."
                )
        return complete

    def _tree(self) -> List[int]:
        """The disks and everything on them: partitions, volumes, loops over files on them."""
        found: Set[int] = set()
        waiting = list(self._disks)
        waiting += [
            loop
            for loop in self._blocks.loops()
            if not self._stack.beneath(loop).isdisjoint(self._disks)
        ]
        while waiting:
            number = waiting.pop()
            if number not in found:
                found.add(number)
                waiting.extend(self._blocks.above(number))
        return sorted(found)

    def targets(
        self,
        targets: Sequence[Target],
        mounts: Sequence[Mount],
        look: Callable[[str], Optional[Place]],
    ) -> None:
        """A target should lie on the disks, and with all of itself."""
        for target in targets:
            dev = _superblock(mounts, target, look)
            if dev is None:
                self.problems.append(
                    f"{target.mount_point} is no longer the filesystem that was planned."
                )
            elif self._beneath[dev].isdisjoint(self._disks):
                self.warnings.append(
                    f"{target.mount_point} lies on no disk of this set; it is frozen all the same."
                )
            else:
                missing = sorted(str(self._blocks.node(one)) for one in self._missing(dev))
                if missing:
                    self.problems.append(
                        f"The filesystem at {target.mount_point} also lies on "
                        f"{', '.join(missing)}, which is no disk of this set."
                    )

    def _missing(self, dev: int) -> Set[int]:
        """The lowest devices that a filesystem needs and that lie on no disk of the set."""
        found: Set[int] = set()
        seen: Set[int] = set()
        waiting = [dev]
        while waiting:
            number = waiting.pop()
            if number in self._disks or number in seen:
                continue
            seen.add(number)
            down = list(self._blocks.below(number))
            if number in self._stack.filesystems:
                down += [one for one in self._stack.devices(number) if one != number]
            down += self._stack.image_holders(number)
            if not down and self._blocks.exists(number):
                found.add(number)
            waiting.extend(down)
        return found

    def idle_disks(self, frozen: Set[Optional[int]]) -> None:
        """Say when a disk is in the set and no target lies on it."""
        for number, name in self._disks.items():
            if not any(number in self._beneath[dev] for dev in frozen if dev is not None):
                self.warnings.append(f"No filesystem on disk {name} is frozen.")


def _swaps(proc: str, blocks: BlockDevices) -> Set[int]:
    try:
        lines = (Path(proc) / "swaps").read_text(encoding="utf-8").splitlines()[1:]
    except (OSError, ValueError):
        return set()
    names = [unescape(line.split(maxsplit=1)[0]) for line in lines if line.strip()]
    found = [blocks.number_at(name) for name in names]
    return {number for number in found if number is not None}


def _is_claimed(blocks: BlockDevices, number: int) -> bool:
    """Whether something in the kernel holds a device for itself, as mounts and pools do."""
    node = str(blocks.node(number))
    if blocks.number_at(node) != number:
        return False
    try:
        # Let go at once: nothing is written, and nothing else is kept from the device.
        os.close(os.open(node, os.O_RDONLY | os.O_EXCL | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as error:
        return error.errno == errno.EBUSY
    return False
