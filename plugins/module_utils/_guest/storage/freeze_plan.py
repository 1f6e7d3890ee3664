# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which filesystems a run freezes, and in which order.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..._disks import Disk
from ..._errors import refuse
from ..model import Target
from .block_devices import BlockDevices
from .device_stack import Stack, own_stack
from .mountinfo import Mount, Place, read_mounts
from .paths import FREEZABLE, HangingPathError, is_below

__all__ = ["FreezePlan", "find_devices", "plan_targets", "read_mounts"]

NAME = "InvalidFreeze"
Look = Callable[[str], Optional[Place]]
_ADVICE = (
    "Name mount points of filesystems that can be frozen ({}), or use freeze: auto or freeze: none."
).format(", ".join(sorted(FREEZABLE)))
_WHY_NOT = {
    "tmpfs": "it lives in memory and no snapshot of a disk holds it",
    "ramfs": "it lives in memory and no snapshot of a disk holds it",
    "nfs": "it lies on another machine",
    "nfs4": "it lies on another machine",
    "cifs": "it lies on another machine",
    "smb3": "it lies on another machine",
    "vfat": "the driver of FAT has no freeze",
    "msdos": "the driver of FAT has no freeze",
    "exfat": "the driver of exFAT has no freeze",
}


@dataclass(frozen=True)
class FreezePlan:
    """What to freeze: the targets in ascending order of rank, and what people should know."""

    targets: Tuple[Target, ...]
    warnings: Tuple[str, ...] = ()


class Candidate(NamedTuple):
    """A filesystem to freeze: the mount to open, and what its path led to."""

    mount: Mount
    place: Place


def plan_targets(
    freeze: Union[str, Sequence[str]],
    disks: Sequence[Disk],
    *,
    mounts: Optional[Sequence[Mount]] = None,
    blocks: Optional[BlockDevices] = None,
    look: Optional[Look] = None,
) -> FreezePlan:
    """Plan which filesystems to freeze.

    C(freeze) is C(none); or a list of mount points, taken exactly; or C(auto): the filesystems
    that lie on the disks where the devices of all disks are known, and otherwise every local
    filesystem that can be frozen. A filesystem inside an image file comes before the one that
    holds the file (once the outer one is frozen, freezing the inner one blocks), and the root
    comes last. Raises C(SettingsError) for what cannot be frozen; nothing is changed.

    The parameters behind the star replace this machine in tests.
    """
    if freeze == "none":
        return FreezePlan(())
    blocks = blocks or BlockDevices()
    look = look or blocks.paths.look
    stack = own_stack(read_mounts(), blocks) if mounts is None else Stack(mounts, blocks)
    if isinstance(freeze, str):
        if freeze != "auto":
            refuse(NAME, f"freeze is {freeze!r}.", "Use auto, none or a list of mount points.")
        chosen, warnings = _choose(stack, disks, look)
    else:
        chosen, warnings = [_named(stack, path, look) for path in _checked(freeze)], ()
        _refuse_twice(chosen)
    return FreezePlan(_ranked(stack, chosen), warnings)


def find_devices(
    disks: Sequence[Disk], blocks: BlockDevices
) -> Tuple[Dict[str, int], Tuple[str, ...]]:
    """The block device of each disk by the disk's name, and a warning for each unknown one.

    A disk's C(device) says it, or its C(lun) through the links that Azure's udev rules make.
    Raises C(SettingsError) for a C(device) that is none, and when two disks have the same.
    """
    known: Dict[str, int] = {}
    warnings: List[str] = []
    for disk in disks:
        number: Optional[int] = None
        if disk.device is not None:
            number = _device_of_path(disk.name, disk.device, blocks)
        elif disk.lun is not None:
            number = _device_of_lun(disk.lun, blocks)
            if number is None:
                warnings.append(f"Disk {disk.name}: this machine has no device for LUN {disk.lun}.")
        else:
            warnings.append(
                f"Disk {disk.name}: neither device nor lun is given, so it is not known which "
                "filesystems lie on it."
            )
        if number is None:
            continue
        for other, taken in known.items():
            if taken == number:
                refuse(
                    "InvalidDevice",
                    f"Disks {other} and {disk.name} are both {blocks.node(number)}.",
                    "Give each disk its own device or lun.",
                )
        known[disk.name] = number
    return known, tuple(warnings)


def _device_of_path(disk: str, path: str, blocks: BlockDevices) -> int:
    try:
        number = blocks.paths.block_device(path)
        reason = "is not a block device of this machine"
    except HangingPathError as error:
        number, reason = None, str(error)
    if number is None:
        refuse(
            "InvalidDevice",
            f"Disk {disk}: {path} {reason}.",
            "Correct the device of the disk, or leave it out.",
        )
    return number


def _device_of_lun(lun: int, blocks: BlockDevices) -> Optional[int]:
    """Azure's links: below scsi1 for SCSI controllers, below data for NVMe ones."""
    azure = blocks.dev / "disk" / "azure"
    links = [azure / "scsi1" / f"lun{lun}", azure / "data" / "by-lun" / str(lun)]
    if lun == -1:
        links = [azure / "root", azure / "os"]
    for link in links:
        number = blocks.number_at(str(link))
        if number is not None:
            return number
    return None


# --- A list of mount points ------------------------------------------------------------------


def _checked(paths: Sequence[str]) -> List[str]:
    """The paths without trailing slashes; refuses what can be no mount point by its form."""
    if not paths:
        refuse(NAME, "freeze is an empty list.", "Use freeze: none to freeze nothing.")
    found = []
    for path in paths:
        if not isinstance(path, str) or not path or "\0" in path:
            refuse(NAME, f"freeze names {path!r}, which is no path.", "Name mount points.")
        if not path.startswith("/"):
            refuse(NAME, f"freeze names {path}, a relative path.", "Name absolute paths.")
        if ".." in path.split("/"):
            refuse(NAME, f"freeze names {path}, with .. in it.", "Name the path itself.")
        found.append("/" + os.path.normpath(path).lstrip("/"))
    return found


def _named(stack: Stack, path: str, look: Look) -> Candidate:
    """The filesystem at a path that the user named."""
    try:
        real = stack.blocks.paths.resolve(path)
        if real != path:
            refuse(
                NAME,
                f"freeze names {path}, which leads through a symbolic link to {real}.",
                f"Name {real} itself.",
            )
        found = Path(path).lstat()
    except HangingPathError as error:
        if error.mount.mount_point == path:
            _refuse_unfreezable(stack, error.mount)
        refuse(NAME, f"freeze names {path}, which {error}.", "Mount it elsewhere, or leave it out.")
    except OSError as error:
        refuse(NAME, f"freeze names {path}: {error.strerror or error}.", "Correct or mount it.")
    place = look(path)
    mount = _mount_of(stack, place)
    if place is None or mount is None or mount.mount_point != path:
        where = f" It lies in the filesystem at {mount.mount_point}." if mount else ""
        refuse(NAME, f"freeze names {path}, which is not a mount point.{where}", _ADVICE)
    if not stat.S_ISDIR(found.st_mode):
        refuse(NAME, f"freeze names {path}, which is a file, not a folder.", _ADVICE)
    _refuse_unfreezable(stack, mount)
    if mount.read_only:
        writable = [m.mount_point for m in stack.filesystems[mount.dev] if not m.read_only]
        refuse(
            NAME,
            f"freeze names {path}, which is mounted read-only.",
            f"Name {writable[0]}, where it is mounted for writing."
            if writable
            else "Leave it out: nothing can be written to it.",
        )
    return Candidate(mount, place)


def _mount_of(stack: Stack, place: Optional[Place]) -> Optional[Mount]:
    if place is None:
        return None
    for mounts in stack.filesystems.values():
        for mount in mounts:
            if mount.mount_id == place.mount_id:
                return mount
    return None


def _refuse_unfreezable(stack: Stack, mount: Mount) -> None:
    if mount.fstype in FREEZABLE:
        return
    why = _WHY_NOT.get(mount.fstype, "this type cannot be frozen")
    advice = _ADVICE
    if mount.fstype == "overlay":
        upper = _upper(mount)
        holders = [
            other
            for mounts in stack.filesystems.values()
            for other in mounts
            if upper and other.fstype != "overlay" and is_below(upper, other.mount_point)
        ]
        why = "an overlay cannot be frozen, only the filesystem that holds its upper folder"
        if holders:
            holder = max(holders, key=lambda other: len(other.mount_point))
            advice = f"Name {holder.mount_point}, which holds the upper folder {upper}."
    refuse(NAME, f"freeze names {mount.mount_point} of type {mount.fstype}: {why}.", advice)


def _upper(mount: Mount) -> str:
    for option in mount.super_options:
        if option.startswith("upperdir="):
            return option.partition("=")[2]
    return ""


def _refuse_twice(chosen: Sequence[Candidate]) -> None:
    seen: Dict[int, str] = {}
    for mount, _place in chosen:
        if mount.dev in seen:
            refuse(
                NAME,
                f"freeze names one filesystem twice: {seen[mount.dev]} and {mount.mount_point} "
                f"are both {mount.source}.",
                "Name one of them; freezing it freezes all places it is mounted at.",
            )
        seen[mount.dev] = mount.mount_point


# --- auto ------------------------------------------------------------------------------------


def _choose(
    stack: Stack, disks: Sequence[Disk], look: Look
) -> Tuple[List[Candidate], Tuple[str, ...]]:
    """The filesystems of the disks, or every local one when a disk's device is not known."""
    known, found = find_devices(disks, stack.blocks)
    warnings = list(found)
    everything = not disks or len(known) < len(disks)
    if everything:
        warnings.append("freeze: auto takes every local filesystem that can be frozen.")
    chosen = []
    for dev, mounts in stack.filesystems.items():
        if mounts[0].fstype not in FREEZABLE or mounts[0].filesystem_read_only:
            continue
        if not everything and stack.beneath(dev).isdisjoint(known.values()):
            continue
        one = _reachable(mounts, look)
        if one is None:
            warnings.append(
                f"The filesystem of {mounts[0].source} at {mounts[0].mount_point} is not frozen: "
                f"{_why_not(stack, mounts[0].mount_point)}."
            )
        else:
            chosen.append(one)
    if not chosen:
        warnings.append("freeze: auto found no filesystem to freeze.")
    return chosen, tuple(warnings)


def _why_not(stack: Stack, path: str) -> str:
    """Why no descriptor of a mount can be opened."""
    try:
        stack.blocks.paths.resolve(path)
    except HangingPathError as error:
        return f"the path {error}"
    except OSError:
        pass
    return "it is hidden under another mount"


def _reachable(mounts: Sequence[Mount], look: Look) -> Optional[Candidate]:
    """The mount to open: the oldest one that its path leads to, bind mounts of folders last."""
    for mount in sorted(mounts, key=lambda one: one.root != "/"):
        place = look(mount.mount_point)
        if place is not None and place.is_folder and place.mount_id == mount.mount_id:
            return Candidate(mount, place)
    return None


# --- The order -------------------------------------------------------------------------------


def _ranked(stack: Stack, chosen: Sequence[Candidate]) -> Tuple[Target, ...]:
    """The targets with their ranks: what lies on another filesystem before it, the root last."""
    beneath: Dict[int, FrozenSet[int]] = {
        one.mount.dev: stack.beneath(one.mount.dev) for one in chosen
    }
    roots = {
        dev for dev in beneath if any(one.mount_point == "/" for one in stack.filesystems[dev])
    }

    def is_before(first: int, second: int) -> bool:
        if first == second:
            return False
        if second in beneath[first]:
            # Where mounts hide each other, each may seem to hold the other's image.
            return first not in beneath[second]
        # The root that is itself in an image file still comes before what holds that file.
        return second in roots and first not in beneath[second]

    def rank(dev: int) -> int:
        return max((rank(other) + 1 for other in beneath if is_before(other, dev)), default=0)

    targets = [
        Target(
            mount_point=one.mount.mount_point,
            device=one.mount.source,
            fstype=one.mount.fstype,
            dev=one.place.st_dev,
            rank=rank(one.mount.dev),
        )
        for one in chosen
    ]
    return tuple(sorted(targets, key=lambda target: (target.rank, target.mount_point)))
