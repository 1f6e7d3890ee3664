# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plugin-host file and workload.conf, which the agent reads before the configuration.

The rules are those of the published sources of Microsoft's VMSnapshotLinux agent.
"""

from __future__ import annotations

import configparser
import os
import stat
from dataclasses import dataclass
from pathlib import Path

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
#: With this code the agent reports a backup without scripts as application-consistent.
_APPLICATION_CONSISTENT = 0
#: Further plugins are not read.
_PLUGINS_MAX = 100


@dataclass(frozen=True)
class PluginHost:
    """The settings of the agent from the plugin-host file."""

    config_path: str
    #: An upper limit of the timeout of each script; it may be negative.
    limit_s: int = TIMEOUT_MAX_S


def read_workload(findings: Findings, path: str) -> None:
    """Add a finding if the agent quiesces a database itself and runs no script."""
    if not is_file(path):
        return
    parser = configparser.ConfigParser()
    try:
        parser.read(path)
        name = parser.get("workload", "workload_name", fallback="")
    except (configparser.Error, ValueError, OSError):
        # The agent continues as if the file did not exist.
        return
    if name:
        findings.add(
            STOPS,
            HOST_ERROR,
            f"{path} sets workload_name to {name}. Microsoft's agent quiesces this workload "
            "itself, and runs neither the pre-script nor the post-script.",
            action=f"Remove workload_name from {path}, or do not use the scripts.",
        )


def read_plugin_host(findings: Findings, config_path: str, path: str) -> PluginHost:
    """Return the settings of the plugin-host file; without it the agent uses its own copy."""
    if not is_file(path):
        if config_path != CONFIG_PATH:
            findings.warn(
                f"{path} does not exist. Without it, Microsoft's agent reads {CONFIG_PATH}, "
                f"not {config_path}."
            )
        return PluginHost(config_path)
    status = Path(path).stat()
    _owner, group, other = digits(status)
    if group not in (0, 4) or other not in (0, 4):
        mode = stat.S_IMODE(status.st_mode)
        message = f"{path} has mode {mode:04o}. Group and others may have read permission only."
        action = f"Set the mode of {path} to 0600."
        findings.add(STOPS, HOST_ERROR, message, HOST_PERMISSIONS, action)
    if not is_roots(status):
        message = f"{path} is owned by the user {status.st_uid}, not by root."
        action = f"Make root the owner of {path}."
        findings.add(STOPS, HOST_ERROR, message, HOST_PERMISSIONS, action)
    try:
        return _read_content(findings, config_path, path)
    except (configparser.Error, ValueError, OSError) as error:
        _add_invalid(findings, path, " ".join(str(error).split()))
        return PluginHost(config_path)


def _add_invalid(findings: Findings, path: str, reason: str) -> None:
    findings.add(STOPS, HOST_ERROR, f"{path} is invalid: {reason}", HOST_PARSING)


def _read_content(findings: Findings, config_path: str, path: str) -> PluginHost:
    parser = configparser.ConfigParser()
    parser.read(path)
    limit, count = TIMEOUT_MAX_S, 0
    if parser.has_option(_SECTION, "timeoutInSeconds"):
        limit = min(int(parser.get(_SECTION, "timeoutInSeconds")), TIMEOUT_MAX_S)
    if parser.has_option(_SECTION, "numberOfPlugins"):
        count = int(parser.get(_SECTION, "numberOfPlugins"))
    if 1 <= limit < TIMEOUT_MAX_S:
        findings.warn(f"{path} limits timeoutInSeconds to {limit} s for Microsoft's agent.")
    if count < 1:
        _add_no_plugin(findings, path)
        return PluginHost(config_path, limit)
    plugins = [_plugin(parser, number) for number in range(min(count, _PLUGINS_MAX))]
    name, folder, config = plugins[0]
    if name != PLUGIN_NAME:
        _add_other_plugin(findings, path, name, folder)
    elif count > 1:
        findings.add(
            STOPS,
            HOST_ERROR,
            f"{path} names {count} plugins, but the framework has only one. This module checks "
            "only the first plugin.",
            action=f"Set numberOfPlugins to 1 in {path}, or remove the file. Microsoft's agent "
            "then uses its own copy.",
        )
    if not _is_same_file(config, config_path):
        findings.add(
            ELSEWHERE,
            HOST_ERROR,
            f"{path} makes Microsoft's agent read {config}, but vm_snapshot reads {config_path}.",
            action=f"Correct pluginConfigPath0 in {path}, or remove the file. Microsoft's agent "
            "then uses its own copy.",
        )
    return PluginHost(config, limit)


def _plugin(parser: configparser.ConfigParser, number: int) -> tuple[str, str, str]:
    """Return a plugin's name, folder and configuration. Raise `configparser.Error` if missing."""
    name, folder, config = (
        parser.get(_SECTION, f"{option}{number}")
        for option in ("pluginName", "pluginPath", "pluginConfigPath")
    )
    return name, folder, config


def _add_no_plugin(findings: Findings, path: str) -> None:
    findings.add(
        STOPS,
        HOST_ERROR,
        f"{path} names no plugin (numberOfPlugins in the section {_SECTION}). Microsoft's agent "
        "runs no script, but reports the backup as application-consistent.",
        _APPLICATION_CONSISTENT,
        f"Remove {path}. Microsoft's agent then uses its own copy, which names the plugin.",
    )


def _add_other_plugin(findings: Findings, path: str, name: str, folder: str) -> None:
    if not is_file(f"{folder}/{name}.py"):
        _add_invalid(findings, path, f"it names the plugin {name}, which is not in {folder}.")
        return
    findings.add(
        STOPS,
        HOST_ERROR,
        f"{path} names the plugin {name}, not {PLUGIN_NAME}. Microsoft's agent runs "
        f"{folder}/{name}.py, and this module does not know whether that runs the scripts.",
        action=f"Set pluginName0 to {PLUGIN_NAME} in {path}, or remove the file. Microsoft's "
        "agent then uses its own copy.",
    )


def _is_same_file(path: str, other: str) -> bool:
    if os.path.normpath(path) == os.path.normpath(other):
        return True
    try:
        return Path(path).samefile(other)
    except (OSError, ValueError):
        return False
