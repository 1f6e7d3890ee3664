# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the scripts of this guest may run: what a snapshot run of the collection acts on.

PRIVATE: for this collection only. C(_agent_view) says the same of Microsoft's agent, which is
laxer about files and values, and runs only scripts for C(sh).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..._errors import Failure, documented
from ..model import ScriptSpec
from .config import CONFIG_ERROR, ScriptConfig, parse
from .script_file import CONFIG_MODE, examine_script
from .trusted_file import FILE, FileState, inspect, is_full_path, why_untrusted

#: States: no configuration at all; one that cannot be read or trusted or has a wrong value; one
#: whose scripts are missing, not trusted or cannot be started; all well.
ABSENT = "absent"
UNUSABLE = "unusable"
UNTRUSTED_SCRIPTS = "untrusted_scripts"
READY = "ready"


@dataclass(frozen=True)
class Readiness:
    """What a run may do with the scripts of this guest."""

    config: Optional[ScriptConfig]
    pre: Optional[ScriptSpec]
    post: Optional[ScriptSpec]
    findings: Tuple[Failure, ...]
    warnings: Tuple[str, ...]
    state: str


def examine(config_path: str) -> Readiness:
    """Look at the configuration and both scripts. Raises nothing for what is wrong with them.

    C(pre) and C(post) are set only when both may run; each carries the identity of the very file
    that was looked at.
    """
    if not is_full_path(config_path):
        message = f"{config_path} is not a full path, without . and .. in it."
        return _unusable(documented(CONFIG_ERROR, message))
    try:
        found = inspect(config_path)
    except OSError as error:
        message = f"{config_path} cannot be read: {error.strerror}."
        return _unusable(documented(CONFIG_ERROR, message))
    if found is None:
        return Readiness(None, None, None, (), (), ABSENT)
    problems = _untrusted(config_path, found)
    if found.kind != FILE:
        return _unusable(*problems)
    parsed = parse(found.data)
    if problems or parsed.config is None:
        return _unusable(*problems, *parsed.errors, warnings=parsed.warnings)
    pre, pre_problems = examine_script("pre", parsed.config)
    post, post_problems = examine_script("post", parsed.config)
    if pre is None or post is None:
        findings = (*pre_problems, *post_problems)
        return Readiness(parsed.config, None, None, findings, parsed.warnings, UNTRUSTED_SCRIPTS)
    return Readiness(parsed.config, pre, post, (), parsed.warnings, READY)


def _unusable(*findings: Failure, warnings: Tuple[str, ...] = ()) -> Readiness:
    return Readiness(None, None, None, findings, warnings, UNUSABLE)


def _untrusted(path: str, found: FileState) -> Tuple[Failure, ...]:
    """Why the configuration cannot be trusted."""
    problems = []
    if found.kind != FILE:
        problems.append(f"it is {found.kind}, not a regular file")
    elif (found.uid, found.mode) != (0, CONFIG_MODE):
        problems.append(f"it must be root's with mode 0600, and has {found.permissions()}")
    reason = why_untrusted(path)
    if reason:
        problems.append(reason)
    return tuple(
        documented(CONFIG_ERROR, f"{path} cannot be trusted: {problem}.") for problem in problems
    )
