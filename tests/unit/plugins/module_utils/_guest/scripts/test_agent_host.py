# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the plugin-host file and the workload file, as Microsoft's agent reads them.

The sources are those of `test_agent_rules.py`.
"""

from __future__ import annotations

import json
import os

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_rules import (
    AgentView,
    evaluate,
)
from tests.lab.guest_files import GuestFiles, put
from tests.unit.plugins.module_utils._guest.scripts.agent_guest import (
    CONFIG,
    GOOD_HOST,
    HOST,
    evaluate_guest,
    names_and_codes,
    put_host,
)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o444, 0o700, 0o744])
def test_plugin_host_mode_is_accepted(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put_host(guest)
    guest.plugin_host.chmod(mode)
    assert evaluate_guest(guest) == AgentView((), "application", ())


@pytest.mark.parametrize("mode", [0o660, 0o666, 0o655, 0o602, 0o620])
def test_plugin_host_mode_is_rejected(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    put_host(guest)
    guest.plugin_host.chmod(mode)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(HOST, 314)], "file-system")


def test_plugin_host_of_other_user_is_rejected(guest: GuestFiles) -> None:
    guest.put_all()
    put_host(guest)
    os.chown(guest.plugin_host, 65534, 0)
    assert names_and_codes(evaluate_guest(guest)) == [(HOST, 314)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[pre_post]\n", ""),
        ("numberOfPlugins = 1", "numberOfPlugins = one"),
        ("numberOfPlugins = 1", "numberOfPlugins = 1.0"),
        ("numberOfPlugins = 1", "numberOfPlugins ="),
        ("numberOfPlugins = 1", "numberOfPlugins = 1\nNUMBEROFPLUGINS = 1"),
        # The key pluginName1 is missing.
        ("numberOfPlugins = 1", "numberOfPlugins = 2"),
        ("numberOfPlugins = 1", "numberOfPlugins = 1_0"),
        ("timeoutInSeconds = 1800", "timeoutInSeconds = 1800 s"),
        ("timeoutInSeconds = 1800", "timeoutInSeconds = 60.0"),
        ("pluginConfigPath0 = ", "pluginConfigPath = "),
        ("pluginPath0 = /etc/azure\n", ""),
        ("ScriptRunner", "Missing"),
        # This module of Python's standard library has no ScriptRunner.
        ("ScriptRunner", "json"),
        ("/etc/azure", "/etc/%azure"),
        ("numberOfPlugins", "\x00\xff"),
    ],
)
def test_plugin_host_invalid_is_finding(guest: GuestFiles, old: str, new: str) -> None:
    guest.put_all(continueBackupOnFailure=False)
    put_host(guest, old, new)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(HOST, 304)], "file-system")
    assert "is invalid" in view.findings[0].message


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
def test_plugin_host_without_plugin_is_finding(guest: GuestFiles, content: str) -> None:
    """Check the code 0: handle.py reports success_appconsistent although no script has run."""
    guest.put_all(continueBackupOnFailure=False)
    put(guest.plugin_host, content.format(config=guest.config).encode(), 0o600)
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(HOST, 0)], "file-system")
    finding = view.findings[0]
    assert "runs no script, but reports" in finding.message
    assert f"Remove {guest.plugin_host}" in finding.recommended_action


def test_plugin_host_with_other_plugin_is_finding(guest: GuestFiles) -> None:
    """Check an existing plugin, which the agent loads and whose behavior is unknown."""
    guest.put_all()
    put(guest.folder / "Mine.py", b"class ScriptRunner: pass\n", 0o600)
    put_host(guest, "ScriptRunner\npluginPath0 = /etc/azure", f"Mine\npluginPath0 = {guest.folder}")
    view = evaluate_guest(guest)
    assert (names_and_codes(view), view.expected_consistency) == ([(HOST, 304)], "file-system")
    assert "does not know" in view.findings[0].message


def test_plugin_host_with_two_plugins_is_finding(guest: GuestFiles) -> None:
    guest.put_all()
    second = GOOD_HOST.format(config=guest.config).split("numberOfPlugins = 1\n")[1]
    put_host(guest, "numberOfPlugins = 1\n", "numberOfPlugins = 2\n" + second.replace("0 =", "1 ="))
    view = evaluate_guest(guest)
    assert [finding.name for finding in view.findings] == [HOST]
    assert view.expected_consistency == "file-system"
    assert "names 2 plugins" in view.findings[0].message


def test_plugin_host_with_other_configuration_is_read(guest: GuestFiles) -> None:
    """Check that the finding names the other file, whose content decides the outcome."""
    guest.put_all()
    other = guest.folder / "other.json"
    put_host(guest, str(guest.config), str(other))
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [(HOST, 304), (CONFIG, 316)]
    assert view.expected_consistency == "file-system"
    put(other, json.dumps(guest.settings()).encode(), 0o600)
    view = evaluate_guest(guest)
    assert names_and_codes(view) == [(HOST, 304)] and view.expected_consistency == "application"
    assert str(other) in view.findings[0].message and str(guest.config) in view.findings[0].message
    guest.config.unlink()
    guest.config.symlink_to(other)
    assert evaluate_guest(guest) == AgentView((), "application", ())


def test_plugin_host_configuration_with_slash_is_missing(guest: GuestFiles) -> None:
    guest.put_all()
    put_host(guest, str(guest.config), f"{guest.config}/")
    assert names_and_codes(evaluate_guest(guest)) == [(CONFIG, 316)]


@pytest.mark.parametrize(
    ("limit", "own", "codes"),
    [
        # The lower one of both if the configuration has one; else 10 s and two polls of the host.
        (60, True, []),
        (0, True, [308, 309]),
        (-6, True, [310, 311]),
        (0, False, []),
        (-5, False, []),
        (-6, False, [310, 311]),
    ],
)
def test_plugin_host_timeout_limits_scripts(
    guest: GuestFiles, limit: int, own: bool, codes: list[int]
) -> None:
    guest.put_scripts()
    settings = guest.settings()
    if not own:
        del settings["timeoutInSeconds"]
    put(guest.config, json.dumps(settings).encode(), 0o600)
    put_host(guest, "= 1800", f"= {limit}")
    view = evaluate_guest(guest)
    assert [code for _name, code in names_and_codes(view)] == codes
    assert {name for name, _code in names_and_codes(view)} <= {
        "Pre-ScriptTimeout",
        "Post-ScriptTimeout",
    }
    assert view.expected_consistency == ("file-system" if codes else "application")


def test_plugin_host_missing_reads_default_configuration(guest: GuestFiles) -> None:
    guest.put_all()
    view = evaluate(str(guest.config), str(guest.plugin_host), str(guest.workload))
    assert (names_and_codes(view), len(view.warnings)) == ([], 1)
    assert "/etc/azure/VMSnapshotScriptPluginConfig.json" in view.warnings[0]


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
def test_workload_replaces_scripts(guest: GuestFiles, content: str, is_named: bool) -> None:
    """Check that a workload's name skips PluginHost, as in handle.py."""
    guest.put_all(continueBackupOnFailure=False)
    put(guest.workload, content.encode(), 0o600)
    view = evaluate_guest(guest)
    assert [finding.name for finding in view.findings] == ([HOST] if is_named else [])
    assert view.expected_consistency == ("file-system" if is_named else "application")


# --- scripts, which the agent runs by sh ---------------------------------------------------------
