# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents that Azure Backup hands to the VMSnapshot extension.

PRIVATE: for this collection only. Their form: Microsoft's page on the extension and the published
sources of the agent. Whatever is wrong is said without showing any value of the protected
settings, which are secrets.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Tuple
from urllib.parse import unquote, urlsplit

from ..._disks import Disk
from ..._errors import Failure, SettingsError

#: What the agent reports for settings that it cannot use.
INVALID_CODE = 11
TOO_LATE_CODE = 402
#: A command that is older than this is refused, in seconds; the agent's rule.
TOO_LATE_S = 140 * 60
_EPOCH_TICKS = 621_355_968_000_000_000  # .NET counts 100 ns from the year 1; this is 1970
_TICKS_PER_S = 10_000_000
_LAST_TICKS = 3_155_378_975_999_999_999  # the end of the year 9999
_ADVICE = "Hand over the documents just as Azure Backup gave them to the VM."
_TASK_ID = re.compile(r"[\x21-\x7e]{1,256}")


@dataclass(frozen=True)
class ExtensionRequest:
    """What the extension is told to do."""

    task_id: str
    disks: Tuple[Disk, ...]
    #: With their SAS: never to be shown. None when the documents name none.
    status_blob_uri: Optional[str] = field(default=None, repr=False)
    logs_blob_uri: Optional[str] = field(default=None, repr=False)
    locale: str = "en-us"
    vm_type: str = "microsoft.compute/virtualmachines"
    #: As it was given; None when it was not.
    command_start_ticks: Optional[str] = None
    #: What the service wants to be written to every snapshot.
    metadata: Mapping[str, str] = field(default_factory=dict)


def parse_extension_settings(
    document: Mapping[str, Any], now_s: Optional[float] = None
) -> ExtensionRequest:
    """Read C(extension_settings): C(settings) and C(protected_settings).

    C(now_s): seconds since 1970, this machine's clock by default. Raises C(SettingsError) for
    everything that is missing or wrong, with the code that the agent reports for it.
    """
    settings = _mapping(document.get("settings"), "settings")
    protected = _mapping(document.get("protected_settings"), "protected_settings")
    _check_command(settings)
    task_id = _text(settings, "taskId")
    if task_id is None or not _TASK_ID.fullmatch(task_id):
        _refuse("settings: taskId must be a name of up to 256 printable characters without spaces.")
    ticks = _ticks_as_text(settings.get("commandStartTimeUTCTicks"))
    if ticks is not None:
        _check_age(ticks, time.time() if now_s is None else now_s)
    status, logs = document_uris(document)
    return ExtensionRequest(
        task_id=task_id,
        disks=_disks(protected),
        status_blob_uri=status,
        logs_blob_uri=logs,
        locale=_text(settings, "locale") or "en-us",
        vm_type=_vm_type(settings),
        command_start_ticks=ticks,
        metadata=_metadata(settings),
    )


def document_uris(document: Mapping[str, Any]) -> Tuple[Optional[str], Optional[str]]:
    """Where the status and the log go, with their SAS; the public settings count first.

    Raises C(SettingsError) only for documents that are none and addresses that are no strings.
    """
    settings = _mapping(document.get("settings"), "settings")
    protected = _mapping(document.get("protected_settings"), "protected_settings")
    found = []
    for key in ("statusBlobUri", "logsBlobUri"):
        public, secret = _text(settings, key), _text(protected, key, "protected_settings")
        found.append(public or secret or None)
    return found[0], found[1]


def _refuse(message: str, advice: str = _ADVICE) -> NoReturn:
    raise SettingsError(Failure("InvalidExtensionSettings", message, advice, INVALID_CODE))


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    """One of the documents, as a mapping or as the JSON of one."""
    if isinstance(value, (str, bytes)):
        try:
            value = json.loads(value)
        except ValueError:
            _refuse(f"{where} is not JSON.")
    if not isinstance(value, Mapping):
        _refuse(f"{where} is missing." if value is None else f"{where} is not an object.")
    return value


def _text(settings: Mapping[str, Any], key: str, where: str = "settings") -> Optional[str]:
    value = settings.get(key)
    if value is not None and not isinstance(value, str):
        _refuse(f"{where}: {key} must be a string.")
    return value.strip() if value is not None else None


def _check_command(settings: Mapping[str, Any]) -> None:
    command = _text(settings, "commandToExecute")
    if not command or "snapshot" not in command.lower():
        _refuse("settings: commandToExecute must be 'snapshot'; nothing else is done here.")


def _vm_type(settings: Mapping[str, Any]) -> str:
    found = _text(settings, "vmType") or "microsoft.compute/virtualmachines"
    if found.lower() != "microsoft.compute/virtualmachines":
        words = "is a classic VM" if "classic" in found.lower() else "is unknown"
        _refuse(
            f"settings: vmType {found!r} {words}.",
            "Scripts are supported for VMs that were deployed through Resource Manager.",
        )
    return found


def _ticks_as_text(value: Any) -> Optional[str]:
    """The ticks as text, whether they came as a string or as a number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        _refuse("settings: commandStartTimeUTCTicks must be a number.")
    return str(value).strip()


def _check_age(text: str, now_s: float) -> None:
    try:
        ticks = Decimal(text)
    except InvalidOperation:
        ticks = Decimal(-1)
    if not ticks.is_finite() or not _EPOCH_TICKS <= ticks <= _LAST_TICKS:
        _refuse(f"settings: commandStartTimeUTCTicks {text[:40]!r} is no time in .NET ticks.")
    started_s = float((ticks - _EPOCH_TICKS) / _TICKS_PER_S)
    # 6.36458E+17 has been rounded to 28 hours; the doubt is to the benefit of the command.
    exponent = ticks.as_tuple().exponent
    doubt_s = 10.0 ** max(int(exponent), 0) / _TICKS_PER_S
    late_s = now_s - started_s - doubt_s
    if late_s > TOO_LATE_S:
        raise SettingsError(
            Failure(
                "GuestAgentInvokedCommandTooLate",
                f"The command was given {(now_s - started_s) / 60:.0f} minutes ago "
                "(commandStartTimeUTCTicks), and after 140 minutes it is no longer carried out.",
                "Check the VM's clock, and start a new backup.",
                TOO_LATE_CODE,
            )
        )


def _object(text: Any, where: str) -> Any:
    """What an C(objectStr) holds: JSON, plain or in base64, perhaps in quotes."""
    if isinstance(text, (Mapping, list)):
        return text  # a template has read it already
    if not isinstance(text, str):
        _refuse(f"{where}: objectStr must be a string.")
    plain = _unquoted(text)
    if not plain.startswith(("{", "[")):
        try:
            plain = base64.b64decode("".join(plain.split()), validate=True).decode("utf-8")
        except (binascii.Error, ValueError):
            _refuse(f"{where}: objectStr is neither JSON nor base64 of it.")
        plain = _unquoted(plain)
    try:
        return json.loads(plain)
    except ValueError:
        _refuse(f"{where}: what objectStr holds is not JSON.")


def _unquoted(text: str) -> str:
    """The text without the whitespace and the quotes around it, as the agent takes them off."""
    return text.strip().strip("'\"").strip()


def _disks(protected: Mapping[str, Any]) -> Tuple[Disk, ...]:
    where = "protected_settings"
    if protected.get("objectStr") in (None, ""):
        _refuse(f"{where}: objectStr, which names the disks, is missing.")
    found = _object(protected["objectStr"], where)
    uris = found.get("blobSASUri") if isinstance(found, Mapping) else found
    if not isinstance(uris, list) or not uris:
        _refuse(f"{where}: objectStr must hold blobSASUri, a list with one address a disk.")
    names: List[str] = []
    for number, uri in enumerate(uris, 1):
        name = _name_of(uri)
        if name is None:
            _refuse(f"{where}: item {number} of blobSASUri is not the address of a blob.")
        names.append(name if name not in names else f"{name}-{number}")
    return tuple(Disk(name=name, blob_uri=uri) for name, uri in zip(names, uris))


def _name_of(uri: Any) -> Optional[str]:
    """The blob's own name, without folders and without C(.vhd)."""
    if not isinstance(uri, str):
        return None
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    name = unquote(parts.path.rpartition("/")[2])
    if parts.scheme not in ("https", "http") or not parts.netloc or not name.isprintable():
        return None
    return (name[:-4] if name.lower().endswith(".vhd") else name) or None


def _metadata(settings: Mapping[str, Any]) -> Dict[str, str]:
    """C(backupMetadata) of the public C(objectStr): items with C(Key) and C(Value)."""
    if settings.get("objectStr") in (None, ""):
        return {}
    found = _object(settings["objectStr"], "settings")
    items = found.get("backupMetadata") if isinstance(found, Mapping) else None
    if items is None:
        return {}
    if not isinstance(items, list):
        _refuse("settings: backupMetadata in objectStr must be a list.")
    metadata: Dict[str, str] = {}
    for item in items:
        key = item.get("Key") if isinstance(item, Mapping) else None
        value = item.get("Value") if isinstance(item, Mapping) else None
        if not isinstance(key, str) or not key or not isinstance(value, (str, int, float, bool)):
            _refuse("settings: each item of backupMetadata needs a Key and a Value.")
        metadata[key] = str(value)
    return metadata
