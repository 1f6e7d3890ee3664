# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lock of a guest: one run at a time, and each task id only once.

The lock is a `flock` of a file. It belongs to the open file description, which forked processes
share, so the supervisors of a run hold it as long as they live. After a run that died the next
run is refused until the supervisors have thawed everything and ended.

Therefore a run never unlocks explicitly, and supervisors leave the descriptor open. It closes on
exec, so that scripts never hold it. When all these processes have ended, the kernel releases the
lock: a run that died leaves nothing to clean up. Only check mode, which has no supervisors,
unlocks at once.
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

from ..._errors import SettingsError

#: Emptied when the guest boots; a boot also ends every freeze.
FOLDER = "/run/quiesce.azure_backup"
#: The number of task ids that are remembered.
REMEMBERED = 1000
_LOCK = "lock"
_TASKS = "tasks.json"
_ADVICE = "Remove it if nothing else uses it; the next run creates it again."


class RunLock:
    """The lock of a guest and the memory of the task ids that ran on it.

    In check mode nothing is written: a lock that is held is still reported, and `remember` does
    nothing. The context is entered only for a `task_id` that has not run.
    """

    def __init__(
        self, folder: str = FOLDER, check_mode: bool = False, task_id: str | None = None
    ) -> None:
        self._path = Path(folder)
        self._check_mode = check_mode
        self._task_id = task_id
        self._folder: int | None = None
        self._lock: int | None = None

    def __enter__(self) -> RunLock:
        self.acquire()
        try:
            self._require_new_task()
        except BaseException:
            self.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock, without waiting.

        Raise `SettingsError` if another run holds it; the message has its process id. Raise it too
        if others than root can write to the folder or the file.
        """
        try:
            self._acquire()
        except OSError as error:
            self.release()
            raise _unusable(f"{self._path}: {error.strerror or error}.") from error
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
            raise _unusable(f"{self._path} is a symbolic link.")
        self._folder = os.open(
            self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        )
        self._require_root(self._folder, self._path)
        self._lock = self._open(_LOCK, os.O_RDONLY if self._check_mode else os.O_RDWR | os.O_CREAT)
        if self._lock is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _held(self._lock) from None
        if self._check_mode:
            # The lock was free. A check must not keep another process from a run.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        else:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Close the lock; it is free once all supervisors have closed it too."""
        for descriptor in (self._lock, self._folder):
            if descriptor is not None:
                os.close(descriptor)
        self._lock = self._folder = None

    def fileno(self) -> int:
        """Return the descriptor that holds the lock, which supervisors must leave open.

        Raise `ValueError` if the lock is not held (in check mode it may not exist).
        """
        if self._lock is None:
            raise ValueError("the lock is not held")
        return self._lock

    def seen(self, task_id: str) -> bool:
        """Return True if a run with this task id was remembered since the guest booted."""
        return task_id in self._tasks()

    def remember(self, task_id: str) -> None:
        """Remember a task id; the oldest of more than 1000 is forgotten.

        Call this while the lock is held, before anything else is done under the id: a run that
        dies is not repeated under it. Raise `SettingsError` if it cannot be written.
        """
        if self._check_mode or self._folder is None:
            return
        tasks = [known for known in self._tasks() if known != task_id]
        data = json.dumps([*tasks, task_id][-REMEMBERED:]).encode("ascii") + b"\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        try:
            new = self._open(f"{_TASKS}.new", flags)
            if new is None:  # impossible: O_CREAT creates it
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            with os.fdopen(new, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(f"{_TASKS}.new", _TASKS, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        except OSError as error:
            raise _unusable(f"{self._path / _TASKS}: {error.strerror}.") from error

    def remember_task(self) -> None:
        """Remember the run's own task id, if it has one."""
        if self._task_id:
            self.remember(self._task_id)

    def _tasks(self) -> list[str]:
        descriptor = self._open(_TASKS, os.O_RDONLY)
        if descriptor is None:
            return []
        with os.fdopen(descriptor, "rb") as file:
            try:
                tasks = json.loads(file.read())
            except ValueError:
                tasks = None
        if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
            raise _unusable(f"{self._path / _TASKS} is damaged.")
        return tasks

    def _open(self, name: str, flags: int) -> int | None:
        """Open a file of the folder; return None if it is missing and `flags` do not create it."""
        if self._folder is None:
            return None
        try:
            opened = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(f"{self._path / name}: {error.strerror}.") from error
        try:
            self._require_root(opened, self._path / name)
        except BaseException:
            os.close(opened)
            raise
        return opened

    def _require_root(self, descriptor: int, path: Path) -> None:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise _unusable(f"{path} belongs to user {status.st_uid}.")
        if stat.S_IMODE(status.st_mode) & 0o022:
            raise _unusable(f"{path} can be written to by others than root.")
        if path != self._path and not stat.S_ISREG(status.st_mode):
            raise _unusable(f"{path} is not a file.")

    def _require_new_task(self) -> None:
        if self._task_id and self.seen(self._task_id):
            raise SettingsError(
                "TaskAlreadyRun",
                f"The task {self._task_id} has already run on this guest.",
                "Set a different task_id for each backup.",
            )


def _unusable(message: str) -> SettingsError:
    return SettingsError("RunLockUnusable", message, _ADVICE)


def _held(descriptor: int) -> SettingsError:
    """Return the refusal of a run while another process holds the lock."""
    text = os.pread(descriptor, 32, 0).strip()
    message, action = "Another run is in progress on this guest.", "Wait until it has ended."
    if text.isdigit():
        pid = int(text)
        message = f"Another run is in progress on this guest: process {pid}."
        if not Path(f"/proc/{pid}").exists():
            message = (
                f"An earlier run, process {pid}, has died, and its supervisors are still "
                "cleaning up."
            )
            action = "Wait: they thaw every filesystem, run the post-script and end by themselves."
    return SettingsError("RunInProgress", message, action)
