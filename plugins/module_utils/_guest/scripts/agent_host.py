# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that decide before the configuration does: the plugin-host file and workload.conf.

PRIVATE: for this collection only. The rules are those of the published sources of Microsoft's
VMSnapshotLinux agent.
"""

from __future__ import annotations

import configparser
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Tuple

from .agent_findings import (
    ELSEWHERE,
    HOST_ERROR,
    HOST_PARSING,
    HOST_PERMISSIONS,
    STOPS,
    Findings,
    digits,
    is_file,
    is_roots,
)
from .config import PLUGIN_NAME, TIMEOUT_MAX_S

#: The place of the configuration in the agent's own copy of the plugin-host file.
CONFIG_PATH = "/etc/azure/VMSnapshotScriptPluginConfig.json"
_SECTION = "pre_post"
#: The agent reports a backup for which it ran no script as application-consistent, with this code.
_APPLICATION_CONSISTENT = 0
#: More plugins than this are not looked up.
_PLUGINS_MAX = 100


@dataclass(frozen=True)
class PluginHost:
    """What the plugin-host file tells the agent."""

    config_path: str
    #: The limit of each script, whatever the configuration says; it may be negative.
    limit_s: int = TIMEOUT_MAX_S


def read_workload(notes: Findings, path: str) -> None:
    """Add a finding when the agent quiesces a database of its own and runs no script."""
    if not is_file(path):
        return
    parser = configparser.ConfigParser()
    try:
        parser.read(path)
        name = parser.get("workload", "workload_name", fallback="")
    except (configparser.Error, ValueError, OSError):
        # The agent goes on as if there were no such file.
        return
    if name:
        notes.find(
            STOPS,
            HOST_ERROR,
            f"{path} names the workload {name}: Microsoft's agent prepares this workload itself, "
            "and runs neither the pre-script nor the post-script.",
            action=f"Remove workload_name from {path}, or do without the scripts.",
        )


def read_plugin_host(notes: Findings, config_path: str, path: str) -> PluginHost:
    """Read the plugin-host file. It is optional: without it the agent uses its own copy."""
    if not is_file(path):
        if config_path != CONFIG_PATH:
            notes.warn(
                f"Without {path}, Microsoft's agent reads {CONFIG_PATH} and not {config_path}."
            )
        return PluginHost(config_path)
    status = Path(path).stat()
    _owner, group, other = digits(status)
    if group not in (0, 4) or other not in (0, 4):
        mode = stat.S_IMODE(status.st_mode)
        message = f"{path} has mode {mode:04o}; group and others may at most read it."
        notes.find(STOPS, HOST_ERROR, message, HOST_PERMISSIONS)
    if not is_roots(status):
        message = f"{path} belongs to the user {status.st_uid}, not to root."
        notes.find(STOPS, HOST_ERROR, message, HOST_PERMISSIONS)
    try:
        return _content(notes, config_path, path)
    except (configparser.Error, ValueError, OSError) as error:
        _damaged(notes, path, " ".join(str(error).split()))
        return PluginHost(config_path)


def _damaged(notes: Findings, path: str, reason: str) -> None:
    notes.find(STOPS, HOST_ERROR, f"{path} is damaged: {reason}", HOST_PARSING)


def _content(notes: Findings, config_path: str, path: str) -> PluginHost:
    parser = configparser.ConfigParser()
    parser.read(path)
    limit, count = TIMEOUT_MAX_S, 0
    if parser.has_option(_SECTION, "timeoutInSeconds"):
        limit = min(int(parser.get(_SECTION, "timeoutInSeconds")), TIMEOUT_MAX_S)
    if parser.has_option(_SECTION, "numberOfPlugins"):
        count = int(parser.get(_SECTION, "numberOfPlugins"))
    if 1 <= limit < TIMEOUT_MAX_S:
        notes.warn(f"{path} limits timeoutInSeconds to {limit} s for Microsoft's agent.")
    if count < 1:
        _no_plugin(notes, path)
        return PluginHost(config_path, limit)
    named = [_plugin(parser, number) for number in range(min(count, _PLUGINS_MAX))]
    name, folder, config = named[0]
    if name != PLUGIN_NAME:
        _other_plugin(notes, path, name, folder)
    elif count > 1:
        notes.find(
            STOPS,
            HOST_ERROR,
            f"{path} names {count} plugins, and the framework knows one. The module looks at "
            "the first and cannot tell what Microsoft's agent does with the others.",
            action=f"Set numberOfPlugins to 1 in {path}, or remove the file: Microsoft's agent "
            "then uses its own copy.",
        )
    if not _is_same_file(config, config_path):
        notes.find(
            ELSEWHERE,
            HOST_ERROR,
            f"{path} makes Microsoft's agent read {config}, not {config_path}; "
            "vm_snapshot reads the latter.",
            action=f"Correct pluginConfigPath0 in {path}, or remove the file: Microsoft's agent "
            "then uses its own copy.",
        )
    return PluginHost(config, limit)


def _plugin(parser: configparser.ConfigParser, number: int) -> Tuple[str, str, str]:
    """Return a plugin's name, folder and configuration. Raises C(configparser.Error)."""
    name, folder, config = (
        parser.get(_SECTION, f"{option}{number}")
        for option in ("pluginName", "pluginPath", "pluginConfigPath")
    )
    return name, folder, config


def _no_plugin(notes: Findings, path: str) -> None:
    notes.find(
        STOPS,
        HOST_ERROR,
        f"{path} names no plugin (numberOfPlugins in the section {_SECTION}): Microsoft's agent "
        "runs no script, and yet reports the backup as application-consistent.",
        _APPLICATION_CONSISTENT,
        f"Remove {path}: Microsoft's agent then uses its own copy, which names the plugin.",
    )


def _other_plugin(notes: Findings, path: str, name: str, folder: str) -> None:
    if not is_file(f"{folder}/{name}.py"):
        _damaged(notes, path, f"it names the plugin {name}, which is not in {folder}.")
        return
    notes.find(
        STOPS,
        HOST_ERROR,
        f"{path} names the plugin {name}, not {PLUGIN_NAME}: Microsoft's agent runs "
        f"{folder}/{name}.py, and the module cannot tell what that does with the scripts.",
        action=f"Set pluginName0 to {PLUGIN_NAME} in {path}, or remove the file: Microsoft's "
        "agent then uses its own copy.",
    )


def _is_same_file(one: str, other: str) -> bool:
    if os.path.normpath(one) == os.path.normpath(other):
        return True
    try:
        return Path(one).samefile(other)
    except (OSError, ValueError):
        return False
