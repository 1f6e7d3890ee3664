# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Findings and warnings about Microsoft's VMSnapshotLinux agent, and how it looks at files.

PRIVATE: for this collection only. C(_agent_view) has the rules that use them.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import replace
from typing import List, Optional, Tuple

from ..._errors import Failure, documented

HOST_ERROR = "IncorrectPluginhostFile"
#: Codes that the agent reports beside those of the documented names.
HOST_PARSING = 304
HOST_PERMISSIONS = 314
CONFIG_MISSING = 316
CONFIG_PERMISSIONS = 317
#: The agent waits for a script that it could not start until its own limit is over.
NEVER_ENDED = {"pre": 310, "post": 311}

#: Effects of a finding on the agent's backup. STOPS: it runs no script and freezes all the same.
#: INVALID: it runs no script, and continueBackupOnFailure decides about the backup. FAILS: it runs
#: the scripts and one of them fails. NEVER_ENDS: it starts no script and waits for its end; the
#: backup goes on, whatever continueBackupOnFailure says. ELSEWHERE: the backup is as good as the
#: other configuration that the agent reads.
STOPS, INVALID, FAILS, NEVER_ENDS, ELSEWHERE = "stops", "invalid", "fails", "ends never", "else"


class Findings:
    """Findings and warnings in the order in which the agent would come upon them."""

    def __init__(self) -> None:
        self.findings: List[Failure] = []
        self.warnings: List[str] = []
        #: One for each finding.
        self.effects: List[str] = []

    def find(
        self, effect: str, name: str, message: str, code: Optional[int] = None, action: str = ""
    ) -> None:
        """Add a finding under a documented name, with its own code and action where it has some."""
        failure = documented(name, message)
        if code is not None:
            failure = replace(failure, code=code)
        if action:
            failure = replace(failure, recommended_action=action)
        self.findings.append(failure)
        self.effects.append(effect)

    def warn(self, message: str) -> None:
        """Add a warning."""
        self.warnings.append(message)


def is_file(path: str) -> bool:
    """Return whether there is a regular file, also behind symbolic links.

    The path is taken as it is: with a slash at its end it is no file.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - pathlib drops the slash
    except (OSError, ValueError):
        return False


def digits(status: os.stat_result) -> Tuple[int, int, int]:
    """Return the last three octal digits of a mode: owner, group, others."""
    return ((status.st_mode >> 6) & 7, (status.st_mode >> 3) & 7, status.st_mode & 7)


def is_roots(status: os.stat_result) -> bool:
    """Return whether the owner's name is root, which is how the agent asks."""
    try:
        return pwd.getpwuid(status.st_uid).pw_name == "root"
    except KeyError:
        return False
