# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Measure the costs of the collection: `python -m tests.bench freeze`, `vault` or `latency`.

Each line of the output is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any, Dict, Iterator, List, Optional

from tests.bench import _freeze, _imports, _latency, _vault
from tests.lab._process import orderly_end
from tests.lab.azurite import Azurite


def _numbers(text: str) -> List[int]:
    return [int(word) for word in text.split(",")]


def main(arguments: Optional[List[str]] = None) -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("what", choices=["freeze", "vault", "latency"])
    parser.add_argument("--runs", type=int, default=7, help="after a warm-up")
    freeze = parser.add_argument_group("freeze")
    freeze.add_argument("--disks", type=_numbers, default=[1, 4, 16, 64])
    freeze.add_argument("--latency-ms", type=_numbers, default=[0, 200])
    freeze.add_argument("--plain", action="store_true", help="the plain way in every case")
    vault = parser.add_argument_group("vault")
    vault.add_argument("--vms", type=_numbers, default=[1, 10, 100, 1000])
    vault.add_argument("--speed", type=float, default=2.0, help="seconds of Azure's in a second")
    chosen = parser.parse_args(arguments)
    if chosen.what != "vault" and os.geteuid() != 0:
        print("This bench needs root: it makes and freezes filesystems of its own.")
        return 2
    with orderly_end():
        for line in _LINES[chosen.what](chosen):
            print(json.dumps(line), flush=True)
    return 0


def _freeze_lines(chosen: argparse.Namespace) -> Iterator[Dict[str, Any]]:
    with Azurite() as azurite:
        for latency_ms in chosen.latency_ms:
            for disks in chosen.disks:
                yield _freeze.measure(azurite, disks, latency_ms, chosen.runs, chosen.plain)


def _vault_lines(chosen: argparse.Namespace) -> Iterator[Dict[str, Any]]:
    yield _imports.measure(chosen.runs)
    for vms in chosen.vms:
        yield from _vault.measure(vms, chosen.speed)


def _latency_lines(_chosen: argparse.Namespace) -> Iterator[Dict[str, Any]]:
    yield from _latency.measure()


_LINES = {"freeze": _freeze_lines, "vault": _vault_lines, "latency": _latency_lines}

if __name__ == "__main__":
    sys.exit(main())
