# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure answers what was recorded as Azure did."""

from __future__ import annotations

import collections
from typing import Counter, Dict, List

import pytest

from tests.contract import evidence
from tests.contract.judge import Judgement
from tests.contract.replay import Replay, Step
from tests.contract.wire import Wire
from tests.lab.recovery_services.lab import RecoveryServices

pytestmark = evidence.needs_evidence

RECORDINGS = evidence.recordings() if evidence.PRESENT else []
#: How many exchanges there are in all, and of how many the answer must be as recorded.
RECORDED, COVERED = 780, 780
#: Of these the answer is like another of the same request at the same stage.
AT_ANOTHER_MOMENT = 4


class Tally:
    """The outcomes of all exchanges."""

    def __init__(self) -> None:
        self.steps: Dict[str, List[Step]] = {}

    @property
    def all(self) -> List[Step]:
        """Of all recordings."""
        return [step for steps in self.steps.values() for step in steps]

    def lines(self) -> List[str]:
        """Return the summary."""
        left_out: Counter[str] = collections.Counter(
            f"{step.recorded.method} ({step.left_out})" for step in self.all if step.left_out
        )
        covered = sum(1 for step in self.all if step.ours and not step.differences)
        compute = sum(1 for step in self.all if "/Microsoft.Compute/" in step.recorded.path)
        moments = [step.recorded.where for step in self.all if step.like]
        return [
            f"replay: {covered} of {len(self.all)} recorded exchanges answered as by Azure",
            f"replay: {compute} of these are of Compute, and compared in what the lab has of it",
            *(f"replay: left out {count} x {what}" for what, count in left_out.items()),
            f"replay: like Azure's answer of a moment before or after: {', '.join(moments)}",
        ]


@pytest.fixture(scope="module")
def tally() -> Tally:
    """A tally for all tests."""
    return Tally()


@pytest.mark.parametrize("name", RECORDINGS)
def test_it_answers_as_recorded(
    name: str, azure_of_the_recordings: RecoveryServices, tally: Tally
) -> None:
    replay = Replay(evidence.exchanges(name), Wire(azure_of_the_recordings))
    steps = tally.steps[name] = list(replay.run())
    wrong = [
        f"{step.recorded.where} {step.recorded.method} {step.recorded.path}\n    "
        + "\n    ".join(step.differences[:5])
        for step in steps
        if step.differences
    ]
    assert not wrong, "\n".join([f"{len(wrong)} of {len(steps)} differ:", *wrong[:8]])
    judgement = Judgement(step.ours for step in steps if step.ours)
    assert not judgement.problems, str(judgement)


def test_nothing_was_left_out(tally: Tally, say: List[str]) -> None:
    if set(tally.steps) != set(RECORDINGS):
        pytest.skip("only some of the recordings were replayed")
    say += tally.lines()
    assert len(tally.all) == RECORDED
    covered = [step for step in tally.all if step.ours and not step.differences]
    assert len(covered) >= COVERED, "\n".join(tally.lines())
    assert sum(1 for step in tally.all if step.like) <= AT_ANOTHER_MOMENT
