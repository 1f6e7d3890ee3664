# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's own, strict checks of the configuration and the scripts, on which a run acts.

The rules of Microsoft's agent are in `agent_rules`. The agent accepts more files and values, but
runs scripts only by `sh`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

from ..._errors import Failure, documented
from ..model import ScriptSpec
from .config import CONFIG_ERROR, ScriptConfig, ScriptSettings, parse
from .trusted_file import FILE, FileState, inspect, is_full_path, why_untrusted

#: The documented mode of a script and of the configuration.
SCRIPT_MODE = 0o700
CONFIG_MODE = 0o600


class ReadinessState(str, Enum):
    """The state of the scripts; the values are part of the result of `snapshot_scripts_info`."""

    #: The configuration does not exist.
    ABSENT = "absent"
    #: The configuration cannot be read or trusted, or has an invalid value.
    UNUSABLE = "unusable"
    #: A script is missing, cannot be trusted or cannot be started.
    UNTRUSTED_SCRIPTS = "untrusted_scripts"
    #: Both scripts can run.
    READY = "ready"


@dataclass(frozen=True)
class Readiness:
    """The configuration, and the scripts that a run may start."""

    config: ScriptConfig | None
    pre: ScriptSpec | None
    post: ScriptSpec | None
    findings: tuple[Failure, ...]
    warnings: tuple[str, ...]
    state: ReadinessState


def examine(config_path: str) -> Readiness:
    """Check the configuration and both scripts; problems are returned as findings, not raised.

    `pre` and `post` are set only if both scripts can run. Each carries the identity of the file
    that was checked.
    """
    if not is_full_path(config_path):
        message = f"{config_path} is not a full path without . and .. in it."
        return _unusable(documented(CONFIG_ERROR, message))
    try:
        file = inspect(config_path)
    except OSError as error:
        message = f"{config_path} cannot be read: {error.strerror}."
        return _unusable(documented(CONFIG_ERROR, message))
    if file is None:
        return Readiness(None, None, None, (), (), ReadinessState.ABSENT)
    problems = _config_problems(config_path, file)
    if file.kind != FILE:
        return _unusable(*problems)
    parsed = parse(file.data)
    config = parsed.config
    if problems or config is None:
        return _unusable(*problems, *parsed.errors, warnings=parsed.warnings)
    pre, pre_problems = _examine_script("pre", config.pre, config.timeout_in_seconds)
    post, post_problems = _examine_script("post", config.post, config.timeout_in_seconds)
    if pre is None or post is None:
        findings = (*pre_problems, *post_problems)
        state = ReadinessState.UNTRUSTED_SCRIPTS
        return Readiness(config, None, None, findings, parsed.warnings, state)
    return Readiness(config, pre, post, (), parsed.warnings, ReadinessState.READY)


def _unusable(*findings: Failure, warnings: tuple[str, ...] = ()) -> Readiness:
    return Readiness(None, None, None, findings, warnings, ReadinessState.UNUSABLE)


def _config_problems(path: str, file: FileState) -> tuple[Failure, ...]:
    """Return the reasons why the configuration cannot be trusted."""
    problems = []
    if file.kind != FILE:
        problems.append(f"it is {file.kind}, not a regular file")
    elif (file.uid, file.mode) != (0, CONFIG_MODE):
        problems.append(f"it must be owned by root with mode 0600; it has {file.permissions()}")
    reason = why_untrusted(path)
    if reason:
        problems.append(reason)
    return tuple(
        documented(CONFIG_ERROR, f"{path} cannot be trusted: {problem}.") for problem in problems
    )


# --- one script ------------------------------------------------------------------------------


def _examine_script(
    kind: str, settings: ScriptSettings, timeout_s: int
) -> tuple[ScriptSpec | None, tuple[Failure, ...]]:
    """Return the script to run, or the findings that keep a run from starting it."""
    path = settings.location
    file, reason = _script_file(kind, path)
    if file is None:
        return None, (documented(f"{kind.capitalize()}-ScriptNotFound", reason),)
    problems = _script_problems(kind, path, file)
    if problems:
        return None, tuple(problems)
    spec = ScriptSpec(
        kind=kind,
        path=path,
        params=settings.params,
        retries=settings.no_of_retries,
        timeout_s=float(timeout_s),
        identity=file.identity,
    )
    return spec, ()


def _script_file(kind: str, path: str) -> tuple[FileState | None, str]:
    """Return the regular file of a script, or the reason why it is not found."""
    script = f"The {kind}-script {path}"
    if not path:
        return None, f"{kind}ScriptLocation is empty: the configuration names no {kind}-script."
    if not is_full_path(path):
        return None, f"{script} is not given by its full path without . and .. in it."
    try:
        file = inspect(path)
    except OSError as error:
        return None, f"{script} cannot be read: {error.strerror}."
    if file is None:
        return None, f"{script} does not exist."
    if file.kind != FILE:
        return None, f"{script} is {file.kind}, not a regular file."
    return file, ""


def _script_problems(kind: str, path: str, file: FileState) -> list[Failure]:
    """Return the reasons why a script cannot be trusted or started."""
    prefix = kind.capitalize()
    script = f"The {kind}-script {path}"
    insufficient = f"InsufficientPermissionfor{prefix}-Script"
    problems = []
    reason = why_untrusted(path)
    if reason:
        problems.append(documented(insufficient, f"{script} cannot be trusted: {reason}."))
    if (file.uid, file.mode) != (0, SCRIPT_MODE):
        message = f"{script} must be owned by root with mode 0700; it has {file.permissions()}."
        problems.append(documented(insufficient, message))
    reason = why_not_executable(file.data)
    if reason:
        name = f"{prefix}-ScriptExecutionFailed"
        problems.append(documented(name, f"{script} cannot be started: {reason}."))
    return problems


def why_not_executable(data: bytes) -> str:
    """Return the reason why the kernel could not start a file with this content, or an empty text.

    The shebang counts: the collection runs a script by the interpreter of its first line.
    """
    if data.startswith(b"\x7fELF"):
        return ""
    if not data.strip():
        return "it is empty"
    first = data.split(b"\n", 1)[0]
    words = first[2:].split(maxsplit=1)
    if not first.startswith(b"#!") or not words:
        return "it has no first line such as #!/bin/sh, which names its interpreter"
    if first.endswith(b"\r"):
        return "its first line ends with a carriage return; use Unix line ends"
    interpreter = words[0].decode("utf-8", errors="surrogateescape")
    if not interpreter.startswith("/") or not os.access(interpreter, os.X_OK):
        return f"the interpreter {interpreter} that its first line names does not exist"
    return ""
