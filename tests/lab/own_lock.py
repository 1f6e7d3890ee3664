# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A lock of its own for a run of a test, so that tests can run side by side on one machine."""

from __future__ import annotations

from pathlib import Path
from typing import List

#: Where the module keeps its lock.
LOCKS = "/run/quiesce.azure_backup"
_ENTER = f'mkdir -p -m 0700 {LOCKS} && mount --bind "$0" {LOCKS} && exec "$@"'


def own_lock(folder: Path) -> List[str]:
    """Return the words before a command that give it `folder` as the folder of the lock.

    The command keeps the process's number. It gets a mount namespace, in which everything else is
    as it was.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _ENTER, str(folder)]
