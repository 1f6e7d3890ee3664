# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Helpers of the tests of the agent's rules: evaluate a guest, write its plugin-host file."""

from __future__ import annotations

from typing import Any

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.agent_rules import (
    AgentView,
    evaluate,
)
from tests.lab.guest_files import GuestFiles, put

CONFIG = "IncorrectJSONConfigFile"
HOST = "IncorrectPluginhostFile"


GOOD_HOST = """[pre_post]
timeoutInSeconds = 1800
numberOfPlugins = 1
pluginName0 = ScriptRunner
pluginPath0 = /etc/azure
pluginConfigPath0 = {config}
"""


def evaluate_guest(guest: GuestFiles) -> AgentView:
    """Return the agent's view; write a valid plugin-host file unless the test has written one."""
    if not guest.plugin_host.exists():
        put_host(guest)
    return evaluate(str(guest.config), str(guest.plugin_host), str(guest.workload))


def put_host(guest: GuestFiles, old: str = "", new: str = "") -> None:
    content = GOOD_HOST.format(config=guest.config).replace(old, new, 1)
    put(guest.plugin_host, content.encode("latin-1"), 0o600)


def names_and_codes(view: AgentView) -> list[tuple[str, Any]]:
    return [(finding.name, finding.code) for finding in view.findings]
