# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strict parser and writer of VMSnapshotScriptPluginConfig.json, in the template's form.

It accepts what the framework's documentation allows. What Microsoft's agent accepts is in
`agent_rules`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from ..._errors import Failure, documented

#: The documented cap of timeoutInSeconds.
TIMEOUT_MAX_S = 1800
#: The agent's default if the key is missing. The default of the template and the option is 30.
TIMEOUT_WHEN_MISSING_S = 10
PLUGIN_NAME = "ScriptRunner"
CONFIG_ERROR = "IncorrectJSONConfigFile"
#: Room for a script's environment, which shares the kernel's limit with the parameters.
_ENVIRONMENT_BYTES = 64 * 1024
#: The reason of `read_json` for content that is nested beyond the limit of Python's parser.
TOO_DEEP = "it is nested too deeply"


@dataclass(frozen=True)
class ScriptSettings:
    """The settings of one script."""

    location: str
    params: tuple[str, ...] = ()
    #: Attempts after the first one.
    no_of_retries: int = 0


@dataclass(frozen=True)
class ScriptConfig:
    """The configuration of the scripts; every value is of the documented type and range."""

    pre: ScriptSettings
    post: ScriptSettings
    #: The time limit of each script, over all its attempts.
    timeout_in_seconds: int = TIMEOUT_WHEN_MISSING_S
    continue_backup_on_failure: bool = True
    fs_freeze_enabled: bool = True

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ScriptConfig:
        """Return the configuration of checked values by the names of the options.

        A missing value gets the agent's default.
        """
        return cls(
            pre=_settings("pre", options),
            post=_settings("post", options),
            timeout_in_seconds=options.get("timeout_in_seconds", TIMEOUT_WHEN_MISSING_S),
            continue_backup_on_failure=options.get("continue_backup_on_failure", True),
            fs_freeze_enabled=options.get("fs_freeze_enabled", True),
        )

    def to_result(self) -> dict[str, Any]:
        """Return the configuration by the names of the options of `snapshot_scripts`."""
        return {
            "pre_script_location": self.pre.location,
            "post_script_location": self.post.location,
            "pre_script_params": list(self.pre.params),
            "post_script_params": list(self.post.params),
            "pre_script_no_of_retries": self.pre.no_of_retries,
            "post_script_no_of_retries": self.post.no_of_retries,
            "timeout_in_seconds": self.timeout_in_seconds,
            "continue_backup_on_failure": self.continue_backup_on_failure,
            "fs_freeze_enabled": self.fs_freeze_enabled,
        }


def _settings(kind: str, options: Mapping[str, Any]) -> ScriptSettings:
    return ScriptSettings(
        location=options[f"{kind}_script_location"],
        params=tuple(options.get(f"{kind}_script_params", ())),
        no_of_retries=options.get(f"{kind}_script_no_of_retries", 0),
    )


@dataclass(frozen=True)
class ParsedConfig:
    """A configuration, or all its errors."""

    config: ScriptConfig | None
    errors: tuple[Failure, ...] = ()
    warnings: tuple[str, ...] = ()


#: The name of the option for each key, in the order of the published template.
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
#: Undocumented keys that Microsoft's agent reads.
AGENT_KEYS = ("appName", "ScriptsExecutionPollTimeSeconds")


def _location(value: Any) -> str:
    if not isinstance(value, str):
        return "must be the full path of a script, in quotes"
    return "must not contain a NUL character" if "\0" in value else ""


def _params(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return "must be a list of quoted strings"
    reason = unusable_params(value)
    return f"must be parameters that the kernel accepts: {reason}" if reason else ""


def unusable_params(params: Sequence[str]) -> str:
    """Return the reason why the kernel rejects these parameters of a program, or an empty text.

    The kernel allows 32 pages for one parameter (`MAX_ARG_STRLEN`). It allows `ARG_MAX` for all
    parameters together with the environment.
    """
    total = 0
    for number, item in enumerate(params, start=1):
        if "\0" in item:
            return f"parameter {number} contains a NUL character"
        try:
            size = len(item.encode("utf-8", errors="surrogateescape")) + 1
        except UnicodeEncodeError:
            return f"parameter {number} contains half a surrogate pair, an invalid character"
        if size > 32 * os.sysconf("SC_PAGE_SIZE"):
            return f"parameter {number} has {size} bytes, more than the kernel allows"
        total += size + 8
    if total > os.sysconf("SC_ARG_MAX") - _ENVIRONMENT_BYTES:
        return f"together they have {total} bytes, more than the kernel allows"
    return ""


def _is_whole(value: Any) -> bool:
    """Return True for a whole number, but not for a bool, which is an int in Python."""
    return isinstance(value, int) and not isinstance(value, bool)


def _retries(value: Any) -> str:
    good = _is_whole(value) and value >= 0
    return "" if good else "must be a whole number, 0 or more, without quotes"


def _timeout(value: Any) -> str:
    good = _is_whole(value) and 1 <= value <= TIMEOUT_MAX_S
    return "" if good else f"must be a whole number from 1 to {TIMEOUT_MAX_S}, without quotes"


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false, without quotes"


#: The check of each key: it returns the error of a value, or an empty text.
_CHECKS: dict[str, Callable[[Any], str]] = {
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


def read_json(data: bytes) -> tuple[Any, str, list[str]]:
    """Return the value in a JSON file, the error (or an empty text) and the duplicate keys."""
    duplicates: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            names = [name for name, _value in pairs]
            duplicates.extend(sorted({name for name in names if names.count(name) > 1}))
        return value

    if not data.strip():
        return None, "it is empty", []
    if data.startswith(b"\xef\xbb\xbf"):
        return None, "it starts with a byte order mark, which is not JSON", []
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=members), "", duplicates
    except UnicodeDecodeError:
        return None, "it is not text in UTF-8", []
    except RecursionError:
        return None, TOO_DEEP, []
    except ValueError as error:
        return None, f"it is not JSON: {error}", []


def parse(data: bytes) -> ParsedConfig:
    """Return the configuration, or all its errors; this never raises for bad content."""
    value, reason, duplicates = read_json(data)
    if reason:
        return ParsedConfig(None, (_error(f"The configuration cannot be read: {reason}."),))
    if not isinstance(value, dict):
        return ParsedConfig(None, (_error("The configuration must be a JSON object, in braces."),))
    errors = [
        _error(f"{key} is missing from the configuration.") for key in _REQUIRED if key not in value
    ]
    settings: dict[str, Any] = {}
    for key, name in KEYS.items():
        if key not in value:
            continue
        reason = _CHECKS[key](value[key])
        if reason:
            errors.append(_error(f"{key} {reason}; it is {_shortened(value[key])}."))
        settings[name] = value[key]
    if "pluginName" in value and not isinstance(value["pluginName"], str):
        shown = _shortened(value["pluginName"])
        errors.append(_error(f'pluginName must be "{PLUGIN_NAME}"; it is {shown}.'))
    warnings = _warnings(value, duplicates)
    if errors:
        return ParsedConfig(None, tuple(errors), warnings)
    return ParsedConfig(ScriptConfig.from_options(settings), (), warnings)


def _error(message: str) -> Failure:
    return documented(CONFIG_ERROR, message)


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _warnings(value: dict[str, Any], duplicates: list[str]) -> tuple[str, ...]:
    known = ("pluginName", *KEYS, *AGENT_KEYS)
    warnings = [
        f"The key {_shortened(key)} of the configuration is unknown and ignored."
        for key in value
        if key not in known
    ]
    warnings += [
        f"The configuration has the key {key} twice. The last value is used." for key in duplicates
    ]
    if value.get("pluginName", PLUGIN_NAME) != PLUGIN_NAME:
        warnings.append(f"pluginName differs from the template. Set it to {PLUGIN_NAME}.")
    if "timeoutInSeconds" not in value:
        warnings.append(
            f"timeoutInSeconds is missing. Microsoft's agent and vm_snapshot then use "
            f"{TIMEOUT_WHEN_MISSING_S} s, not the 30 s of the template."
        )
    return tuple(warnings)


def render(config: ScriptConfig) -> bytes:
    """Return the file in the form and key order of the published template.

    The same configuration always gives the same bytes.
    """
    settings = config.to_result()
    content = {"pluginName": PLUGIN_NAME, **{key: settings[name] for key, name in KEYS.items()}}
    lines = [f"    {json.dumps(key)} : {json.dumps(value)}" for key, value in content.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()
