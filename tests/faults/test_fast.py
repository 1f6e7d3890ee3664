# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fast part of the matrix, two cases at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from tests.faults import _engine as engine
from tests.faults._case import Case, Outcome
from tests.faults._matrix import matrix

_CASES = matrix(fast=True)
_JOBS = 2

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can freeze filesystems")


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Outcome]]]:
    """Start the selected cases."""
    names = {getattr(getattr(item, "callspec", None), "id", "") for item in request.session.items}
    with engine.ground() as (azurite, tree), engine.workers(_JOBS) as pool:
        started = {
            case.name: pool.submit(engine.run_case, case, azurite, tree)
            for case in _CASES
            if case.name in names
        }
        yield started


@pytest.mark.parametrize("case", _CASES, ids=[case.name for case in _CASES])
def test_fault(case: Case, outcomes: dict[str, Future[Outcome]]) -> None:
    """Check that the fault hit its phase and that all checks after it passed."""
    outcome = outcomes[case.name].result()
    if outcome.unavailable:
        pytest.skip(f"cannot run on this machine: {outcome.unavailable}")
    assert outcome.passed, "\n".join(
        [
            engine.row(outcome),
            *outcome.problems,
            f"the output of the run: {outcome.detail}",
            f"kept: {outcome.kept}",
        ]
    )
