# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plugin-host file and the workload file, as Microsoft's agent reads them.

The sources are those of C(test_agent_view.py).
"""

from __future__ import annotations

import json
import os
from typing import List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_rules import (
    AgentView,
    evaluate,
)
from tests.lab.guest_files import GuestFiles, put
from tests.unit.plugins.module_utils._guest.scripts.agent_look import (
    CONFIG,
    GOOD_HOST,
    HOST,
    found,
    look,
    put_host,
)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o700, 0o744])
def test_plugin_host_modes_that_are_accepted(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put_host(guest)
    guest.plugin_host.chmod(mode)
    assert look(guest) == AgentView((), "application", ())


@pytest.mark.parametrize("mode", [0o660, 0o666, 0o655, 0o602, 0o620])
def test_plugin_host_modes_that_are_rejected(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put_host(guest)
    guest.plugin_host.chmod(mode)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 314)], "file-system")


def test_plugin_host_owner(guest: GuestFiles) -> None:
    guest.put_all()
    put_host(guest)
    os.chown(guest.plugin_host, 65534, 0)
    assert found(look(guest)) == [(HOST, 314)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[pre_post]\n", ""),
        ("numberOfPlugins = 1", "numberOfPlugins = one"),
        ("numberOfPlugins = 1", "numberOfPlugins = 1.0"),
        ("numberOfPlugins = 1", "numberOfPlugins ="),
        ("numberOfPlugins = 1", "numberOfPlugins = 1\nNUMBEROFPLUGINS = 1"),
        # It asks for pluginName1, which is not there.
        ("numberOfPlugins = 1", "numberOfPlugins = 2"),
        ("numberOfPlugins = 1", "numberOfPlugins = 1_0"),
        ("timeoutInSeconds = 1800", "timeoutInSeconds = 1800 s"),
        ("timeoutInSeconds = 1800", "timeoutInSeconds = 60.0"),
        ("pluginConfigPath0 = ", "pluginConfigPath = "),
        ("pluginPath0 = /etc/azure\n", ""),
        ("ScriptRunner", "Missing"),
        # A module of Python's own has no ScriptRunner.
        ("ScriptRunner", "json"),
        ("/etc/azure", "/etc/%azure"),
        ("numberOfPlugins", "\x00\xff"),
    ],
)
def test_damaged_plugin_host(guest: GuestFiles, old: str, new: str) -> None:
    guest.put_all(continueBackupOnFailure=False)
    put_host(guest, old, new)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 304)], "file-system")
    assert "is damaged" in seen.findings[0].message


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# a comment\n",
        "[pre_post]\n",
        "[other]\nnumberOfPlugins = 1\n",
        GOOD_HOST.replace("numberOfPlugins = 1\n", ""),
        GOOD_HOST.replace("numberOfPlugins = 1", "numberOfPlugins = 0"),
        GOOD_HOST.replace("numberOfPlugins = 1", "numberOfPlugins = -1"),
    ],
)
def test_plugin_host_that_names_no_plugin(guest: GuestFiles, content: str) -> None:
    """No plugin fails, so handle.py reports 0, success_appconsistent; no script has run."""
    guest.put_all(continueBackupOnFailure=False)
    put(guest.plugin_host, content.format(config=guest.config).encode(), 0o600)
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 0)], "file-system")
    finding = seen.findings[0]
    assert "runs no script, and yet reports" in finding.message
    assert f"Remove {guest.plugin_host}" in finding.recommended_action


def test_plugin_host_with_another_plugin_that_is_there(guest: GuestFiles) -> None:
    """The agent loads it; what it does is not known, so nothing is claimed."""
    guest.put_all()
    put(guest.folder / "Mine.py", b"class ScriptRunner: pass\n", 0o600)
    put_host(guest, "ScriptRunner\npluginPath0 = /etc/azure", f"Mine\npluginPath0 = {guest.folder}")
    seen = look(guest)
    assert (found(seen), seen.expected_consistency) == ([(HOST, 304)], "file-system")
    assert "cannot tell" in seen.findings[0].message


def test_plugin_host_with_two_plugins(guest: GuestFiles) -> None:
    guest.put_all()
    second = GOOD_HOST.format(config=guest.config).split("numberOfPlugins = 1\n")[1]
    put_host(guest, "numberOfPlugins = 1\n", "numberOfPlugins = 2\n" + second.replace("0 =", "1 ="))
    seen = look(guest)
    assert ([one.name for one in seen.findings], seen.expected_consistency) == (
        [HOST],
        "file-system",
    )
    assert "names 2 plugins" in seen.findings[0].message


def test_plugin_host_that_points_elsewhere(guest: GuestFiles) -> None:
    """The agent reads the other file: the finding says so, and the outcome is that file's."""
    guest.put_all()
    other = guest.folder / "other.json"
    put_host(guest, str(guest.config), str(other))
    seen = look(guest)
    assert found(seen) == [(HOST, 304), (CONFIG, 316)]
    assert seen.expected_consistency == "file-system"
    put(other, json.dumps(guest.settings()).encode(), 0o600)
    seen = look(guest)
    assert found(seen) == [(HOST, 304)] and seen.expected_consistency == "application"
    assert str(other) in seen.findings[0].message and str(guest.config) in seen.findings[0].message
    guest.config.unlink()
    guest.config.symlink_to(other)
    assert look(guest) == AgentView((), "application", ())


def test_plugin_host_with_a_slash_after_the_configuration(guest: GuestFiles) -> None:
    guest.put_all()
    put_host(guest, str(guest.config), f"{guest.config}/")
    assert found(look(guest)) == [(CONFIG, 316)]


@pytest.mark.parametrize(
    ("limit", "own", "codes"),
    [
        # min() of both, when the configuration has one; else 10 s and two polls of the host's.
        (60, True, []),
        (0, True, [308, 309]),
        (-6, True, [310, 311]),
        (0, False, []),
        (-5, False, []),
        (-6, False, [310, 311]),
    ],
)
def test_time_limit_of_the_plugin_host(
    guest: GuestFiles, limit: int, own: bool, codes: List[int]
) -> None:
    guest.put_scripts()
    settings = guest.settings()
    if not own:
        del settings["timeoutInSeconds"]
    put(guest.config, json.dumps(settings).encode(), 0o600)
    put_host(guest, "= 1800", f"= {limit}")
    seen = look(guest)
    assert [code for _name, code in found(seen)] == codes
    assert {name for name, _code in found(seen)} <= {"Pre-ScriptTimeout", "Post-ScriptTimeout"}
    assert seen.expected_consistency == ("file-system" if codes else "application")


def test_without_a_plugin_host_the_agent_reads_the_usual_place(guest: GuestFiles) -> None:
    guest.put_all()
    seen = evaluate(str(guest.config), str(guest.plugin_host), str(guest.workload))
    assert (found(seen), len(seen.warnings)) == ([], 1)
    assert "/etc/azure/VMSnapshotScriptPluginConfig.json" in seen.warnings[0]


@pytest.mark.parametrize(
    ("content", "is_named"),
    [
        ("[workload]\nworkload_name = oracle\n", True),
        ("[workload]\nworkload_name =\n", False),
        ("[workload]\n", False),
        ("[other]\nworkload_name = oracle\n", False),
        ("no section", False),
        ("", False),
    ],
)
def test_workload_of_the_agent_takes_the_place_of_the_scripts(
    guest: GuestFiles, content: str, is_named: bool
) -> None:
    """handle.py asks WorkloadPatch for a name first, and with one goes without PluginHost."""
    guest.put_all(continueBackupOnFailure=False)
    put(guest.workload, content.encode(), 0o600)
    seen = look(guest)
    assert [one.name for one in seen.findings] == ([HOST] if is_named else [])
    assert seen.expected_consistency == ("file-system" if is_named else "application")


# --- scripts, which the agent runs by sh ---------------------------------------------------------
