# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.extension.settings import (
    ExtensionRequest,
    parse_documents,
    read_request,
)

SECRET = "c2VjcmV0LXNpZ25hdHVyZQ"
NOW_S = 1_790_000_000.0
NOW_TICKS = 621_355_968_000_000_000 + 1_790_000_000 * 10_000_000
MINUTE = 60 * 10_000_000


def uri(blob: str) -> str:
    return f"https://account.blob.example/vhds/{blob}?sv=2020-10-02&sr=b&sp=rw&sig={SECRET}"


def document(blobs: object = None, **settings: object) -> dict[str, Any]:
    uris = [uri("folder/os%20disk.vhd"), uri("data-1")] if blobs is None else blobs
    public: dict[str, Any] = {
        "taskId": "e07354cf-041e-4370-929f-25a319ce8933_1",
        "commandToExecute": "snapshot",
        "commandStartTimeUTCTicks": str(NOW_TICKS),
        "locale": "en-us",
        "vmType": "microsoft.compute/virtualmachines",
    }
    public.update(settings)
    return {
        "settings": {key: value for key, value in public.items() if value is not ...},
        "protected_settings": {
            "objectStr": json.dumps({"blobSASUri": uris}),
            "statusBlobUri": uri("status"),
            "logsBlobUri": uri("log"),
        },
    }


def parse(given: dict[str, Any]) -> ExtensionRequest:
    return read_request(parse_documents(given), NOW_S)


def refused(given: dict[str, Any], code: int = 11) -> str:
    with pytest.raises(SettingsError) as caught:
        parse(given)
    assert caught.value.failure.code == code
    text = f"{caught.value} {caught.value.failure}"
    assert SECRET not in text
    assert "sig=" not in text
    return text


def test_all_values_are_read() -> None:
    found = parse(document())
    assert found.task_id == "e07354cf-041e-4370-929f-25a319ce8933_1"
    assert [disk.name for disk in found.disks] == ["os disk", "data-1"]
    uris = [disk.address.uri for disk in found.disks]
    assert uris == [uri("folder/os%20disk.vhd"), uri("data-1")]
    assert found.command_start_ticks == str(NOW_TICKS)
    assert found.metadata == {}
    documents = parse_documents(document())
    assert (documents.status_uri, documents.logs_uri) == (uri("status"), uri("log"))
    assert SECRET not in f"{found!r} {documents!r}"


def test_optional_values_may_be_missing() -> None:
    given = document(commandStartTimeUTCTicks=..., locale=..., vmType=...)
    del given["protected_settings"]["statusBlobUri"]
    given["protected_settings"]["logsBlobUri"] = ""
    documents = parse_documents(given)
    assert (documents.status_uri, documents.logs_uri) == (None, None)
    assert parse(given).command_start_ticks is None


def test_public_addresses_go_first() -> None:
    given = document(statusBlobUri=uri("public"), logsBlobUri="")
    documents = parse_documents(given)
    assert (documents.status_uri, documents.logs_uri) == (uri("public"), uri("log"))


PLAIN = json.dumps({"blobSASUri": [uri("a.VHD")]})
CODED = base64.b64encode(PLAIN.encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f" '{PLAIN}' \n",
        CODED,
        f'"{CODED}"',
        "\n".join([CODED[:40], CODED[40:]]) + "\r\n",
        base64.b64encode(f" '{PLAIN}'\n".encode()).decode(),
        json.loads(PLAIN),
        json.loads(PLAIN)["blobSASUri"],
    ],
)
def test_object_str_in_every_form(text: object) -> None:
    given = document()
    given["protected_settings"]["objectStr"] = text
    (disk,) = parse(given).disks
    assert (disk.name, disk.address.uri) == ("a", uri("a.VHD"))


def test_whole_documents_as_json() -> None:
    given = {key: json.dumps(value) for key, value in document().items()}
    assert len(parse(given).disks) == 2


def test_two_blobs_of_one_name() -> None:
    given = document([uri("a/disk"), uri("b/disk.vhd"), uri("disk")])
    names = [disk.name for disk in parse(given).disks]
    assert names == ["disk", "disk-2", "disk-3"]


def test_backup_metadata() -> None:
    inner = {"backupMetadata": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": 2}]}
    coded = base64.b64encode(json.dumps(inner).encode()).decode()
    found = parse(document(objectStr=coded))
    assert found.metadata == {"a": "1", "b": "2"}
    assert parse(document(objectStr="{}")).metadata == {}
    for bad in ({"backupMetadata": {}}, {"backupMetadata": [{"Key": "a"}]}):
        assert "backupMetadata" in refused(document(objectStr=json.dumps(bad)))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "settings is missing"),
        ({"settings": {}}, "protected_settings is missing"),
        ({"settings": [], "protected_settings": {}}, "settings is not an object"),
        ({"settings": "{", "protected_settings": {}}, "settings is not JSON"),
        ({"settings": {}, "protected_settings": uri("x")}, "protected_settings is not JSON"),
    ],
)
def test_invalid_documents_are_refused(given: dict[str, Any], words: str) -> None:
    assert words in refused(given)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"taskId": ...}, "taskId"),
        ({"taskId": ""}, "taskId"),
        ({"taskId": 5}, "taskId"),
        ({"taskId": "a b"}, "taskId"),
        ({"taskId": "https://a/b?sig=c2VjcmV0"}, "taskId"),
        ({"taskId": "a\nb"}, "taskId"),
        ({"taskId": "x" * 129}, "taskId"),
        ({"commandToExecute": ...}, "commandToExecute"),
        ({"commandToExecute": "install"}, "commandToExecute"),
        ({"commandToExecute": ["snapshot"]}, "commandToExecute"),
        ({"vmType": "microsoft.classiccompute/virtualmachines"}, "classic VM"),
        ({"vmType": "toaster"}, "unknown"),
        ({"locale": 1}, "locale"),
        ({"statusBlobUri": 1}, "statusBlobUri"),
        ({"objectStr": "%%"}, "objectStr"),
        ({"commandStartTimeUTCTicks": True}, "Ticks"),
        ({"commandStartTimeUTCTicks": "soon"}, "Ticks"),
        ({"commandStartTimeUTCTicks": "NaN"}, "Ticks"),
        ({"commandStartTimeUTCTicks": "1e99999999"}, "Ticks"),
        ({"commandStartTimeUTCTicks": "-1"}, "Ticks"),
        ({"commandStartTimeUTCTicks": 0}, "Ticks"),
    ],
)
def test_invalid_public_settings_are_refused(settings: dict[str, object], words: str) -> None:
    assert words in refused(document(**settings))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "missing"),
        ("", "missing"),
        (7, "must be a string"),
        (f"not base64 {SECRET}!", "neither JSON nor base64"),
        (base64.b64encode(b"\xff\xfe").decode(), "neither JSON nor base64"),
        (base64.b64encode(SECRET.encode()).decode(), "not JSON"),
        ("{" + uri("a"), "not JSON"),
        ("{}", "blobSASUri"),
        ('{"blobSASUri": []}', "blobSASUri"),
        (json.dumps({"blobSASUri": uri("a")}), "blobSASUri"),
    ],
)
def test_invalid_object_strs_are_refused(text: object, words: str) -> None:
    given = document()
    given["protected_settings"]["objectStr"] = text
    assert words in refused(given)


@pytest.mark.parametrize(
    "bad", [None, 3, "", f"sig={SECRET}", "ftp://a/b/c", "https:///b", "https://a/b/", "http://["]
)
def test_invalid_address_names_its_item(bad: object) -> None:
    blobs: list[object] = [uri("a"), bad]
    assert "item 2 of blobSASUri" in refused(document(blobs))


@pytest.mark.parametrize("ticks", [str(NOW_TICKS - 139 * MINUTE), NOW_TICKS + 500 * MINUTE])
def test_command_in_time_is_accepted(ticks: object) -> None:
    parse(document(commandStartTimeUTCTicks=ticks))


def test_late_command_is_refused() -> None:
    text = refused(document(commandStartTimeUTCTicks=str(NOW_TICKS - 141 * MINUTE)), code=402)
    assert "141 minutes ago" in text
    assert "GuestAgentInvokedCommandTooLate" in text


@pytest.mark.parametrize("make", [str, float])
def test_rounded_ticks_are_judged_by_their_digits(make: Any) -> None:
    rounded = f"{NOW_TICKS:.5E}"
    found = parse(document(commandStartTimeUTCTicks=make(rounded)))
    assert found.command_start_ticks is not None
    refused(document(commandStartTimeUTCTicks=make("6.36458E+17")), code=402)
