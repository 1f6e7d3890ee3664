# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's setting that makes FIFREEZE short, as the machine has it, and as a test fakes it."""

from __future__ import annotations

import contextlib
import fcntl
import time
from pathlib import Path
from typing import List, Optional

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    MARK,
    SettingPaths,
)

_LIMIT_S = 60.0


def left_on(places: Optional[SettingPaths] = None) -> bool:
    """Return True if the setting is on and no run uses it; it is put back then.

    Other runs may use it at the same time, so what it is at a moment says nothing. Waits until no
    run uses it, for a minute at most.
    """
    places = places or SettingPaths()
    until = time.monotonic() + _LIMIT_S
    while _is_on(places):
        with Path(places.lock).open("rb") as count, contextlib.suppress(BlockingIOError):
            fcntl.flock(count, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_on(places):
                return False
            Path(places.value).write_text("0\n")
            return True
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return False


def _is_on(places: SettingPaths) -> bool:
    try:
        return int(Path(places.value).read_text().splitlines()[0]) == MARK
    except (OSError, ValueError, IndexError):
        return False


def fake(folder: Path, **values: str) -> List[str]:
    """Return the command prefix that replaces the kernel's files by files of this folder.

    `values` holds their contents by name. The command keeps the process's number.
    """
    words = []
    for name, value in values.items():
        path = folder / name
        path.write_text(value)
        words.append(f"mount --bind '{path}' /sys/kernel/{name} && ")
    script = "".join(words) + 'exec "$0" "$@"'
    return ["unshare", "--mount", "--propagation", "slave", "sh", "-c", script]
