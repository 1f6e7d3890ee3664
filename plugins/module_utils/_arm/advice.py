# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recommended actions for errors of Azure: by code, by words, by HTTP status.

The codes are in `advice_codes`. The words here are those of the documented problems of discovery,
registration, backup and the VM agent, and of refusals to change a VM's protection. For these Azure
has many codes, or shares one vague code among many problems.
"""

from __future__ import annotations

import re
from re import Pattern
from typing import NamedTuple

from . import advice_codes as codes

DISCOVER, REGISTER, BACKUP, PROTECT = "discover", "register", "backup", "protect"

_NETWORK = (
    "Check that the VM resolves the names of Azure's public endpoints (DNS of the virtual network) "
    "and can reach them: otherwise Azure cannot install the extension or take a snapshot."
)


class Problem(NamedTuple):
    """One documented problem: its operation (any if empty), its words and its action."""

    operation: str
    words: Pattern[str]
    action: str
    #: True if the words say more than any code. They are then searched in the code, too.
    outranks_code: bool = False


def _problem(operation: str, words: str, action: str, outranks_code: bool = False) -> Problem:
    return Problem(operation, re.compile(words, re.IGNORECASE), action, outranks_code)


_BUSY = r"another (operation|job)|operation.{0,30}in progress|already (running|in progress)"
# The first row that matches wins.
PROBLEMS: tuple[Problem, ...] = (
    _problem(
        "",
        r"resource\s?guard",
        "Multi-user authorization guards the vault: ask the owner of its Resource Guard to permit "
        "this operation to the task's credentials, then run the task again. Or do the operation "
        "in the portal.",
        True,
    ),
    _problem(PROTECT, r"immutable", codes.IMMUTABLE, True),
    _problem(
        PROTECT,
        r"trusted[\s-]?launch",
        "Use an Enhanced policy (policy_type enhanced) for a VM with trusted launch.",
        True,
    ),
    _problem(PROTECT, r"already protected", codes.OTHER_VAULT, True),
    _problem(PROTECT, r"in region", codes.OTHER_REGION, True),
    _problem(PROTECT, r"data disks", codes.TOO_MANY_DISKS, True),
    _problem(
        PROTECT,
        r"DataSourceObjectNotFound",
        "The vault no longer has the VM, or the VM was deleted: run the task again to plan from "
        "the vault's current list.",
        True,
    ),
    _problem(
        DISCOVER,
        r"another (discovery|refresh)|(discovery|refresh|inquiry).{0,40}(running|in progress)",
        "Wait until the discovery that is running has ended, then run the task again.",
    ),
    _problem(
        DISCOVER,
        r"internal (server )?error",
        "Run the task again after 15 minutes.",
    ),
    _problem(
        REGISTER,
        r"certificate",
        "Install the current VM agent on the VM, then run the task again.",
    ),
    _problem(
        REGISTER,
        r"(agent|extension).{0,60}time[d -]{0,2}out|time[d -]{0,2}out.{0,60}(agent|extension)",
        "Check that Azure Backup supports the VM's operating system, then run the task again.",
    ),
    _problem(
        REGISTER,
        r"disks.{0,40}(exceed|more than|limit|supported)|(more|too many|number of) (data )?disks",
        codes.TOO_MANY_DISKS,
    ),
    _problem(REGISTER, r"not (in a )?running|deallocated|powered off", codes.NOT_RUNNING),
    _problem(REGISTER, _BUSY, codes.WAIT),
    _problem(
        REGISTER,
        r"internal (server )?error",
        "Run the task again in a few minutes. If the error persists, check that Azure Backup "
        "supports the VM's configuration: it may not support it.",
    ),
    _problem(
        BACKUP,
        r"cop(y|ying).{0,40}time[d -]{0,2}out|transfer.{0,40}time[d -]{0,2}out",
        "Back up again in a few minutes: there was too much data to copy in time.",
    ),
    _problem(
        BACKUP,
        r"snapshot.{0,60}time[d -]{0,2}out",
        "Check with quiesce.azure_backup.vm_extension_info that the VM agent runs and is current. "
        f"{_NETWORK}",
    ),
    _problem(
        BACKUP,
        r"extension.{0,60}(not be installed|not installed|install\w* fail|fail\w* to install)"
        r"|(install\w*|failed to install).{0,40}extension",
        codes.AGENT_MISSING,
    ),
    _problem(
        BACKUP,
        _BUSY,
        "A backup or a restore of this VM is running: wait for it (backup_job_info shows it), "
        "then back up again.",
    ),
    _problem(BACKUP, r"internal (server )?error", codes.TOO_MUCH_DATA),
    _problem(
        "",
        r"agent.{0,60}(outdated|old|version|update)",
        "Update the VM agent on the VM while no backup of it runs, check its version, then run "
        "the task again.",
    ),
    _problem(
        "",
        r"agent.{0,60}(not (installed|found|present|responsive|respond|ready)|unresponsive|missing"
        r"|unavailable)|(communicate|contact).{0,30}agent",
        "Install the VM agent on the VM (images of the gallery have it, migrated VMs do not) or "
        f"start it, and check its version. {_NETWORK}",
    ),
    _problem(
        "",
        r"policy.{0,60}(in use|associated|assigned|protecting)",
        "Put the VMs of this policy under another policy, or stop their protection, then delete "
        "the policy.",
    ),
    _problem(
        "", r"(network|internet|dns|outbound).{0,60}(block|access|connect|reach|resol)", _NETWORK
    ),
)

_BY_CODE: dict[str, str] = {
    code.lower(): action for names, action in codes.ACTIONS for code in names.split()
}
# Codes that mean one thing of a request, and another of a job.
_OF_JOBS: dict[str, str] = {"resourcenotfound": _BY_CODE["320001"]}
_OPERATIONS = {
    "configurebackup": REGISTER,
    "configure": REGISTER,
    "refresh": DISCOVER,
}


def recommended(code: str, message: str = "", operation: str = "") -> str:
    """Return the action for a problem; empty if none is known.

    `code` is Azure's code, a name or a number. `operation` is discover, register or backup, or
    the operation of a job, such as ConfigureBackup.
    """
    operation = _OPERATIONS.get(operation.lower(), operation.lower())
    outranking = _by_words(f"{code} {message}", operation, outranks_code=True)
    if outranking:
        return outranking
    code = code.strip().lower()
    if operation in (REGISTER, BACKUP) and code in _OF_JOBS:
        return _OF_JOBS[code]
    by_words = _by_words(message, operation)
    # Words that name the problem of an operation say more than the code of an internal error.
    if by_words and "internalerror" in code:
        return by_words
    return _BY_CODE.get(code) or by_words or _by_kind(code)


def for_refusal(code: str, message: str) -> str:
    """Return the action for a refusal to change a VM's protection; empty if its words say none.

    Such a refusal often has a vague code, so that only its words count here.
    """
    return _by_words(f"{code} {message}", PROTECT, outranks_code=True)


def by_status(status: int) -> str:
    """Return the action for a response that only has a status."""
    if status >= 500:
        return codes.SERVER_ERROR
    return codes.BY_STATUS.get(status, codes.OTHER_STATUS)


def _by_words(text: str, operation: str, outranks_code: bool = False) -> str:
    for problem in PROBLEMS:
        if (
            problem.operation in ("", operation)
            and problem.outranks_code == outranks_code
            and problem.words.search(text)
        ):
            return problem.action
    return ""


def _by_kind(code: str) -> str:
    """Return the action that the end of an unknown code suggests."""
    if code.endswith(("internalerror", "internalservererror", "timeout", "timedout")):
        return by_status(500)
    if code.endswith(("inprogress", "objectlocked")):
        return codes.WAIT
    return ""
