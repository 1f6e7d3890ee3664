# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors that people can act on, and the catalogue of the documented error names.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, NoReturn, Optional


@dataclass(frozen=True)
class Documented:
    """One documented error: the code that Microsoft's extension reports, and what to do about it.

    Codes: the published sources of the VMSnapshotLinux extension; names and actions: the
    documentation of the pre-script and post-script framework.
    """

    name: str
    code: Optional[int]
    recommended_action: str


_DOCUMENTED = (
    Documented(
        "Pre-ScriptExecutionFailed",
        300,
        "Read the output of the pre-script in this result and mend what made it fail.",
    ),
    Documented(
        "Post-ScriptExecutionFailed",
        301,
        "Read the output of the post-script in this result; check that the application resumed.",
    ),
    Documented(
        "Pre-ScriptNotFound",
        302,
        "Put the pre-script where preScriptLocation says, or correct preScriptLocation.",
    ),
    Documented(
        "Post-ScriptNotFound",
        303,
        "Put the post-script where postScriptLocation says, or correct postScriptLocation.",
    ),
    Documented(
        "IncorrectPluginhostFile",
        304,
        "Uninstall the VMSnapshotLinux extension; the next backup installs it again.",
    ),
    Documented(
        "IncorrectJSONConfigFile",
        305,
        "Write the configuration anew with quiesce.azure_backup.snapshot_scripts, "
        "or from a fresh template.",
    ),
    Documented(
        "InsufficientPermissionforPre-Script",
        306,
        "Make root the owner of the pre-script and set its mode to 0700.",
    ),
    Documented(
        "InsufficientPermissionforPost-Script",
        307,
        "Make root the owner of the post-script and set its mode to 0700.",
    ),
    Documented(
        "Pre-ScriptTimeout",
        308,
        "Find out why the pre-script is slow, or raise timeoutInSeconds (at most 1800).",
    ),
    Documented(
        "Post-ScriptTimeout",
        309,
        "Find out why the post-script is slow, check the application, "
        "or raise timeoutInSeconds (at most 1800).",
    ),
)

CATALOGUE: Dict[str, Documented] = {entry.name: entry for entry in _DOCUMENTED}


@dataclass(frozen=True)
class Failure:
    """What went wrong, in the form in which every result of the collection carries it."""

    name: str
    message: str
    recommended_action: str = ""
    code: Optional[int] = None
    #: What only Azure's answers have; shown where it is known.
    correlation_id: str = ""
    http_status: Optional[int] = None
    vm: str = ""
    #: What Azure said, without our words around it; advice goes by it. Not part of the result.
    azure_message: str = ""

    def to_result(self) -> Dict[str, Any]:
        """The failure as the C(failure) value of a result."""
        extra = {
            "correlation_id": self.correlation_id,
            "http_status": self.http_status,
            "vm": self.vm,
        }
        return {
            "name": self.name,
            "code": self.code,
            "message": self.message,
            "recommended_action": self.recommended_action,
            **{name: value for name, value in extra.items() if value},
        }


def documented(name: str, message: str) -> Failure:
    """A failure under a documented name, with the code and action of the catalogue.

    Raises C(KeyError) for a name that is not documented: a mistake in our own code.
    """
    entry = CATALOGUE[name]
    return Failure(entry.name, message, entry.recommended_action, entry.code)


class QuiesceError(Exception):
    """The base of every error that the collection reports; carries a C(Failure).

    Its text is the message and then the recommended action, for people.
    """

    def __init__(self, failure: Failure) -> None:
        text = failure.message
        if failure.recommended_action:
            text = f"{text} {failure.recommended_action}"
        super().__init__(text)
        self.failure = failure


class SettingsError(QuiesceError):
    """Bad input: options, settings, disks or mounts. Nothing was changed."""


class ScriptError(QuiesceError):
    """A pre-script or post-script, or the configuration that names them."""


class FreezeError(QuiesceError):
    """A filesystem could not be flushed, frozen or held frozen."""


class StoreError(QuiesceError):
    """The store of the snapshots refused, failed or did not answer."""


def refuse(name: str, message: str, recommended_action: str = "") -> NoReturn:
    """Raise a C(SettingsError): bad input, nothing changed."""
    raise SettingsError(Failure(name, message, recommended_action))
