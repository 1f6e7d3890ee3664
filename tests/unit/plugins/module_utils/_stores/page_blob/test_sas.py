# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Permissions and times of a SAS; no message has the signature."""

from __future__ import annotations

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._disks import Disk
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._stores.page_blob.sas import (
    check_disks,
    check_times,
)
from tests.unit.plugins.module_utils.disks import make_disk
from tests.unit.plugins.module_utils.test_disks import NOW, SIGNATURE, sas_uri


def _check(*uris: str, deadline_s: float = 600) -> tuple[Disk, ...]:
    disks = tuple(make_disk(f"d{number}", uri) for number, uri in enumerate(uris))
    check_disks(disks, deadline_s, NOW)
    return disks


def _refused(name: str, *uris: str) -> str:
    with pytest.raises(SettingsError) as caught:
        _check(*uris)
    assert caught.value.failure.name == name
    assert SIGNATURE not in f"{caught.value} {caught.value!r} {caught.value.failure}"
    return str(caught.value)


@pytest.mark.parametrize("permissions", ["r", "w", "rd", "rl", "c"])
def test_sas_without_read_or_create_is_refused(permissions: str) -> None:
    _refused("SasPermissionMissing", sas_uri(sp=permissions))


@pytest.mark.parametrize("permissions", ["rw", "rc", "rcwd", "racwdl"])
def test_sas_with_read_and_create_is_accepted(permissions: str) -> None:
    assert _check(sas_uri(sp=permissions))


def test_stored_policy_leaves_permissions_open() -> None:
    (found,) = _check(sas_uri(sp=None, se=None, si="policy"))
    assert found.address.permits("w")
    assert found.address.expires_s is None


def test_sas_outside_its_times_is_refused() -> None:
    assert "2027-01-15T07:59:59Z" in _refused("SasExpired", sas_uri(se="2027-01-15T07:59:59Z"))
    _refused("SasExpired", sas_uri(se="2027-01-15T08:00:00Z"))
    assert "600 s" in _refused("SasExpiresTooSoon", sas_uri(se="2027-01-15T08:10:00Z"))
    assert _check(sas_uri(se="2027-01-15T08:10:01Z"))
    assert "clock" in _refused("SasNotYetValid", sas_uri(st="2027-01-15T08:06:00Z"))
    assert _check(sas_uri(st="2027-01-15T08:04:00Z")), "clocks differ by some minutes"


def test_sas_outside_the_times_of_its_key_is_refused() -> None:
    """Check that the key limits a SAS also if `se` is later."""
    key = {"skoid": "o", "sktid": "t", "sks": "b", "skv": "2022-11-02"}
    expired = _refused("SasExpired", sas_uri(ske="2027-01-15T07:59:59Z", **key))
    assert "key" in expired and "(ske)" in expired
    _refused("SasExpiresTooSoon", sas_uri(ske="2027-01-15T08:10:00Z", **key))
    assert _check(sas_uri(ske="2027-01-15T08:10:01Z", **key))
    assert "(skt)" in _refused("SasNotYetValid", sas_uri(skt="2027-01-15T08:06:00Z", **key))
    _refused("InvalidBlobUri", sas_uri(ske="soon", **key))
    # The times of the SAS itself still count.
    later = "2027-01-16T08:00:00Z"
    _refused("SasExpired", sas_uri(ske=later, se="2027-01-15T07:59:59Z", **key))


def test_message_names_the_clock() -> None:
    address = make_disk("d", sas_uri()).address
    with pytest.raises(SettingsError, match="2027-01-15T09:00:01Z by the store's clock"):
        check_times(address, "Disk d", NOW + 3601, 10, "the store's")
