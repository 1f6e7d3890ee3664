# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Open descriptors of the filesystems that are to be frozen, and the proof that they are those.

PRIVATE: for this collection only. A path may lead elsewhere a moment later, a descriptor never:
whatever is frozen and thawed is frozen and thawed through descriptors opened at the start.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

from ..._errors import Failure, FreezeError, refuse
from ..model import Target
from ..storage.mountinfo import read_mounts


@dataclass(frozen=True)
class MountHandle:
    """One filesystem, open."""

    target: Target
    descriptor: int
    mount_id: int

    def matches_target(self) -> bool:
        """Whether the descriptor still is the filesystem that was planned."""
        try:
            return os.fstat(self.descriptor).st_dev == self.target.dev
        except OSError:
            return False


def open_all(targets: Sequence[Target]) -> Tuple[MountHandle, ...]:
    """Open each mount point and check that it is the filesystem planned.

    Raises C(SettingsError) when one is not; nothing is left open then.
    """
    handles: List[MountHandle] = []
    try:
        for target in targets:
            handles.append(_open(target))  # noqa: PERF401 - those open so far must be known
        _refuse_twice(handles)
        mounted = _mount_points()
        for handle in handles:
            if mounted.get(handle.mount_id) != handle.target.mount_point:
                refuse(
                    "MountChanged",
                    f"{handle.target.mount_point} is not a mount point (any more).",
                    "Name mount points, and run again when nobody mounts or unmounts.",
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
    """Check that each descriptor still is the mount planned, and still mounted there.

    Raises C(FreezeError) naming the first that is not.
    """
    mounted = _mount_points()
    for handle in handles:
        where = handle.target.mount_point
        if not handle.matches_target() or mounted.get(handle.mount_id) != where:
            raise FreezeError(
                Failure(
                    "MountChanged",
                    f"{where} ({handle.target.device}) was unmounted or mounted over since the "
                    "start of the run.",
                    "Run again when nobody mounts or unmounts.",
                )
            )


def _open(target: Target) -> MountHandle:
    where = target.mount_point
    try:
        descriptor = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        refuse("MountNotFound", f"The mount point {where} cannot be opened: {error.strerror}.")
    handle = MountHandle(target, descriptor, _mount_id(descriptor))
    if not handle.matches_target():
        os.close(descriptor)
        refuse(
            "MountChanged",
            f"{where} is another filesystem than {target.device}, which was to be frozen.",
            "Run again when nobody mounts or unmounts.",
        )
    return handle


def _refuse_twice(handles: Sequence[MountHandle]) -> None:
    seen: Dict[int, str] = {}
    for handle in handles:
        target = handle.target
        if target.dev in seen:
            refuse(
                "FilesystemTwice",
                f"{seen[target.dev]} and {target.mount_point} are the same filesystem.",
                "Name each filesystem once.",
            )
        seen[target.dev] = target.mount_point


def _mount_id(descriptor: int) -> int:
    info = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    for line in info.splitlines():
        name, _colon, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    return -1


def _mount_points() -> Dict[int, str]:
    return {mount.mount_id: mount.mount_point for mount in read_mounts()}
