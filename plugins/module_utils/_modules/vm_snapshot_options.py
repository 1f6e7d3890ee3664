# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of vm_snapshot: what they are, and what they ask for.

PRIVATE: for this collection only. Nothing here looks at the machine.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union
from urllib.parse import unquote, urlsplit

from .._disks import Disk
from .._errors import refuse
from .._guest.extension.settings import document_uris, parse_extension_settings
from .._guest.run.record import RunRequest
from .argument_spec import ArgumentSpec

_OPTIONS: Dict[str, Any] = {
    "disks": {
        "type": "list",
        "elements": "dict",
        "options": {
            "blob_uri": {"type": "str", "required": True, "no_log": True},
            "name": {"type": "str"},
            "lun": {"type": "int"},
            "device": {"type": "path"},
        },
    },
    "extension_settings": {
        "type": "dict",
        "options": {
            # Each by its name: Ansible hides only what it knows to be secret.
            "settings": {
                "type": "dict",
                "required": True,
                "options": {
                    "taskId": {"type": "str"},
                    "commandToExecute": {"type": "str"},
                    "commandStartTimeUTCTicks": {"type": "raw"},
                    "locale": {"type": "str"},
                    "vmType": {"type": "str"},
                    "statusBlobUri": {"type": "str", "no_log": True},
                    "logsBlobUri": {"type": "str", "no_log": True},
                    "objectStr": {"type": "jsonarg", "no_log": True},
                    "customSettings": {"type": "jsonarg"},
                },
            },
            "protected_settings": {"type": "dict", "required": True, "no_log": True},
        },
    },
    "config_path": {"type": "path", "default": "/etc/azure/VMSnapshotScriptPluginConfig.json"},
    "freeze": {"type": "raw", "default": "auto"},
    "freeze_timeout": {"type": "int", "default": 10},
    "expedite": {"type": "str", "choices": ["auto", "yes", "no"], "default": "auto"},
    "on_partial": {"type": "str", "choices": ["discard", "keep"], "default": "discard"},
    "metadata": {"type": "dict", "default": {}},
    "task_id": {"type": "str"},
    "status_blob_uri": {"type": "str", "no_log": True},
    "logs_blob_uri": {"type": "str", "no_log": True},
    "require_consistency": {
        "type": "str",
        "choices": ["application", "file-system", "crash"],
        "default": "crash",
    },
}
VM_SNAPSHOT = ArgumentSpec(
    _OPTIONS,
    required_one_of=(("disks", "extension_settings"),),
    mutually_exclusive=(("disks", "extension_settings"),),
)
MAX_FREEZE_TIMEOUT_S = 60
_TASK_ID = re.compile(r"[!-~]{1,128}\Z")


def new_set_id() -> str:
    """A name for a set of snapshots that sorts by time and that no other set has."""
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{now.replace('-', '').replace(':', '')}Z-{uuid.uuid4().hex[:8]}"


def read_options(params: Mapping[str, Any]) -> RunRequest:
    """What the options ask for. Raises C(SettingsError) for what makes no sense."""
    timeout = params["freeze_timeout"]
    if not 1 <= timeout <= MAX_FREEZE_TIMEOUT_S:
        refuse(
            "InvalidOption",
            f"freeze_timeout is {timeout}.",
            f"Give from 1 to {MAX_FREEZE_TIMEOUT_S} seconds.",
        )
    extension = None
    if params["extension_settings"] is not None:
        extension = parse_extension_settings(params["extension_settings"])
    status_uri, logs_uri = document_places(params)
    return RunRequest(
        disks=extension.disks if extension else _disks(params["disks"] or ()),
        set_id=new_set_id(),
        config_path=params["config_path"],
        freeze=_freeze(params["freeze"]),
        freeze_timeout_s=float(timeout),
        on_partial=params["on_partial"],
        expedite=params["expedite"],
        metadata={
            **(extension.metadata if extension else {}),
            **{str(name): str(value) for name, value in (params["metadata"] or {}).items()},
        },
        task_id=_task_id(params["task_id"]) or (extension.task_id if extension else None),
        require_consistency=params["require_consistency"],
        status_uri=status_uri,
        logs_uri=logs_uri,
        command_start_ticks=extension.command_start_ticks if extension else None,
    )


def document_places(params: Mapping[str, Any]) -> Tuple[Optional[str], Optional[str]]:
    """Where the status and the log go, with their SAS, if anywhere; the options count first.

    Raises C(SettingsError) for settings of the extension that are none.
    """
    status, logs = params["status_blob_uri"], params["logs_blob_uri"]
    if params["extension_settings"] is not None:
        told = document_uris(params["extension_settings"])
        status, logs = status or told[0], logs or told[1]
    return status or None, logs or None


def _freeze(value: Any) -> Union[str, Tuple[str, ...]]:
    if value is None:
        return "auto"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(value)
    refuse(
        "InvalidFreeze",
        f"freeze is of type {type(value).__name__}.",
        "Use auto, none or a list of mount points.",
    )


def _task_id(value: Optional[str]) -> Optional[str]:
    if value is None:
        return None
    if not _TASK_ID.match(value):
        refuse(
            "InvalidTaskId",
            f"task_id is {value!r}.",
            "Use up to 128 printable ASCII characters without spaces.",
        )
    return value


def _disks(entries: Sequence[Mapping[str, Any]]) -> Tuple[Disk, ...]:
    if not entries:
        refuse("NoDisks", "There is no disk to take a snapshot of.", "Name the disks in disks.")
    return tuple(
        Disk(
            name=name,
            blob_uri=entry["blob_uri"].strip(),
            lun=entry.get("lun"),
            device=entry.get("device"),
        )
        for name, entry in zip(_names(entries), entries)
    )


def _names(entries: Sequence[Mapping[str, Any]]) -> List[str]:
    """The disks' names: as given, else the blob's, with a number when that is taken."""
    given = [entry["name"] for entry in entries if entry.get("name")]
    for name in given:
        if given.count(name) > 1:
            refuse("DuplicateDisk", f"Two disks have the name {name}.", "Name each differently.")
    taken = set(given)
    names = []
    for number, entry in enumerate(entries):
        name = entry.get("name")
        if not name:
            name = _name_of_blob(entry["blob_uri"]) or f"disk{number}"
            if name in taken:
                name = f"{name}-{number}"
            taken.add(name)
        names.append(name)
    return names


def _name_of_blob(uri: str) -> str:
    try:
        path = urlsplit(uri).path
    except ValueError:
        return ""
    return PurePosixPath(unquote(path)).name
