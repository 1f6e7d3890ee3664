# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scripts of this guest as Microsoft's VMSnapshotLinux agent would take them.

PRIVATE: for this collection only. The rules are those of the agent's published sources: it follows
symbolic links, looks at the last three octal digits of a mode, never looks at folders, and stops
at the first thing that it dislikes. Here everything is reported, in the order in which the agent
would come upon it. C(_readiness) has the rules of the collection's own snapshot runs.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from ..._errors import Failure
from .agent_findings import (
    CONFIG_MISSING,
    CONFIG_PERMISSIONS,
    FAILS,
    HOST_PARSING,
    INVALID,
    NEVER_ENDED,
    NEVER_ENDS,
    STOPS,
    Findings,
    digits,
    is_file,
    is_roots,
)
from .agent_host import PluginHost, read_plugin_host, read_workload
from .agent_shell import lost_by_sh, why_not_for_sh
from .config import (
    CONFIG_ERROR,
    PLUGIN_NAME,
    TIMEOUT_MAX_S,
    TIMEOUT_WHEN_MISSING_S,
    TOO_DEEP,
    read_json,
    unusable_params,
)

APPLICATION, FILE_SYSTEM, CRASH, NONE = "application", "file-system", "crash", "none"
_BEST_FIRST = (APPLICATION, FILE_SYSTEM, CRASH, NONE)
_KINDS = ("pre", "post")
#: The pause between two looks at a running script: the default, the least and the most.
_POLL_S, _POLL_LEAST_S, _POLL_MOST_S = 3, 1, 5
_POLL_KEY = "ScriptsExecutionPollTimeSeconds"


@dataclass(frozen=True)
class AgentView:
    """The agent's next backup: it runs the scripts when there are no findings."""

    findings: Tuple[Failure, ...]
    expected_consistency: str
    warnings: Tuple[str, ...]


def evaluate(
    config_path: str, plugin_host_path: str, workload_path: str, shell: str = "sh"
) -> AgentView:
    """Look at all files as the agent does; C(shell) is the program that it finds as C(sh)."""
    notes = Findings()
    read_workload(notes, workload_path)
    host = read_plugin_host(notes, config_path, plugin_host_path)
    values = _config(notes, host.config_path)
    if values is not None:
        _go_on(notes, values)
        _plugin_name(notes, values)
        _time(notes, values, host)
        for kind in _KINDS:
            _params(notes, kind, values)
        for kind in _KINDS:
            _script(notes, kind, values[f"{kind}ScriptLocation"], shell)
    expected = _expected(notes, values or {})
    return AgentView(tuple(notes.findings), expected, tuple(notes.warnings))


def _expected(notes: Findings, values: Dict[str, Any]) -> str:
    """Return the consistency of the backup: the worst of what the findings lead to."""
    go_on = values.get("continueBackupOnFailure", True)
    freeze = values.get("fsFreezeEnabled", True)
    without_scripts = FILE_SYSTEM if freeze else CRASH
    # The agent looks at everything before it runs a script, and stops at the first of these.
    for effect in notes.effects:
        if effect == STOPS:
            return FILE_SYSTEM
        if effect == INVALID:
            return without_scripts if go_on else _stopped(notes)
    outcomes = [APPLICATION]
    # As the agent compares: false and 0 are equal to 0, null is not.
    is_off = freeze == 0
    if NEVER_ENDS in notes.effects:
        outcomes.append(NONE if is_off else without_scripts)
    if FAILS in notes.effects:
        # The agent computes "true and continueBackupOnFailure" bit by bit.
        fails = not isinstance(go_on, int) or not go_on & 1 or is_off
        outcomes.append(_stopped(notes) if fails else without_scripts)
    return max(outcomes, key=_BEST_FIRST.index)


def _stopped(notes: Findings) -> str:
    notes.warn(
        "The backup would fail; with a single disk Azure Backup falls back to a crash-consistent "
        "one."
    )
    return NONE


# --- the configuration -------------------------------------------------------------------------


def _config(notes: Findings, path: str) -> Optional[Dict[str, Any]]:
    """Return the values of the configuration; None when the agent cannot get them."""
    # A relative path starts in the agent's own folder, where no configuration lies.
    if not path.startswith("/") or not is_file(path):
        message = f"There is no configuration at {path}."
        notes.find(STOPS, CONFIG_ERROR, message, CONFIG_MISSING)
        return None
    status = Path(path).stat()
    owner, group, other = digits(status)
    mode = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if owner % 2 or group or other:
        message = f"{mode}; it must not be executable, and only root may read it."
        notes.find(STOPS, CONFIG_ERROR, message, CONFIG_PERMISSIONS)
    elif owner != 6:
        notes.warn(f"{mode}; Microsoft's agent takes it, its documentation asks for 0600.")
    if not is_roots(status):
        message = f"{path} belongs to the user {status.st_uid}, not to root."
        notes.find(STOPS, CONFIG_ERROR, message, CONFIG_PERMISSIONS)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        notes.find(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return None
    return _content(notes, path, data)


def _content(notes: Findings, path: str, data: bytes) -> Optional[Dict[str, Any]]:
    value, reason, _twice = read_json(data)
    if reason:
        code = HOST_PARSING if reason == TOO_DEEP else None
        notes.find(STOPS, CONFIG_ERROR, f"{path} cannot be used: {reason}.", code)
        return None
    if not isinstance(value, dict):
        message = f"{path} must hold a JSON object, in braces, and holds none."
        notes.find(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return None
    usable = _is_number(notes, path, value)
    for key in ("preScriptLocation", "postScriptLocation"):
        if key not in value:
            notes.find(STOPS, CONFIG_ERROR, f"{key} is missing from {path}.")
            usable = False
    return value if usable else None


def _is_number(notes: Findings, path: str, values: Dict[str, Any]) -> bool:
    """Return whether the agent can compute with its two times."""
    usable = True
    if not isinstance(values.get("timeoutInSeconds", 0), (int, float)):
        message = f"timeoutInSeconds in {path} is not a number."
        notes.find(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        usable = False
    poll = values.get(_POLL_KEY, _POLL_S)
    if isinstance(poll, bool) or not isinstance(poll, int):
        # The documentation: strictly an integer. The agent computes with it unchecked.
        message = f"{_POLL_KEY} in {path} is not a whole number."
        notes.find(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        usable = False
    elif not _POLL_LEAST_S <= poll <= _POLL_MOST_S:
        notes.warn(
            f"{_POLL_KEY} is {poll}. Microsoft's agent takes {_POLL_S} instead; documented are "
            f"whole numbers from {_POLL_LEAST_S} to {_POLL_MOST_S}."
        )
    return usable


def _go_on(notes: Findings, values: Dict[str, Any]) -> None:
    """Look at the two truth values, which the agent never checks."""
    go_on = values.get("continueBackupOnFailure", True)
    if not isinstance(go_on, bool):
        notes.warn(
            "continueBackupOnFailure is no truth value. Microsoft's agent looks at it only when "
            "a script is missing or fails, and may then fail the whole backup."
        )
    freeze = values.get("fsFreezeEnabled", True)
    if not isinstance(freeze, bool):
        meaning = "true" if freeze else "false"
        notes.warn(f"fsFreezeEnabled is no truth value; Microsoft's agent takes it for {meaning}.")


def _plugin_name(notes: Findings, values: Dict[str, Any]) -> None:
    if not isinstance(values.get("pluginName", PLUGIN_NAME), str):
        _never_ends(notes, "pre", f'pluginName must be "{PLUGIN_NAME}".')


def _time(notes: Findings, values: Dict[str, Any], host: PluginHost) -> None:
    """Look at the time that the agent gives each script, and that it waits for one itself."""
    limit, asked = TIMEOUT_WHEN_MISSING_S, values.get("timeoutInSeconds")
    if asked is not None:
        limit = min(asked, host.limit_s)
    poll = values.get(_POLL_KEY, _POLL_S)
    if not _POLL_LEAST_S <= poll <= _POLL_MOST_S:
        poll = _POLL_S
    if int(host.limit_s / poll) + 2 < 1:
        for kind in _KINDS:
            message = f"The plugin-host file gives the {kind}-script {host.limit_s} s."
            name = f"{kind.capitalize()}-ScriptTimeout"
            notes.find(NEVER_ENDS, name, message, NEVER_ENDED[kind])
    elif limit <= 0:
        for kind in _KINDS:
            message = f"Microsoft's agent gives the {kind}-script {limit} s and does not wait."
            notes.find(FAILS, f"{kind.capitalize()}-ScriptTimeout", message)
    elif asked is not None and not _is_documented_time(asked):
        notes.warn(
            f"timeoutInSeconds is {asked}. Microsoft's agent takes any number, and at most "
            f"{TIMEOUT_MAX_S}; documented are whole numbers from 1 to {TIMEOUT_MAX_S}."
        )


def _is_documented_time(asked: float) -> bool:
    return not isinstance(asked, bool) and 1 <= asked <= TIMEOUT_MAX_S and asked % 1 == 0


def _params(notes: Findings, kind: str, values: Dict[str, Any]) -> None:
    """Look at the parameters: the agent gives a script each thing in them, as text."""
    key = f"{kind}ScriptParams"
    params = values.get(key, [])
    if not isinstance(params, (list, str, dict)):
        _never_ends(notes, kind, f"{key} must be a list of quoted strings.")
        return
    if not isinstance(params, list):
        notes.warn(
            f"{key} is no list: Microsoft's agent gives each character or key of it to the "
            "script as a parameter."
        )
    reason = unusable_params([str(param) for param in params])
    if reason:
        _never_ends(notes, kind, f"{key} cannot be used: {reason}.")


def _never_ends(notes: Findings, kind: str, message: str) -> None:
    words = (
        f"Microsoft's agent accepts it first, does not start the {kind}-script and waits for it "
        "all the same, until its own limit is over."
    )
    notes.find(NEVER_ENDS, CONFIG_ERROR, f"{message} {words}", NEVER_ENDED[kind])


# --- the scripts -------------------------------------------------------------------------------


def _script(notes: Findings, kind: str, path: Any, shell: str) -> None:
    if not isinstance(path, str):
        message = f"{kind}ScriptLocation is not the path of a file."
        notes.find(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return
    prefix = kind.capitalize()
    insufficient = f"InsufficientPermissionfor{prefix}-Script"
    # The agent's own working folder is that of its extension, where no script of a user lies.
    if not path.startswith("/") or not is_file(path):
        name = path or "(an empty path)"
        message = f"There is no {kind}-script at {name}, or it is not given by its full path."
        notes.find(INVALID, f"{prefix}-ScriptNotFound", message)
        return
    status = Path(path).stat()
    owner, group, other = digits(status)
    mode = f"The {kind}-script {path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if group or other:
        notes.find(INVALID, insufficient, f"{mode}; only root may have any permission.")
    elif owner != 7:
        notes.warn(f"{mode}; Microsoft's agent takes it, its documentation asks for 0700.")
    if not is_roots(status):
        message = f"The {kind}-script {path} belongs to the user {status.st_uid}, not to root."
        notes.find(INVALID, insufficient, message)
    elif not (group or other):
        _run_by_sh(notes, kind, path, shell)


def _run_by_sh(notes: Findings, kind: str, path: str, shell: str) -> None:
    """Look at the content of a script that the agent would run, which it does by C(sh)."""
    name = f"{kind.capitalize()}-ScriptExecutionFailed"
    script = f"Microsoft's agent runs the {kind}-script {path} by sh"
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        notes.find(FAILS, name, f"The {kind}-script {path} cannot be read: {error.strerror}.")
        return
    reason = why_not_for_sh(data, shell)
    if reason:
        message = f"{script}, whatever its first line says, and that fails: {reason}."
        notes.find(FAILS, name, message, action=f"Make the {kind}-script one that sh can run.")
        return
    lost = lost_by_sh(data, shell)
    if lost:
        notes.warn(f"{script}: {lost}.")
