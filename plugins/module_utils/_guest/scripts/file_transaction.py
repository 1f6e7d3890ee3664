# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes to several files of root's, made together or not at all.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence

from ..._errors import Failure, SettingsError
from .trusted_file import FileState, make_parents, remove, remove_folders, write_atomically


@dataclass(frozen=True)
class Change:
    """One file: what is there, and what shall be there, as root's own file."""

    path: str
    before: Optional[FileState]
    #: The content; None for no file.
    after: Optional[bytes]
    mode: int = 0
    #: Whether people want to know of it.
    shown: bool = True

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        if self.after is None or self.before is None:
            return (self.after is None) != (self.before is None)
        there = self.before
        wanted = (self.after, self.mode, 0, 0)
        return (there.data, there.mode, there.uid, there.gid) != wanted

    @property
    def changes_content(self) -> bool:
        """Whether the content will be another than it is."""
        return (self.before.data if self.before else None) != self.after

    def make(self) -> None:
        """Make the change. Raises C(OSError)."""
        if self.after is None:
            remove(self.path)
        else:
            write_atomically(self.path, self.after, self.mode)

    def undo(self) -> None:
        """Put back what was there, whether or not the change had been made. Raises C(OSError)."""
        if self.before is not None:
            owner = (self.before.uid, self.before.gid)
            write_atomically(self.path, self.before.data, self.before.mode, owner)
            return
        try:
            remove(self.path)
        except FileNotFoundError:
            return

    def diff(self) -> List[Dict[str, str]]:
        """The change of the content and that of owner and mode, for people."""
        found = []
        if self.changes_content:
            found.append(
                self._entry(_text(self.before.data if self.before else None), _text(self.after))
            )
        if self.before is not None and self.after is not None:
            before = f"{self.before.permissions()}\n"
            after = f"owner 0:0, mode {self.mode:04o}\n"
            if before != after:
                found.append(self._entry(before, after))
        return found

    def _entry(self, before: str, after: str) -> Dict[str, str]:
        return {
            "before_header": self.path,
            "before": before,
            "after_header": self.path,
            "after": after,
        }


def _text(data: Optional[bytes]) -> str:
    return "" if data is None else data.decode("utf-8", "replace")


def apply_changes(changes: Sequence[Change]) -> None:
    """Make the changes that are needed, in their order, and the folders that they need.

    When one fails, those before it are undone, and C(SettingsError) says so.
    """
    begun: List[Change] = []
    folders: List[str] = []
    try:
        for change in changes:
            if not change.needed:
                continue
            if change.after is not None:
                folders += make_parents(change.path)
            begun.append(change)
            change.make()
    except OSError as error:
        where = error.filename or (begun[-1].path if begun else "a file")
        message = f"{where} could not be changed: {error.strerror or error}."
        raise SettingsError(_failure(message, _undo(begun, folders))) from error
    except BaseException:
        _undo(begun, folders)
        raise


def _undo(begun: Sequence[Change], folders: List[str]) -> List[str]:
    """Put everything back; the answer names the files for which that failed."""
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
    action = "See that the filesystem can be written to and has room, and run it again."
    if not_undone:
        message += f" These files could not be put back as they were: {', '.join(not_undone)}."
    else:
        message += " Everything is as it was before."
    return Failure("WriteFailed", message, action)
