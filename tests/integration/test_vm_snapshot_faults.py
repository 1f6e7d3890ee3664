# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_snapshot when something goes wrong: foreign freezes, signals, a store that fails."""

from __future__ import annotations

import os
import signal
from typing import Iterator

import pytest

from tests.integration.guest_rig import PATIENCE_S, Guest, holds
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
    """A thaw from outside in the window cannot be prevented; it is noticed."""
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
