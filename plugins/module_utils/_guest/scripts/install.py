# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration and its two scripts as one unit: what to change on this guest.

PRIVATE: for this collection only. Planning reads and checks everything and changes nothing.

Beside the configuration lies a record of the scripts that were written here, because the
configuration itself has no place for that: only those are removed with it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from ..._errors import SettingsError, documented, refuse
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
from .script_file import CONFIG_MODE, SCRIPT_MODE, cannot_start
from .trusted_file import FILE, FileState, check_ancestors, inspect, is_full_path, why_untrusted

KINDS = ("pre", "post")


@dataclass(frozen=True)
class InstallPlan:
    """The changes in the order in which they are safe, and what people should know."""

    changes: Tuple[Change, ...]
    warnings: Tuple[str, ...] = ()

    def to_result(self, with_diff: bool) -> Dict[str, Any]:
        """The result of the plan, the same for check mode and after it was carried out."""
        needed = [change for change in self.changes if change.needed and change.shown]
        result: Dict[str, Any] = {
            "changed": bool(needed),
            "written": [change.path for change in needed if change.after is not None],
            "removed": [change.path for change in needed if change.after is None],
            "warnings": list(self.warnings),
        }
        if with_diff:
            result["diff"] = [entry for change in needed for entry in change.diff()]
        return result


def record_path(config_path: str) -> str:
    """Where the record of the scripts lies that were written for this configuration."""
    folder, name = os.path.split(config_path)
    return f"{folder}/.{name}.quiesce".replace("//", "/")


def config_of(params: Mapping[str, Any]) -> ScriptConfig:
    """The configuration that the options ask for, checked. Raises C(SettingsError)."""
    for name in ("pre_script_no_of_retries", "post_script_no_of_retries"):
        if params[name] < 0:
            refuse("InvalidOption", f"{name} must be 0 or more, and is {params[name]}.")
    timeout = params["timeout_in_seconds"]
    if not 1 <= timeout <= TIMEOUT_MAX_S:
        refuse(
            "InvalidOption",
            f"timeout_in_seconds must be from 1 to {TIMEOUT_MAX_S}, and is {timeout}.",
        )
    for kind in KINDS:
        reason = unusable_params(params[f"{kind}_script_params"])
        if reason:
            refuse("InvalidOption", f"{kind}_script_params cannot be used: {reason}.")
    values: Dict[str, Any] = {name: params[name] for name in KEYS.values()}
    for kind in KINDS:
        values[f"{kind}_script_params"] = tuple(values[f"{kind}_script_params"])
    return ScriptConfig(**values)


def plan_present(params: Mapping[str, Any], config: ScriptConfig) -> InstallPlan:
    """What makes the guest be as the options say. Raises C(SettingsError) for what cannot be."""
    config_path = params["config_path"]
    _check_paths(params)
    scripts = _scripts(params)
    before = _look(config_path)
    recorded, warnings = _recorded(config_path)
    written = {change.path for change in scripts if change.changes_content}
    return InstallPlan(
        (
            *scripts,
            _record(config_path, recorded | written),
            Change(config_path, before, render(config), CONFIG_MODE),
        ),
        (*warnings, *_dropped(config_path, before), *_not_for_agent(scripts)),
    )


def _not_for_agent(scripts: List[Change]) -> List[str]:
    """Return a warning for each script that Microsoft's agent could not run."""
    reasons = {change.path: why_not_for_sh(change.after or b"") for change in scripts}
    return [
        f"Microsoft's agent runs {path} by sh, whatever its first line says, and that fails: "
        f"{reason}. vm_snapshot runs it by its first line."
        for path, reason in reasons.items()
        if reason
    ]


def _check_paths(params: Mapping[str, Any]) -> None:
    config_path = params["config_path"]
    own = (config_path, record_path(config_path))
    for name in ("config_path", *(f"{kind}_script_location" for kind in KINDS)):
        path = params[name]
        if not is_full_path(path):
            refuse(
                "InvalidOption",
                f"{name} must be a full path, without . and .. in it, and is {path!r}.",
            )
        if name != "config_path" and path in own:
            refuse("InvalidOption", f"{name} and config_path name the same file, {path}.")
        check_ancestors(path)


def _scripts(params: Mapping[str, Any]) -> List[Change]:
    """One change for each script; one for both when they are the same file."""
    changes: Dict[str, Change] = {}
    for kind in KINDS:
        path = params[f"{kind}_script_location"]
        if path not in changes:
            changes[path] = _script(kind, path, params)
    return list(changes.values())


def _script(kind: str, path: str, params: Mapping[str, Any]) -> Change:
    before = _look(path)
    contents = {
        params[f"{each}_script_content"]
        for each in KINDS
        if params[f"{each}_script_location"] == path
    } - {None}
    if len(contents) > 1:
        refuse(
            "InvalidOption",
            f"Both scripts are {path}, and their contents differ.",
            "Give each script a path of its own, or both the same content.",
        )
    if contents:
        data = contents.pop().encode("utf-8", "surrogateescape")
    elif before is not None:
        data = before.data
    else:
        message = (
            f"The {kind}-script {path} does not exist, and {kind}_script_content is not given."
        )
        raise SettingsError(documented(f"{kind.capitalize()}-ScriptNotFound", message))
    reason = cannot_start(data)
    if reason:
        refuse("InvalidScript", f"The {kind}-script {path} could not be started: {reason}.")
    return Change(path, before, data, SCRIPT_MODE)


def _look(path: str) -> Optional[FileState]:
    """What is at a path that is ours to write; refuses what is no regular file."""
    try:
        found = inspect(path)
    except OSError as error:
        refuse("UnreadableFile", f"{path} cannot be read: {error.strerror}.")
    if found is not None and found.kind != FILE:
        refuse(
            "UntrustedPath",
            f"{path} is {found.kind}, not a regular file.",
            "Remove it, or give another path.",
        )
    return found


def _dropped(config_path: str, before: Optional[FileState]) -> List[str]:
    """The keys of the present configuration that the new one will not have."""
    value = read_json(before.data)[0] if before else None
    if not isinstance(value, dict):
        return []
    extra = sorted(set(value) - {"pluginName", *KEYS})
    if not extra:
        return []
    agents = sorted(set(extra) & set(AGENT_KEYS))
    words = f"{config_path} had keys for which there is no option: {', '.join(extra)}. "
    words += "They are dropped."
    if agents:
        words += f" Microsoft's agent reads {' and '.join(agents)}."
    return [words]


# --- the record ------------------------------------------------------------------------------


def _recorded(config_path: str) -> Tuple[Set[str], List[str]]:
    """The scripts that were written here, and a warning when the record cannot be used."""
    path = record_path(config_path)
    found = _look(path)
    if found is None:
        return set(), []
    value = read_json(found.data)[0]
    scripts = value.get("scripts") if isinstance(value, dict) else None
    if found.uid == 0 and isinstance(scripts, list):
        return {item for item in scripts if isinstance(item, str) and is_full_path(item)}, []
    return set(), [f"{path} cannot be used: which scripts were written here is not known."]


def _record(config_path: str, scripts: Set[str]) -> Change:
    path = record_path(config_path)
    content = json.dumps({"scripts": sorted(scripts)}, indent=4) + "\n" if scripts else None
    after = content.encode() if content is not None else None
    return Change(path, _look(path), after, CONFIG_MODE, shown=False)


# --- absent ----------------------------------------------------------------------------------


def plan_absent(params: Mapping[str, Any]) -> InstallPlan:
    """What removes the configuration, and those of its scripts that were written here."""
    config_path = params["config_path"]
    if not is_full_path(config_path):
        refuse(
            "InvalidOption",
            f"config_path must be a full path, without . and .. in it, and is {config_path!r}.",
        )
    check_ancestors(config_path)
    before = _look(config_path)
    recorded, warnings = _recorded(config_path)
    changes = [Change(config_path, before, None)]
    for path in sorted(recorded):
        reason, found = _not_removable(path)
        if reason:
            warnings.append(f"{path} is left alone: {reason}.")
        elif found is not None:
            changes.append(Change(path, found, None))
    others = sorted(_named_scripts(before) - recorded)
    warnings += [f"{path} is left alone: it was not written by this module." for path in others]
    return InstallPlan((*changes, _record(config_path, set())), tuple(warnings))


def _not_removable(path: str) -> Tuple[str, Optional[FileState]]:
    """Why a script that was written here is not to be removed, or the script."""
    reason = why_untrusted(path)
    if reason:
        return reason, None
    try:
        found = inspect(path)
    except OSError as error:
        return error.strerror or str(error), None
    if found is None:
        return "", None
    if found.kind != FILE:
        return f"it is {found.kind} now", None
    return ("" if found.uid == 0 else f"it belongs to the user {found.uid} now"), found


def _named_scripts(before: Optional[FileState]) -> Set[str]:
    """The existing scripts that the configuration names."""
    value = read_json(before.data)[0] if before else None
    if not isinstance(value, dict):
        return set()
    names = [value.get(f"{kind}ScriptLocation") for kind in KINDS]
    return {name for name in names if isinstance(name, str) and _exists(name)}


def _exists(path: str) -> bool:
    return is_full_path(path) and os.path.lexists(path)
