# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that only root can write: inspect them, check their folders, replace them atomically.

Scripts that run as root, and the configuration that names them, are only as trustworthy as every
folder above them.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..._errors import SettingsError

Identity = tuple[int, int, int, int]

#: The kinds of files, as messages name them.
FILE = "a regular file"
SYMLINK = "a symbolic link"
FOLDER = "a folder"
SPECIAL = "a special file"

_ADVICE = (
    "Use a folder that root owns and only root can write to, such as /etc/azure, "
    "or correct the folder's owner and mode."
)


@dataclass(frozen=True)
class FileState:
    """The state of a file, read from one descriptor."""

    kind: str
    #: Permission bits, as in `0o600`.
    mode: int
    uid: int
    gid: int
    identity: Identity
    #: Everything in a regular file.
    data: bytes = b""

    def permissions(self) -> str:
        """Return owner and mode, for messages."""
        return f"owner {self.uid}:{self.gid}, mode {self.mode:04o}"


def identity(status: os.stat_result) -> Identity:
    """Return device, inode, ctime and size, which identify a file and its content."""
    return (status.st_dev, status.st_ino, status.st_ctime_ns, status.st_size)


def inspect(path: str) -> FileState | None:
    """Return the state of a file without following a symbolic link; None if it does not exist.

    Raise `OSError` if it cannot be read.
    """
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return _state(status)
        # Without O_NONBLOCK, open would wait for a named pipe that took the file's place.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        return _state(status, file.read() if stat.S_ISREG(status.st_mode) else b"")


def _state(status: os.stat_result, data: bytes = b"") -> FileState:
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
    """Return the reason why another user could swap the file at a path, or an empty text.

    Every folder above it must be owned by root, writable for root only, and not a symbolic link.
    The sticky bit is not enough: it lets other users create a missing file. Folders that do not
    exist are trusted. An access control list shows in the group's permission bits.
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
            return f"{folder} is owned by the user {status.st_uid}, not by root"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = stat.S_IMODE(status.st_mode)
            return f"{folder} is writable by other users than root (mode {mode:04o})"
    return ""


def check_ancestors(path: str) -> None:
    """Raise `SettingsError` if another user than root could swap the file at a path."""
    reason = why_untrusted(path)
    if reason:
        message = f"{path} cannot be trusted: {reason}."
        raise SettingsError("UntrustedPath", message, _ADVICE)


def is_full_path(path: str) -> bool:
    """Return True for the normalized, absolute path of a file."""
    if not path.startswith("/") or path.startswith("//") or "\0" in path:
        return False
    return path == os.path.normpath(path) != "/"


def make_parents(path: str) -> list[str]:
    """Make the missing folders above a path with mode 0755, and return them, outermost first.

    Raise `OSError` on failure, after removing the folders that were made.
    """
    made: list[str] = []
    try:
        for folder in reversed(Path(path).parents):
            if not folder.exists():
                folder.mkdir()
                made.append(str(folder))
                # mkdir applies the caller's umask.
                folder.chmod(0o755)
                _sync_folder(str(folder.parent))
    except OSError:
        remove_folders(made)
        raise
    return made


def remove_folders(folders: list[str]) -> None:
    """Remove folders that `make_parents` made, innermost first; one that is not empty stays."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def write_atomically(path: str, data: bytes, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
    """Replace the file at a path atomically and flush it to the disk, or leave the old file.

    A reader finds the old file or the new one, also after a power loss. A process that has the old
    file open, even for writing, cannot reach the new one. Raise `OSError` on failure.
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
    """Remove the file at a path, and flush its folder. Raise `OSError` on failure."""
    Path(path).unlink()
    _sync_folder(str(Path(path).parent))


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
