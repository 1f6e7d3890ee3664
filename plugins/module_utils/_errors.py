# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors that a user can act on, and the catalogue of the documented error names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Documented:
    """A documented error: the code that Microsoft's extension reports, and the action to take.

    The codes are those of the published sources of the VMSnapshotLinux extension. The names and
    actions are those of the documentation of the pre-script and post-script framework.
    """

    name: str
    code: int | None
    recommended_action: str


_DOCUMENTED = (
    Documented(
        "Pre-ScriptExecutionFailed",
        300,
        "Read the output of the pre-script in this result and correct the cause of its failure.",
    ),
    Documented(
        "Post-ScriptExecutionFailed",
        301,
        "Read the output of the post-script in this result; check that the application resumed.",
    ),
    Documented(
        "Pre-ScriptNotFound",
        302,
        "Put the pre-script at the path of preScriptLocation, or correct preScriptLocation.",
    ),
    Documented(
        "Post-ScriptNotFound",
        303,
        "Put the post-script at the path of postScriptLocation, or correct postScriptLocation.",
    ),
    Documented(
        "IncorrectPluginhostFile",
        304,
        "Uninstall the VMSnapshotLinux extension; the next backup installs it again.",
    ),
    Documented(
        "IncorrectJSONConfigFile",
        305,
        "Write a new configuration with quiesce.azure_backup.snapshot_scripts, "
        "or from the published template.",
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
        "Find out why the pre-script is slow, or increase timeoutInSeconds (at most 1800).",
    ),
    Documented(
        "Post-ScriptTimeout",
        309,
        "Find out why the post-script is slow, check the application, "
        "or increase timeoutInSeconds (at most 1800).",
    ),
)

CATALOGUE: dict[str, Documented] = {entry.name: entry for entry in _DOCUMENTED}


@dataclass(frozen=True)
class Failure:
    """A failure, in the form in which every result of the collection holds it."""

    name: str
    message: str
    recommended_action: str = ""
    code: int | None = None
    #: These three are known only for answers of Azure; a result shows those that are known.
    correlation_id: str = ""
    http_status: int | None = None
    vm: str = ""
    #: Azure's own message, by which the advice is chosen. Not part of the result.
    azure_message: str = ""

    def to_result(self) -> dict[str, Any]:
        """Return the failure as the `failure` value of a result."""
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
    """Return a failure with a documented name, and the code and action of the catalogue.

    Raise `KeyError` for a name that is not documented, which is a defect of the collection.
    """
    entry = CATALOGUE[name]
    return Failure(entry.name, message, entry.recommended_action, entry.code)


class QuiesceError(Exception):
    """The base of every error that the collection reports; it has a `Failure`.

    It is made from a failure, or from the name, the message and the action of one. Its text is
    the message, followed by the recommended action.
    """

    def __init__(
        self, failure: Failure | str, message: str = "", recommended_action: str = ""
    ) -> None:
        if isinstance(failure, str):
            failure = Failure(failure, message, recommended_action)
        super().__init__(f"{failure.message} {failure.recommended_action}".rstrip())
        self.failure = failure


class SettingsError(QuiesceError):
    """Bad input: options, settings, disks or mounts. Nothing was changed."""


class ScriptError(QuiesceError):
    """A failure of a pre-script or post-script, or of the configuration that names them."""


class FreezeError(QuiesceError):
    """A failure to flush, to freeze or to keep frozen a filesystem."""


class StoreError(QuiesceError):
    """A failure of the store of the snapshots: it refused, failed or did not answer."""
