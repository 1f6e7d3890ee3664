# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What Microsoft's VMSnapshotLinux agent would do with the scripts of this guest.

PRIVATE: for this collection only. The rules are those of the agent's published sources: it follows
symbolic links, looks at the last three octal digits of a mode, never looks at folders, and stops
at the first thing that it dislikes. Here everything is reported, in the order in which the agent
would come upon it. C(_readiness) has the rules of the collection's own snapshot runs.
"""

from __future__ import annotations

import configparser
import os
import pwd
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    documented,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.guest._script_config import (
    CONFIG_ERROR,
    PLUGIN_NAME,
    TIMEOUT_MAX_S,
    read_json,
)

HOST_ERROR = "IncorrectPluginhostFile"
#: Codes that the agent reports beside those of the documented names.
_HOST_PARSING = 304
_HOST_PERMISSIONS = 314
_CONFIG_MISSING = 316
_CONFIG_PERMISSIONS = 317
_RUN_FAILED = 2

APPLICATION, FILE_SYSTEM, CRASH, NONE = "application", "file-system", "crash", "none"


@dataclass(frozen=True)
class AgentView:
    """What the agent would do: run the scripts when there are no findings."""

    findings: Tuple[Failure, ...]
    expected_consistency: str
    warnings: Tuple[str, ...]


class _Look:
    """Findings and warnings as they come."""

    def __init__(self) -> None:
        self.findings: List[Failure] = []
        self.warnings: List[str] = []

    def find(self, name: str, message: str, code: Optional[int] = None) -> None:
        failure = documented(name, message)
        self.findings.append(failure if code is None else replace(failure, code=code))

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def view(config_path: str, plugin_host_path: str) -> AgentView:
    """Look at the plugin-host file, the configuration and the scripts as the agent does."""
    look = _Look()
    _plugin_host(look, config_path, plugin_host_path)
    values = _config(look, config_path)
    fatal = bool(look.findings)
    if values is None:
        return AgentView(tuple(look.findings), FILE_SYSTEM, tuple(look.warnings))
    broken = _values_that_break_the_run(look, values)
    before_scripts = len(look.findings)
    for kind in ("pre", "post"):
        _script(look, kind, values[f"{kind}ScriptLocation"])
    if fatal:
        expected = FILE_SYSTEM
    elif len(look.findings) > before_scripts:
        expected = _without_scripts(look, values)
    else:
        expected = NONE if broken else APPLICATION
    return AgentView(tuple(look.findings), expected, tuple(look.warnings))


def _without_scripts(look: _Look, values: Dict[str, Any]) -> str:
    """The consistency when the agent finds a script missing or not to be trusted."""
    if not values.get("continueBackupOnFailure", True):
        look.warn(
            "continueBackupOnFailure is false, so the backup fails; with a single disk it falls "
            "back to crash-consistent."
        )
        return NONE
    return FILE_SYSTEM if values.get("fsFreezeEnabled", True) else CRASH


# --- the plugin-host file ----------------------------------------------------------------------


def _plugin_host(look: _Look, config_path: str, path: str) -> None:
    """The file is optional: without it the agent uses its own copy."""
    if not _is_file(path):
        return
    status = Path(path).stat()
    _owner, group, other = _digits(status)
    if group not in (0, 4) or other not in (0, 4):
        look.find(
            HOST_ERROR,
            f"{path} has mode {stat.S_IMODE(status.st_mode):04o}; group and others may at most "
            "read it.",
            _HOST_PERMISSIONS,
        )
    if not _is_roots(status):
        message = f"{path} belongs to the user {status.st_uid}, not to root."
        look.find(HOST_ERROR, message, _HOST_PERMISSIONS)
    try:
        reason = _plugin_host_content(look, config_path, path)
    except (configparser.Error, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
    if reason:
        look.find(HOST_ERROR, f"{path} is damaged: {reason}", _HOST_PARSING)


def _plugin_host_content(look: _Look, config_path: str, path: str) -> str:
    parser = configparser.ConfigParser()
    parser.read(path)
    section = "pre_post"
    if parser.has_option(section, "timeoutInSeconds"):
        limit = int(parser.get(section, "timeoutInSeconds"))
        if limit < TIMEOUT_MAX_S:
            look.warn(f"{path} limits timeoutInSeconds to {limit} s for Microsoft's agent.")
    count = 0
    if parser.has_option(section, "numberOfPlugins"):
        count = int(parser.get(section, "numberOfPlugins"))
    if count < 1:
        return f"it names no plugin (numberOfPlugins in the section {section})."
    name, folder, config = (
        parser.get(section, f"{option}0")
        for option in ("pluginName", "pluginPath", "pluginConfigPath")
    )
    if name != PLUGIN_NAME and not _is_file(f"{folder}/{name}.py"):
        return f"it names the plugin {name}, which is not in {folder}."
    if config != config_path:
        look.warn(f"{path} makes Microsoft's agent read {config}, not {config_path}.")
    return ""


# --- the configuration -------------------------------------------------------------------------


def _config(look: _Look, path: str) -> Optional[Dict[str, Any]]:
    """The values of the configuration; None when the agent cannot get them."""
    if not _is_file(path):
        look.find(CONFIG_ERROR, f"There is no configuration at {path}.", _CONFIG_MISSING)
        return None
    status = Path(path).stat()
    owner, group, other = _digits(status)
    mode = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if owner % 2 or group or other:
        message = f"{mode}; nobody may execute it, and none but root may read it."
        look.find(CONFIG_ERROR, message, _CONFIG_PERMISSIONS)
    elif owner != 6:
        look.warn(f"{mode}; Microsoft's agent takes it, its documentation asks for 0600.")
    if not _is_roots(status):
        message = f"{path} belongs to the user {status.st_uid}, not to root."
        look.find(CONFIG_ERROR, message, _CONFIG_PERMISSIONS)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        look.find(CONFIG_ERROR, f"{path} cannot be read: {error.strerror}.", _HOST_PARSING)
        return None
    return _content(look, path, data)


def _content(look: _Look, path: str, data: bytes) -> Optional[Dict[str, Any]]:
    value, reason, _twice = read_json(data)
    if reason:
        look.find(CONFIG_ERROR, f"{path} cannot be used: {reason}.")
        return None
    if not isinstance(value, dict):
        message = f"{path} must hold a JSON object, in braces, and holds none."
        look.find(CONFIG_ERROR, message, _HOST_PARSING)
        return None
    usable = True
    timeout = value.get("timeoutInSeconds", TIMEOUT_MAX_S)
    if not isinstance(timeout, (int, float)):
        message = f"timeoutInSeconds in {path} is not a number."
        look.find(CONFIG_ERROR, message, _HOST_PARSING)
        usable = False
    elif isinstance(timeout, bool) or not 1 <= timeout <= TIMEOUT_MAX_S or timeout % 1:
        look.warn(
            f"timeoutInSeconds is {timeout}. Microsoft's agent takes any number, and at most "
            f"{TIMEOUT_MAX_S}; documented are whole numbers from 1 to {TIMEOUT_MAX_S}."
        )
    for key in ("preScriptLocation", "postScriptLocation"):
        if key not in value:
            look.find(CONFIG_ERROR, f"{key} is missing from {path}.")
            usable = False
        elif not isinstance(value[key], str) or "\0" in value[key]:
            message = f"{key} in {path} is not the path of a file."
            look.find(CONFIG_ERROR, message, _HOST_PARSING)
            usable = False
    return value if usable else None


def _values_that_break_the_run(look: _Look, values: Dict[str, Any]) -> bool:
    """Values that pass the agent's validation and then fail its whole run."""
    broken = False
    words = "Microsoft's agent accepts it first and then fails the whole backup."
    go_on = values.get("continueBackupOnFailure", True)
    if not isinstance(go_on, (bool, int)):
        message = f"continueBackupOnFailure must be true or false, without quotes. {words}"
        look.find(CONFIG_ERROR, message, _RUN_FAILED)
        broken = True
    if not isinstance(values.get("pluginName", PLUGIN_NAME), str):
        look.find(CONFIG_ERROR, f'pluginName must be "{PLUGIN_NAME}". {words}', _RUN_FAILED)
        broken = True
    for kind in ("pre", "post"):
        params = values.get(f"{kind}ScriptParams", [])
        if not isinstance(params, (list, str, dict)):
            message = f"{kind}ScriptParams must be a list of quoted strings. {words}"
            look.find(CONFIG_ERROR, message, _RUN_FAILED)
            broken = True
        elif not isinstance(params, list):
            look.warn(
                f"{kind}ScriptParams is no list: Microsoft's agent gives each character or key "
                "of it to the script as a parameter."
            )
    if not isinstance(values.get("fsFreezeEnabled", True), bool):
        meaning = "true" if values["fsFreezeEnabled"] else "false"
        look.warn(f"fsFreezeEnabled is no truth value; Microsoft's agent takes it for {meaning}.")
    return broken


# --- the scripts -------------------------------------------------------------------------------


def _script(look: _Look, kind: str, path: str) -> None:
    prefix = kind.capitalize()
    insufficient = f"InsufficientPermissionfor{prefix}-Script"
    # The agent's own working folder is that of its extension, where no script of a user lies.
    if not path.startswith("/") or not _is_file(path):
        name = path or "(an empty path)"
        message = f"There is no {kind}-script at {name}, or it is not given by its full path."
        look.find(f"{prefix}-ScriptNotFound", message)
        return
    status = Path(path).stat()
    owner, group, other = _digits(status)
    mode = f"The {kind}-script {path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if group or other:
        look.find(insufficient, f"{mode}; none but root may have any permission.")
    elif owner != 7:
        look.warn(f"{mode}; Microsoft's agent takes it, its documentation asks for 0700.")
    if not _is_roots(status):
        message = f"The {kind}-script {path} belongs to the user {status.st_uid}, not to root."
        look.find(insufficient, message)


def _is_file(path: str) -> bool:
    """Whether there is a regular file, also behind symbolic links."""
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except (OSError, ValueError):
        return False


def _digits(status: os.stat_result) -> Tuple[int, int, int]:
    """The last three octal digits of a mode: owner, group, others."""
    return ((status.st_mode >> 6) & 7, (status.st_mode >> 3) & 7, status.st_mode & 7)


def _is_roots(status: os.stat_result) -> bool:
    """Whether the owner's name is root, which is how the agent asks."""
    try:
        return pwd.getpwuid(status.st_uid).pw_name == "root"
    except KeyError:
        return False
