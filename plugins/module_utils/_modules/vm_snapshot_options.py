# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of `vm_snapshot`, and the request that they make.

The functions depend only on the options, not on the state of the machine.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .._consistency import APPLICATION, CRASH, FILE_SYSTEM
from .._disks import Disk, disk_names, parse_blob_uri
from .._errors import SettingsError
from .._guest.extension.settings import ExtensionDocuments, parse_documents, read_request
from .._guest.run.record import MAX_TASK_ID, RunRequest, is_task_id
from .._stores.labels import disk_labels
from .argument_spec import ArgumentSpec

_OPTIONS: dict[str, Any] = {
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
            # Each by its name: Ansible hides only options that are declared secret.
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
        "choices": [APPLICATION, FILE_SYSTEM, CRASH],
        "default": CRASH,
    },
}
VM_SNAPSHOT = ArgumentSpec(
    _OPTIONS,
    required_one_of=(("disks", "extension_settings"),),
    mutually_exclusive=(("disks", "extension_settings"),),
)
MAX_FREEZE_TIMEOUT_S = 60


def new_set_id() -> str:
    """Return a unique name for a set of snapshots, which sorts by time."""
    now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(timespec="seconds")
    return f"{now.replace('-', '').replace(':', '')}Z-{uuid.uuid4().hex[:8]}"


def read_documents(params: Mapping[str, Any]) -> ExtensionDocuments | None:
    """Return the parsed documents of `extension_settings`, if they are given.

    Raise `SettingsError` for documents that are not objects.
    """
    option = params["extension_settings"]
    return None if option is None else parse_documents(option)


def document_uris(
    params: Mapping[str, Any], documents: ExtensionDocuments | None
) -> tuple[str | None, str | None]:
    """Return the addresses of status and log, with their SAS; the options go first."""
    status, logs = params["status_blob_uri"], params["logs_blob_uri"]
    if documents is not None:
        status, logs = status or documents.status_uri, logs or documents.logs_uri
    return status or None, logs or None


def stated_task_id(params: Mapping[str, Any], documents: ExtensionDocuments | None) -> str:
    """Return the valid task id of options that may be wrong otherwise, or an empty text."""
    stated = (params["task_id"], documents.settings.get("taskId") if documents else None)
    texts = [text.strip() for text in stated if isinstance(text, str)]
    return next(filter(is_task_id, texts), "")


def read_options(
    params: Mapping[str, Any], documents: ExtensionDocuments | None = None
) -> RunRequest:
    """Return the request of the options. Raise `SettingsError` for values that cannot serve."""
    timeout = params["freeze_timeout"]
    if not 1 <= timeout <= MAX_FREEZE_TIMEOUT_S:
        raise SettingsError(
            "InvalidOption",
            f"freeze_timeout is {timeout}.",
            f"Set freeze_timeout to 1 to {MAX_FREEZE_TIMEOUT_S} seconds.",
        )
    extension = read_request(documents) if documents is not None else None
    disks = extension.disks if extension else _disks(params["disks"] or ())
    task_id = _task_id(params["task_id"]) or (extension.task_id if extension else None)
    set_id = new_set_id()
    metadata = {
        **(extension.metadata if extension else {}),
        **{str(name): str(value) for name, value in (params["metadata"] or {}).items()},
    }
    return RunRequest(
        disks=disks,
        set_id=set_id,
        config_path=params["config_path"],
        freeze=_freeze(params["freeze"]),
        freeze_timeout_s=float(timeout),
        on_partial=params["on_partial"],
        expedite=params["expedite"],
        labels=disk_labels(disks, task_id, set_id, metadata),
        task_id=task_id,
        require_consistency=params["require_consistency"],
        command_start_ticks=extension.command_start_ticks if extension else None,
    )


def _freeze(value: Any) -> str | tuple[str, ...]:
    if value is None:
        return "auto"
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return tuple(value)
    raise SettingsError(
        "InvalidFreeze",
        f"freeze is of type {type(value).__name__}.",
        "Set freeze to auto, none or a list of mount points.",
    )


def _task_id(value: str | None) -> str | None:
    if value is not None and not is_task_id(value):
        raise SettingsError(
            "InvalidTaskId",
            "task_id is not valid.",
            f"Set task_id to 1 to {MAX_TASK_ID} printable ASCII characters without spaces.",
        )
    return value


def _disks(entries: Sequence[Mapping[str, Any]]) -> tuple[Disk, ...]:
    if not entries:
        raise SettingsError("NoDisks", "The list of disks is empty.", "Set disks.")
    addresses = [
        parse_blob_uri(entry["blob_uri"].strip(), f"Disk {entry.get('name') or number}")
        for number, entry in enumerate(entries, 1)
    ]
    names = disk_names([entry.get("name") for entry in entries], addresses)
    return tuple(
        Disk(name, address, lun=entry.get("lun"), device=entry.get("device"))
        for name, address, entry in zip(names, addresses, entries)
    )
