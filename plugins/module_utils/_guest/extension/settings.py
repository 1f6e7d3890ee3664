# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings documents that Azure Backup gives to the VMSnapshot extension.

Their form is that of Microsoft's page on the extension and of the published sources of the agent.
No message shows a value of the protected settings, which are secrets.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from ..._disks import BlobAddress, Disk, disk_names, parse_blob_uri
from ..._errors import Failure, SettingsError
from ..run.record import MAX_TASK_ID, is_task_id

#: The agent's code for settings that it cannot use.
INVALID_CODE = 11
TOO_LATE_CODE = 402
#: The agent refuses older commands, in seconds.
TOO_LATE_S = 140 * 60
_VM_TYPE = "microsoft.compute/virtualmachines"
_EPOCH_TICKS = 621_355_968_000_000_000  # .NET counts 100 ns from the year 1; this is 1970
_TICKS_PER_S = 10_000_000
_LAST_TICKS = 3_155_378_975_999_999_999  # the end of the year 9999
_ADVICE = "Set extension_settings to the documents exactly as Azure Backup gave them to the VM."
_PROTECTED = "protected_settings"


@dataclass(frozen=True)
class ExtensionDocuments:
    """The public and the protected settings, parsed from JSON and not yet checked."""

    settings: Mapping[str, Any] = field(repr=False)
    protected: Mapping[str, Any] = field(repr=False)
    #: With their SAS: never to be shown. None if neither document names them.
    status_uri: str | None = field(default=None, repr=False)
    logs_uri: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ExtensionRequest:
    """The request of Azure Backup to the extension."""

    task_id: str
    disks: tuple[Disk, ...]
    #: As in the settings; None if they have none.
    command_start_ticks: str | None = None
    #: The metadata that the service wants for every snapshot.
    metadata: Mapping[str, str] = field(default_factory=dict)


def parse_documents(option: Mapping[str, Any]) -> ExtensionDocuments:
    """Parse `extension_settings`: `settings` and `protected_settings`, as mappings or JSON.

    The addresses of the public settings go first. Raise `SettingsError` for a document that is
    not an object, and for an address that is not a string.
    """
    settings = _mapping(option.get("settings"), "settings")
    protected = _mapping(option.get(_PROTECTED), _PROTECTED)
    status, logs = (
        _text(settings, key) or _text(protected, key, _PROTECTED) or None
        for key in ("statusBlobUri", "logsBlobUri")
    )
    return ExtensionDocuments(settings, protected, status, logs)


def read_request(documents: ExtensionDocuments, now_s: float | None = None) -> ExtensionRequest:
    """Return the request of the documents.

    `now_s` is in seconds since 1970; the default is the time of this machine's clock.
    Raise `SettingsError` for missing and wrong values, with the code that the agent reports.
    """
    settings = documents.settings
    _check_command(settings)
    task_id = _text(settings, "taskId")
    if task_id is None or not is_task_id(task_id):
        raise _invalid(
            f"settings: taskId must have 1 to {MAX_TASK_ID} printable characters without spaces."
        )
    ticks = _ticks_as_text(settings.get("commandStartTimeUTCTicks"))
    if ticks is not None:
        _check_age(ticks, time.time() if now_s is None else now_s)
    _check_vm_type(settings)
    _text(settings, "locale")  # checked only, not used
    return ExtensionRequest(
        task_id=task_id,
        disks=_disks(documents.protected),
        command_start_ticks=ticks,
        metadata=_metadata(settings),
    )


def stated_ticks(documents: ExtensionDocuments) -> str | None:
    """Return the valid start time of a command whose settings may be wrong otherwise, or None."""
    try:
        ticks = _ticks_as_text(documents.settings.get("commandStartTimeUTCTicks"))
        if ticks is not None:
            _check_age(ticks, 0.0)  # in 1970 no command was too old, so this checks the form only
    except SettingsError:
        return None
    return ticks


def _invalid(message: str, advice: str = _ADVICE) -> SettingsError:
    return SettingsError(Failure("InvalidExtensionSettings", message, advice, INVALID_CODE))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    """Return a document, given as a mapping or as the JSON of an object."""
    if isinstance(value, (str, bytes)):
        try:
            value = json.loads(value)
        except ValueError:
            raise _invalid(f"{where} is not JSON.") from None
    if not isinstance(value, Mapping):
        raise _invalid(f"{where} is missing." if value is None else f"{where} is not an object.")
    return value


def _text(settings: Mapping[str, Any], key: str, where: str = "settings") -> str | None:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        raise _invalid(f"{where}: {key} must be a string.")
    return value.strip() if value is not None else None


def _check_command(settings: Mapping[str, Any]) -> None:
    command = _text(settings, "commandToExecute")
    if not command or "snapshot" not in command.lower():
        raise _invalid(
            "settings: commandToExecute must be 'snapshot'; no other command is supported."
        )


def _check_vm_type(settings: Mapping[str, Any]) -> None:
    vm_type = _text(settings, "vmType") or _VM_TYPE
    if vm_type.lower() != _VM_TYPE:
        problem = "is a classic VM" if "classic" in vm_type.lower() else "is unknown"
        raise _invalid(
            f"settings: vmType {vm_type!r} {problem}.",
            "Use a VM that was deployed through Resource Manager; scripts need one.",
        )


def _ticks_as_text(value: Any) -> str | None:
    """Return the ticks as text, from a string or a number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise _invalid("settings: commandStartTimeUTCTicks must be a number.")
    return str(value).strip()


def _check_age(text: str, now_s: float) -> None:
    try:
        ticks = Decimal(text)
    except InvalidOperation:
        ticks = Decimal(-1)
    if not ticks.is_finite() or not _EPOCH_TICKS <= ticks <= _LAST_TICKS:
        raise _invalid(
            f"settings: commandStartTimeUTCTicks {text[:40]!r} is not a time in .NET ticks."
        )
    started_s = float((ticks - _EPOCH_TICKS) / _TICKS_PER_S)
    # 6.36458E+17 is rounded to 28 hours; the rounding error must not refuse a command.
    exponent = ticks.as_tuple().exponent
    rounding_s = 10.0 ** max(int(exponent), 0) / _TICKS_PER_S
    late_s = now_s - started_s - rounding_s
    if late_s > TOO_LATE_S:
        raise SettingsError(
            Failure(
                "GuestAgentInvokedCommandTooLate",
                f"The command was given {(now_s - started_s) / 60:.0f} minutes ago "
                "(commandStartTimeUTCTicks). The limit is 140 minutes.",
                "Check the VM's clock, and start a new backup.",
                TOO_LATE_CODE,
            )
        )


def _object(text: Any, where: str) -> Any:
    """Return the value of an `objectStr`: JSON, plain or in base64, with or without quotes."""
    if isinstance(text, (Mapping, list)):
        return text  # Ansible's templating has already parsed it
    if not isinstance(text, str):
        raise _invalid(f"{where}: objectStr must be a string.")
    plain = _unquoted(text)
    if not plain.startswith(("{", "[")):
        try:
            plain = base64.b64decode("".join(plain.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            raise _invalid(f"{where}: objectStr is neither JSON nor base64 of it.") from None
        plain = _unquoted(plain)
    try:
        return json.loads(plain)
    except ValueError:
        raise _invalid(f"{where}: the content of objectStr is not JSON.") from None


def _unquoted(text: str) -> str:
    """Return the text without the whitespace and quotes around it, as the agent does."""
    return text.strip().strip("'\"").strip()


def _disks(protected: Mapping[str, Any]) -> tuple[Disk, ...]:
    if protected.get("objectStr") in (None, ""):
        raise _invalid(f"{_PROTECTED}: objectStr, which names the disks, is missing.")
    content = _object(protected["objectStr"], _PROTECTED)
    uris = content.get("blobSASUri") if isinstance(content, Mapping) else content
    if not isinstance(uris, list) or not uris:
        raise _invalid(f"{_PROTECTED}: objectStr must have blobSASUri, a list of addresses.")
    addresses = [_address(number, uri) for number, uri in enumerate(uris, 1)]
    names = disk_names([None] * len(addresses), addresses)
    return tuple(Disk(name, address) for name, address in zip(names, addresses))


def _address(number: int, uri: Any) -> BlobAddress:
    subject = f"{_PROTECTED}: item {number} of blobSASUri"
    if not isinstance(uri, str):
        raise _invalid(f"{subject} must be a string.")
    try:
        return parse_blob_uri(uri, subject)
    except SettingsError as error:
        if error.failure.name != "InvalidBlobUri":
            raise
        raise _invalid(error.failure.message) from None


def _metadata(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return `backupMetadata` of the public `objectStr`: items with `Key` and `Value`."""
    if settings.get("objectStr") in (None, ""):
        return {}
    content = _object(settings["objectStr"], "settings")
    items = content.get("backupMetadata") if isinstance(content, Mapping) else None
    if items is None:
        return {}
    if not isinstance(items, list):
        raise _invalid("settings: backupMetadata in objectStr must be a list.")
    metadata: dict[str, str] = {}
    for item in items:
        key = item.get("Key") if isinstance(item, Mapping) else None
        value = item.get("Value") if isinstance(item, Mapping) else None
        if not isinstance(key, str) or not key or not isinstance(value, (str, int, float, bool)):
            raise _invalid("settings: each item of backupMetadata needs a Key and a Value.")
        metadata[key] = str(value)
    return metadata
