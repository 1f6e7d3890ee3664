# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Progress lines, which the action plugin shows while the module runs."""

from __future__ import annotations

import os
import stat
from typing import Callable

#: The private argument by which the action plugin names the file.
PROGRESS_FILE = "_progress_file"


def progress_of(path: str | None) -> Callable[[str], None]:
    """Return a function that appends progress lines to a file; without a path it drops them."""
    if not isinstance(path, str) or not path:
        return lambda _line: None
    return lambda line: append_line(path, line)


def append_line(path: str, line: str) -> None:
    """Append a line to an existing file, in one write. Errors are ignored."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.write(descriptor, (" ".join(line.split()) + "\n").encode(errors="replace"))
    except OSError:
        return
    finally:
        os.close(descriptor)
