# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes to several files of root, applied together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..._errors import Failure, SettingsError
from .trusted_file import FileState, make_parents, remove, remove_folders, write_atomically


@dataclass(frozen=True)
class Change:
    """The change of one file: its present state, and its new content as a file of root."""

    path: str
    before: FileState | None
    #: The new content; None to remove the file.
    after: bytes | None
    mode: int = 0
    #: False for a file that the result does not list.
    shown: bool = True

    @property
    def needed(self) -> bool:
        """Return True if the file differs from the desired state."""
        if self.after is None or self.before is None:
            return (self.after is None) != (self.before is None)
        before = self.before
        desired = (self.after, self.mode, 0, 0)
        return (before.data, before.mode, before.uid, before.gid) != desired

    @property
    def changes_content(self) -> bool:
        """Return True if the change affects the content."""
        return (self.before.data if self.before else None) != self.after

    def apply(self) -> None:
        """Apply the change. Raise `OSError` if that fails."""
        if self.after is None:
            remove(self.path)
        else:
            write_atomically(self.path, self.after, self.mode)

    def undo(self) -> None:
        """Restore the previous state, also of a change that failed. Raise `OSError` on failure."""
        if self.before is not None:
            owner = (self.before.uid, self.before.gid)
            write_atomically(self.path, self.before.data, self.before.mode, owner)
            return
        try:
            remove(self.path)
        except FileNotFoundError:
            return

    def diff(self) -> list[dict[str, str]]:
        """Return the changes of the content, and of owner and mode, in the form of Ansible."""
        entries = []
        if self.changes_content:
            entries.append(
                self._entry(_text(self.before.data if self.before else None), _text(self.after))
            )
        if self.before is not None and self.after is not None:
            before = f"{self.before.permissions()}\n"
            after = f"owner 0:0, mode {self.mode:04o}\n"
            if before != after:
                entries.append(self._entry(before, after))
        return entries

    def _entry(self, before: str, after: str) -> dict[str, str]:
        return {
            "before_header": self.path,
            "before": before,
            "after_header": self.path,
            "after": after,
        }


def _text(data: bytes | None) -> str:
    return "" if data is None else data.decode("utf-8", "replace")


def apply_changes(changes: Sequence[Change]) -> None:
    """Apply the needed changes in their order, and make the folders that they need.

    If one fails, undo those before it and raise `SettingsError`.
    """
    begun: list[Change] = []
    folders: list[str] = []
    try:
        for change in changes:
            if not change.needed:
                continue
            if change.after is not None:
                folders += make_parents(change.path)
            begun.append(change)
            change.apply()
    except OSError as error:
        where = error.filename or (begun[-1].path if begun else "a file")
        message = f"Could not change {where}: {error.strerror or error}."
        raise SettingsError(_failure(message, _undo(begun, folders))) from error
    except BaseException:
        _undo(begun, folders)
        raise


def _undo(begun: Sequence[Change], folders: list[str]) -> list[str]:
    """Undo the changes, and return the files for which that failed, with the reasons."""
    failed = [reason for reason in map(_undo_one, reversed(begun)) if reason]
    remove_folders(folders)
    return failed


def _undo_one(change: Change) -> str:
    try:
        change.undo()
    except OSError as error:
        return f"{change.path} ({error.strerror or error})"
    return ""


def _failure(message: str, not_undone: Sequence[str]) -> Failure:
    action = (
        "Make sure that the filesystem is writable and has free space, then run the task again."
    )
    if not_undone:
        message += f" Could not restore these files: {', '.join(not_undone)}."
        action = f"Check the files that were not restored. {action}"
    else:
        message += " All files are as they were before."
    return Failure("WriteFailed", message, action)
