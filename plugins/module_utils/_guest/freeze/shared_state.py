# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory that the run, the guard and the watchdog share.

PRIVATE: for this collection only. It is anonymous memory made before the processes part: whoever
dies, the others go on reading it. It consists of 64-bit words, which are written and read whole.
Most words have one writer; those that have several only ever change once (from 0), and it does not
matter who of the writers was first.
"""

from __future__ import annotations

import errno
import mmap
import time
from typing import List, Optional, Sequence, Tuple

from ..model import (
    BUSY,
    FREEZE_FAILED,
    FREEZE_LATE,
    HELD,
    NOT_FROZEN,
    NOT_THAWED,
    THAWED_EARLY,
    FilesystemRecord,
    Target,
)

#: The three processes.
RUN, GUARD, WATCHDOG = 1, 2, 3
ACTORS = {RUN: "run", GUARD: "guard", WATCHDOG: "watchdog"}

#: No answer yet, where 0 and positive numbers are answers.
UNSET = -1

TAIL_BYTES = 64 * 1024
_NOTE_BYTES = 4096


class Field:
    """One 64-bit word of an area of the board."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, area: Struct, _owner: object = None) -> int:
        return area.words[area.base + self._index]

    def __set__(self, area: Struct, value: int) -> None:
        area.words[area.base + self._index] = value


class Struct:
    """Words beside each other."""

    def __init__(self, words: memoryview, base: int) -> None:
        self.words = words
        self.base = base


class ThawState(Struct):
    """What one process did to thaw one filesystem; that process writes it."""

    SIZE = 3
    started_ns = Field(0)
    ended_ns = Field(1)
    errno = Field(2)

    @property
    def definite(self) -> bool:
        """Whether it proves that the filesystem is thawed."""
        return bool(self.ended_ns) and self.errno in (0, errno.EINVAL)

    @property
    def under_way(self) -> bool:
        """Whether FITHAW was called and has not returned."""
        return bool(self.started_ns) and not self.ended_ns


class FilesystemState(Struct):
    """One filesystem. The guard writes the words, the thaws have a writer each."""

    #: FIFREEZE is about to be called: from here on the filesystem may be frozen by us.
    called_ns = Field(0)
    returned_ns = Field(1)
    #: Answer of FIFREEZE; ECANCELED when the window was over before it was called.
    freeze_errno = Field(2)
    #: The last pass of syncfs: how long it took, its answer, and in which round.
    flush_ns = Field(3)
    flush_errno = Field(4)
    flush_round = Field(5)
    SIZE = 6 + ThawState.SIZE * len(ACTORS)

    def __init__(self, words: memoryview, base: int) -> None:
        super().__init__(words, base)
        self.freeze_errno = UNSET
        self.thaws = {
            actor: ThawState(words, base + 6 + ThawState.SIZE * index)
            for index, actor in enumerate(ACTORS)
        }

    @property
    def resolved(self) -> bool:
        """Whether the filesystem certainly is not frozen by us (when the window is over)."""
        if not self.called_ns or self.freeze_errno > 0:
            return True
        return any(thaw.definite for thaw in self.thaws.values())

    @property
    def freezing(self) -> bool:
        """Whether FIFREEZE was called and has not returned, as far as is known."""
        return bool(self.called_ns) and self.freeze_errno == UNSET


class ExpediteState(Struct):
    """The setting that makes FIFREEZE short; see C(_expedite). The guard writes all but the end."""

    #: It is about to be turned on, and it was tried, with what came of it.
    called_ns = Field(0)
    returned_ns = Field(1)
    answer = Field(2)
    #: It certainly is put back, and the errno of that; written by whoever is first.
    back_errno = Field(3)
    back_ns = Field(4)
    SIZE = 5

    @property
    def resolved(self) -> bool:
        """Whether it certainly is not on because of this run."""
        return not self.called_ns or bool(self.back_ns)

    @property
    def freezing(self) -> bool:
        """Whether it may yet be turned on, as far as is known."""
        return bool(self.called_ns) and not self.returned_ns


class SupervisorState(Struct):
    """What a supervisor says about itself."""

    pid = Field(0)
    ready = Field(1)
    #: When it last turned; a process that is stopped or gone does not turn.
    heartbeat_ns = Field(2)
    #: Bits: MEMORY_LOCKED, SPARED_FROM_OOM; and how it left the session.
    traits = Field(3)
    left_session = Field(4)
    #: It has nothing left to do.
    ended = Field(5)
    SIZE = 6


MEMORY_LOCKED, SPARED_FROM_OOM = 1, 2


class Heartbeat:
    """Whether a supervisor turns, as somebody sees it who looks regularly.

    Looks are counted, not time: when the whole machine stood still, nobody was stopped.
    """

    def __init__(self, note: SupervisorState) -> None:
        self._note = note
        self._heartbeat_ns = 0
        self._looks = 0

    def missed(self) -> int:
        """Look; returns at how many looks in a row it had not turned."""
        beat = self._note.heartbeat_ns
        self._looks = self._looks + 1 if beat == self._heartbeat_ns else 0
        self._heartbeat_ns = beat
        return self._looks


class SharedState(Struct):
    """All that the processes tell each other. Times are monotonic nanoseconds."""

    # Written by the run.
    stage_ends_ns = Field(0)
    freeze_ns = Field(1)  # the freeze was asked for
    deadline_ns = Field(2)
    flush_round = Field(3)
    flush_until_ns = Field(4)
    quit = Field(5)
    script_pid = Field(6)
    script_born = Field(7)
    post_owed = Field(8)
    # Written once, by whoever is first.
    over_ns = Field(9)  # the window is over: thaw, and freeze nothing more
    taken_over = Field(10)  # by which supervisor
    # The payment of the post-script: started by the script's process itself, the rest by the
    # payer, or by whoever outlives it.
    post_payer = Field(11)
    post_pid = Field(12)
    post_born = Field(13)
    post_until_ns = Field(14)
    post_done = Field(15)
    post_rc = Field(16)
    post_has_rc = Field(17)
    post_attempts = Field(18)
    post_duration_ns = Field(19)
    post_timed_out = Field(20)
    post_tail_bytes = Field(21)
    post_note_bytes = Field(22)
    post_left_processes = Field(23)
    SIZE = 24

    def __init__(self, filesystems: int) -> None:
        boost_at = self.SIZE + 2 * SupervisorState.SIZE
        slots_at = boost_at + ExpediteState.SIZE
        count = slots_at + FilesystemState.SIZE * filesystems
        self._texts_at = count * 8
        self.memory = mmap.mmap(-1, self._texts_at + TAIL_BYTES + _NOTE_BYTES)
        words = memoryview(self.memory)[: self._texts_at].cast("q")
        super().__init__(words, 0)
        self.boost = ExpediteState(words, boost_at)
        self.filesystems: List[FilesystemState] = [
            FilesystemState(words, slots_at + FilesystemState.SIZE * index)
            for index in range(filesystems)
        ]
        self.supervisors = {
            GUARD: SupervisorState(words, self.SIZE),
            WATCHDOG: SupervisorState(words, self.SIZE + SupervisorState.SIZE),
        }

    def end_window(self) -> None:
        """The window is over, if it is not yet."""
        if not self.over_ns:
            self.over_ns = time.monotonic_ns()

    @property
    def may_freeze(self) -> bool:
        """Whether the window is open now."""
        return (
            bool(self.freeze_ns)
            and not self.over_ns
            and not self.taken_over
            and time.monotonic_ns() < self.deadline_ns
        )

    @property
    def resolved(self) -> bool:
        """Whether nothing is frozen or set by us any more (when the window is over)."""
        return self.boost.resolved and all(filesystem.resolved for filesystem in self.filesystems)

    @property
    def debt(self) -> bool:
        """Whether the post-script is owed and not yet done with."""
        return bool(self.post_owed) and not self.post_done

    def write_texts(self, tail: str, note: str) -> None:
        """Keep the post-script's output and the reason why it was not started."""
        kept = tail.encode("utf-8", "replace")[-TAIL_BYTES:]
        reason = note.encode("utf-8", "replace")[:_NOTE_BYTES]
        at = self._texts_at
        self.memory[at : at + len(kept)] = kept
        at += TAIL_BYTES
        self.memory[at : at + len(reason)] = reason
        self.post_tail_bytes, self.post_note_bytes = len(kept), len(reason)

    def read_texts(self) -> Tuple[str, str]:
        """What C(write_texts) wrote."""
        at = self._texts_at
        tail = bytes(self.memory[at : at + self.post_tail_bytes])
        at += TAIL_BYTES
        note = bytes(self.memory[at : at + self.post_note_bytes])
        return tail.decode("utf-8", "replace"), note.decode("utf-8", "replace")

    def records(self, targets: Sequence[Target]) -> Tuple[FilesystemRecord, ...]:
        """What happened to each filesystem, as far as it is known by now."""
        return tuple(
            self._record(filesystem, target)
            for filesystem, target in zip(self.filesystems, targets)
        )

    def _record(self, filesystem: FilesystemState, target: Target) -> FilesystemRecord:
        thaws = [(actor, thaw) for actor, thaw in filesystem.thaws.items() if thaw.ended_ns]
        # Of several answers the one that thawed it counts; the others came after it.
        thaws.sort(key=lambda one: (one[1].errno != 0, not one[1].definite, one[1].ended_ns))
        actor, thaw = thaws[0] if thaws else (None, None)
        answered = filesystem.freeze_errno != UNSET
        cancelled = filesystem.freeze_errno == errno.ECANCELED
        return FilesystemRecord(
            target=target,
            outcome=self._outcome(filesystem, None if thaw is None else thaw.errno),
            freeze_started_ns=None if cancelled else filesystem.called_ns or None,
            frozen_ns=filesystem.returned_ns if filesystem.freeze_errno == 0 else None,
            thaw_started_ns=thaw.started_ns if thaw else None,
            thawed_ns=thaw.ended_ns if thaw and thaw.errno == 0 else None,
            freeze_errno=filesystem.freeze_errno if answered and not cancelled else None,
            thaw_errno=thaw.errno if thaw else None,
            thawed_by=ACTORS[actor] if actor and thaw and thaw.errno == 0 else None,
        )

    def _outcome(self, filesystem: FilesystemState, thaw_errno: Optional[int]) -> str:
        if not filesystem.called_ns or filesystem.freeze_errno == errno.ECANCELED:
            return NOT_FROZEN
        if filesystem.freeze_errno == UNSET:
            return FREEZE_LATE
        if filesystem.freeze_errno:
            return BUSY if filesystem.freeze_errno == errno.EBUSY else FREEZE_FAILED
        if self.over_ns and not filesystem.resolved:
            return NOT_THAWED
        if self.over_ns and filesystem.returned_ns > self.over_ns:
            return FREEZE_LATE
        if thaw_errno == 0 or (not self.over_ns and thaw_errno is None):
            return HELD
        # Nobody's FITHAW found it frozen: that it was held is not proved.
        return THAWED_EARLY
