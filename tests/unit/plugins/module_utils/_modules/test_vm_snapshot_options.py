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
    document_uris,
    new_set_id,
    read_documents,
    read_options,
    stated_task_id,
)

URI = "https://account.blob.core.windows.net/vhds/{}?sr=b&sp=rw&sig=SECRET"


def options(**more: Any) -> dict[str, Any]:
    """Return all options with their defaults, one disk, and the given options."""
    defaults = {name: spec.get("default") for name, spec in VM_SNAPSHOT.argument_spec.items()}
    return {**defaults, "disks": [{"blob_uri": URI.format("os.vhd")}], **more}


def request_of(**more: Any) -> RunRequest:
    params = options(**more)
    return read_options(params, read_documents(params))


def refusal(**more: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        request_of(**more)
    assert "SECRET" not in str(caught.value)
    return f"{caught.value.failure.name}: {caught.value}"


def test_options_have_defaults() -> None:
    request = read_options(options())
    assert request.freeze == "auto"
    assert request.freeze_timeout_s == 10.0
    assert request.on_partial == "discard"
    assert request.config_path == "/etc/azure/VMSnapshotScriptPluginConfig.json"
    assert request.task_id is None
    assert document_uris(options(), None) == (None, None)
    assert [disk.name for disk in request.disks] == ["os"]


def test_repr_has_no_secret() -> None:
    params = options(disks=None, extension_settings=extension())
    documents = read_documents(params)
    assert documents is not None
    assert "SECRET" not in f"{documents!r} {read_options(params, documents)!r}"


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
    ]
    found = read_options(options(disks=named)).disks
    assert [disk.name for disk in found] == ["os disk", "data", "b", "b-4"]
    assert (found[0].lun, found[1].device) == (-1, "/dev/sdc")


def test_address_that_is_not_a_url_is_rejected() -> None:
    assert refusal(disks=[{"blob_uri": "no address ["}]).startswith("InvalidBlobUri: Disk 1:")
    named = [{"blob_uri": "no address [", "name": "data"}]
    assert refusal(disks=named).startswith("InvalidBlobUri: Disk data:")


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


@pytest.mark.parametrize("task", ["", "a b", "ä", "x" * 129, "a\nb", URI.format("x")])
def test_invalid_task_id_is_rejected(task: str) -> None:
    assert refusal(task_id=task).startswith("InvalidTaskId")


def test_metadata_becomes_text() -> None:
    request = read_options(options(metadata={"keep": 3, "tier": "gold", "live": True}))
    metadata = {"keep": "3", "tier": "gold", "live": "True"}
    assert request.labels["os"].items() >= metadata.items()
    assert request.labels["os"]["quiesce_set"] == request.set_id


def test_invalid_metadata_is_rejected() -> None:
    assert refusal(metadata={"no-name": "x"}).startswith("InvalidMetadata")
    assert refusal(metadata={"big": "x" * 9000}).startswith("MetadataTooLarge")


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
    params = options(disks=None, extension_settings=extension())
    documents = read_documents(params)
    request = read_options(params, documents)
    assert request.task_id == "the-task_1"
    uris = [disk.address.uri for disk in request.disks]
    assert uris == [URI.format("a.vhd"), URI.format("b.vhd")]
    assert document_uris(params, documents) == (URI.format("public-status"), URI.format("log"))


def test_options_take_precedence_over_extension_settings() -> None:
    params = options(
        disks=None,
        extension_settings=extension(),
        task_id="mine",
        status_blob_uri=URI.format("my-status"),
    )
    documents = read_documents(params)
    assert read_options(params, documents).task_id == "mine"
    assert document_uris(params, documents)[0] == URI.format("my-status")


def test_invalid_settings_keep_the_place_of_the_status() -> None:
    params = options(disks=None, extension_settings=extension(commandToExecute="format"))
    documents = read_documents(params)
    with pytest.raises(SettingsError):
        read_options(params, documents)
    assert document_uris(params, documents) == (URI.format("public-status"), URI.format("log"))


def test_stated_task_id_survives_other_errors() -> None:
    params = options(disks=None, extension_settings=extension(commandToExecute="format"))
    assert stated_task_id(params, read_documents(params)) == "the-task_1"
    for wrong in (5, None, "a b", URI.format("x")):
        params = options(disks=None, extension_settings=extension(taskId=wrong))
        assert stated_task_id(params, read_documents(params)) == ""
    assert stated_task_id(options(task_id="mine"), None) == "mine"


def test_set_ids_are_unique_and_sort_by_time() -> None:
    found = [new_set_id() for _number in range(100)]
    assert len(set(found)) == 100
    assert [one[:16] for one in found] == sorted(one[:16] for one in found)
