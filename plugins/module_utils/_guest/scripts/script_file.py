# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One script: is it there, is it trusted, can it run.

PRIVATE: for this collection only. This is the collection's own, strict view, on which a run acts.
"""

from __future__ import annotations

import os
from typing import Optional, Tuple

from ..._errors import Failure, documented
from ..model import ScriptSpec
from .config import ScriptConfig
from .trusted_file import FILE, inspect, is_full_path, why_untrusted

#: The documented mode of a script and of the configuration.
SCRIPT_MODE = 0o700
CONFIG_MODE = 0o600


def cannot_start(data: bytes) -> str:
    """Why a program with this content could not be started by itself; empty when it could."""
    if data.startswith(b"\x7fELF"):
        return ""
    if not data.strip():
        return "it is empty"
    first = data.split(b"\n", 1)[0]
    words = first[2:].split(maxsplit=1)
    if not first.startswith(b"#!") or not words:
        return "it has no first line such as #!/bin/sh, which says what runs it"
    if first.endswith(b"\r"):
        return "its first line ends with a carriage return; give it Unix line ends"
    interpreter = words[0].decode("utf-8", errors="surrogateescape")
    if not interpreter.startswith("/") or not os.access(interpreter, os.X_OK):
        return f"the interpreter that its first line names, {interpreter}, is not there"
    return ""


def examine_script(
    kind: str, config: ScriptConfig
) -> Tuple[Optional[ScriptSpec], Tuple[Failure, ...]]:
    """What a run needs to run the script of this kind (C(pre) or C(post)), or what is wrong."""
    path: str = getattr(config, f"{kind}_script_location")
    prefix = kind.capitalize()
    script = f"The {kind}-script {path}"
    missing = f"{prefix}-ScriptNotFound"
    insufficient = f"InsufficientPermissionfor{prefix}-Script"
    if not path:
        message = f"{kind}ScriptLocation is empty: the configuration names no {kind}-script."
        return None, (documented(missing, message),)
    if not is_full_path(path):
        message = f"{script} is not given by its full path, without . and .. in it."
        return None, (documented(missing, message),)
    try:
        found = inspect(path)
    except OSError as error:
        message = f"{script} cannot be read: {error.strerror}."
        return None, (documented(missing, message),)
    if found is None:
        return None, (documented(missing, f"{script} does not exist."),)
    if found.kind != FILE:
        message = f"{script} is {found.kind}, not a regular file."
        return None, (documented(missing, message),)
    problems = []
    reason = why_untrusted(path)
    if reason:
        problems.append(documented(insufficient, f"{script} cannot be trusted: {reason}."))
    if (found.uid, found.mode) != (0, SCRIPT_MODE):
        message = f"{script} must be root's with mode 0700; it has {found.permissions()}."
        problems.append(documented(insufficient, message))
    reason = cannot_start(found.data)
    if reason:
        name = f"{prefix}-ScriptExecutionFailed"
        problems.append(documented(name, f"{script} cannot be started: {reason}."))
    spec = ScriptSpec(
        kind=kind,
        path=path,
        params=getattr(config, f"{kind}_script_params"),
        retries=getattr(config, f"{kind}_script_no_of_retries"),
        timeout_s=float(config.timeout_in_seconds),
        identity=found.identity,
    )
    return (None if problems else spec), tuple(problems)
