# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan to install or remove the configuration and its two scripts together.

Planning reads and checks everything and changes nothing.

A record next to the configuration lists the scripts that this module wrote, because the
configuration has no field for that. Only those scripts are removed with the configuration.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..._errors import SettingsError, documented
from .agent_shell import why_not_for_sh
from .config import (
    AGENT_KEYS,
    KEYS,
    TIMEOUT_MAX_S,
    ScriptConfig,
    read_json,
    render,
    unusable_params,
)
from .file_transaction import Change
from .trusted_file import FILE, FileState, check_ancestors, inspect, is_full_path, why_untrusted
from .validation import CONFIG_MODE, SCRIPT_MODE, why_not_executable

KINDS = ("pre", "post")
_INVALID_OPTION = "InvalidOption"


class _Source(NamedTuple):
    """One script as the options describe it."""

    kind: str
    path: str
    #: None to keep the content of the present file.
    content: str | None


@dataclass(frozen=True)
class InstallPlan:
    """The changes in the order in which they are safe, and the warnings for the user."""

    changes: tuple[Change, ...]
    warnings: tuple[str, ...] = ()

    def to_result(self, with_diff: bool) -> dict[str, Any]:
        """Return the result of the plan; it is the same in check mode and after the changes."""
        needed = [change for change in self.changes if change.needed and change.shown]
        result: dict[str, Any] = {
            "changed": bool(needed),
            "written": [change.path for change in needed if change.after is not None],
            "removed": [change.path for change in needed if change.after is None],
            "warnings": list(self.warnings),
        }
        if with_diff:
            result["diff"] = [entry for change in needed for entry in change.diff()]
        return result


def record_path(config_path: str) -> str:
    """Return the path of the record of the scripts that were written for a configuration."""
    folder, name = os.path.split(config_path)
    return f"{folder}/.{name}.quiesce".replace("//", "/")


def desired_config(params: Mapping[str, Any]) -> ScriptConfig:
    """Return the configuration of the options. Raise `SettingsError` for an invalid value."""
    for name in ("pre_script_no_of_retries", "post_script_no_of_retries"):
        if params[name] < 0:
            message = f"{name} must be 0 or more; it is {params[name]}."
            raise SettingsError(_INVALID_OPTION, message, f"Set {name} to 0 or more.")
    timeout = params["timeout_in_seconds"]
    if not 1 <= timeout <= TIMEOUT_MAX_S:
        raise SettingsError(
            _INVALID_OPTION,
            f"timeout_in_seconds must be from 1 to {TIMEOUT_MAX_S}; it is {timeout}.",
            f"Set timeout_in_seconds to 1 to {TIMEOUT_MAX_S} seconds.",
        )
    for kind in KINDS:
        reason = unusable_params(params[f"{kind}_script_params"])
        if reason:
            message = f"{kind}_script_params cannot be used: {reason}."
            raise SettingsError(_INVALID_OPTION, message, f"Correct {kind}_script_params.")
    return ScriptConfig.from_options(params)


def plan_present(params: Mapping[str, Any], config: ScriptConfig) -> InstallPlan:
    """Return the plan that installs what the options describe. Raise `SettingsError` if invalid."""
    config_path = params["config_path"]
    _check_paths(params)
    scripts = _script_changes(params)
    before = _read_file(config_path)
    recorded, warnings = _recorded(config_path)
    written = {change.path for change in scripts if change.changes_content}
    return InstallPlan(
        (
            *scripts,
            _record_change(config_path, recorded | written),
            Change(config_path, before, render(config), CONFIG_MODE),
        ),
        (*warnings, *_dropped_keys(config_path, before), *_agent_warnings(scripts)),
    )


def _agent_warnings(scripts: list[Change]) -> list[str]:
    """Return a warning for each script that Microsoft's agent could not run."""
    reasons = {change.path: why_not_for_sh(change.after or b"") for change in scripts}
    return [
        f"Microsoft's agent runs {path} by sh and ignores its first line. That fails: {reason}. "
        "vm_snapshot runs it by its first line."
        for path, reason in reasons.items()
        if reason
    ]


def _check_paths(params: Mapping[str, Any]) -> None:
    config_path = params["config_path"]
    own = (config_path, record_path(config_path))
    for name in ("config_path", *(f"{kind}_script_location" for kind in KINDS)):
        path = params[name]
        _check_full_path(name, path)
        if name != "config_path" and path in own:
            message = f"{name} and config_path name the same file, {path}."
            raise SettingsError(_INVALID_OPTION, message, f"Set {name} to another path.")
        check_ancestors(path)


def _check_full_path(name: str, path: str) -> None:
    if not is_full_path(path):
        message = f"{name} must be a full path without . and ..; it is {path!r}."
        raise SettingsError(_INVALID_OPTION, message, f"Set {name} to the full path of the file.")


def _script_changes(params: Mapping[str, Any]) -> list[Change]:
    """Return one change for each script; one for both if they are the same file."""
    sources = [
        _Source(kind, params[f"{kind}_script_location"], params[f"{kind}_script_content"])
        for kind in KINDS
    ]
    changes: dict[str, Change] = {}
    for source in sources:
        if source.path not in changes:
            same = [other for other in sources if other.path == source.path]
            changes[source.path] = _script_change(source.kind, source.path, same)
    return list(changes.values())


def _script_change(kind: str, path: str, sources: Sequence[_Source]) -> Change:
    before = _read_file(path)
    contents = {source.content for source in sources if source.content is not None}
    if len(contents) > 1:
        raise SettingsError(
            _INVALID_OPTION,
            f"Both scripts have the path {path}, but their contents differ.",
            "Set a different path for each script, or the same content for both.",
        )
    if contents:
        data = contents.pop().encode("utf-8", "surrogateescape")
    elif before is not None:
        data = before.data
    else:
        message = f"The {kind}-script {path} does not exist, and {kind}_script_content is not set."
        raise SettingsError(documented(f"{kind.capitalize()}-ScriptNotFound", message))
    reason = why_not_executable(data)
    if reason:
        message = f"The {kind}-script {path} could not be started: {reason}."
        action = f"Correct {kind}_script_content, or the file at {kind}_script_location."
        raise SettingsError("InvalidScript", message, action)
    return Change(path, before, data, SCRIPT_MODE)


def _read_file(path: str) -> FileState | None:
    """Return the file at a path that this module may write. Raise if it is not a regular file."""
    try:
        state = inspect(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror}."
        raise SettingsError(
            "UnreadableFile", message, f"Check the filesystem of {path}."
        ) from error
    if state is not None and state.kind != FILE:
        message = f"{path} is {state.kind}, not a regular file."
        raise SettingsError("UntrustedPath", message, f"Remove {path}, or set another path.")
    return state


def _dropped_keys(config_path: str, before: FileState | None) -> list[str]:
    """Return a warning about the keys of the present configuration that the new one lacks."""
    value = read_json(before.data)[0] if before else None
    if not isinstance(value, dict):
        return []
    extra = sorted(set(value) - {"pluginName", *KEYS})
    if not extra:
        return []
    agents = sorted(set(extra) & set(AGENT_KEYS))
    warning = f"{config_path} has keys without an option, which are removed: {', '.join(extra)}."
    if agents:
        warning += f" Microsoft's agent reads {' and '.join(agents)}."
    return [warning]


# --- the record ------------------------------------------------------------------------------


def _recorded(config_path: str) -> tuple[set[str], list[str]]:
    """Return the scripts that this module wrote, and a warning if the record is unusable."""
    path = record_path(config_path)
    record = _read_file(path)
    if record is None:
        return set(), []
    value = read_json(record.data)[0]
    scripts = value.get("scripts") if isinstance(value, dict) else None
    # A record that another user can write to could name any file for removal.
    is_ours = record.uid == 0 and not record.mode & (stat.S_IWGRP | stat.S_IWOTH)
    if is_ours and isinstance(scripts, list):
        return {item for item in scripts if isinstance(item, str) and is_full_path(item)}, []
    return set(), [f"{path} is unusable. The scripts that this module wrote are unknown."]


def _record_change(config_path: str, scripts: set[str]) -> Change:
    path = record_path(config_path)
    content = json.dumps({"scripts": sorted(scripts)}, indent=4) + "\n" if scripts else None
    after = content.encode() if content is not None else None
    return Change(path, _read_file(path), after, CONFIG_MODE, shown=False)


# --- absent ----------------------------------------------------------------------------------


def plan_absent(params: Mapping[str, Any]) -> InstallPlan:
    """Return the plan that removes the configuration and the scripts that this module wrote."""
    config_path = params["config_path"]
    _check_full_path("config_path", config_path)
    check_ancestors(config_path)
    before = _read_file(config_path)
    recorded, warnings = _recorded(config_path)
    changes = [Change(config_path, before, None)]
    for path in sorted(recorded):
        reason, state = _removable(path)
        if reason:
            warnings.append(f"{path} is not removed: {reason}.")
        elif state is not None:
            changes.append(Change(path, state, None))
    others = sorted(_named_scripts(before) - recorded)
    warnings += [f"{path} is not removed: this module did not write it." for path in others]
    return InstallPlan((*changes, _record_change(config_path, set())), tuple(warnings))


def _removable(path: str) -> tuple[str, FileState | None]:
    """Return the reason to keep a script that this module wrote, or an empty text and its state."""
    reason = why_untrusted(path)
    if reason:
        return reason, None
    try:
        state = inspect(path)
    except OSError as error:
        return error.strerror or str(error), None
    if state is None:
        return "", None
    if state.kind != FILE:
        return f"it is now {state.kind}", None
    return ("" if state.uid == 0 else f"it is now owned by the user {state.uid}"), state


def _named_scripts(before: FileState | None) -> set[str]:
    """Return the existing scripts that the configuration names."""
    value = read_json(before.data)[0] if before else None
    if not isinstance(value, dict):
        return set()
    names = [value.get(f"{kind}ScriptLocation") for kind in KINDS]
    return {name for name in names if isinstance(name, str) and _exists(name)}


def _exists(path: str) -> bool:
    return is_full_path(path) and os.path.lexists(path)
