# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open descriptors of the filesystems to freeze, and the proof that they match the plan.

A path may lead elsewhere a moment later, a descriptor never. So the run freezes and thaws through
descriptors that it opened at the start.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..._errors import Failure, FreezeError, SettingsError
from ..model import Target
from ..storage.mountinfo import read_mounts


@dataclass(frozen=True)
class MountHandle:
    """The open mount point of one filesystem."""

    target: Target
    descriptor: int
    mount_id: int

    def matches_target(self) -> bool:
        """Return True if the descriptor still is the planned filesystem."""
        try:
            return os.fstat(self.descriptor).st_dev == self.target.dev
        except OSError:
            return False


def open_all(targets: Sequence[Target]) -> tuple[MountHandle, ...]:
    """Open each mount point and check that it is the planned filesystem.

    Raises `SettingsError` if one is not; then no descriptor is left open.
    """
    handles: list[MountHandle] = []
    try:
        for target in targets:
            handles.append(_open(target))  # noqa: PERF401 - an error must close those open so far
        _check_duplicates(handles)
        mounted = _mount_points()
        for handle in handles:
            if mounted.get(handle.mount_id) != handle.target.mount_point:
                raise SettingsError(
                    Failure(
                        "MountChanged",
                        f"{handle.target.mount_point} is not, or no longer, a mount point.",
                        "Name mount points in freeze. Run again when no program mounts or "
                        "unmounts.",
                    )
                )
    except BaseException:
        close_all(handles)
        raise
    return tuple(handles)


def close_all(handles: Sequence[MountHandle]) -> None:
    """Close the descriptors."""
    for handle in handles:
        os.close(handle.descriptor)


def check_mounted(handles: Sequence[MountHandle]) -> None:
    """Check that each descriptor still is the planned mount, and still mounted there.

    Raises a `FreezeError` that names the first that is not.
    """
    mounted = _mount_points()
    for handle in handles:
        mount_point = handle.target.mount_point
        if not handle.matches_target() or mounted.get(handle.mount_id) != mount_point:
            raise FreezeError(
                Failure(
                    "MountChanged",
                    f"{mount_point} ({handle.target.device}) was unmounted or mounted over since "
                    "the start of the run.",
                    "Run again when no program mounts or unmounts.",
                )
            )


def _open(target: Target) -> MountHandle:
    mount_point = target.mount_point
    try:
        descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"The mount point {mount_point} cannot be opened: {error.strerror}."
        action = f"Mount the filesystem at {mount_point}, or remove it from freeze."
        raise SettingsError(Failure("MountNotFound", message, action)) from error
    handle = MountHandle(target, descriptor, _mount_id(descriptor))
    if not handle.matches_target():
        os.close(descriptor)
        raise SettingsError(
            Failure(
                "MountChanged",
                f"{mount_point} is no longer the planned filesystem {target.device}.",
                "Run again when no program mounts or unmounts.",
            )
        )
    return handle


def _check_duplicates(handles: Sequence[MountHandle]) -> None:
    seen: dict[int, str] = {}
    for handle in handles:
        target = handle.target
        if target.dev in seen:
            raise SettingsError(
                Failure(
                    "FilesystemTwice",
                    f"{seen[target.dev]} and {target.mount_point} are the same filesystem.",
                    "Name each filesystem once in freeze.",
                )
            )
        seen[target.dev] = target.mount_point


def _mount_id(descriptor: int) -> int:
    info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    for line in info.splitlines():
        name, _colon, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    return -1


def _mount_points() -> dict[int, str]:
    return {mount.mount_id: mount.mount_point for mount in read_mounts()}
