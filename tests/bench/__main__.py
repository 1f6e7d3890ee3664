# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the collection costs, a JSON object a line: C(python -m tests.bench freeze)."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import List, Optional

from tests.bench import _freeze
from tests.lab._process import orderly_end
from tests.lab.azurite import Azurite


def _numbers(text: str) -> List[int]:
    return [int(word) for word in text.split(",")]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("what", choices=["freeze"])
    parser.add_argument("--disks", type=_numbers, default=[1, 4, 16, 64])
    parser.add_argument("--latency-ms", type=_numbers, default=[0, 200])
    parser.add_argument("--runs", type=int, default=7, help="after a warm-up")
    parser.add_argument("--plain", action="store_true", help="the plain way in every case")
    chosen = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("The bench needs root: it makes and freezes filesystems of its own.")
        return 2
    with orderly_end(), Azurite() as azurite:
        for latency_ms in chosen.latency_ms:
            for disks in chosen.disks:
                line = _freeze.measure(azurite, disks, latency_ms, chosen.runs, chosen.plain)
                print(json.dumps(line), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
