# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An interpreter for modules that run under `async`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def interpreter(folder: Path) -> str:
    """Return this Python, as a program in `folder`, whose path must not hold a space.

    Under async Ansible does not quote the interpreter, and that of the tests lies in the checkout.
    """
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    program.chmod(0o700)
    return str(program)
