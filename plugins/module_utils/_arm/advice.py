# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about the problems of the control plane, by Azure's code or by its words.

The codes are those of C(_catalogue_codes). The problems here are the documented ones of discovery,
registration, backup and the VM agent, for which Azure has many codes and few words.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from typing import Dict, NamedTuple, Optional, Pattern, Tuple

from .advice_codes import ACTIONS, WAIT

DISCOVER, REGISTER, BACKUP = "discover", "register", "backup"

_NETWORK = (
    "Check that the VM resolves the names of Azure's public endpoints (DNS of the virtual network) "
    "and may reach them: blocked, the extension is not installed and no snapshot is taken."
)


class Problem(NamedTuple):
    """One documented problem: the operation that has it, words that tell it, and what to do."""

    operation: str
    words: Pattern[str]
    action: str


def _problem(operation: str, words: str, action: str) -> Problem:
    return Problem(operation, re.compile(words, re.IGNORECASE), action)


_BUSY = r"another (operation|job)|operation.{0,30}in progress|already (running|in progress)"
# The first whose words are found is taken; of an operation, or of any where it is empty.
PROBLEMS: Tuple[Problem, ...] = (
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
        "Detach some of the VM's data disks, or leave some out of the backup with "
        "include_disk_luns or exclude_disk_luns.",
    ),
    _problem(
        REGISTER,
        r"not (in a )?running|deallocated|powered off",
        "Start the VM, so that the backup extension can be installed; then run the task again.",
    ),
    _problem(REGISTER, _BUSY, WAIT),
    _problem(
        REGISTER,
        r"internal (server )?error",
        "Wait some minutes and run the task again. If it stays so, the VM's configuration may be "
        "one that Azure Backup does not support.",
    ),
    _problem(
        BACKUP,
        r"cop(y|ying).{0,40}time[d -]{0,2}out|transfer.{0,40}time[d -]{0,2}out",
        "There is too much data to copy in time: back up again in some minutes.",
    ),
    _problem(
        BACKUP,
        r"snapshot.{0,60}time[d -]{0,2}out",
        "Look at the VM agent with quiesce.azure_backup.vm_extension_info: the agent must run and "
        f"be current. {_NETWORK}",
    ),
    _problem(
        BACKUP,
        r"extension.{0,60}(not be installed|not installed|install\w* fail|fail\w* to install)"
        r"|(install\w*|failed to install).{0,40}extension",
        "The VM agent is a prerequisite: install it on the VM, then back up again.",
    ),
    _problem(
        BACKUP,
        _BUSY,
        "A backup or a restore of this VM is running: wait for it (backup_job_info shows it), "
        "then back up again.",
    ),
    _problem(
        BACKUP,
        r"internal (server )?error",
        "Back up again in some minutes: there may be too much data at once. If the VM was "
        "deleted, stop its protection and keep the data (protected_vm with state=stopped).",
    ),
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
        "Give the VMs of this policy another one, or stop their protection, before it is deleted.",
    ),
    _problem(
        "",
        r"resource ?guard",
        "The vault is protected by a Resource Guard: its owner must allow this operation first.",
    ),
    _problem(
        "", r"(network|internet|dns|outbound).{0,60}(block|access|connect|reach|resol)", _NETWORK
    ),
)

_BY_CODE: Dict[str, str] = {
    code.lower(): action for codes, action in ACTIONS for code in codes.split()
}
# Codes that mean one thing of a request, and another of a job.
_OF_JOBS: Dict[str, str] = {"resourcenotfound": _BY_CODE["320001"]}
_OPERATIONS = {
    "configurebackup": REGISTER,
    "configure": REGISTER,
    "protect": REGISTER,
    "refresh": DISCOVER,
}


def recommended(code: str, message: str = "", operation: str = "") -> str:
    """What to do about a problem; empty when nothing is known.

    C(code): Azure's code, a name or a number. C(operation): discover, register or backup, or a
    job's own word, such as ConfigureBackup.
    """
    code = code.strip().lower()
    operation = _OPERATIONS.get(operation.lower(), operation.lower())
    if operation in (REGISTER, BACKUP) and code in _OF_JOBS:
        return _OF_JOBS[code]
    of_words = _of_words(message, operation)
    # Words that tell the problem of an operation say more than the code of an internal error.
    if of_words and "internalerror" in code:
        return of_words
    return _BY_CODE.get(code) or of_words or _of_kind(code)


def by_status(status: int) -> str:
    """What to do about an error of which nothing but the status of the answer is known."""
    if status >= 500:
        return (
            "Run the task again in some minutes. If it stays so, give Microsoft's support the "
            "correlation id."
        )
    return {
        401: "Check the credentials, and that their tenant is that of the subscription.",
        403: "Give these credentials a role that may do this, such as Backup Contributor.",
        404: "Check subscription, resource group, vault and name.",
        407: "Check the proxy, which wants to know who asks.",
        409: WAIT,
        412: "Somebody else has changed it meanwhile: run the task again.",
        429: "Run the task again later, with fewer tasks at the same time.",
    }.get(status, "Correct what the message names, then run the task again.")


def _of_words(message: str, operation: str) -> str:
    if not message:
        return ""
    found: Optional[Problem] = next(
        (
            problem
            for problem in PROBLEMS
            if problem.operation in ("", operation) and problem.words.search(message)
        ),
        None,
    )
    return found.action if found else ""


def _of_kind(code: str) -> str:
    """What the end of a code that is not known tells of it."""
    if code.endswith(("internalerror", "internalservererror", "timeout", "timedout")):
        return by_status(500)
    if code.endswith(("inprogress", "objectlocked")):
        return WAIT
    return ""
