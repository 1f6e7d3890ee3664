# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_snapshot when something goes wrong: foreign freezes, signals, a store that fails."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path
from typing import Dict, Iterator

import pytest

from tests.integration.guest_rig import PATIENCE_S, Guest, holds
from tests.lab._process import wait_until
from tests.lab.azurite import Azurite
from tests.lab.proxy import FaultProxy, Gate, Rule, delay_answer, hold, reply


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    guest = Guest(azurite, ["ext4", "xfs"])
    yield guest
    guest.close()


@pytest.fixture(name="proxy")
def _proxy(azurite: Azurite, guest: Guest) -> Iterator[FaultProxy]:
    """Between the module and the store."""
    with FaultProxy(azurite.account_url) as proxy:
        guest.route = proxy.url
        yield proxy


def test_frozen_by_somebody_else(guest: Guest) -> None:
    guest.configure()
    other = guest.disks[1].mount_point
    guest.guarded.freeze(other)
    try:
        done = guest.run_with(guest.options())
    finally:
        assert guest.guarded.thaw(other), "the foreign freeze was to be left alone"
    assert done.failed and done["failure"]["name"] == "FrozenByAnother"
    assert guest.snapshots() == [0, 0]
    assert guest.scripts_ran() == ["pre", "post"]
    guest.check_left(done)


def test_thawed_by_somebody_else(guest: Guest, proxy: FaultProxy) -> None:
    """Check that a thaw by another process in the window is noticed."""
    guest.configure()
    gate = Gate()
    proxy.rules.append(Rule(hold(gate)))
    process = guest.start()
    try:
        assert gate.wait_arrived(PATIENCE_S)
        assert guest.guarded.thaw(guest.disks[0].mount_point)
    finally:
        gate.open()
    done = process.finish()
    assert not done.failed
    assert done["consistency"] == "crash"
    assert holds(done)["filesystems_held"] is False
    assert guest.disks[0].mount_point in done["evidence"]["filesystems_held"]["words"]
    assert [one["outcome"] for one in done["freeze"]["filesystems"]].count("held") == 1
    assert guest.snapshots() == [1, 1]
    guest.check_left(done)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_in_the_pre_script(guest: Guest, number: int) -> None:
    guest.configure(pre="exec sleep 1000", timeoutInSeconds=600)
    process = guest.start()
    guest.wait_for_scripts(process)
    os.kill(process.pid, number)
    done = process.finish()
    assert done.failed and done["failure"]["name"] == "Interrupted"
    assert signal.Signals(number).name in done["msg"]
    assert guest.scripts_ran() == ["pre", "post"]
    assert guest.snapshots() == [0, 0]
    guest.check_left(done)


def test_one_run_at_a_time(guest: Guest) -> None:
    guest.configure(pre=f'while ! [ -e "{guest.folder}/go" ]; do sleep 0.1; done')
    process = guest.start()
    guest.wait_for_scripts(process)
    second = guest.run_with(guest.options())
    (guest.folder / "go").touch()
    first = process.finish()
    assert second.failed and second["failure"]["name"] == "RunInProgress"
    assert str(process.pid) in second["msg"]
    assert first["consistency"] == "application"
    assert guest.scripts_ran() == ["pre", "post"] and guest.snapshots() == [1, 1]
    guest.check_left(first)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_in_the_window(guest: Guest, proxy: FaultProxy, number: int) -> None:
    guest.configure()
    gate = Gate()
    proxy.rules.append(Rule(hold(gate)))
    process = guest.start()
    try:
        assert gate.wait_arrived(PATIENCE_S)
        os.kill(process.pid, number)
    finally:
        gate.open()
    done = process.finish()
    assert done.failed and done["failure"]["name"] == "Interrupted"
    assert guest.scripts_ran() == ["pre", "post"]
    # The set is whole and was taken in time: it is kept, and the result lists it.
    assert done["consistency"] == "application" and guest.snapshots() == [1, 1]
    assert done["snapshot_set"]["left_behind"] == ["disk0", "disk1"]
    guest.check_left(done)


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_one_disk_is_refused(guest: Guest, proxy: FaultProxy, on_partial: str) -> None:
    guest.configure()
    refusal = reply(409, "Conflict", "SnapshotCountExceeded")
    proxy.rules.append(Rule(refusal, path=guest.blobs[1].rpartition("/")[2]))
    done = guest.run(on_partial=on_partial)
    assert done.failed and done["failure"]["name"] == "SnapshotCountExceeded"
    assert "disk1" in done["msg"]
    assert done["consistency"] == "none" and done["snapshot_set"]["complete"] is False
    kept = on_partial == "keep"
    assert done["snapshot_set"]["not_discarded"] == {}
    assert guest.snapshots() == [int(kept), 0]
    assert done["snapshot_set"]["left_behind"] == (["disk0"] if kept else [])
    assert guest.scripts_ran() == ["pre", "post"]


@pytest.mark.parametrize("on_partial", ["discard", "keep"])
def test_an_answer_that_comes_too_late(guest: Guest, proxy: FaultProxy, on_partial: str) -> None:
    guest.configure()
    proxy.rules.append(Rule(delay_answer(6), path=guest.blobs[1].rpartition("/")[2]))
    done = guest.run(on_partial=on_partial, freeze_timeout=3)
    kept = on_partial == "keep"
    assert done.failed is not kept
    assert done["failure"]["name"] == "SnapshotTooLate"
    assert done["consistency"] == ("crash" if kept else "none")
    assert guest.snapshots() == ([1, 1] if kept else [0, 0])
    assert done["disks"][1]["in_window"] is False
    assert guest.scripts_ran() == ["pre", "post"]


_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def _holds(process: Path, file: Path) -> bool:
    """Return True if the process has the file open, by any name."""
    return any(one.samefile(file) for one in (process / "fd").iterdir() if one.exists())


def _session(guest: Guest, process: int) -> Dict[str, int]:
    """Return by name the three processes of a run that uses this guest's lock folder."""
    found = {"run": process}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            name = (entry / "comm").read_text().strip()
            if name.startswith("quiesce-") and _holds(entry, guest.locks / "lock"):
                found[name] = int(entry.name)
    return found


def test_core_dumps_hold_no_sas(guest: Guest, tmp_path: Path) -> None:
    """None of the three dumps its memory, and a script has the limit that the module had."""
    guest.configure(pre=f'ulimit -c > "{guest.folder}/limit"; exec sleep 1000')
    allow = ["sh", "-c", 'cd "$0" && ulimit -c unlimited && exec "$@"', str(tmp_path)]
    process = guest.start_with(guest.options(), prefix=allow)
    try:
        _check_dumps(guest, process.pid)
    finally:
        process.process.kill()
        process.finish()
    assert list(tmp_path.iterdir()) == []
    wait_until("the post-script ran", lambda: guest.scripts_ran() == ["pre", "post"])
    wait_until("the supervisors ended", lambda: list(_session(guest, 0)) == ["run"])
    guest.check_thawed()


def _check_dumps(guest: Guest, run: int) -> None:
    wait_until("the pre-script ran", lambda: guest.scripts_ran() == ["pre"])
    limit = guest.folder / "limit"
    wait_until("the script wrote its limit", lambda: limit.exists() and limit.read_text() != "")
    three = _session(guest, run)
    assert sorted(three) == ["quiesce-guard", "quiesce-watch", "run"]
    assert limit.read_text() == "unlimited\n"
    for pid in three.values():
        assert resource.prlimit(pid, resource.RLIMIT_CORE)[0] == 0
    # Also where the limit does not count, as where core dumps are piped to a program.
    resource.prlimit(run, resource.RLIMIT_CORE, _NO_LIMIT)
    os.kill(run, signal.SIGSEGV)
    ended = os.waitid(os.P_PID, run, os.WEXITED | os.WNOWAIT)
    assert ended is not None and ended.si_code == os.CLD_KILLED
