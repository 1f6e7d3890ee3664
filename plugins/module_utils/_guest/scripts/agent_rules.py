# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rules by which Microsoft's VMSnapshotLinux agent runs the scripts of this guest.

The rules are those of the agent's published sources. It follows symbolic links, checks the last
three octal digits of a mode and never checks folders. It stops at the first problem; here all
problems are reported, in the agent's order. The rules of the collection's own snapshot runs are in
`validation`.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..._consistency import APPLICATION, CRASH, FILE_SYSTEM, NONE, ORDER
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
from .agent_shell import difference_under_sh, why_not_for_sh
from .config import (
    CONFIG_ERROR,
    PLUGIN_NAME,
    TIMEOUT_MAX_S,
    TIMEOUT_WHEN_MISSING_S,
    TOO_DEEP,
    read_json,
    unusable_params,
)

_KINDS = ("pre", "post")
#: The poll interval of a running script: default, minimum and maximum.
_POLL_S, _POLL_MIN_S, _POLL_MAX_S = 3, 1, 5
_POLL_KEY = "ScriptsExecutionPollTimeSeconds"


@dataclass(frozen=True)
class AgentView:
    """The agent's next backup; it runs the scripts if there are no findings."""

    findings: tuple[Failure, ...]
    expected_consistency: str
    warnings: tuple[str, ...]


def evaluate(
    config_path: str, plugin_host_path: str, workload_path: str, shell: str = "sh"
) -> AgentView:
    """Check all files as the agent does; `shell` is the program that it finds as `sh`."""
    findings = Findings()
    read_workload(findings, workload_path)
    host = read_plugin_host(findings, config_path, plugin_host_path)
    values = _read_config(findings, host.config_path)
    if values is not None:
        _check_flags(findings, values)
        _check_plugin_name(findings, values)
        _check_timeout(findings, values, host)
        for kind in _KINDS:
            _check_params(findings, kind, values)
        for kind in _KINDS:
            _check_script(findings, kind, values[f"{kind}ScriptLocation"], shell)
    expected = _expected(findings, values or {})
    return AgentView(tuple(findings.items), expected, tuple(findings.warnings))


def _expected(findings: Findings, values: dict[str, Any]) -> str:
    """Return the consistency of the backup: the worst that a finding leads to."""
    continues = values.get("continueBackupOnFailure", True)
    freeze = values.get("fsFreezeEnabled", True)
    without_scripts = FILE_SYSTEM if freeze else CRASH
    # The agent checks everything before it runs a script, and stops at the first of these.
    for effect in findings.effects:
        if effect == STOPS:
            return FILE_SYSTEM
        if effect == INVALID:
            return without_scripts if continues else _warn_of_failure(findings)
    outcomes = [APPLICATION]
    # As the agent compares: false and 0 are equal to 0, null is not.
    is_off = freeze == 0
    if NEVER_ENDS in findings.effects:
        outcomes.append(NONE if is_off else without_scripts)
    if FAILS in findings.effects:
        # The agent computes "true and continueBackupOnFailure" bit by bit.
        fails = not isinstance(continues, int) or not continues & 1 or is_off
        outcomes.append(_warn_of_failure(findings) if fails else without_scripts)
    return min(outcomes, key=ORDER.index)


def _warn_of_failure(findings: Findings) -> str:
    findings.warn(
        "The backup would fail. For a VM with a single disk, Azure Backup makes a "
        "crash-consistent one instead."
    )
    return NONE


# --- the configuration -------------------------------------------------------------------------


def _read_config(findings: Findings, path: str) -> dict[str, Any] | None:
    """Return the values of the configuration; None if the agent cannot read them."""
    # A relative path starts in the agent's own folder, which holds no configuration.
    if not path.startswith("/") or not is_file(path):
        message = f"The configuration {path} does not exist."
        findings.add(STOPS, CONFIG_ERROR, message, CONFIG_MISSING)
        return None
    status = Path(path).stat()
    owner, group, other = digits(status)
    mode = f"{path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if owner % 2 or group or other:
        message = f"{mode}. It must not be executable, and only root may have permissions."
        action = f"Set the mode of {path} to 0600."
        findings.add(STOPS, CONFIG_ERROR, message, CONFIG_PERMISSIONS, action)
    elif owner != 6:
        findings.warn(f"{mode}. Microsoft's agent accepts it, but the documented mode is 0600.")
    if not is_roots(status):
        message = f"{path} is owned by the user {status.st_uid}, not by root."
        action = f"Make root the owner of {path}."
        findings.add(STOPS, CONFIG_ERROR, message, CONFIG_PERMISSIONS, action)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        findings.add(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return None
    return _parse_config(findings, path, data)


def _parse_config(findings: Findings, path: str, data: bytes) -> dict[str, Any] | None:
    value, reason, _twice = read_json(data)
    if reason:
        code = HOST_PARSING if reason == TOO_DEEP else None
        findings.add(STOPS, CONFIG_ERROR, f"{path} cannot be used: {reason}.", code)
        return None
    if not isinstance(value, dict):
        message = f"{path} must contain a JSON object, in braces."
        findings.add(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return None
    usable = _has_usable_times(findings, path, value)
    for key in ("preScriptLocation", "postScriptLocation"):
        if key not in value:
            findings.add(STOPS, CONFIG_ERROR, f"{key} is missing from {path}.")
            usable = False
    return value if usable else None


def _has_usable_times(findings: Findings, path: str, values: dict[str, Any]) -> bool:
    """Return True if the agent can compute with the timeout and the poll interval."""
    usable = True
    if not isinstance(values.get("timeoutInSeconds", 0), (int, float)):
        message = f"timeoutInSeconds in {path} must be a number."
        findings.add(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        usable = False
    poll = values.get(_POLL_KEY, _POLL_S)
    if isinstance(poll, bool) or not isinstance(poll, int):
        # The documentation asks for "strictly an integer". The agent does not check that.
        message = f"{_POLL_KEY} in {path} must be a whole number."
        findings.add(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        usable = False
    elif not _POLL_MIN_S <= poll <= _POLL_MAX_S:
        findings.warn(
            f"{_POLL_KEY} is {poll}. Set a whole number from {_POLL_MIN_S} to {_POLL_MAX_S}. "
            f"Microsoft's agent uses {_POLL_S} instead of other values."
        )
    return usable


def _check_flags(findings: Findings, values: dict[str, Any]) -> None:
    """Check the two flags, whose types the agent does not check."""
    if not isinstance(values.get("continueBackupOnFailure", True), bool):
        findings.warn(
            "continueBackupOnFailure must be true or false. If a script is missing or fails, "
            "Microsoft's agent may fail the whole backup."
        )
    freeze = values.get("fsFreezeEnabled", True)
    if not isinstance(freeze, bool):
        meaning = "true" if freeze else "false"
        findings.warn(
            f"fsFreezeEnabled must be true or false. Microsoft's agent reads it as {meaning}."
        )


def _check_plugin_name(findings: Findings, values: dict[str, Any]) -> None:
    if not isinstance(values.get("pluginName", PLUGIN_NAME), str):
        _add_never_ends(findings, "pre", f'pluginName must be "{PLUGIN_NAME}".')


def _check_timeout(findings: Findings, values: dict[str, Any], host: PluginHost) -> None:
    """Check the timeout of the scripts, and the agent's own limit for its wait."""
    limit, configured = TIMEOUT_WHEN_MISSING_S, values.get("timeoutInSeconds")
    if configured is not None:
        limit = min(configured, host.limit_s)
    poll = values.get(_POLL_KEY, _POLL_S)
    if not _POLL_MIN_S <= poll <= _POLL_MAX_S:
        poll = _POLL_S
    if int(host.limit_s / poll) + 2 < 1:
        for kind in _KINDS:
            message = f"The plugin-host file limits the {kind}-script to {host.limit_s} s."
            name = f"{kind.capitalize()}-ScriptTimeout"
            findings.add(NEVER_ENDS, name, message, NEVER_ENDED[kind])
    elif limit <= 0:
        for kind in _KINDS:
            message = (
                f"The timeout of the {kind}-script is {limit} s; Microsoft's agent does not wait."
            )
            findings.add(FAILS, f"{kind.capitalize()}-ScriptTimeout", message)
    elif configured is not None and not _is_documented_timeout(configured):
        findings.warn(
            f"timeoutInSeconds is {configured}. Set a whole number from 1 to {TIMEOUT_MAX_S}. "
            f"Microsoft's agent accepts any number and limits it to {TIMEOUT_MAX_S}."
        )


def _is_documented_timeout(timeout: float) -> bool:
    return not isinstance(timeout, bool) and 1 <= timeout <= TIMEOUT_MAX_S and timeout % 1 == 0


def _check_params(findings: Findings, kind: str, values: dict[str, Any]) -> None:
    """Check the parameters; the agent passes each item of the value to the script as text."""
    key = f"{kind}ScriptParams"
    params = values.get(key, [])
    if not isinstance(params, (list, str, dict)):
        _add_never_ends(findings, kind, f"{key} must be a list of quoted strings.")
        return
    if not isinstance(params, list):
        findings.warn(
            f"{key} must be a list. Microsoft's agent passes each character or key of it to the "
            "script as a parameter."
        )
    reason = unusable_params([str(param) for param in params])
    if reason:
        _add_never_ends(findings, kind, f"{key} cannot be used: {reason}.")


def _add_never_ends(findings: Findings, kind: str, message: str) -> None:
    effect = (
        f"Microsoft's agent cannot start the {kind}-script, but waits for its end until its own "
        "time limit."
    )
    findings.add(NEVER_ENDS, CONFIG_ERROR, f"{message} {effect}", NEVER_ENDED[kind])


# --- the scripts -------------------------------------------------------------------------------


def _check_script(findings: Findings, kind: str, path: Any, shell: str) -> None:
    if not isinstance(path, str):
        message = f"{kind}ScriptLocation must be the path of a file."
        findings.add(STOPS, CONFIG_ERROR, message, HOST_PARSING)
        return
    prefix = kind.capitalize()
    insufficient = f"InsufficientPermissionfor{prefix}-Script"
    # The agent's working folder is that of its extension, which holds no script of a user.
    if not path.startswith("/") or not is_file(path):
        name = path or "(an empty path)"
        message = f"The {kind}-script {name} does not exist, or is not given by its full path."
        findings.add(INVALID, f"{prefix}-ScriptNotFound", message)
        return
    status = Path(path).stat()
    owner, group, other = digits(status)
    mode = f"The {kind}-script {path} has mode {stat.S_IMODE(status.st_mode):04o}"
    if group or other:
        findings.add(INVALID, insufficient, f"{mode}. Only root may have permissions.")
    elif owner != 7:
        findings.warn(f"{mode}. Microsoft's agent accepts it, but the documented mode is 0700.")
    if not is_roots(status):
        message = f"The {kind}-script {path} is owned by the user {status.st_uid}, not by root."
        findings.add(INVALID, insufficient, message)
    elif not (group or other):
        _check_content(findings, kind, path, shell)


def _check_content(findings: Findings, kind: str, path: str, shell: str) -> None:
    """Check the content of a script, which the agent would run by `sh`."""
    name = f"{kind.capitalize()}-ScriptExecutionFailed"
    script = f"Microsoft's agent runs the {kind}-script {path} by sh"
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        findings.add(FAILS, name, f"The {kind}-script {path} cannot be read: {error.strerror}.")
        return
    reason = why_not_for_sh(data, shell)
    if reason:
        message = f"{script} and ignores its first line. That fails: {reason}."
        findings.add(FAILS, name, message, action=f"Write the {kind}-script so that sh can run it.")
        return
    difference = difference_under_sh(data, shell)
    if difference:
        findings.warn(f"{script}: {difference}.")
