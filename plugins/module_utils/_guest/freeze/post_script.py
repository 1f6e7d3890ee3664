# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the post-script exactly once, in any surviving process.

Any of the three processes may start the script. Right before the script's own process becomes the
script, it takes a lock that ends with that process. Then it checks the shared state for another
runner and names its own actor there.

If a process dies before it takes the lock, another one may run the script. Once the lock is taken
the script is never started again, and a survivor enforces its timeout.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from typing import Callable, NamedTuple

from .. import syscalls
from ..model import ScriptOutcome, ScriptSpec
from ..scripts.runner import TAIL_BYTES, open_output, run_script
from .daemon import kill_process_group
from .shared_state import ACTORS, RUN, Heartbeat, SharedState

_POLL_S = 0.02
#: After the timeout, a survivor waits this long for a runner that may still kill the script itself.
_KILL_GRACE_NS = 1_000_000_000
#: After the timeout, the runner has this long to publish the outcome.
_OUTCOME_GRACE_NS = 15_000_000_000
_LOCK_TRIES = 200
#: Reads of the script's output between two checks of its timeout.
_READS_PER_POLL = 64
#: A supervisor that runs the script and misses this many polls counts as stopped.
_STOPPED_POLLS = 250


class _AlreadyRunningError(Exception):
    """Another process runs the script."""


class SharedDescriptors(NamedTuple):
    """The descriptors for the post-script that the three processes share, made before the fork."""

    #: An empty file in memory, which the script's own process locks.
    lock: int
    #: The pipe for the script's output. It has a reader as long as any of the processes lives:
    #: without a reader, the next write would kill the script.
    read_end: int
    write_end: int

    @classmethod
    def make(cls) -> SharedDescriptors:
        """Make the descriptors. Raises `OSError`."""
        return cls(_file_in_memory(), *open_output())

    def close(self) -> None:
        """Close the descriptors in this process."""
        for descriptor in self:
            os.close(descriptor)


def _file_in_memory() -> int:
    # Some systems have no such call, some forbid it (the sysctl vm.memfd_noexec).
    with contextlib.suppress(AttributeError, OSError):
        return os.memfd_create("quiesce-post-script", os.MFD_CLOEXEC)
    return os.open("/run", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)


class PostScript:
    """The post-script, from the point of view of one of the three processes."""

    def __init__(
        self,
        actor: int,
        state: SharedState,
        spec: ScriptSpec,
        descriptors: SharedDescriptors,
        has_exited: Callable[[int], bool],
    ) -> None:
        self._actor = actor
        self._state = state
        self._spec = spec
        self._descriptors = descriptors
        self._has_exited = has_exited
        self._heartbeats = {
            other: Heartbeat(supervisor) for other, supervisor in state.supervisors.items()
        }

    def run_once(self) -> None:
        """Run the script unless another process has, and return when its outcome is published."""
        while self._state.post_pending:
            if not self._state.post_runner:
                self._run()
            elif self._runner_has_failed():
                self._finish_for_runner()
            else:
                time.sleep(_POLL_S)

    def outcome(self) -> ScriptOutcome | None:
        """Return the outcome; None until it is published."""
        state = self._state
        if not state.post_done:
            return None
        tail, reason = state.read_texts()
        return ScriptOutcome(
            kind=self._spec.kind,
            attempts=state.post_attempts,
            rc=state.post_rc if state.post_has_rc else None,
            duration_ms=state.post_duration_ns / 1e6,
            tail=tail,
            timed_out=bool(state.post_timed_out),
            not_started=reason,
            run_by=ACTORS[state.post_runner],
            left_processes=bool(state.post_left_processes),
        )

    def _run(self) -> None:
        outcome = run_script(
            self._spec,
            before_exec=self._become_runner,
            run_by=ACTORS[self._actor],
            output=(self._descriptors.read_end, self._descriptors.write_end),
        )
        if not self._state.post_runner:
            # The script could not be started. The lock is free unless another process just tries.
            lock = self._open_lock()
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return
            else:
                if not self._state.post_runner:
                    self._state.post_runner = self._actor
            finally:
                os.close(lock)
        if self._state.post_runner == self._actor and not self._state.post_done:
            self._publish(outcome)

    def _become_runner(self) -> None:
        """Take the lock in the script's own process, or raise so that it does not start.

        The descriptor with the lock is closed when the process becomes the script or dies.
        """
        state = self._state
        lock = self._open_lock()
        for _try in range(_LOCK_TRIES):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_POLL_S / 2)
        else:
            raise _AlreadyRunningError
        if state.post_done or state.post_runner not in (0, self._actor):
            raise _AlreadyRunningError
        if self._actor != RUN:
            syscalls.spare_from_oom(0)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
        state.post_start_time = syscalls.start_time(os.getpid()) or 0
        state.post_pid = os.getpid()
        if not state.post_runner:
            state.post_until_ns = time.monotonic_ns() + int(self._spec.timeout_s * 1e9)
            state.post_runner = self._actor

    def _open_lock(self) -> int:
        """Open the lock's file with a description that no other process shares."""
        return os.open(f"/proc/self/fd/{self._descriptors.lock}", os.O_RDWR | os.O_CLOEXEC)

    def _runner_has_failed(self) -> bool:
        state = self._state
        heartbeat = self._heartbeats.get(state.post_runner)
        late = time.monotonic_ns() - state.post_until_ns
        if late > _KILL_GRACE_NS:
            kill_process_group(state.post_pid, state.post_start_time)
        if state.post_runner == self._actor:
            return True
        return (
            self._has_exited(state.post_runner)
            or (heartbeat is not None and heartbeat.missed() > _STOPPED_POLLS)
            or late > _OUTCOME_GRACE_NS
        )

    def _finish_for_runner(self) -> None:
        """Wait until the script of a failed runner ends or its timeout passes; publish that."""
        state = self._state
        output = bytearray()
        while (
            syscalls.start_time(state.post_pid) == state.post_start_time
            and time.monotonic_ns() < state.post_until_ns
        ):
            self._read(output)
            time.sleep(_POLL_S)
        timed_out = time.monotonic_ns() >= state.post_until_ns
        kill_process_group(state.post_pid, state.post_start_time)
        self._read(output)
        started_ns = state.post_until_ns - int(self._spec.timeout_s * 1e9)
        if state.post_done:
            return
        self._publish(
            ScriptOutcome(
                kind=self._spec.kind,
                attempts=1,
                rc=None,
                duration_ms=(time.monotonic_ns() - started_ns) / 1e6,
                tail=output.decode("utf-8", "replace")
                + f"\n[the {ACTORS[state.post_runner]}, which ran the script, was killed or "
                "stopped; the exit status and the earlier output of the script are unknown]",
                timed_out=timed_out,
            )
        )

    def _read(self, output: bytearray) -> None:
        """Read what the script has written: a full pipe would block it."""
        with contextlib.suppress(BlockingIOError):
            for _read in range(_READS_PER_POLL):
                output += os.read(self._descriptors.read_end, TAIL_BYTES)
                del output[:-TAIL_BYTES]

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
