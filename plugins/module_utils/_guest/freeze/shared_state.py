# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The memory that the run, the guard and the watchdog share.

It is anonymous memory, made before the processes are forked: when one dies, the others still read
it. It consists of 64-bit words, which are written and read whole. Each word has one writer, except
write-once words (0 to a value), where any writer may win.
"""

from __future__ import annotations

import errno
import mmap
import time
from collections.abc import Sequence

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

#: No result yet, where 0 and positive numbers are results.
UNSET = -1

TAIL_BYTES = 64 * 1024
_REASON_BYTES = 4096


class Field:
    """One 64-bit word of a struct; a class numbers its fields in the order of their definition."""

    def __set_name__(self, owner: type[Struct], _name: str) -> None:
        self._index = owner.FIELDS
        owner.FIELDS += 1

    def __get__(self, struct: Struct, _owner: object = None) -> int:
        return struct.words[struct.base + self._index]

    def __set__(self, struct: Struct, value: int) -> None:
        struct.words[struct.base + self._index] = value


class Struct:
    """Consecutive words of the shared memory."""

    #: The number of fields of the class, which `Field` counts.
    FIELDS = 0

    def __init__(self, words: memoryview, base: int) -> None:
        self.words = words
        self.base = base


class ThawState(Struct):
    """The last attempt of one process to thaw one filesystem; that process writes it."""

    started_ns = Field()
    ended_ns = Field()
    errno = Field()

    @property
    def proves_thaw(self) -> bool:
        """True if the attempt proves that the filesystem is thawed."""
        return bool(self.ended_ns) and self.errno in (0, errno.EINVAL)

    @property
    def in_progress(self) -> bool:
        """True if FITHAW was called and has not returned."""
        return bool(self.started_ns) and not self.ended_ns


class FilesystemState(Struct):
    """One filesystem. The guard writes the fields; each thaw state has its own writer."""

    #: FIFREEZE is about to be called: from here on the filesystem may be frozen by this run.
    called_ns = Field()
    returned_ns = Field()
    #: Result of FIFREEZE; ECANCELED if the window was over before the call.
    freeze_errno = Field()
    #: The last pass of syncfs: its duration, its result, and its round.
    flush_ns = Field()
    flush_errno = Field()
    flush_round = Field()

    def __init__(self, words: memoryview, base: int) -> None:
        super().__init__(words, base)
        self.freeze_errno = UNSET
        self.thaws = {
            actor: ThawState(words, base + self.FIELDS + ThawState.FIELDS * index)
            for index, actor in enumerate(ACTORS)
        }

    @property
    def resolved(self) -> bool:
        """True if the filesystem certainly is not frozen by this run (once the window is over)."""
        if not self.called_ns or self.freeze_errno > 0:
            return True
        return any(thaw.proves_thaw for thaw in self.thaws.values())

    @property
    def freezing(self) -> bool:
        """True if FIFREEZE was called and is not known to have returned."""
        return bool(self.called_ns) and self.freeze_errno == UNSET


#: A filesystem with its thaw states.
_FILESYSTEM_WORDS = FilesystemState.FIELDS + ThawState.FIELDS * len(ACTORS)


class ExpediteState(Struct):
    """The setting that makes FIFREEZE short; see `rcu_expedited`.

    The guard writes the first three fields.
    """

    #: The setting is about to be turned on; the attempt has returned; the result of the attempt.
    called_ns = Field()
    returned_ns = Field()
    answer = Field()
    #: The setting certainly is restored, and the errno of that. Write-once.
    restore_errno = Field()
    restored_ns = Field()

    @property
    def resolved(self) -> bool:
        """True if the setting certainly is not on because of this run."""
        return not self.called_ns or bool(self.restored_ns)

    @property
    def freezing(self) -> bool:
        """True if the guard may still turn the setting on."""
        return bool(self.called_ns) and not self.returned_ns


class SupervisorState(Struct):
    """One supervisor, which writes the fields itself."""

    pid = Field()
    ready = Field()
    #: The time of the last tick; a process that is stopped or has exited does not tick.
    heartbeat_ns = Field()
    #: Bits: MEMORY_LOCKED, SPARED_FROM_OOM.
    traits = Field()
    #: How the process left the login session's control group: an index of `cgroup.DESCRIPTIONS`.
    cgroup_exit = Field()
    #: The process has finished its work.
    ended = Field()


MEMORY_LOCKED, SPARED_FROM_OOM = 1, 2


class Heartbeat:
    """The heartbeat of a supervisor, as another process sees it that polls regularly.

    It counts polls instead of time, so a pause of the whole machine is not taken for a supervisor
    that stopped.
    """

    def __init__(self, supervisor: SupervisorState) -> None:
        self._supervisor = supervisor
        self._heartbeat_ns = 0
        self._missed = 0

    def missed(self) -> int:
        """Poll once; return the number of polls in a row at which the supervisor had not ticked."""
        heartbeat_ns = self._supervisor.heartbeat_ns
        self._missed = self._missed + 1 if heartbeat_ns == self._heartbeat_ns else 0
        self._heartbeat_ns = heartbeat_ns
        return self._missed


class SharedState(Struct):
    """The whole shared memory. Times are monotonic nanoseconds."""

    # Written by the run.
    stage_ends_ns = Field()
    freeze_ns = Field()  # the time at which the run requested the freeze
    deadline_ns = Field()
    flush_round = Field()
    flush_until_ns = Field()
    quit = Field()
    script_pid = Field()
    script_start_time = Field()
    post_due = Field()
    # Write-once.
    over_ns = Field()  # the window is over: thaw, and freeze nothing more
    taken_over_by = Field()  # a supervisor
    # The post-script. The script's own process writes the first four fields before it becomes the
    # script; a process that fails to start the script writes the first. The runner writes the
    # others, or a process that outlives the runner.
    post_runner = Field()
    post_pid = Field()
    post_start_time = Field()
    post_until_ns = Field()
    post_done = Field()
    post_rc = Field()
    post_has_rc = Field()
    post_attempts = Field()
    post_duration_ns = Field()
    post_timed_out = Field()
    post_tail_bytes = Field()
    post_reason_bytes = Field()
    post_left_processes = Field()

    def __init__(self, filesystems: int) -> None:
        expedite_at = self.FIELDS + 2 * SupervisorState.FIELDS
        filesystems_at = expedite_at + ExpediteState.FIELDS
        count = filesystems_at + _FILESYSTEM_WORDS * filesystems
        self._texts_at = count * 8
        self.memory = mmap.mmap(-1, self._texts_at + TAIL_BYTES + _REASON_BYTES)
        words = memoryview(self.memory)[: self._texts_at].cast("q")
        super().__init__(words, 0)
        self.expedite = ExpediteState(words, expedite_at)
        self.filesystems: list[FilesystemState] = [
            FilesystemState(words, filesystems_at + _FILESYSTEM_WORDS * index)
            for index in range(filesystems)
        ]
        self.supervisors = {
            GUARD: SupervisorState(words, self.FIELDS),
            WATCHDOG: SupervisorState(words, self.FIELDS + SupervisorState.FIELDS),
        }

    def end_window(self) -> None:
        """End the window unless it is over already."""
        if not self.over_ns:
            self.over_ns = time.monotonic_ns()

    @property
    def may_freeze(self) -> bool:
        """True if the window is open now."""
        return (
            bool(self.freeze_ns)
            and not self.over_ns
            and not self.taken_over_by
            and time.monotonic_ns() < self.deadline_ns
        )

    @property
    def resolved(self) -> bool:
        """True if this run keeps nothing frozen or set any more (once the window is over)."""
        return self.expedite.resolved and all(
            filesystem.resolved for filesystem in self.filesystems
        )

    @property
    def post_pending(self) -> bool:
        """True if the post-script is due and its outcome is not published."""
        return bool(self.post_due) and not self.post_done

    def write_texts(self, tail: str, reason: str) -> None:
        """Store the post-script's output and the reason why it was not started."""
        tail_bytes = tail.encode("utf-8", "replace")[-TAIL_BYTES:]
        reason_bytes = reason.encode("utf-8", "replace")[:_REASON_BYTES]
        at = self._texts_at
        self.memory[at : at + len(tail_bytes)] = tail_bytes
        at += TAIL_BYTES
        self.memory[at : at + len(reason_bytes)] = reason_bytes
        self.post_tail_bytes, self.post_reason_bytes = len(tail_bytes), len(reason_bytes)

    def read_texts(self) -> tuple[str, str]:
        """Return the output and the reason that `write_texts` stored."""
        at = self._texts_at
        tail = bytes(self.memory[at : at + self.post_tail_bytes])
        at += TAIL_BYTES
        reason = bytes(self.memory[at : at + self.post_reason_bytes])
        return tail.decode("utf-8", "replace"), reason.decode("utf-8", "replace")

    def records(self, targets: Sequence[Target]) -> tuple[FilesystemRecord, ...]:
        """Return what has happened to each filesystem so far."""
        return tuple(
            self._record(filesystem, target)
            for filesystem, target in zip(self.filesystems, targets)
        )

    def _record(self, filesystem: FilesystemState, target: Target) -> FilesystemRecord:
        thaws = [(actor, thaw) for actor, thaw in filesystem.thaws.items() if thaw.ended_ns]
        # The thaw that succeeded counts before any other: the others came after it.
        thaws.sort(key=lambda item: (item[1].errno != 0, not item[1].proves_thaw, item[1].ended_ns))
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

    def _outcome(self, filesystem: FilesystemState, thaw_errno: int | None) -> str:
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
        # No FITHAW found it frozen, so nothing proves that it was held.
        return THAWED_EARLY
