# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The post-script is paid exactly once, by whoever is left.

PRIVATE: for this collection only. Any of the three processes may start it. The script's own process
claims the debt right before it becomes the script: it takes a lock that ends with it, looks at the
board whether somebody was faster, and says on the board that it starts. A payer that dies or is
stopped before that owes nothing to anybody; after that nobody starts the script again, and whoever
is left sees to it that its time budget ends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import Callable, NamedTuple, Optional

from .. import syscalls
from ..model import ScriptOutcome, ScriptSpec
from ..scripts.runner import TAIL_BYTES, open_output, run_script
from .daemon import kill_process_group
from .shared_state import ACTORS, RUN, Heartbeat, SharedState

_LOOK_S = 0.02
#: How long after the budget's end a survivor leaves the kill to a payer that may yet live.
_KILL_GRACE_NS = 1_000_000_000
#: And how long after it the payer may still write down the outcome.
_OUTCOME_GRACE_NS = 15_000_000_000
_LOCK_TRIES = 200
#: How much of a script's output is read between two looks at its budget.
_PIECES_AT_ONCE = 64
#: A supervisor that pays and has not turned at so many looks is stopped.
_STOPPED_LOOKS = 250


class _Claimed(Exception):
    """Somebody else runs the script."""


class SharedDescriptors(NamedTuple):
    """The descriptors that all payers share, made before the processes part."""

    #: An empty file in memory, on which the debt is claimed.
    lock: int
    #: The pipe for the script's output. As long as any of the payers lives it has a reader:
    #: without one, the script would die of the next line that it writes.
    read_end: int
    write_end: int

    @classmethod
    def make(cls) -> SharedDescriptors:
        """Make them. Raises C(OSError)."""
        return cls(_file_in_memory(), *open_output())

    def close(self) -> None:
        """Close them in this process."""
        for descriptor in self:
            os.close(descriptor)


def _file_in_memory() -> int:
    # Some systems have no such call, some forbid it (the sysctl vm.memfd_noexec).
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("quiesce-post-script", os.MFD_CLOEXEC)
    return os.open("/run", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


class PostScript:
    """The debt, as one of the processes sees it."""

    def __init__(
        self,
        actor: int,
        state: SharedState,
        spec: ScriptSpec,
        common: SharedDescriptors,
        gone: Callable[[int], bool],
    ) -> None:
        self._actor = actor
        self._state = state
        self._spec = spec
        self._common = common
        self._gone = gone
        self._pulses = {other: Heartbeat(note) for other, note in state.supervisors.items()}

    def run_once(self) -> None:
        """Run the script if nobody has, and return when it is done with; no more than once."""
        while self._state.debt:
            if not self._state.post_payer:
                self._run()
            elif self._payer_is_lost():
                self._end_for_payer()
            else:
                time.sleep(_LOOK_S)

    def outcome(self) -> Optional[ScriptOutcome]:
        """What it did; None while it is not done with."""
        state = self._state
        if not state.post_done:
            return None
        tail, note = state.read_texts()
        return ScriptOutcome(
            kind=self._spec.kind,
            attempts=state.post_attempts,
            rc=state.post_rc if state.post_has_rc else None,
            duration_ms=state.post_duration_ns / 1e6,
            tail=tail,
            timed_out=bool(state.post_timed_out),
            not_started=note,
            run_by=ACTORS[state.post_payer],
            left_processes=bool(state.post_left_processes),
        )

    def _run(self) -> None:
        outcome = run_script(
            self._spec,
            before_exec=self._claim,
            run_by=ACTORS[self._actor],
            output=(self._common.read_end, self._common.write_end),
        )
        if not self._state.post_payer:
            # It could not be started at all. The lock is free unless another one tries just now.
            lock = self._own_lock()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            else:
                if not self._state.post_payer:
                    self._state.post_payer = self._actor
            finally:
                os.close(lock)
        if self._state.post_payer == self._actor and not self._state.post_done:
            self._publish(outcome)

    def _claim(self) -> None:
        """In the script's own process: claim the debt, or do not become the script.

        The descriptor with the lock is closed when the process becomes the script or dies.
        """
        state = self._state
        lock = self._own_lock()
        for _try in range(_LOCK_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOOK_S / 2)
        else:
            raise _Claimed
        if state.post_done or state.post_payer not in (0, self._actor):
            raise _Claimed
        if self._actor != RUN:
            syscalls.spare_from_oom(0)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        state.post_born = syscalls.start_time(os.getpid()) or 0
        state.post_pid = os.getpid()
        if not state.post_payer:
            state.post_until_ns = time.monotonic_ns() + int(self._spec.timeout_s * 1e9)
            state.post_payer = self._actor

    def _own_lock(self) -> int:
        """A lock of this process's own: a description that it shares with nobody."""
        return os.open(f"/proc/self/fd/{self._common.lock}", os.O_RDWR | os.O_CLOEXEC)

    def _payer_is_lost(self) -> bool:
        state = self._state
        heartbeat = self._pulses.get(state.post_payer)
        late = time.monotonic_ns() - state.post_until_ns
        if late > _KILL_GRACE_NS:
            kill_process_group(state.post_pid, state.post_born)
        if state.post_payer == self._actor:
            return True
        return (
            self._gone(state.post_payer)
            or (heartbeat is not None and heartbeat.missed() > _STOPPED_LOOKS)
            or late > _OUTCOME_GRACE_NS
        )

    def _end_for_payer(self) -> None:
        """Let the script of a lost payer run to its end, at most until its budget's."""
        state = self._state
        written = bytearray()
        while (
            syscalls.start_time(state.post_pid) == state.post_born
            and time.monotonic_ns() < state.post_until_ns
        ):
            self._read(written)
            time.sleep(_LOOK_S)
        timed_out = time.monotonic_ns() >= state.post_until_ns
        kill_process_group(state.post_pid, state.post_born)
        self._read(written)
        started_ns = state.post_until_ns - int(self._spec.timeout_s * 1e9)
        if state.post_done:
            return
        self._publish(
            ScriptOutcome(
                kind=self._spec.kind,
                attempts=1,
                rc=None,
                duration_ms=(time.monotonic_ns() - started_ns) / 1e6,
                tail=written.decode("utf-8", "replace")
                + f"\n[the {ACTORS[state.post_payer]}, which ran the script, was killed or "
                "stopped; how the script ended and what it wrote before is not known]",
                timed_out=timed_out,
            )
        )

    def _read(self, written: bytearray) -> None:
        """Read what the script has written: with a full pipe it would not go on."""
        with contextlib.suppress(BlockingIOError):
            for _piece in range(_PIECES_AT_ONCE):
                written += os.read(self._common.read_end, TAIL_BYTES)
                del written[:-TAIL_BYTES]

    def _publish(self, outcome: ScriptOutcome) -> None:
        state = self._state
        state.write_texts(outcome.tail, outcome.not_started)
        state.post_rc = outcome.rc or 0
        state.post_has_rc = int(outcome.rc is not None)
        state.post_attempts = outcome.attempts
        state.post_duration_ns = int(outcome.duration_ms * 1e6)
        state.post_timed_out = int(outcome.timed_out)
        state.post_left_processes = int(outcome.left_processes)
        state.post_done = 1
