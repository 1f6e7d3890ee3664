# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The short part of the matrix, beside all other tests: it mostly waits for downloads."""

from __future__ import annotations

import pytest

from tests.matrix.__main__ import run
from tests.matrix._combinations import SHORT, Combination


@pytest.mark.parametrize("combination", SHORT, ids=[one.name for one in SHORT])
def test_oldest_and_newest_pass(combination: Combination) -> None:
    outcome = run(combination)
    if outcome.why_not:
        pytest.skip(outcome.why_not)
    assert outcome.word == "passed", outcome.line()
