# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""VMSnapshotScriptPluginConfig.json: read it strictly, write it in the published template's form.

PRIVATE: for this collection only. What is accepted here is what the framework's documentation
allows; what Microsoft's agent makes of the same bytes is C(_agent_view)'s matter.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from ..._errors import Failure, documented

#: The documented cap of timeoutInSeconds.
TIMEOUT_MAX_S = 1800
#: What Microsoft's agent takes when the key is missing. Its template says 30, as does the option.
TIMEOUT_WHEN_MISSING_S = 10
PLUGIN_NAME = "ScriptRunner"
CONFIG_ERROR = "IncorrectJSONConfigFile"
#: Room for a script's environment beside its parameters.
_ENVIRONMENT_BYTES = 64 * 1024
#: The reason of C(read_json) for content that is nested beyond what Python reads.
TOO_DEEP = "it is nested too deeply"


@dataclass(frozen=True)
class ScriptConfig:
    """The configuration of the scripts; every value is of the documented type and range."""

    pre_script_location: str
    post_script_location: str
    pre_script_params: Tuple[str, ...] = ()
    post_script_params: Tuple[str, ...] = ()
    #: Attempts after the first one.
    pre_script_no_of_retries: int = 0
    post_script_no_of_retries: int = 0
    #: One budget for each script, over all its attempts.
    timeout_in_seconds: int = TIMEOUT_WHEN_MISSING_S
    continue_backup_on_failure: bool = True
    fs_freeze_enabled: bool = True

    def to_result(self) -> Dict[str, Any]:
        """The configuration by the names of the options of C(snapshot_scripts)."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }


@dataclass(frozen=True)
class ParsedConfig:
    """A configuration, or everything that is wrong with it."""

    config: Optional[ScriptConfig]
    errors: Tuple[Failure, ...] = ()
    warnings: Tuple[str, ...] = ()


#: The option's name of each key, in the order of the published template.
KEYS = {
    "preScriptLocation": "pre_script_location",
    "postScriptLocation": "post_script_location",
    "preScriptParams": "pre_script_params",
    "postScriptParams": "post_script_params",
    "preScriptNoOfRetries": "pre_script_no_of_retries",
    "postScriptNoOfRetries": "post_script_no_of_retries",
    "timeoutInSeconds": "timeout_in_seconds",
    "continueBackupOnFailure": "continue_backup_on_failure",
    "fsFreezeEnabled": "fs_freeze_enabled",
}
#: Keys that Microsoft's agent reads and its documentation does not mention.
AGENT_KEYS = ("appName", "ScriptsExecutionPollTimeSeconds")


def _location(value: Any) -> str:
    if not isinstance(value, str):
        return "must be the full path of a script, in quotes"
    return "must not hold a NUL character" if "\0" in value else ""


def _params(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return "must be a list of quoted strings"
    reason = unusable_params(value)
    return f"must be such that a script can be given them: {reason}" if reason else ""


def unusable_params(params: Sequence[str]) -> str:
    """Return why the kernel starts no program with these parameters; empty when it does.

    The kernel allows 32 pages for one (C(MAX_ARG_STRLEN)) and C(ARG_MAX) for all of them with the
    environment, for which some room is left here.
    """
    total = 0
    for number, item in enumerate(params, start=1):
        if "\0" in item:
            return f"parameter {number} holds a NUL character"
        try:
            size = len(item.encode("utf-8", errors="surrogateescape")) + 1
        except UnicodeEncodeError:
            return f"parameter {number} holds half a surrogate pair, which is no character"
        if size > 32 * os.sysconf("SC_PAGE_SIZE"):
            return f"parameter {number} has {size} bytes, more than the kernel allows"
        total += size + 8
    if total > os.sysconf("SC_ARG_MAX") - _ENVIRONMENT_BYTES:
        return f"together they have {total} bytes, more than the kernel allows"
    return ""


def _is_whole(value: Any) -> bool:
    """Whether this is a whole number; a truth value, which Python takes for one, is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _retries(value: Any) -> str:
    good = _is_whole(value) and value >= 0
    return "" if good else "must be a whole number, 0 or more, without quotes"


def _timeout(value: Any) -> str:
    good = _is_whole(value) and 1 <= value <= TIMEOUT_MAX_S
    return "" if good else f"must be a whole number from 1 to {TIMEOUT_MAX_S}, without quotes"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false, without quotes"


#: For each key, what says why a value is not right; empty for a right one.
_CHECKS: Dict[str, Callable[[Any], str]] = {
    "preScriptLocation": _location,
    "postScriptLocation": _location,
    "preScriptParams": _params,
    "postScriptParams": _params,
    "preScriptNoOfRetries": _retries,
    "postScriptNoOfRetries": _retries,
    "timeoutInSeconds": _timeout,
    "continueBackupOnFailure": _flag,
    "fsFreezeEnabled": _flag,
}
_REQUIRED = ("preScriptLocation", "postScriptLocation")


def read_json(data: bytes) -> Tuple[Any, str, List[str]]:
    """The value in a JSON file, why there is none (empty if there is), and keys given twice."""
    twice: List[str] = []

    def members(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _value in pairs]
            twice.extend(sorted({name for name in names if names.count(name) > 1}))
        return found

    if not data.strip():
        return None, "it is empty", []
    if data.startswith(b"\xef\xbb\xbf"):
        return None, "it starts with a byte order mark, which is not JSON", []
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=members), "", twice
    except UnicodeDecodeError:
        return None, "it is not text in UTF-8", []
    except RecursionError:
        return None, TOO_DEEP, []
    except ValueError as error:
        return None, f"it is not JSON: {error}", []


def parse(data: bytes) -> ParsedConfig:
    """Read a configuration. Bad content never raises: it is in C(errors), all of it."""
    value, reason, twice = read_json(data)
    if reason:
        return ParsedConfig(None, (_error(f"The configuration cannot be read: {reason}."),))
    if not isinstance(value, dict):
        return ParsedConfig(
            None, (_error("The configuration must be a JSON object, in braces, and is none."),)
        )
    errors = [
        _error(f"{key} is missing from the configuration.") for key in _REQUIRED if key not in value
    ]
    settings: Dict[str, Any] = {}
    for key, name in KEYS.items():
        if key not in value:
            continue
        reason = _CHECKS[key](value[key])
        if reason:
            errors.append(_error(f"{key} {reason}, and is {_shown(value[key])}."))
        settings[name] = tuple(value[key]) if isinstance(value[key], list) else value[key]
    if "pluginName" in value and not isinstance(value["pluginName"], str):
        shown = _shown(value["pluginName"])
        errors.append(_error(f'pluginName must be "{PLUGIN_NAME}", and is {shown}.'))
    warnings = _warnings(value, twice)
    if errors:
        return ParsedConfig(None, tuple(errors), warnings)
    return ParsedConfig(ScriptConfig(**settings), (), warnings)


def _error(message: str) -> Failure:
    return documented(CONFIG_ERROR, message)


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _warnings(value: Dict[str, Any], twice: List[str]) -> Tuple[str, ...]:
    known = ("pluginName", *KEYS, *AGENT_KEYS)
    found = [
        f"The configuration has the key {_shown(key)}, which nobody reads."
        for key in value
        if key not in known
    ]
    found += [f"The configuration has the key {key} twice; the last one counts." for key in twice]
    if value.get("pluginName", PLUGIN_NAME) != PLUGIN_NAME:
        found.append(f"pluginName should be left as it is in the template: {PLUGIN_NAME}.")
    if "timeoutInSeconds" not in value:
        found.append(
            f"timeoutInSeconds is missing: {TIMEOUT_WHEN_MISSING_S} s count then, as for "
            "Microsoft's agent, not the 30 s of the template."
        )
    return tuple(found)


def render(config: ScriptConfig) -> bytes:
    """The file: the keys in the published template's order, in its form, always the same bytes."""
    settings = config.to_result()
    content = {"pluginName": PLUGIN_NAME, **{key: settings[name] for key, name in KEYS.items()}}
    lines = [f"    {json.dumps(key)} : {json.dumps(value)}" for key, value in content.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
