# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules of Microsoft's agent: how its published sources decide, one table for each step.

C(PluginHost.py) loads the plugin-host file, C(ScriptRunner.py) the configuration, and it looks at
the scripts and runs them by C(sh); C(handle.py) makes the outcome of it. The codes are theirs.
Other values of the tables were put to that code, and its outcome is what stands here.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_rules import (
    AgentView,
)
from tests.lab.guest_files import GuestFiles, put
from tests.unit.plugins.module_utils._guest.scripts.agent_look import CONFIG, HOST, found, look


def test_all_is_well(guest: GuestFiles) -> None:
    guest.put_all()
    seen = look(guest)
    assert seen == AgentView((), "application", ())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o200, 0o4600])
def test_modes_of_the_configuration_that_are_accepted(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    guest.config.chmod(mode)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([], "application")
    assert bool(seen.warnings) == (mode & 0o777 != 0o600)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o700, 0o500])
def test_modes_of_the_configuration_that_are_rejected(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    guest.config.chmod(mode)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(CONFIG, 317)], "file-system")


def test_owner_of_the_configuration(guest: GuestFiles) -> None:
    guest.put_all()
    os.chown(guest.config, 65534, 0)
    assert found(look(guest)) == [(CONFIG, 317)]


@pytest.mark.parametrize("mode", [0o700, 0o600, 0o000, 0o4700, 0o500])
@pytest.mark.parametrize("kind", ["pre", "post"])
def test_modes_of_a_script_that_are_accepted(guest: GuestFiles, kind: str, mode: int) -> None:
    guest.put_all()
    getattr(guest, kind).chmod(mode)
    seen = look(guest)
    assert found(seen) == []
    assert bool(seen.warnings) == (mode & 0o777 != 0o700)


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o705])
@pytest.mark.parametrize(("kind", "prefix", "code"), [("pre", "Pre", 306), ("post", "Post", 307)])
def test_modes_of_a_script_that_are_rejected(
    guest: GuestFiles, kind: str, prefix: str, code: int, mode: int
) -> None:
    guest.put_all()
    getattr(guest, kind).chmod(mode)
    seen = look(guest)
    assert found(seen) == [(f"InsufficientPermissionfor{prefix}-Script", code)]
    assert seen.expected_consistency == "file-system"


def test_owner_of_a_script(guest: GuestFiles) -> None:
    guest.put_all()
    os.chown(guest.post, 65534, 0)
    assert found(look(guest)) == [("InsufficientPermissionforPost-Script", 307)]


def test_everything_is_found_in_the_order_of_the_agent(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.plugin_host, b"no section", 0o666)
    guest.config.chmod(0o644)
    guest.pre.chmod(0o755)
    guest.post.unlink()
    seen = look(guest)
    assert found(seen) == [
        (HOST, 314),
        (HOST, 304),
        (CONFIG, 317),
        ("InsufficientPermissionforPre-Script", 306),
        ("Post-ScriptNotFound", 303),
    ]
    assert seen.expected_consistency == "file-system"
    assert all(finding.recommended_action for finding in seen.findings)


@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [
        (True, True, "file-system"),
        (True, False, "crash"),
        (False, True, "none"),
        (False, False, "none"),
    ],
)
def test_policy_when_a_script_is_missing(
    guest: GuestFiles, go_on: bool, freeze: bool, expected: str
) -> None:
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    guest.pre.unlink()
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([("Pre-ScriptNotFound", 302)], expected)


def test_scripts_are_looked_for_behind_links_and_folders_never_looked_at(
    guest: GuestFiles,
) -> None:
    guest.put_all()
    target = guest.folder / "real.sh"
    guest.pre.rename(target)
    guest.pre.symlink_to(target)
    guest.folder.chmod(0o777)
    assert found(look(guest)) == []
    guest.post.unlink()
    guest.post.mkdir()
    assert found(look(guest)) == [("Post-ScriptNotFound", 303)]


@pytest.mark.parametrize("path", ["", "pre.sh", "/" + "x" * 300, "{pre}/", "{pre}\0", "/\ud800"])
def test_paths_where_there_is_no_script(
    guest: GuestFiles, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.put_scripts()
    # The agent's working folder is its own, not ours.
    monkeypatch.chdir(guest.folder)
    guest.put_config(preScriptLocation=path.format(pre=guest.pre))
    assert found(look(guest)) == [("Pre-ScriptNotFound", 302)]


def test_missing_configuration(guest: GuestFiles) -> None:
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(CONFIG, 316)], "file-system")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{}", 305),
        ('{"preScriptLocation": "/a"}', 305),
        ("", 305),
        ("text", 305),
        ('{"a": 1,}', 305),
        ("\ufeff{}", 305),
        ("[]", 304),
        ("null", 304),
        ('"text"', 304),
        # json raises RecursionError, which is no ValueError: the code of the host's own catch.
        ("[" * 100_000, 304),
    ],
)
def test_content_that_is_rejected(guest: GuestFiles, content: str, code: int) -> None:
    put(guest.config, content.encode(), 0o600)
    seen = look(guest)
    assert {finding.code for finding in seen.findings} == {code}
    assert {finding.name for finding in seen.findings} == {CONFIG}
    assert seen.expected_consistency == "file-system"


def test_utf_16_is_rejected(guest: GuestFiles) -> None:
    put(guest.config, json.dumps(guest.settings()).encode("utf-16"), 0o600)
    assert found(look(guest)) == [(CONFIG, 305)]


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        # isfile() takes it, and the message about it is made by adding texts: TypeError.
        ("preScriptLocation", None, 304),
        ("postScriptLocation", 5, 304),
        # min(text, number): TypeError.
        ("timeoutInSeconds", "30", 304),
        ("timeoutInSeconds", None, 304),
        ("timeoutInSeconds", [1], 304),
        # A comparison with numbers; the documentation asks for "strictly an integer".
        ("ScriptsExecutionPollTimeSeconds", "2", 304),
        ("ScriptsExecutionPollTimeSeconds", None, 304),
        ("ScriptsExecutionPollTimeSeconds", [], 304),
        ("ScriptsExecutionPollTimeSeconds", 2.5, 304),
        ("ScriptsExecutionPollTimeSeconds", True, 304),
        ("ScriptsExecutionPollTimeSeconds", NAN, 304),
    ],
)
@pytest.mark.parametrize("go_on", [True, False])
def test_values_that_stop_the_scripts(
    guest: GuestFiles, key: str, value: Any, code: int, go_on: bool
) -> None:
    """The agent catches the exception, runs no script and freezes, whatever go_on says."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=False, **{key: value})
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(CONFIG, code)], "file-system")


HALF = "\ud800"  # half a surrogate pair, which os.fsencode() refuses


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        # for ... in value, in the thread that runs the script: TypeError.
        ("preScriptParams", None, 310),
        ("preScriptParams", True, 310),
        ("postScriptParams", 5, 311),
        ("postScriptParams", 0.5, 311),
        # Popen: ValueError, UnicodeEncodeError, E2BIG.
        ("preScriptParams", ["a\0b"], 310),
        ("preScriptParams", "a\0b", 310),
        ("postScriptParams", ["a", "\0"], 311),
        ("preScriptParams", [HALF], 310),
        ("preScriptParams", ["x" * (32 * os.sysconf("SC_PAGE_SIZE"))], 310),
        ("postScriptParams", ["x" * 100_000] * 30, 311),
        # A message made by adding texts, in the same thread: TypeError.
        ("pluginName", None, 310),
        ("pluginName", 5, 310),
        ("pluginName", ["ScriptRunner"], 310),
    ],
)
@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [
        (True, True, "file-system"),
        (False, True, "file-system"),
        (False, None, "crash"),
        (False, False, "none"),
    ],
)
def test_values_with_which_no_script_starts(
    guest: GuestFiles, key: str, value: Any, code: int, go_on: bool, freeze: Any, expected: str
) -> None:
    """The thread ends and says nothing; the host waits for its own limit and goes on with 310."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze, **{key: value})
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(CONFIG, code)], expected)


def test_the_longest_parameter(guest: GuestFiles) -> None:
    """MAX_ARG_STRLEN counts the NUL at the end; Popen starts a program with one byte less."""
    guest.put_all(preScriptParams=["x" * (32 * os.sysconf("SC_PAGE_SIZE") - 1)])
    assert look(guest) == AgentView((), "application", ())


@pytest.mark.parametrize("timeout", [0, -1, -0.5, False, -INFINITE])
@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [
        (True, True, "file-system"),
        (True, None, "crash"),
        (True, False, "none"),
        (False, True, "none"),
        (2, True, "none"),
        (3, True, "file-system"),
        ("true", True, "none"),
        (None, True, "none"),
    ],
)
def test_no_time_at_all(
    guest: GuestFiles, timeout: float, go_on: Any, freeze: Any, expected: str
) -> None:
    """No polls are left at the first look: 308; then "True & continueBackupOnFailure" counts."""
    guest.put_all(timeoutInSeconds=timeout, continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    seen = look(guest)
    assert found(seen) == [("Pre-ScriptTimeout", 308), ("Post-ScriptTimeout", 309)]
    assert seen.expected_consistency == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # One poll at least is left, or the limit of the plugin host counts.
        ("timeoutInSeconds", 0.5),
        ("timeoutInSeconds", 2.5),
        ("timeoutInSeconds", True),
        ("timeoutInSeconds", 5000),
        ("timeoutInSeconds", INFINITE),
        ("timeoutInSeconds", NAN),
        # Outside 1 to 5 it is 3.
        ("ScriptsExecutionPollTimeSeconds", 0),
        ("ScriptsExecutionPollTimeSeconds", 6),
        ("fsFreezeEnabled", "false"),
        ("fsFreezeEnabled", None),
        # for ... in value goes through characters and keys.
        ("preScriptParams", "abc"),
        ("preScriptParams", {"a": 1}),
        # It is looked at when a script is missing or fails, and not before.
        ("continueBackupOnFailure", "false"),
        ("continueBackupOnFailure", None),
        ("continueBackupOnFailure", 0),
        ("continueBackupOnFailure", [1]),
    ],
)
def test_values_that_are_accepted_against_the_documentation(
    guest: GuestFiles, key: str, value: Any
) -> None:
    guest.put_all(**{key: value})
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([], "application")
    assert len(seen.warnings) == 1 and key in seen.warnings[0]


@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [
        ("false", True, "file-system"),
        (None, True, "none"),
        ([], True, "none"),
        (2, True, "file-system"),
        (True, None, "crash"),
        (True, "false", "file-system"),
    ],
)
def test_odd_policy_when_a_script_is_missing(
    guest: GuestFiles, go_on: Any, freeze: Any, expected: str
) -> None:
    """Before a script runs, both values count by their truth, as Python has it."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    guest.post.unlink()
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([("Post-ScriptNotFound", 303)], expected)


def test_the_first_of_two_obstacles_decides(guest: GuestFiles) -> None:
    """The pre-script is looked at before postScriptLocation fails to be a path."""
    guest.put_all(continueBackupOnFailure=False, postScriptLocation=None)
    assert look(guest).expected_consistency == "file-system"
    guest.pre.unlink()
    seen = look(guest)
    assert found(seen) == [("Pre-ScriptNotFound", 302), (CONFIG, 304)]
    assert seen.expected_consistency == "none"


@pytest.mark.parametrize(("kind", "prefix", "code"), [("pre", "Pre", 300), ("post", "Post", 301)])
@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [(True, True, "file-system"), (False, True, "none"), (True, False, "none")],
)
def test_script_for_another_interpreter(
    guest: GuestFiles, kind: str, prefix: str, code: int, go_on: bool, freeze: bool, expected: str
) -> None:
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    put(getattr(guest, kind), b"#!/usr/bin/python3\nimport sys\n", 0o700)
    seen = look(guest)
    assert found(seen) == [(f"{prefix}-ScriptExecutionFailed", code)]
    assert seen.expected_consistency == expected
    assert str(getattr(guest, kind)) in seen.findings[0].message


def test_script_that_is_not_trusted_is_not_read(guest: GuestFiles) -> None:
    """The agent does not come as far as running it."""
    guest.put_all()
    put(guest.pre, b"#!/usr/bin/python3\n", 0o755)
    assert found(look(guest)) == [("InsufficientPermissionforPre-Script", 306)]


def test_options_of_the_first_line_are_a_warning(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.pre, b"#!/bin/sh -eu\nexit 0\n", 0o700)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([], "application")
    assert len(seen.warnings) == 1 and "-eu" in seen.warnings[0]
