# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run at a time on a guest, and a task id only once.

PRIVATE: for this collection only.

The lock is a C(flock) of a file. It belongs to the open file, which forked processes share: the
supervisors of a run hold it as long as they live, so that after a run that died the next one is
refused until they have thawed everything and ended. Therefore no run unlocks explicitly,
supervisors leave the descriptor open, and it closes on exec, so that scripts never hold it. When
all are gone, the kernel drops the lock: a run that died leaves nothing to clean up. Only check
mode, which has no supervisors, lets go of it at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import List, Optional, Type

from ..._errors import refuse

#: Emptied when the guest boots; a boot also ends every freeze.
FOLDER = "/run/quiesce.azure_backup"
#: How many task ids are remembered.
REMEMBERED = 1000
_LOCK = "lock"
_TASKS = "tasks.json"
_ADVICE = "Remove it, if nothing else uses it; the next run makes it anew."


class RunLock:
    """The lock of a guest and the memory of the task ids that ran on it.

    In check mode nothing is written: a lock that is held is still reported, and C(remember) does
    nothing.
    """

    def __init__(self, folder: str = FOLDER, check_mode: bool = False) -> None:
        self._path = Path(folder)
        self._check_mode = check_mode
        self._folder: Optional[int] = None
        self._lock: Optional[int] = None

    def __enter__(self) -> "RunLock":
        self.acquire()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raises C(SettingsError) when another run holds it, with its process id where that is
        known, and when the folder or the file is not root's alone.
        """
        try:
            self._acquire()
        except OSError as error:
            self.release()
            refuse("RunLockUnusable", f"{self._path}: {error.strerror or error}.", _ADVICE)
        except BaseException:
            self.release()
            raise

    def _acquire(self) -> None:
        if not self._check_mode:
            with contextlib.suppress(FileExistsError):
                self._path.mkdir(mode=0o700)
        elif not self._path.exists() and not self._path.is_symlink():
            return
        if self._path.is_symlink():
            refuse("RunLockUnusable", f"{self._path} is a symbolic link.", _ADVICE)
        self._folder = os.open(
            self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        self._require_ours(self._folder, self._path)
        self._lock = self._open(_LOCK, os.O_RDONLY if self._check_mode else os.O_RDWR | os.O_CREAT)
        if self._lock is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse_held(self._lock)
        if self._check_mode:
            # It was free: nobody is to be kept from a run by somebody who only looks.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        else:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let go: the lock is free when this process and all its supervisors have let go of it."""
        for descriptor in (self._lock, self._folder):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._folder = None

    def fileno(self) -> int:
        """The descriptor that holds the lock, which supervisors must leave open.

        Raises C(ValueError) when the lock is not held (in check mode it may not exist).
        """
        if self._lock is None:
            raise ValueError("the lock is not held")
        return self._lock

    def seen(self, task_id: str) -> bool:
        """Whether a run with this task id was remembered on this guest since it booted."""
        return task_id in self._tasks()

    def remember(self, task_id: str) -> None:
        """Remember a task id; the oldest of more than 1000 is forgotten.

        To be called while the lock is held, before anything else is done under the id: a run that
        dies is not repeated under it. Raises C(SettingsError) when it cannot be written.
        """
        if self._check_mode or self._folder is None:
            return
        tasks = [one for one in self._tasks() if one != task_id]
        data = json.dumps([*tasks, task_id][-REMEMBERED:]).encode("ascii") + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            new = self._open(f"{_TASKS}.new", flags)
            if new is None:  # never: it is made when it is missing
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            with os.fdopen(new, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{_TASKS}.new", _TASKS, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            refuse("RunLockUnusable", f"{self._path / _TASKS}: {error.strerror}.", _ADVICE)

    def _tasks(self) -> List[str]:
        descriptor = self._open(_TASKS, os.O_RDONLY)
        if descriptor is None:
            return []
        with os.fdopen(descriptor, "rb") as file:
            try:
                found = json.loads(file.read())
            except ValueError:
                found = None
        if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
            refuse("RunLockUnusable", f"{self._path / _TASKS} is damaged.", _ADVICE)
        return found

    def _open(self, name: str, flags: int) -> Optional[int]:
        """Open one of our files; None when it is missing and not to be made."""
        if self._folder is None:
            return None
        try:
            found = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            refuse("RunLockUnusable", f"{self._path / name}: {error.strerror}.", _ADVICE)
        try:
            self._require_ours(found, self._path / name)
        except BaseException:
            os.close(found)
            raise
        return found

    def _require_ours(self, descriptor: int, path: Path) -> None:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            refuse("RunLockUnusable", f"{path} belongs to user {found.st_uid}.", _ADVICE)
        if stat.S_IMODE(found.st_mode) & 0o022:
            refuse("RunLockUnusable", f"{path} can be written to by others than root.", _ADVICE)
        if path != self._path and not stat.S_ISREG(found.st_mode):
            refuse("RunLockUnusable", f"{path} is not a file.", _ADVICE)

    def _refuse_held(self, descriptor: int) -> None:
        text = os.pread(descriptor, 32, 0).strip()
        if not text.isdigit():
            refuse("RunInProgress", "Another run is in progress on this guest.", "Wait for it.")
        pid = int(text)
        if Path(f"/proc/{pid}").exists():
            refuse(
                "RunInProgress",
                f"Another run is in progress on this guest: process {pid}.",
                "Wait for it to end.",
            )
        refuse(
            "RunInProgress",
            f"An earlier run, process {pid}, has died, and its supervisors are still cleaning up.",
            "Wait: they thaw every filesystem, run the post-script and end by themselves.",
        )
