# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that only root can have written: look at them, judge their folders, replace them whole.

PRIVATE: for this collection only. Scripts that run as root, and the configuration that names them,
are only as trustworthy as every folder above them.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import List, Optional, Tuple

from ..._errors import refuse

Identity = Tuple[int, int, int, int]

#: What a path can be.
FILE = "a regular file"
SYMLINK = "a symbolic link"
FOLDER = "a folder"
SPECIAL = "a special file"

_MEND = (
    "Use a folder that root owns and only root may write to, such as /etc/azure, "
    "or correct the folder's owner and mode."
)


@dataclass(frozen=True)
class FileState:
    """What lies at a path, as one descriptor saw it."""

    kind: str
    #: Permission bits, as in C(0o600).
    mode: int
    uid: int
    gid: int
    identity: Identity
    #: Everything in a regular file.
    data: bytes = b""

    def permissions(self) -> str:
        """Owner and mode, for people."""
        return f"owner {self.uid}:{self.gid}, mode {self.mode:04o}"


def identity(status: os.stat_result) -> Identity:
    """What tells a file, and any change to it, from another: device, inode, ctime and size."""
    return (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)


def inspect(path: str) -> Optional[FileState]:
    """Look at a path without following a symbolic link; None when nothing is there.

    Raises C(OSError) when it cannot be looked at or read.
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return _found(status)
        # Without O_NONBLOCK, a named pipe that took the file's place would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return _found(status, file.read() if stat.S_ISREG(status.st_mode) else b"")


def _found(status: os.stat_result, data: bytes = b"") -> FileState:
    kind = SPECIAL
    for is_kind, name in (
        (stat.S_ISREG, FILE),
        (stat.S_ISLNK, SYMLINK),
        (stat.S_ISDIR, FOLDER),
    ):
        if is_kind(status.st_mode):
            kind = name
    mode = stat.S_IMODE(status.st_mode)
    return FileState(kind, mode, status.st_uid, status.st_gid, identity(status), data)


def why_untrusted(path: str) -> str:
    """Why somebody other than root could swap the file at this path; empty when nobody could.

    Every folder above it must be root's own and no symbolic link, and writable for root only: the
    sticky bit is not enough, because it lets others put a file where there is none yet. Folders
    that do not exist are nobody's. An access control list shows in the group's permission bits.
    """
    for folder in reversed(PurePosixPath(path).parents):
        try:
            status = os.lstat(folder)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        if stat.S_ISLNK(status.st_mode):
            return f"{folder} is a symbolic link"
        if not stat.S_ISDIR(status.st_mode):
            return f"{folder} is not a folder"
        if status.st_uid != 0:
            return f"{folder} belongs to the user {status.st_uid}, not to root"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            return f"{folder} may be written to by others than root (mode {mode:04o})"
    return ""


def check_ancestors(path: str) -> None:
    """Raise C(SettingsError) when somebody other than root could swap the file at this path."""
    reason = why_untrusted(path)
    if reason:
        refuse("UntrustedPath", f"{path} cannot be trusted: {reason}.", _MEND)


def is_full_path(path: str) -> bool:
    """Whether this is the full path of a file, in the shortest form, that a program can open."""
    if not path.startswith("/") or path.startswith("//") or "\0" in path:
        return False
    return path == os.path.normpath(path) != "/"


def make_parents(path: str) -> List[str]:
    """Make the folders above a path that do not exist, 0755; the answer names them, outer first.

    Raises C(OSError); what it had made by then is gone again.
    """
    made: List[str] = []
    try:
        for folder in reversed(Path(path).parents):
            if not folder.exists():
                folder.mkdir()
                made.append(str(folder))
                # The caller's umask has no say.
                folder.chmod(0o755)
                _sync_folder(str(folder.parent))
    except OSError:
        remove_folders(made)
        raise
    return made


def remove_folders(folders: List[str]) -> None:
    """Remove folders that C(make_parents) made, inner first; one that is not empty stays."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def write_atomically(path: str, data: bytes, mode: int, owner: Tuple[int, int] = (0, 0)) -> None:
    """Put a new file at the path, whole and on the disk, or leave what is there.

    A reader finds the old file or the new one, also after a power cut; who has the old one open,
    even for writing, cannot reach the new one. Raises C(OSError).
    """
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    _sync_folder(folder)


def remove(path: str) -> None:
    """Remove the file at the path, on the disk too. Raises C(OSError)."""
    Path(path).unlink()
    _sync_folder(str(Path(path).parent))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
