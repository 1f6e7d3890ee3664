# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The use of the kernel's setting, the count of its runs, and values of other programs."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from dataclasses import replace
from pathlib import Path

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
from tests.unit.plugins.module_utils._guest.freeze.expedite_paths import setting_paths, value

_PLAIN = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.0-1"


@pytest.fixture
def paths(tmp_path: Path) -> SettingPaths:
    """Return the files of a machine on which the setting may be used."""
    return setting_paths(tmp_path)


def _set(paths: SettingPaths, number: int) -> None:
    Path(paths.value).write_text(f"{number}\n")


def test_on_until_restored(paths: SettingPaths) -> None:
    setting = Setting("auto", paths, _PLAIN)
    assert (setting.reason, value(paths)) == ("", 0)
    assert (setting.turn_on(), value(paths)) == (ON, MARK)
    assert (setting.restore(), value(paths)) == (0, 0)
    assert (setting.restore(), value(paths)) == (0, 0)
    setting.close()


@pytest.mark.parametrize("number", [1, 2, -1])
def test_foreign_value_stays(paths: SettingPaths, number: int) -> None:
    _set(paths, number)
    setting = Setting("yes", paths, _PLAIN)
    assert setting.turn_on() == FOREIGN
    assert setting.restore() == 0
    assert value(paths) == number
    setting.close()


@pytest.mark.parametrize("number", [1, 0])
def test_value_changed_while_on_stays(paths: SettingPaths, number: int) -> None:
    setting = Setting("auto", paths, _PLAIN)
    setting.turn_on()
    _set(paths, number)
    setting.restore()
    assert value(paths) == number
    setting.close()


def test_last_of_two_runs_restores(paths: SettingPaths) -> None:
    one, other = Setting("auto", paths, _PLAIN), Setting("auto", paths, _PLAIN)
    for first, last in ((one, other), (other, one)):
        assert one.turn_on() == other.turn_on() == ON
        first.restore()
        assert value(paths) == MARK
        last.restore()
        assert value(paths) == 0
    one.close()
    other.close()


def test_killed_run_is_no_longer_counted(paths: SettingPaths) -> None:
    survivor = Setting("auto", paths, _PLAIN)
    survivor.turn_on()
    pid = os.fork()
    if not pid:
        Setting("auto", paths, _PLAIN).turn_on()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert value(paths) == MARK
    survivor.restore()
    assert value(paths) == 0
    survivor.close()


@pytest.mark.parametrize("wish", ["auto", "no"])
def test_value_of_dead_run_is_reset_at_start(paths: SettingPaths, wish: str) -> None:
    pid = os.fork()
    if not pid:
        Setting("auto", paths, _PLAIN).turn_on()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert value(paths) == MARK
    Setting(wish, paths, _PLAIN).close()
    assert value(paths) == 0


def test_value_of_living_run_stays_at_start(paths: SettingPaths) -> None:
    user = Setting("auto", paths, _PLAIN)
    user.turn_on()
    Setting("auto", paths, _PLAIN).close()
    assert value(paths) == MARK
    user.close()


def test_processes_of_one_run_count_as_one(paths: SettingPaths) -> None:
    """Check that a forked process restores what its parent turned on."""
    setting = Setting("auto", paths, _PLAIN)
    setting.turn_on()
    pid = os.fork()
    if not pid:
        os._exit(setting.restore())
    assert os.waitpid(pid, 0)[1] == 0
    assert value(paths) == 0
    setting.close()


def test_turn_on_during_a_reset_is_busy(
    paths: SettingPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rcu_expedited, "_RETRY_S", 0.0)
    setting = Setting("auto", paths, _PLAIN)
    with Path(paths.lock).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert setting.turn_on() == BUSY
        assert value(paths) == 0
    assert setting.turn_on() == ON
    setting.restore()
    setting.close()


def _machine(paths: SettingPaths, what: str) -> SettingPaths:
    """Make a machine with one reason against the setting."""
    folder = Path(paths.value).parent
    if what == "absent":
        Path(paths.value).unlink()
    elif what == "read-only":
        return replace(paths, value="/proc/version")  # not writable, even for root
    elif what == "normal":
        (folder / "rcu_normal").write_text("1\n")
    elif what == "realtime":
        (folder / "realtime").write_text("1\n")
    else:
        (folder / what).write_text("2-3\n")
    return paths


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
def test_machine_with_a_reason_against_it(
    paths: SettingPaths, what: str, words: str, meant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that `auto` means no, and that `yes` fails if it would have no effect."""
    paths = _machine(paths, what)
    if what == "read-only":
        monkeypatch.setattr(os, "access", lambda *_words: False)
    setting = Setting("auto", paths, _PLAIN)
    assert words in setting.reason
    setting.close()
    if meant:
        assert why_not("yes", paths, _PLAIN) == ""
        return
    for attempt in (why_not, Setting):
        with pytest.raises(SettingsError) as refused:
            attempt("yes", paths, _PLAIN)
        assert refused.value.failure.name == "ExpediteUnavailable"
        assert words in refused.value.failure.message


@pytest.mark.parametrize("version", ["#1 SMP PREEMPT_RT Debian", "#1 SMP PREEMPT RT Wed"])
def test_real_time_kernel_is_known_by_its_version(paths: SettingPaths, version: str) -> None:
    assert "real-time" in why_not("auto", paths, version)
    assert why_not("auto", paths, _PLAIN) == ""


@pytest.mark.parametrize("text", ["\n", "(null)\n", ""])
def test_no_reserved_cpus(paths: SettingPaths, text: str) -> None:
    """Check each form in which the kernel writes an empty list."""
    Path(paths.reserved[0]).write_text(text)
    assert why_not("auto", paths, _PLAIN) == ""


@pytest.mark.parametrize("what", ["open to others", "a link"])
def test_lock_open_to_others_is_refused(paths: SettingPaths, tmp_path: Path, what: str) -> None:
    # A user who can open the file could keep it locked.
    lock = Path(paths.lock)
    if what == "a link":
        lock.symlink_to(tmp_path / "other")
    else:
        lock.touch()
        lock.chmod(0o644)
    setting = Setting("auto", paths, _PLAIN)
    assert str(lock) in setting.reason
    assert setting.descriptors == ()
    with pytest.raises(SettingsError, match="cannot be expedited"):
        Setting("yes", paths, _PLAIN)


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
def test_result_of_each_answer(
    paths: SettingPaths, answer: int | None, restore_errno: int, used: bool, words: str
) -> None:
    setting, expedite = Setting("auto", paths, _PLAIN), SharedState(0).expedite
    if answer is not None:
        expedite.called_ns, expedite.answer, expedite.returned_ns = 1_000_000, answer, 2_000_000
        expedite.restore_errno, expedite.restored_ns = restore_errno, 4_000_000
    result = expedited(setting, expedite)
    assert (result["used"], result["on_ms"]) == (used, 3.0 if used else None)
    assert words in str(result["words"])
    setting.close()


def test_result_without_an_attempt(paths: SettingPaths) -> None:
    setting = Setting("no", paths)
    assert expedited(setting, SharedState(0).expedite)["words"] == "expedite is set to no."
    assert expedited(None, SharedState(0).expedite)["used"] is False
    setting.close()
