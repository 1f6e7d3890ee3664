# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses with a SAS: what is refused, by which name, and that no message has the signature."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.sas import (
    check_disks,
    check_times,
    is_loopback,
    parse_blob_uri,
)

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
SIGNATURE = "c2VjcmV0c2VjcmV0c2VjcmV0"
BLOB = "https://account.blob.core.windows.net/vhds/data.vhd"


def _uri(blob: str = BLOB, **changes: Any) -> str:
    """The address with a SAS that can serve, but for these changes; None leaves a field out."""
    fields = {"sv": "2022-11-02", "sr": "b", "sp": "rcwd", "se": "2027-01-15T09:00:00Z"}
    fields.update(sig=SIGNATURE)
    fields.update(changes)
    return blob + "?" + "&".join(f"{key}={value}" for key, value in fields.items() if value)


def _check(*uris: str, deadline_s: float = 600) -> Any:
    disks = [Disk(name=f"d{number}", blob_uri=uri) for number, uri in enumerate(uris)]
    return check_disks(disks, deadline_s, NOW)


def _refused(name: str, *uris: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _check(*uris)
    assert caught.value.failure.name == name
    assert SIGNATURE not in f"{caught.value} {caught.value!r} {caught.value.failure}"
    return str(caught.value)


def test_takes_an_address_apart_and_shows_it_without_its_query() -> None:
    (found,) = _check(_uri(BLOB.replace("account.", "Account."), st="2027-01-15"))
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
        _uri("https://user@account.blob.core.windows.net/vhds/data.vhd"),
        _uri("https://account.blob.core.windows.net"),
        _uri("https://account.blob.core.windows.net/"),
        _uri("https://account.blob.core.windows.net/vhds"),
        _uri("https://account.blob.core.windows.net/vhds/"),
        _uri("https://account.blob.core.windows.net/vhds/my data.vhd"),
        _uri("https://account.blob.core.windows.net/vhds/d\u00e4ta.vhd"),
        _uri("https://account.blob.core.windows.net/vhds/data.vhd\r\nX-Bad: 1"),
        _uri(snapshot="2027-01-01T00:00:00.0000000Z"),
        _uri(versionid="2027-01-01T00:00:00.0000000Z"),
        _uri(comp="snapshot"),
        _uri() + "&sp=r",
        _uri() + "#part",
        _uri(se="tomorrow"),
        _uri(se="2027-13-01"),
        _uri(se="2027-01-15T25:00Z"),
        _uri(st="0000-01-01"),
    ],
)
def test_refuses_what_is_no_address_of_a_blob(uri: str) -> None:
    _refused("InvalidBlobUri", uri)


def test_http_is_for_loopback_only() -> None:
    text = _refused("InsecureBlobUri", _uri("http://account.blob.core.windows.net/vhds/data.vhd"))
    assert "https" in text
    for host in ("127.0.0.1:10000", "localhost:10000", "127.3.2.1", "[::1]:10000"):
        assert _check(_uri(f"http://{host}/account/vhds/data.vhd"))
    assert not is_loopback("localhost.example.org")
    assert not is_loopback("127.0.0.1.example.org")


def test_refuses_an_address_without_sas() -> None:
    _refused("MissingSas", BLOB)
    _refused("MissingSas", _uri(sig=None))


@pytest.mark.parametrize("permissions", ["r", "w", "rd", "rl", "c"])
def test_refuses_a_sas_that_cannot_read_and_create_snapshots(permissions: str) -> None:
    _refused("SasPermissionMissing", _uri(sp=permissions))


@pytest.mark.parametrize("permissions", ["rw", "rc", "rcwd", "racwdl"])
def test_takes_a_sas_that_can(permissions: str) -> None:
    assert _check(_uri(sp=permissions))


def test_a_stored_policy_may_hold_permissions_and_times() -> None:
    (found,) = _check(_uri(sp=None, se=None, si="policy"))
    assert found.permits("w")
    assert found.expires_s is None


def test_refuses_a_sas_for_something_else() -> None:
    _refused("SasWrongResource", _uri(sr="bs"))
    _refused("SasWrongResource", _uri(sr="bv"))
    _refused("SasWrongResource", _uri(sr=None))
    _refused("SasWrongResource", _uri(sr=None, ss="q", srt="sco"))
    _refused("SasWrongResource", _uri(sr=None, ss="b", srt="sc"))


@pytest.mark.parametrize(
    "changes", [{"sr": "c"}, {"sr": "d"}, {"sr": None, "ss": "bf", "srt": "co"}]
)
def test_takes_a_sas_for_more_than_the_blob(changes: Any) -> None:
    assert _check(_uri(**changes))


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
def test_reads_times_in_all_their_forms(text: str, seconds: float) -> None:
    assert parse_blob_uri(_uri(se=text), "it").expires_s == seconds


def test_refuses_a_sas_by_its_times() -> None:
    assert "2027-01-15T07:59:59Z" in _refused("SasExpired", _uri(se="2027-01-15T07:59:59Z"))
    _refused("SasExpired", _uri(se="2027-01-15T08:00:00Z"))
    assert "600 s" in _refused("SasExpiresTooSoon", _uri(se="2027-01-15T08:10:00Z"))
    assert _check(_uri(se="2027-01-15T08:10:01Z"))
    assert "clock" in _refused("SasNotYetValid", _uri(st="2027-01-15T08:06:00Z"))
    assert _check(_uri(st="2027-01-15T08:04:00Z")), "clocks differ by some minutes"


def test_refuses_a_user_delegation_sas_by_the_times_of_its_key() -> None:
    """It is valid no longer than the key that signed it, whatever C(se) says."""
    key = {"skoid": "o", "sktid": "t", "sks": "b", "skv": "2022-11-02"}
    expired = _refused("SasExpired", _uri(ske="2027-01-15T07:59:59Z", **key))
    assert "key" in expired and "(ske)" in expired
    _refused("SasExpiresTooSoon", _uri(ske="2027-01-15T08:10:00Z", **key))
    assert _check(_uri(ske="2027-01-15T08:10:01Z", **key))
    assert "(skt)" in _refused("SasNotYetValid", _uri(skt="2027-01-15T08:06:00Z", **key))
    _refused("InvalidBlobUri", _uri(ske="soon", **key))
    # The rest of the SAS counts all the same.
    later = "2027-01-16T08:00:00Z"
    _refused("SasExpired", _uri(ske=later, se="2027-01-15T07:59:59Z", **key))


def test_says_by_whose_clock() -> None:
    address = parse_blob_uri(_uri(), "Disk d")
    with pytest.raises(SettingsError, match="2027-01-15T09:00:01Z by the store's clock"):
        check_times(address, "Disk d", NOW + 3601, 10, "the store's")


@pytest.mark.parametrize(
    "other",
    [
        _uri(),
        _uri(sr="c", sig="another"),
        _uri(BLOB.replace("account", "ACCOUNT")),
        _uri(BLOB.replace(".net/", ".net:443/")),
        _uri(BLOB.replace("data", "d%61ta")),
    ],
)
def test_refuses_the_same_blob_twice(other: str) -> None:
    text = _refused("DuplicateDisk", _uri(), _uri(BLOB + "2"), other)
    assert "d0 and d2" in text


def test_refuses_two_disks_of_one_name() -> None:
    with pytest.raises(SettingsError, match="the name data"):
        check_disks([Disk("data", _uri()), Disk("data", _uri(BLOB + "2"))], 600, NOW)


def test_names_of_blobs_differ_by_case() -> None:
    assert len(_check(_uri(), _uri(BLOB.replace("data", "DATA")))) == 2
