# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stop the lab that `./dev lab up` started, and wait until nothing of it is left."""

from __future__ import annotations

import os
import signal
import sys

from tests.lab._process import LabError, wait_until
from tests.lab.up import STATE, running, started


def main() -> int:
    """Stop the lab; the exit status."""
    state = running()
    if state is None:
        STATE.unlink(missing_ok=True)
        print("The lab does not run.")
        return 0
    pid = int(state["pid"])
    os.kill(pid, signal.SIGTERM)
    try:
        wait_until(
            f"process {pid}, which holds the lab, has ended",
            lambda: started(pid) != state["started"],
            limit_s=300,
        )
    except LabError as exc:
        print(f"{exc} Is something still using its disks?", file=sys.stderr)
        return 1
    print("The lab is down.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
