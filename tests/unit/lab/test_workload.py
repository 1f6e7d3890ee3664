# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The records of the lab's workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.workload import records


def test_a_damaged_record_is_seen(tmp_path: Path) -> None:
    file = tmp_path / "records"
    file.write_bytes(b"%015d\n%015d\n" % (0, 1))
    assert records(file) == 2
    for damaged in (b"%015d\n%015d\n" % (0, 2), b"%015d\n%015d" % (0, 1), bytes(32)):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match="something else"):
            records(file)
