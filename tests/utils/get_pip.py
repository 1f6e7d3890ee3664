# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bootstrap pip for ansible-test on a machine that cannot fetch ansible-test's own get-pip.

ansible-test runs the file in its cache that has get-pip's name, with get-pip's arguments. This file
runs the pip wheel that Python itself brings. It does not call ensurepip's bootstrap, which
would drop the machine's PIP_* settings (certificates, indexes) from the environment.
"""

from __future__ import annotations

import ensurepip
import runpy
import sys
from pathlib import Path

ONLY_GET_PIP = ("--no-setuptools", "--no-wheel")


def main() -> None:
    """Run `pip install` with the arguments that were meant for get-pip."""
    wheels = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    # Debian keeps the wheels of its own packages in one folder of the system.
    wheels += sorted(Path("/usr/share/python-wheels").glob("pip-*.whl"))
    if not wheels:
        sys.exit("This Python has no pip wheel of its own: install python3-venv.")
    sys.path.insert(0, str(wheels[0]))
    sys.argv[1:] = ["install", *(word for word in sys.argv[1:] if word not in ONLY_GET_PIP)]
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
