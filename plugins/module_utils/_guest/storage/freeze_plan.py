# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a freeze: the filesystems and their order."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NamedTuple, Optional

from ..._disks import Disk
from ..._errors import SettingsError
from ..model import Target
from .block_devices import BlockDevices
from .device_stack import Stack, own_stack
from .mountinfo import Mount, Place, read_mounts
from .paths import FREEZABLE, HangingPathError, is_below

__all__ = ["FreezePlan", "find_devices", "plan_targets", "read_mounts"]

_INVALID_FREEZE = "InvalidFreeze"
_INVALID_DEVICE = "InvalidDevice"
PlaceAt = Callable[[str], Optional[Place]]
_ADVICE = (
    "Set freeze to mount points of filesystems that can be frozen ({}), to auto or to none."
).format(", ".join(sorted(FREEZABLE)))
_WHY_NOT = {
    "tmpfs": "it is in memory, not on a disk",
    "ramfs": "it is in memory, not on a disk",
    "nfs": "it is on another machine",
    "nfs4": "it is on another machine",
    "cifs": "it is on another machine",
    "smb3": "it is on another machine",
    "vfat": "the FAT driver does not support freezing",
    "msdos": "the FAT driver does not support freezing",
    "exfat": "the exFAT driver does not support freezing",
}


@dataclass(frozen=True)
class FreezePlan:
    """The targets in ascending order of rank, and the warnings for the user."""

    targets: tuple[Target, ...]
    warnings: tuple[str, ...] = ()


class Candidate(NamedTuple):
    """A filesystem to freeze: the mount to open, and the place that its path led to."""

    mount: Mount
    place: Place


def plan_targets(
    freeze: str | Sequence[str],
    disks: Sequence[Disk],
    *,
    mounts: Sequence[Mount] | None = None,
    blocks: BlockDevices | None = None,
    place_at: PlaceAt | None = None,
) -> FreezePlan:
    """Plan which filesystems to freeze.

    `freeze` is `none`, `auto` or a list of exactly the mount points to freeze. `auto` selects
    the filesystems on the disks if the devices of all disks are known. Otherwise it selects every
    local filesystem that can be frozen.

    A filesystem inside an image file comes before the filesystem that holds the file: once the
    outer one is frozen, freezing the inner one blocks. The root comes last. Raise `SettingsError`
    if a named filesystem cannot be frozen. Nothing is changed.

    The keyword parameters replace this machine in tests.
    """
    if freeze == "none":
        return FreezePlan(())
    blocks = blocks or BlockDevices()
    place_at = place_at or blocks.paths.place_at
    stack = own_stack(read_mounts(), blocks) if mounts is None else Stack(mounts, blocks)
    if isinstance(freeze, str):
        if freeze != "auto":
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze is {freeze!r}.",
                "Set freeze to auto, none or a list of mount points.",
            )
        selected, warnings = _select(stack, disks, place_at)
    else:
        selected = [_named(stack, path, place_at) for path in _normalized(freeze)]
        warnings = ()
        _check_duplicates(selected)
    return FreezePlan(_ranked(stack, selected), warnings)


def find_devices(
    disks: Sequence[Disk], blocks: BlockDevices
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Return the block device of each disk by the disk's name, and a warning for each unknown one.

    It is the disk's `device`, or the device of its `lun` by the links of Azure's udev rules.
    Raise `SettingsError` if a `device` is not a block device, or if two disks have the same.
    """
    known: dict[str, int] = {}
    warnings: list[str] = []
    for disk in disks:
        number: int | None = None
        if disk.device is not None:
            number = _device_of_path(disk.name, disk.device, blocks)
        elif disk.lun is not None:
            number = _device_of_lun(disk.lun, blocks)
            if number is None:
                warnings.append(f"Disk {disk.name}: this machine has no device for LUN {disk.lun}.")
        else:
            warnings.append(
                f"Disk {disk.name} has neither device nor lun, so its filesystems are unknown. "
                "Set device or lun of the disk."
            )
        if number is None:
            continue
        for other, other_number in known.items():
            if other_number == number:
                raise SettingsError(
                    _INVALID_DEVICE,
                    f"Disks {other} and {disk.name} have the same device, {blocks.node(number)}.",
                    "Set a different device or lun for each disk.",
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
        raise SettingsError(
            _INVALID_DEVICE,
            f"Disk {disk}: {path} {reason}.",
            "Correct device of the disk, or remove device.",
        )
    return number


def _device_of_lun(lun: int, blocks: BlockDevices) -> int | None:
    """Return the device that Azure's links give: `scsi1` for SCSI controllers, `data` for NVMe."""
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


def _normalized(paths: Sequence[str]) -> list[str]:
    """Return the paths without trailing slashes. Raise if one cannot be a mount point."""
    if not paths:
        raise SettingsError(
            _INVALID_FREEZE, "freeze is an empty list.", "Set freeze: none to freeze nothing."
        )
    normalized = []
    for path in paths:
        if not isinstance(path, str) or not path or "\0" in path:
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze has {path!r}, which is not a path.",
                "Set freeze to a list of mount points.",
            )
        if not path.startswith("/"):
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze has {path}, a relative path.",
                "Set freeze to absolute paths.",
            )
        if ".." in path.split("/"):
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze has {path}, which contains '..'.",
                "Set freeze to paths without '..'.",
            )
        normalized.append("/" + os.path.normpath(path).lstrip("/"))
    return normalized


def _named(stack: Stack, path: str, place_at: PlaceAt) -> Candidate:
    """Return the filesystem at a path that the user named."""
    try:
        real = stack.blocks.paths.resolve(path)
        if real != path:
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze has {path}, which leads through a symbolic link to {real}.",
                f"Use {real} in freeze.",
            )
        status = Path(path).lstat()
    except HangingPathError as error:
        if error.mount.mount_point == path:
            _check_freezable(stack, error.mount)
        raise SettingsError(
            _INVALID_FREEZE,
            f"freeze has {path}, which {error}.",
            "Mount it elsewhere, or remove it from freeze.",
        ) from error
    except OSError as error:
        raise SettingsError(
            _INVALID_FREEZE,
            f"freeze has {path}, which cannot be read: {error.strerror or error}.",
            "Correct the path in freeze, or mount the filesystem.",
        ) from error
    place = place_at(path)
    mount = _mount_of(stack, place)
    if place is None or mount is None or mount.mount_point != path:
        where = f" It is in the filesystem at {mount.mount_point}." if mount else ""
        raise SettingsError(
            _INVALID_FREEZE, f"freeze has {path}, which is not a mount point.{where}", _ADVICE
        )
    if not stat.S_ISDIR(status.st_mode):
        raise SettingsError(
            _INVALID_FREEZE, f"freeze has {path}, which is a file, not a folder.", _ADVICE
        )
    _check_freezable(stack, mount)
    if mount.read_only:
        writable = [m.mount_point for m in stack.filesystems[mount.dev] if not m.read_only]
        raise SettingsError(
            _INVALID_FREEZE,
            f"freeze has {path}, which is mounted read-only.",
            f"Use {writable[0]} in freeze, where the filesystem is mounted for writing."
            if writable
            else "Remove it from freeze: the filesystem cannot be written to.",
        )
    return Candidate(mount, place)


def _mount_of(stack: Stack, place: Place | None) -> Mount | None:
    if place is None:
        return None
    for mounts in stack.filesystems.values():
        for mount in mounts:
            if mount.mount_id == place.mount_id:
                return mount
    return None


def _check_freezable(stack: Stack, mount: Mount) -> None:
    if mount.fstype in FREEZABLE:
        return
    reason = _WHY_NOT.get(mount.fstype, "this type cannot be frozen")
    advice = _ADVICE
    if mount.fstype == "overlay":
        upper = _upper(mount)
        holders = [
            other
            for mounts in stack.filesystems.values()
            for other in mounts
            if upper and other.fstype != "overlay" and is_below(upper, other.mount_point)
        ]
        reason = "an overlay cannot be frozen, only the filesystem that holds its upper folder"
        if holders:
            holder = max(holders, key=lambda other: len(other.mount_point))
            advice = f"Use {holder.mount_point} in freeze, which holds the upper folder {upper}."
    raise SettingsError(
        _INVALID_FREEZE, f"freeze has {mount.mount_point} of type {mount.fstype}: {reason}.", advice
    )


def _upper(mount: Mount) -> str:
    for option in mount.super_options:
        if option.startswith("upperdir="):
            return option.partition("=")[2]
    return ""


def _check_duplicates(selected: Sequence[Candidate]) -> None:
    seen: dict[int, str] = {}
    for mount, _place in selected:
        if mount.dev in seen:
            raise SettingsError(
                _INVALID_FREEZE,
                f"freeze has one filesystem twice: {seen[mount.dev]} and {mount.mount_point} "
                f"are both {mount.source}.",
                "Remove one of them from freeze. Freezing a filesystem freezes all its mounts.",
            )
        seen[mount.dev] = mount.mount_point


# --- auto ------------------------------------------------------------------------------------


def _select(
    stack: Stack, disks: Sequence[Disk], place_at: PlaceAt
) -> tuple[list[Candidate], tuple[str, ...]]:
    """Return the filesystems of the disks, or every local one if a disk's device is unknown."""
    known, unknown_warnings = find_devices(disks, stack.blocks)
    warnings = list(unknown_warnings)
    everything = not disks or len(known) < len(disks)
    if everything:
        warnings.append("freeze: auto selects every local filesystem that can be frozen.")
    selected = []
    for dev, mounts in stack.filesystems.items():
        if mounts[0].fstype not in FREEZABLE or mounts[0].filesystem_read_only:
            continue
        if not everything and stack.beneath(dev).isdisjoint(known.values()):
            continue
        candidate = _reachable(mounts, place_at)
        if candidate is None:
            warnings.append(
                f"The filesystem of {mounts[0].source} at {mounts[0].mount_point} is not frozen: "
                f"{_why_unreachable(stack, mounts[0].mount_point)}."
            )
        else:
            selected.append(candidate)
    if not selected:
        warnings.append("freeze: auto found no filesystem to freeze.")
    return selected, tuple(warnings)


def _why_unreachable(stack: Stack, path: str) -> str:
    """Return the reason why no descriptor of a mount can be opened."""
    try:
        stack.blocks.paths.resolve(path)
    except HangingPathError as error:
        return f"the path {error}"
    except OSError:
        pass
    return "it is hidden under another mount"


def _reachable(mounts: Sequence[Mount], place_at: PlaceAt) -> Candidate | None:
    """Return the oldest mount that its path leads to, bind mounts of folders last."""
    for mount in sorted(mounts, key=lambda mount: mount.root != "/"):
        place = place_at(mount.mount_point)
        if place is not None and place.is_folder and place.mount_id == mount.mount_id:
            return Candidate(mount, place)
    return None


# --- The order -------------------------------------------------------------------------------


def _ranked(stack: Stack, selected: Sequence[Candidate]) -> tuple[Target, ...]:
    """Return the targets with their ranks: an inner filesystem before its outer, the root last."""
    beneath: dict[int, frozenset[int]] = {
        mount.dev: stack.beneath(mount.dev) for mount, _place in selected
    }
    roots = {
        dev for dev in beneath if any(mount.mount_point == "/" for mount in stack.filesystems[dev])
    }

    def is_before(first: int, second: int) -> bool:
        if first == second:
            return False
        if second in beneath[first]:
            # Where mounts hide each other, each may seem to hold the other's image.
            return first not in beneath[second]
        # A root that is itself in an image file still comes before the holder of that file.
        return second in roots and first not in beneath[second]

    def rank(dev: int) -> int:
        return max((rank(other) + 1 for other in beneath if is_before(other, dev)), default=0)

    targets = [
        Target(
            mount_point=mount.mount_point,
            device=mount.source,
            fstype=mount.fstype,
            dev=place.st_dev,
            rank=rank(mount.dev),
        )
        for mount, place in selected
    ]
    return tuple(sorted(targets, key=lambda target: (target.rank, target.mount_point)))
