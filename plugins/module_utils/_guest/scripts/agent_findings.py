# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings and warnings about Microsoft's VMSnapshotLinux agent, and its tests of files.

The rules that use them are in `agent_rules`.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import replace

from ..._errors import Failure, documented

HOST_ERROR = "IncorrectPluginhostFile"
#: Codes that the agent reports in addition to those of the documented names.
HOST_PARSING = 304
HOST_PERMISSIONS = 314
CONFIG_MISSING = 316
CONFIG_PERMISSIONS = 317
#: If a script cannot be started, the agent still waits for it, up to its own time limit.
NEVER_ENDED = {"pre": 310, "post": 311}

#: Effects of a finding on the agent's backup. STOPS: it runs no script, but freezes. INVALID: it
#: runs no script, and continueBackupOnFailure decides about the backup. FAILS: it runs the scripts
#: and one of them fails. NEVER_ENDS: it starts no script and waits for its end; the backup
#: continues regardless of continueBackupOnFailure. ELSEWHERE: the backup depends on another
#: configuration, which the agent reads.
STOPS, INVALID, FAILS, NEVER_ENDS, ELSEWHERE = "stops", "invalid", "fails", "ends never", "else"


class Findings:
    """Findings and warnings in the order in which the agent would meet them."""

    def __init__(self) -> None:
        self.items: list[Failure] = []
        self.warnings: list[str] = []
        #: One for each finding.
        self.effects: list[str] = []

    def add(
        self, effect: str, name: str, message: str, code: int | None = None, action: str = ""
    ) -> None:
        """Add a finding of a documented name; `code` and `action` replace the documented ones."""
        failure = documented(name, message)
        if code is not None:
            failure = replace(failure, code=code)
        if action:
            failure = replace(failure, recommended_action=action)
        self.items.append(failure)
        self.effects.append(effect)

    def warn(self, message: str) -> None:
        """Add a warning."""
        self.warnings.append(message)


def is_file(path: str) -> bool:
    """Return True if the path leads to a regular file, also through symbolic links.

    A path that ends with a slash is not a file.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - pathlib drops the slash
    except (OSError, ValueError):
        return False


def digits(status: os.stat_result) -> tuple[int, int, int]:
    """Return the last three octal digits of a mode: owner, group, others."""
    return ((status.st_mode >> 6) & 7, (status.st_mode >> 3) & 7, status.st_mode & 7)


def is_roots(status: os.stat_result) -> bool:
    """Return True if the owner's name is root; the agent compares the name, not the number."""
    try:
        return pwd.getpwuid(status.st_uid).pw_name == "root"
    except KeyError:
        return False
