# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The writer that measures stalls sees a freeze, and only what is not the machine's."""

from __future__ import annotations

import os
import time

import pytest

from tests.lab._process import PATIENCE_S
from tests.lab.disk import MIB, LoopDisk
from tests.lab.frozen import Guarded
from tests.lab.stall import StallWriter, overlap_ns


def test_overlap() -> None:
    """Check the common time of two sets of pauses."""
    assert overlap_ns((10, 20), []) == 0
    assert overlap_ns((10, 20), [(0, 5), (30, 40)]) == 0
    assert overlap_ns((10, 20), [(0, 12), (15, 16), (19, 40)]) == 4


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze filesystems")
def test_sees_how_long_a_filesystem_was_frozen() -> None:
    """While it lasts, and after it; and a write after it is done."""
    with (
        LoopDisk(16 * MIB, "ext4") as disk,
        Guarded([disk.mount_point]) as guarded,
        StallWriter([disk.mount_point]) as writer,
    ):
        guarded.freeze(disk.mount_point)
        limit = time.monotonic() + PATIENCE_S
        # A write that began after the freeze is as long as what is left of it.
        while writer.longest_ms(disk.mount_point) < 400:
            assert time.monotonic() < limit, "a write that hangs is not seen"
            time.sleep(0.05)
        assert writer.first_write_after(disk.mount_point, 0.1) == float("inf")
        guarded.thaw(disk.mount_point)
        assert writer.first_write_after(disk.mount_point, PATIENCE_S) < float("inf")
        longest = writer.longest_ms(disk.mount_point)
        assert longest >= 400
        # What the machine lost for other reasons is taken off, and nothing is added.
        assert writer.longest_judged_ms(disk.mount_point) <= longest
