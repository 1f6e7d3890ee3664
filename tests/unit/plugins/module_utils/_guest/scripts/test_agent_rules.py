# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the rules of Microsoft's agent, one table for each step of its published sources.

`PluginHost.py` loads the plugin-host file. `ScriptRunner.py` loads the configuration, checks the
scripts and runs them by `sh`. `handle.py` derives the outcome. The codes are theirs. The expected
values were obtained by running that code.
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
from tests.unit.plugins.module_utils._guest.scripts.agent_guest import (
    CONFIG,
    HOST,
    evaluate_guest,
    names_and_codes,
)


def test_valid_guest_has_no_findings(guest: GuestFiles) -> None:
    guest.put_all()
    view = evaluate_guest(guest)
    assert view == AgentView((), "application", ())


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o200, 0o4600])
def test_configuration_mode_is_accepted(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    guest.config.chmod(mode)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([], "application")
    assert bool(view.warnings) == (mode & 0o777 != 0o600)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o700, 0o500])
def test_configuration_mode_is_rejected(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    guest.config.chmod(mode)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(CONFIG, 317)], "file-system")


def test_configuration_of_other_user_is_rejected(guest: GuestFiles) -> None:
    guest.put_all()
    os.chown(guest.config, 65534, 0)
    assert names_and_codes(evaluate_guest(guest)) == [(CONFIG, 317)]


@pytest.mark.parametrize("mode", [0o700, 0o600, 0o000, 0o4700, 0o500])
@pytest.mark.parametrize("kind", ["pre", "post"])
def test_script_mode_is_accepted(guest: GuestFiles, kind: str, mode: int) -> None:
    guest.put_all()
    getattr(guest, kind).chmod(mode)
    view = evaluate_guest(guest)
    assert names_and_codes(view) == []
    assert bool(view.warnings) == (mode & 0o777 != 0o700)


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o705])
@pytest.mark.parametrize(("kind", "prefix", "code"), [("pre", "Pre", 306), ("post", "Post", 307)])
def test_script_mode_is_rejected(
    guest: GuestFiles, kind: str, prefix: str, code: int, mode: int
) -> None:
    guest.put_all()
    getattr(guest, kind).chmod(mode)
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [(f"InsufficientPermissionfor{prefix}-Script", code)]
    assert view.expected_consistency == "file-system"


def test_script_of_other_user_is_rejected(guest: GuestFiles) -> None:
    guest.put_all()
    os.chown(guest.post, 65534, 0)
    assert names_and_codes(evaluate_guest(guest)) == [("InsufficientPermissionforPost-Script", 307)]


def test_findings_are_in_order_of_agent(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.plugin_host, b"no section", 0o666)
    guest.config.chmod(0o644)
    guest.pre.chmod(0o755)
    guest.post.unlink()
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [
        (HOST, 314),
        (HOST, 304),
        (CONFIG, 317),
        ("InsufficientPermissionforPre-Script", 306),
        ("Post-ScriptNotFound", 303),
    ]
    assert view.expected_consistency == "file-system"
    assert all(finding.recommended_action for finding in view.findings)


@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [
        (True, True, "file-system"),
        (True, False, "crash"),
        (False, True, "none"),
        (False, False, "none"),
    ],
)
def test_script_missing_follows_policy(
    guest: GuestFiles, go_on: bool, freeze: bool, expected: str
) -> None:
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    guest.pre.unlink()
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == (
        [("Pre-ScriptNotFound", 302)],
        expected,
    )


def test_script_links_are_followed_and_folders_ignored(guest: GuestFiles) -> None:
    guest.put_all()
    target = guest.folder / "real.sh"
    guest.pre.rename(target)
    guest.pre.symlink_to(target)
    guest.folder.chmod(0o777)
    assert names_and_codes(evaluate_guest(guest)) == []
    guest.post.unlink()
    guest.post.mkdir()
    assert names_and_codes(evaluate_guest(guest)) == [("Post-ScriptNotFound", 303)]


@pytest.mark.parametrize("path", ["", "pre.sh", "/" + "x" * 300, "{pre}/", "{pre}\0", "/\ud800"])
def test_script_path_invalid_is_not_found(
    guest: GuestFiles, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.put_scripts()
    # The agent has its own working folder.
    monkeypatch.chdir(guest.folder)
    guest.put_config(preScriptLocation=path.format(pre=guest.pre))
    assert names_and_codes(evaluate_guest(guest)) == [("Pre-ScriptNotFound", 302)]


def test_configuration_missing_is_finding(guest: GuestFiles) -> None:
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(CONFIG, 316)], "file-system")


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
        # json raises RecursionError, not ValueError: the code of the host's own except clause.
        ("[" * 100_000, 304),
    ],
)
def test_configuration_content_is_rejected(guest: GuestFiles, content: str, code: int) -> None:
    put(guest.config, content.encode(), 0o600)
    view = evaluate_guest(guest)
    assert {finding.code for finding in view.findings} == {code}
    assert {finding.name for finding in view.findings} == {CONFIG}
    assert view.expected_consistency == "file-system"


def test_configuration_in_utf16_is_rejected(guest: GuestFiles) -> None:
    put(guest.config, json.dumps(guest.settings()).encode("utf-16"), 0o600)
    assert names_and_codes(evaluate_guest(guest)) == [(CONFIG, 305)]


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        # isfile() accepts it, but the concatenation of the message fails: TypeError.
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
def test_invalid_value_stops_scripts(
    guest: GuestFiles, key: str, value: Any, code: int, go_on: bool
) -> None:
    """Check that the agent freezes without scripts, for both values of `go_on`."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=False, **{key: value})
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(CONFIG, code)], "file-system")


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
        # The concatenation of a message, in the same thread: TypeError.
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
def test_invalid_value_keeps_script_from_starting(
    guest: GuestFiles, key: str, value: Any, code: int, go_on: bool, freeze: Any, expected: str
) -> None:
    """Check the code: the thread ends silently, and the host waits for its own time limit."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze, **{key: value})
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(CONFIG, code)], expected)


def test_parameter_of_maximum_length_is_accepted(guest: GuestFiles) -> None:
    """Check one byte less than MAX_ARG_STRLEN, which includes the NUL at the end."""
    guest.put_all(preScriptParams=["x" * (32 * os.sysconf("SC_PAGE_SIZE") - 1)])
    assert evaluate_guest(guest) == AgentView((), "application", ())


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
def test_timeout_of_zero_or_less_fails_scripts(
    guest: GuestFiles, timeout: float, go_on: Any, freeze: Any, expected: str
) -> None:
    """Check the code 308 without polls; then "True & continueBackupOnFailure" decides."""
    guest.put_all(timeoutInSeconds=timeout, continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [("Pre-ScriptTimeout", 308), ("Post-ScriptTimeout", 309)]
    assert view.expected_consistency == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # At least one poll is left, or the limit of the plugin host applies.
        ("timeoutInSeconds", 0.5),
        ("timeoutInSeconds", 2.5),
        ("timeoutInSeconds", True),
        ("timeoutInSeconds", 5000),
        ("timeoutInSeconds", INFINITE),
        ("timeoutInSeconds", NAN),
        # Outside 1 to 5 the agent uses 3.
        ("ScriptsExecutionPollTimeSeconds", 0),
        ("ScriptsExecutionPollTimeSeconds", 6),
        ("fsFreezeEnabled", "false"),
        ("fsFreezeEnabled", None),
        # for ... in value yields characters and keys.
        ("preScriptParams", "abc"),
        ("preScriptParams", {"a": 1}),
        # The agent reads it only when a script is missing or fails.
        ("continueBackupOnFailure", "false"),
        ("continueBackupOnFailure", None),
        ("continueBackupOnFailure", 0),
        ("continueBackupOnFailure", [1]),
    ],
)
def test_undocumented_value_is_accepted_with_warning(
    guest: GuestFiles, key: str, value: Any
) -> None:
    guest.put_all(**{key: value})
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([], "application")
    assert len(view.warnings) == 1 and key in view.warnings[0]


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
def test_script_missing_with_undocumented_policy(
    guest: GuestFiles, go_on: Any, freeze: Any, expected: str
) -> None:
    """Check that both values count by Python's truth value before a script runs."""
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    guest.post.unlink()
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == (
        [("Post-ScriptNotFound", 303)],
        expected,
    )


def test_first_of_two_findings_decides(guest: GuestFiles) -> None:
    """Check that the agent checks the pre-script before the type of postScriptLocation."""
    guest.put_all(continueBackupOnFailure=False, postScriptLocation=None)
    assert evaluate_guest(guest).expected_consistency == "file-system"
    guest.pre.unlink()
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [("Pre-ScriptNotFound", 302), (CONFIG, 304)]
    assert view.expected_consistency == "none"


@pytest.mark.parametrize(("kind", "prefix", "code"), [("pre", "Pre", 300), ("post", "Post", 301)])
@pytest.mark.parametrize(
    ("go_on", "freeze", "expected"),
    [(True, True, "file-system"), (False, True, "none"), (True, False, "none")],
)
def test_script_for_other_interpreter_is_finding(
    guest: GuestFiles, kind: str, prefix: str, code: int, go_on: bool, freeze: bool, expected: str
) -> None:
    guest.put_all(continueBackupOnFailure=go_on, fsFreezeEnabled=freeze)
    put(getattr(guest, kind), b"#!/usr/bin/python3\nimport sys\n", 0o700)
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [(f"{prefix}-ScriptExecutionFailed", code)]
    assert view.expected_consistency == expected
    assert str(getattr(guest, kind)) in view.findings[0].message


def test_script_with_wrong_mode_is_not_read(guest: GuestFiles) -> None:
    """Check that no finding is about the content, which the agent would not run."""
    guest.put_all()
    put(guest.pre, b"#!/usr/bin/python3\n", 0o755)
    assert names_and_codes(evaluate_guest(guest)) == [("InsufficientPermissionforPre-Script", 306)]


def test_script_with_shebang_options_warns(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.pre, b"#!/bin/sh -eu\nexit 0\n", 0o700)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([], "application")
    assert len(view.warnings) == 1 and "-eu" in view.warnings[0]
