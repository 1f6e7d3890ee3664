# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses with a SAS and names of disks; no message has the signature."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import (
    BlobAddress,
    disk_names,
    is_loopback,
    parse_blob_uri,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
SIGNATURE = "c2VjcmV0c2VjcmV0c2VjcmV0"
BLOB = "https://account.blob.core.windows.net/vhds/data.vhd"


def sas_uri(blob: str = BLOB, **changes: Any) -> str:
    """Return an address with a valid SAS and these changes; None leaves a field out."""
    fields = {"sv": "2022-11-02", "sr": "b", "sp": "rcwd", "se": "2027-01-15T09:00:00Z"}
    fields.update(sig=SIGNATURE)
    fields.update(changes)
    return blob + "?" + "&".join(f"{key}={value}" for key, value in fields.items() if value)


def _check(*uris: str) -> list[BlobAddress]:
    addresses = [parse_blob_uri(uri, "it") for uri in uris]
    disk_names([f"d{number}" for number in range(len(uris))], addresses)
    return addresses


def _refused(name: str, *uris: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _check(*uris)
    assert caught.value.failure.name == name
    assert SIGNATURE not in f"{caught.value} {caught.value!r} {caught.value.failure}"
    return str(caught.value)


def test_parsed_address_shows_no_query() -> None:
    (found,) = _check(sas_uri(BLOB.replace("account.", "Account."), st="2027-01-15"))
    assert (found.scheme, found.host, found.port) == (
        "https",
        "account.blob.core.windows.net",
        443,
    )
    assert found.path == "/vhds/data.vhd"
    assert found.permits("d")
    assert not found.permits("l")
    assert "?" not in found.shown
    assert SIGNATURE not in repr(found)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "data.vhd",
        "/dev/sdc",
        "ftp://account.blob.core.windows.net/vhds/data.vhd?sig=x",
        "https:///vhds/data.vhd?sig=x",
        "https://[::1/vhds/data.vhd?sig=x",
        "https://account:port/vhds/data.vhd?sig=x",
        sas_uri("https://user@account.blob.core.windows.net/vhds/data.vhd"),
        sas_uri("https://account.blob.core.windows.net"),
        sas_uri("https://account.blob.core.windows.net/"),
        sas_uri("https://account.blob.core.windows.net/vhds"),
        sas_uri("https://account.blob.core.windows.net/vhds/"),
        sas_uri("https://account.blob.core.windows.net/vhds/my data.vhd"),
        sas_uri("https://account.blob.core.windows.net/vhds/d\u00e4ta.vhd"),
        sas_uri("https://account.blob.core.windows.net/vhds/data.vhd\r\nX-Bad: 1"),
        sas_uri(snapshot="2027-01-01T00:00:00.0000000Z"),
        sas_uri(versionid="2027-01-01T00:00:00.0000000Z"),
        sas_uri(comp="snapshot"),
        sas_uri() + "&sp=r",
        sas_uri() + "#part",
        sas_uri(se="tomorrow"),
        sas_uri(se="2027-13-01"),
        sas_uri(se="2027-01-15T25:00Z"),
        sas_uri(st="0000-01-01"),
    ],
)
def test_invalid_address_is_refused(uri: str) -> None:
    _refused("InvalidBlobUri", uri)


def test_http_is_for_loopback_only() -> None:
    text = _refused(
        "InsecureBlobUri", sas_uri("http://account.blob.core.windows.net/vhds/data.vhd")
    )
    assert "https" in text
    for host in ("127.0.0.1:10000", "localhost:10000", "127.3.2.1", "[::1]:10000"):
        assert _check(sas_uri(f"http://{host}/account/vhds/data.vhd"))
    assert not is_loopback("localhost.example.org")
    assert not is_loopback("127.0.0.1.example.org")


def test_address_without_sas_is_refused() -> None:
    _refused("MissingSas", BLOB)
    _refused("MissingSas", sas_uri(sig=None))


def test_sas_for_another_resource_is_refused() -> None:
    _refused("SasWrongResource", sas_uri(sr="bs"))
    _refused("SasWrongResource", sas_uri(sr="bv"))
    _refused("SasWrongResource", sas_uri(sr=None))
    _refused("SasWrongResource", sas_uri(sr=None, ss="q", srt="sco"))
    _refused("SasWrongResource", sas_uri(sr=None, ss="b", srt="sc"))


@pytest.mark.parametrize(
    "changes", [{"sr": "c"}, {"sr": "d"}, {"sr": None, "ss": "bf", "srt": "co"}]
)
def test_sas_for_more_than_the_blob_is_accepted(changes: Any) -> None:
    assert _check(sas_uri(**changes))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2027-01-15", 1_799_971_200),
        ("2027-01-15T08:00Z", NOW),
        ("2027-01-15T08:00", NOW),
        ("2027-01-15T08:00:30Z", NOW + 30),
        ("2027-01-15T08%3A00%3A30Z", NOW + 30),
        ("2027-01-15T08:00:30.1234567Z", NOW + 30),
        ("2027-01-15T10:00%2B02:00", NOW),
        ("2027-01-15T10:00+02:00", NOW),
        ("2027-01-15T05:30:00-02:30", NOW),
    ],
)
def test_times_are_read_in_all_forms(text: str, seconds: float) -> None:
    assert parse_blob_uri(sas_uri(se=text), "it").expires_s == seconds


@pytest.mark.parametrize(
    "other",
    [
        sas_uri(),
        sas_uri(sr="c", sig="another"),
        sas_uri(BLOB.replace("account", "ACCOUNT")),
        sas_uri(BLOB.replace(".net/", ".net:443/")),
        sas_uri(BLOB.replace("data", "d%61ta")),
    ],
)
def test_same_blob_twice_is_refused(other: str) -> None:
    text = _refused("DuplicateDisk", sas_uri(), sas_uri(BLOB + "2"), other)
    assert "d0 and d2" in text


def test_two_disks_of_one_given_name_are_refused() -> None:
    addresses = [parse_blob_uri(sas_uri(BLOB + end), "it") for end in "12"]
    with pytest.raises(SettingsError, match="the name data"):
        disk_names(["data", "data"], addresses)


@pytest.mark.parametrize(
    ("blobs", "given", "names"),
    [
        (["a/os%20disk.vhd", "b/data-1"], [None, None], ["os disk", "data-1"]),
        (["a/x", "b/x.VHD", "c/x"], [None] * 3, ["x", "x-2", "x-3"]),
        (["a/x", "b/x"], [None, "x"], ["x-1", "x"]),
        (["a/x", "b/x", "c/x"], ["x-2", None, None], ["x-2", "x", "x-3"]),
        (["a/x", "b/x", "c/x"], ["x-3", "x", None], ["x-3", "x", "x-4"]),
        (["a/.vhd", "b/x%0Ay.vhd"], [None, None], [".vhd", "x%0Ay"]),
    ],
)
def test_disk_names(blobs: list[str], given: list[str | None], names: list[str]) -> None:
    addresses = [parse_blob_uri(sas_uri(f"https://a.example/vhds/{blob}"), "it") for blob in blobs]
    assert disk_names(given, addresses) == names


def test_names_of_blobs_differ_by_case() -> None:
    assert len(_check(sas_uri(), sas_uri(BLOB.replace("data", "DATA")))) == 2
