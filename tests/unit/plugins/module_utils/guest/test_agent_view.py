# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Microsoft's agent accepts and rejects; the tables are what its real code was seen to do."""

from __future__ import annotations

import json
import os
from typing import Any, List, Tuple

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils.guest._agent_view import (
    AgentView,
    view,
)
from tests.lab.guest_files import GuestFiles, put

CONFIG = "IncorrectJSONConfigFile"
HOST = "IncorrectPluginhostFile"


def look(guest: GuestFiles) -> AgentView:
    return view(str(guest.config), str(guest.plugin_host))


def found(seen: AgentView) -> List[Tuple[str, Any]]:
    return [(finding.name, finding.code) for finding in seen.findings]


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


@pytest.mark.parametrize("path", ["", "pre.sh", "/" + "x" * 300])
def test_paths_where_there_is_no_script(
    guest: GuestFiles, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.put_scripts()
    # The agent's working folder is its own, not ours.
    monkeypatch.chdir(guest.folder)
    guest.put_config(preScriptLocation=path)
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


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("preScriptLocation", None, 304),
        ("postScriptLocation", 5, 304),
        ("timeoutInSeconds", "30", 304),
        ("timeoutInSeconds", None, 304),
        ("continueBackupOnFailure", "false", 2),
        ("continueBackupOnFailure", None, 2),
        ("preScriptParams", None, 2),
        ("postScriptParams", 5, 2),
        ("pluginName", None, 2),
    ],
)
def test_values_that_are_rejected(guest: GuestFiles, key: str, value: Any, code: int) -> None:
    guest.put_all(**{key: value})
    seen = look(guest)
    assert found(seen) == [(CONFIG, code)]
    assert seen.expected_consistency == ("none" if code == 2 else "file-system")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeoutInSeconds", 0),
        ("timeoutInSeconds", -1),
        ("timeoutInSeconds", 2.5),
        ("timeoutInSeconds", 5000),
        ("fsFreezeEnabled", "false"),
        ("preScriptParams", "abc"),
    ],
)
def test_values_that_are_accepted_against_the_documentation(
    guest: GuestFiles, key: str, value: Any
) -> None:
    guest.put_all(**{key: value})
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([], "application")
    assert len(seen.warnings) == 1 and key in seen.warnings[0]


GOOD_HOST = """[pre_post]
timeoutInSeconds = 1800
numberOfPlugins = 1
pluginName0 = ScriptRunner
pluginPath0 = /etc/azure
pluginConfigPath0 = {config}
"""


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o700, 0o744])
def test_plugin_host_modes_that_are_accepted(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put(guest.plugin_host, GOOD_HOST.format(config=guest.config).encode(), mode)
    assert look(guest) == AgentView((), "application", ())


@pytest.mark.parametrize("mode", [0o660, 0o666, 0o655, 0o602, 0o620])
def test_plugin_host_modes_that_are_rejected(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put(guest.plugin_host, GOOD_HOST.format(config=guest.config).encode(), mode)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 314)], "file-system")


def test_plugin_host_owner(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.plugin_host, GOOD_HOST.format(config=guest.config).encode(), 0o600, uid=65534)
    assert found(look(guest)) == [(HOST, 314)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[pre_post]\n", ""),
        ("numberOfPlugins = 1\n", ""),
        ("numberOfPlugins = 1", "numberOfPlugins = one"),
        ("timeoutInSeconds = 1800", "timeoutInSeconds = 1800 s"),
        ("pluginConfigPath0 = ", "pluginConfigPath = "),
        ("ScriptRunner", "Missing"),
        ("/etc/azure", "/etc/%azure"),
        ("numberOfPlugins", "\x00\xff"),
    ],
)
def test_damaged_plugin_host(guest: GuestFiles, old: str, new: str) -> None:
    guest.put_all()
    content = GOOD_HOST.format(config=guest.config).replace(old, new).encode("latin-1")
    put(guest.plugin_host, content, 0o600)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 304)], "file-system")


def test_plugin_host_that_points_elsewhere_or_cuts_the_time(guest: GuestFiles) -> None:
    guest.put_all()
    content = GOOD_HOST.format(config="/else.json").replace("= 1800", "= 60")
    put(guest.plugin_host, content.encode(), 0o600)
    seen = look(guest)
    assert (found(seen), len(seen.warnings)) == ([], 2)
