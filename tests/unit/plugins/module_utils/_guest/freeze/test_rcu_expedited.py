# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the kernel's setting is used, how runs count themselves, and that no other value changes."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze import (
    rcu_expedited,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    BUSY,
    FOREIGN,
    MARK,
    ON,
    Setting,
    SettingPaths,
    expedited,
    why_not,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.shared_state import (
    SharedState,
)
from tests.unit.plugins.module_utils._guest.freeze.expedite_places import places_below, value

_PLAIN = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.0-1"


@pytest.fixture
def places(tmp_path: Path) -> SettingPaths:
    """A machine on which the setting may be used."""
    return places_below(tmp_path)


def _set(places: SettingPaths, number: int) -> None:
    Path(places.value).write_text(f"{number}\n")


def test_on_and_back(places: SettingPaths) -> None:
    """It is on between the two calls only."""
    setting = Setting("auto", places, _PLAIN)
    assert (setting.reason, value(places)) == ("", 0)
    assert (setting.turn_on(), value(places)) == (ON, MARK)
    assert (setting.restore(), value(places)) == (0, 0)
    assert (setting.restore(), value(places)) == (0, 0)
    setting.close()


@pytest.mark.parametrize("number", [1, 2, -1])
def test_somebody_elses(places: SettingPaths, number: int) -> None:
    """What somebody else has set stays, whatever this does."""
    _set(places, number)
    setting = Setting("yes", places, _PLAIN)
    assert setting.turn_on() == FOREIGN
    assert setting.restore() == 0
    assert value(places) == number
    setting.close()


@pytest.mark.parametrize("number", [1, 0])
def test_somebody_else_sets_it_meanwhile(places: SettingPaths, number: int) -> None:
    """A value that was changed while it was on is not put back."""
    setting = Setting("auto", places, _PLAIN)
    setting.turn_on()
    _set(places, number)
    setting.restore()
    assert value(places) == number
    setting.close()


def test_the_last_one_puts_back(places: SettingPaths) -> None:
    """Runs at the same time do not undo each other, in whichever order they end."""
    one, other = Setting("auto", places, _PLAIN), Setting("auto", places, _PLAIN)
    for first, last in ((one, other), (other, one)):
        assert one.turn_on() == other.turn_on() == ON
        first.restore()
        assert value(places) == MARK
        last.restore()
        assert value(places) == 0
    one.close()
    other.close()


def test_one_run_that_is_killed_is_no_longer_counted(places: SettingPaths) -> None:
    """The kernel ends its count with its last process, and the survivor of two runs puts back."""
    survivor = Setting("auto", places, _PLAIN)
    survivor.turn_on()
    pid = os.fork()
    if not pid:
        Setting("auto", places, _PLAIN).turn_on()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert value(places) == MARK
    survivor.restore()
    assert value(places) == 0
    survivor.close()


@pytest.mark.parametrize("wish", ["auto", "no"])
def test_what_a_dead_run_left(places: SettingPaths, wish: str) -> None:
    """The next run puts it back at its start, whatever it is told itself."""
    pid = os.fork()
    if not pid:
        Setting("auto", places, _PLAIN).turn_on()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert value(places) == MARK
    Setting(wish, places, _PLAIN).close()
    assert value(places) == 0


def test_start_beside_a_run_that_uses_it(places: SettingPaths) -> None:
    """What is in use is not taken for what a dead run left."""
    user = Setting("auto", places, _PLAIN)
    user.turn_on()
    Setting("auto", places, _PLAIN).close()
    assert value(places) == MARK
    user.close()


def test_processes_of_one_run_count_as_one(places: SettingPaths) -> None:
    """A forked process puts back what its parent turned on and still counts."""
    setting = Setting("auto", places, _PLAIN)
    setting.turn_on()
    pid = os.fork()
    if not pid:
        os._exit(setting.restore())
    assert os.waitpid(pid, 0)[1] == 0
    assert value(places) == 0
    setting.close()


def test_the_count_is_being_taken(places: SettingPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another run puts back it is waited for, and not for long."""
    monkeypatch.setattr(rcu_expedited, "_RETRY_S", 0.0)
    setting = Setting("auto", places, _PLAIN)
    with Path(places.lock).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert setting.turn_on() == BUSY
        assert value(places) == 0
    assert setting.turn_on() == ON
    setting.restore()
    setting.close()


def _machine(places: SettingPaths, what: str) -> SettingPaths:
    """The machine with one thing that speaks against the setting."""
    folder = Path(places.value).parent
    if what == "absent":
        Path(places.value).unlink()
    elif what == "read-only":
        return replace(places, value="/proc/version")  # nobody may write to it, root neither
    elif what == "normal":
        (folder / "rcu_normal").write_text("1\n")
    elif what == "realtime":
        (folder / "realtime").write_text("1\n")
    else:
        (folder / what).write_text("2-3\n")
    return places


@pytest.mark.parametrize(
    ("what", "words", "meant"),
    [
        ("absent", "does not exist", False),
        ("read-only", "cannot be written to", False),
        ("normal", "takes precedence", False),
        ("realtime", "real-time", True),
        ("isolated", "free of interruptions", True),
        ("nohz_full", "free of interruptions", True),
    ],
)
def test_machines_that_do_not_want_it(
    places: SettingPaths, what: str, words: str, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C(auto) means no there; C(yes) is refused where it could have no effect."""
    places = _machine(places, what)
    if what == "read-only":
        monkeypatch.setattr(os, "access", lambda *_words: False)
    setting = Setting("auto", places, _PLAIN)
    assert words in setting.reason
    setting.close()
    if meant:
        assert why_not("yes", places, _PLAIN) == ""
        return
    for attempt in (why_not, Setting):
        with pytest.raises(SettingsError) as refused:
            attempt("yes", places, _PLAIN)
        assert refused.value.failure.name == "ExpediteUnavailable"
        assert words in refused.value.failure.message


@pytest.mark.parametrize("version", ["#1 SMP PREEMPT_RT Debian", "#1 SMP PREEMPT RT Wed"])
def test_kernels_for_real_time(places: SettingPaths, version: str) -> None:
    """Those that have no file that says so say it in their version."""
    assert "real-time" in why_not("auto", places, version)
    assert why_not("auto", places, _PLAIN) == ""


@pytest.mark.parametrize("text", ["\n", "(null)\n", ""])
def test_no_reserved_cpus(places: SettingPaths, text: str) -> None:
    """An empty list, in each of the kernel's ways to write it."""
    Path(places.reserved[0]).write_text(text)
    assert why_not("auto", places, _PLAIN) == ""


@pytest.mark.parametrize("what", ["open to others", "a link"])
def test_count_that_is_not_roots_alone(places: SettingPaths, tmp_path: Path, what: str) -> None:
    """Somebody who can open the file could keep it locked."""
    lock = Path(places.lock)
    if what == "a link":
        lock.symlink_to(tmp_path / "other")
    else:
        lock.touch()
        lock.chmod(0o644)
    setting = Setting("auto", places, _PLAIN)
    assert str(lock) in setting.reason
    assert setting.descriptors == ()
    with pytest.raises(SettingsError, match="cannot be expedited"):
        Setting("yes", places, _PLAIN)


@pytest.mark.parametrize(
    ("answer", "restore_errno", "used", "words"),
    [
        (ON, 0, True, "were expedited"),
        (ON, errno.EPERM, True, "Write 0 to it"),
        (FOREIGN, 0, False, "was left alone"),
        (BUSY, 0, False, "Another run"),
        (-errno.EPERM, 0, False, "Setting it failed"),
        (None, 0, False, "did not begin"),
    ],
)
def test_what_the_result_says(
    places: SettingPaths, answer: Optional[int], restore_errno: int, used: bool, words: str
) -> None:
    """Whether it was used, and why not."""
    setting, expedite = Setting("auto", places, _PLAIN), SharedState(0).expedite
    if answer is not None:
        expedite.called_ns, expedite.answer, expedite.returned_ns = 1_000_000, answer, 2_000_000
        expedite.restore_errno, expedite.restored_ns = restore_errno, 4_000_000
    said = expedited(setting, expedite)
    assert (said["used"], said["on_ms"]) == (used, 3.0 if used else None)
    assert words in str(said["words"])
    setting.close()


def test_reason_and_nothing_to_freeze(places: SettingPaths) -> None:
    """The result says why it was not tried."""
    setting = Setting("no", places)
    assert expedited(setting, SharedState(0).expedite)["words"] == "expedite is set to no."
    assert expedited(None, SharedState(0).expedite)["used"] is False
    setting.close()
