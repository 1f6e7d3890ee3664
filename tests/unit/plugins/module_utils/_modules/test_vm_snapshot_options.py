# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of vm_snapshot, as Ansible gives them to the module."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run.record import (
    RunRequest,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.vm_snapshot_options import (
    VM_SNAPSHOT,
    document_places,
    new_set_id,
    read_options,
)

URI = "https://account.blob.core.windows.net/vhds/{}?sp=rw&sig=SECRET"


def options(**more: Any) -> dict[str, Any]:
    """Return all options with their defaults, one disk, and these changes."""
    defaults = {name: spec.get("default") for name, spec in VM_SNAPSHOT.argument_spec.items()}
    return {**defaults, "disks": [{"blob_uri": URI.format("os.vhd")}], **more}


def refusal(**more: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        read_options(options(**more))
    assert "SECRET" not in str(caught.value)
    return f"{caught.value.failure.name}: {caught.value}"


def test_options_have_defaults() -> None:
    request = read_options(options())
    assert request.freeze == "auto"
    assert request.freeze_timeout_s == 10.0
    assert request.on_partial == "discard"
    assert request.config_path == "/etc/azure/VMSnapshotScriptPluginConfig.json"
    assert (request.task_id, request.status_uri, request.logs_uri) == (None, None, None)
    assert [disk.name for disk in request.disks] == ["os.vhd"]


def test_repr_has_no_secret() -> None:
    request = read_options(options(status_blob_uri=URI.format("s"), logs_blob_uri=URI.format("l")))
    assert isinstance(request, RunRequest)
    assert "SECRET" not in repr(request)


@pytest.mark.parametrize("seconds", [0, -1, 61])
def test_freeze_timeout_out_of_bounds_is_rejected(seconds: int) -> None:
    assert str(seconds) in refusal(freeze_timeout=seconds)


@pytest.mark.parametrize("seconds", [1, 60])
def test_freeze_timeout_at_its_bounds_is_accepted(seconds: int) -> None:
    assert read_options(options(freeze_timeout=seconds)).freeze_timeout_s == seconds


@pytest.mark.parametrize("disks", [None, []])
def test_no_disks_are_rejected(disks: Any) -> None:
    assert refusal(disks=disks).startswith("NoDisks")


def test_disk_names_are_unique() -> None:
    named = [
        {"blob_uri": URI.format("a/os%20disk.vhd"), "lun": -1},
        {"blob_uri": URI.format("b.vhd"), "name": "data", "device": "/dev/sdc"},
        {"blob_uri": URI.format("c/b.vhd")},
        {"blob_uri": URI.format("d/b.vhd")},
        {"blob_uri": "no address at all ["},
    ]
    found = read_options(options(disks=named)).disks
    assert [disk.name for disk in found][:4] == ["os disk.vhd", "data", "b.vhd", "b.vhd-3"]
    assert len({disk.name for disk in found}) == 5
    assert (found[0].lun, found[1].device) == (-1, "/dev/sdc")


def test_duplicate_disk_name_is_rejected() -> None:
    named = [{"blob_uri": URI.format(n), "name": "data"} for n in "ab"]
    assert refusal(disks=named).startswith("DuplicateDisk")


@pytest.mark.parametrize(
    ("value", "read"),
    [(None, "auto"), ("none", "none"), (["/srv/a", "/srv/b"], ("/srv/a", "/srv/b")), ([], ())],
)
def test_freeze_is_read(value: Any, read: Any) -> None:
    assert read_options(options(freeze=value)).freeze == read


@pytest.mark.parametrize("value", [7, True, {"a": 1}])
def test_freeze_of_another_type_is_rejected(value: Any) -> None:
    assert refusal(freeze=value).startswith("InvalidFreeze")


@pytest.mark.parametrize("task", ["", "a b", "ä", "x" * 129, "a\nb"])
def test_invalid_task_id_is_rejected(task: str) -> None:
    assert refusal(task_id=task).startswith("InvalidTaskId")


def test_metadata_becomes_text() -> None:
    request = read_options(options(metadata={"keep": 3, "tier": "gold", "live": True}))
    assert request.metadata == {"keep": "3", "tier": "gold", "live": "True"}


def extension(**settings: Any) -> dict[str, Any]:
    public = {
        "taskId": "the-task_1",
        "commandToExecute": "snapshot",
        "statusBlobUri": URI.format("public-status"),
        **settings,
    }
    secret = {
        "objectStr": json.dumps({"blobSASUri": [URI.format("a.vhd"), URI.format("b.vhd")]}),
        "statusBlobUri": URI.format("status"),
        "logsBlobUri": URI.format("log"),
    }
    return {"settings": public, "protected_settings": secret}


def test_extension_settings_give_disks_and_places() -> None:
    request = read_options(options(disks=None, extension_settings=extension()))
    assert request.task_id == "the-task_1"
    assert [disk.blob_uri for disk in request.disks] == [URI.format("a.vhd"), URI.format("b.vhd")]
    assert request.status_uri == URI.format("public-status")
    assert request.logs_uri == URI.format("log")


def test_options_take_precedence_over_extension_settings() -> None:
    request = read_options(
        options(
            disks=None,
            extension_settings=extension(),
            task_id="mine",
            status_blob_uri=URI.format("my-status"),
        )
    )
    assert (request.task_id, request.status_uri) == ("mine", URI.format("my-status"))


def test_invalid_settings_keep_the_place_of_the_status() -> None:
    params = options(disks=None, extension_settings=extension(commandToExecute="format"))
    with pytest.raises(SettingsError):
        read_options(params)
    assert document_places(params) == (URI.format("public-status"), URI.format("log"))


def test_set_ids_are_unique_and_sort_by_time() -> None:
    found = [new_set_id() for _number in range(100)]
    assert len(set(found)) == 100
    assert [each[:16] for each in found] == sorted(each[:16] for each in found)
