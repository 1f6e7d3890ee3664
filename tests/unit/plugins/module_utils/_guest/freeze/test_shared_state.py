# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The fields of the shared memory, and the outcome of a filesystem by them."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.shared_state import (
    GUARD,
    RUN,
    WATCHDOG,
    Field,
    SharedState,
    Struct,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    HELD,
    NOT_THAWED,
    THAWED_EARLY,
    Target,
)

TARGET = Target("/srv/a", "/dev/sdc1", "xfs", 1)


def _structs(state: SharedState) -> Iterator[Struct]:
    yield state
    yield state.expedite
    yield from state.supervisors.values()
    for filesystem in state.filesystems:
        yield filesystem
        yield from filesystem.thaws.values()


def test_each_field_has_a_word_of_its_own() -> None:
    state = SharedState(2)
    fields = [
        (struct, name)
        for struct in _structs(state)
        for name, field in vars(type(struct)).items()
        if isinstance(field, Field)
    ]
    for number, (struct, name) in enumerate(fields):
        setattr(struct, name, number + 1)
    assert [getattr(struct, name) for struct, name in fields] == [*range(1, len(fields) + 1)]
    assert len(state.words) == len(fields)


@pytest.mark.parametrize(
    ("answers", "outcome"),
    [
        ({}, NOT_THAWED),
        ({GUARD: errno.EIO}, NOT_THAWED),
        ({GUARD: errno.EIO, WATCHDOG: 0}, HELD),
        ({GUARD: errno.EINVAL}, THAWED_EARLY),
        ({GUARD: errno.EIO, RUN: errno.EINVAL}, THAWED_EARLY),
        ({GUARD: errno.EINVAL, RUN: 0}, HELD),
    ],
)
def test_outcome_by_results_of_fithaw(answers: dict[int, int], outcome: str) -> None:
    state = SharedState(1)
    filesystem = state.filesystems[0]
    filesystem.called_ns, filesystem.returned_ns, filesystem.freeze_errno = 10, 20, 0
    assert state.records([TARGET])[0].outcome == HELD
    state.over_ns = 30
    # A call without a result thaws nothing.
    filesystem.thaws[GUARD].started_ns = 40
    for number, (actor, answer) in enumerate(answers.items()):
        thaw = filesystem.thaws[actor]
        thaw.started_ns, thaw.errno, thaw.ended_ns = 40, answer, 50 + number
    (record,) = state.records([TARGET])
    assert record.outcome == outcome
    assert state.resolved == (outcome != NOT_THAWED)
