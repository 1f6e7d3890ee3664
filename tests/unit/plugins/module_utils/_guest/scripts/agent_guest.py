# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A look at a guest's files as Microsoft's agent takes it, for the tests of its rules."""

from __future__ import annotations

from typing import Any, List, Tuple

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


def look(guest: GuestFiles) -> AgentView:
    """Look with a good plugin-host file, unless the test has put another there."""
    if not guest.plugin_host.exists():
        put_host(guest)
    return evaluate(str(guest.config), str(guest.plugin_host), str(guest.workload))


def put_host(guest: GuestFiles, old: str = "", new: str = "") -> None:
    content = GOOD_HOST.format(config=guest.config).replace(old, new, 1)
    put(guest.plugin_host, content.encode("latin-1"), 0o600)


def found(seen: AgentView) -> List[Tuple[str, Any]]:
    return [(finding.name, finding.code) for finding in seen.findings]
