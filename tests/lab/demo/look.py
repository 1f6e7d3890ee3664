# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attach one snapshot read-only and say, as one JSON object, what is in it.

Arguments: address, snapshot and type of filesystem. The account's key is in the environment, as
`DEMO_KEY`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Dict

from tests.lab._process import orderly_end
from tests.lab.blob_disk import SnapshotDisk
from tests.lab.evidence import at_rest, looked_into
from tests.lab.workload import LEDGER, STEADY, records


def look(key: str, url: str, snapshot: str, fstype: str) -> Dict[str, Any]:
    """Return what the snapshot shows; the counts are words where a file is damaged or missing."""
    with SnapshotDisk(key, url, snapshot) as disk:
        rests, words = at_rest(disk.device, fstype)
        found: Dict[str, Any] = {"fstype": fstype, "at_rest": rests, "words": words}
        with looked_into(disk.device, fstype) as files:
            found.update(ledger=_count(files / LEDGER), steady=_count(files / STEADY))
    return found


def _count(file: Path) -> Any:
    try:
        return records(file)
    except (OSError, ValueError) as exc:
        return str(exc)


if __name__ == "__main__":
    with orderly_end():
        print(json.dumps(look(os.environ["DEMO_KEY"], *sys.argv[1:])))
