# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option expedite of vm_snapshot, with the machine's own setting and with one that is faked."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Iterator

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    Setting,
    why_not,
)
from tests.integration.guest_rig import Guest
from tests.lab.azurite import Azurite
from tests.lab.expedited import fake, left_on


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    with closing(Guest(azurite, ["ext4"])) as guest:
        yield guest


def test_the_machines_own(guest: Guest) -> None:
    """Check that it is used, or that the result says why not, and that it is restored."""
    done = guest.run()
    said = done["freeze"]["expedited"]
    reason = why_not("auto")
    if reason:
        assert (said["used"], said["words"]) == (False, reason)
    else:
        assert said["used"] is True or "Another" in said["words"]
    assert not left_on()


def test_faked_one_is_used_and_put_back(guest: Guest, tmp_path: Path) -> None:
    """With a setting to itself the run turns it on and off."""
    options = guest.options(expedite="yes")
    done = guest.run_with(options, before=fake(tmp_path, rcu_expedited="0\n", rcu_normal="0\n"))
    assert not done.failed, done
    assert done["freeze"]["expedited"]["used"] is True
    assert done["freeze"]["expedited"]["on_ms"] > 0
    assert (tmp_path / "rcu_expedited").read_text().splitlines()[0] == "0"
    guest.check_left(done)


@pytest.mark.parametrize("wish", ["auto", "yes"])
def test_somebody_elses_stays(guest: Guest, tmp_path: Path, wish: str) -> None:
    """Check that a setting of another program stays, and that the result says so."""
    prefix = fake(tmp_path, rcu_expedited="1\n", rcu_normal="0\n")
    done = guest.run_with(guest.options(expedite=wish), before=prefix)
    said = done["freeze"]["expedited"]
    assert (said["used"], "left alone" in said["words"]) == (False, True)
    assert (tmp_path / "rcu_expedited").read_text() == "1\n"


@pytest.mark.parametrize("check", [False, True])
def test_refused_where_it_could_have_no_effect(guest: Guest, tmp_path: Path, check: bool) -> None:
    """Check that `yes` fails with a name before anything is done, and `auto` continues without."""
    guest.configure()
    prefix = fake(tmp_path, rcu_expedited="0\n", rcu_normal="1\n")
    done = guest.run_with(guest.options(expedite="yes"), before=prefix, check=check)
    assert done.failed
    assert done["failure"]["name"] == "ExpediteUnavailable"
    assert "rcu_normal" in done["failure"]["message"]
    assert (guest.scripts_ran(), guest.snapshots()) == ([], [0])
    done = guest.run_with(guest.options(expedite="auto"), before=prefix, check=check)
    assert not done.failed
    assert (tmp_path / "rcu_expedited").read_text() == "0\n"


def test_no(guest: Guest) -> None:
    """Check that it is not used."""
    said = guest.run(expedite="no")["freeze"]["expedited"]
    assert said == {"used": False, "words": "expedite is set to no.", "on_ms": None}


def test_what_a_dead_run_left(guest: Guest) -> None:
    """Check that the next run restores it at its start, also a run that does not use it."""
    dead = Setting("auto")
    if dead.reason:
        pytest.skip(f"cannot be used on this machine: {dead.reason}")
    dead.turn_on()
    dead.close()  # as the kernel does when every process of a run was killed
    guest.run(expedite="no")
    assert not left_on()
