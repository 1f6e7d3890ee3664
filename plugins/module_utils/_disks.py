# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The disks of a snapshot set, and the addresses of their blobs.

An address has a shared access signature (SAS). Its parts are read once, here; `_stores` checks
whether its permissions and times suffice. No message has any part of its query but names and times.
"""

from __future__ import annotations

import ipaddress
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qs, unquote, urlsplit

from ._errors import SettingsError
from ._redact import without_query

#: The advice for an address that cannot serve.
NEW_SAS = (
    "Set the address of the blob with a SAS that permits to read, to create a snapshot and to "
    "delete (sp=rcwd), and that is valid for longer than the run can last."
)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,7})?)?(?:Z|([+-])(\d\d):?(\d\d))?)?\Z"
)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class BlobAddress:
    """The parsed address of a blob. Only `uri` holds the signature."""

    #: With its SAS: never to be shown.
    uri: str = field(repr=False)
    #: The address without its query.
    shown: str
    scheme: str
    host: str
    port: int
    #: As it is in the address: percent-encoded.
    path: str
    #: The letters of `sp`; None when a stored access policy (`si`) may grant them.
    permissions: str | None
    #: Seconds since 1970; None where the address does not state them.
    starts_s: float | None
    expires_s: float | None
    #: The times of the key that signed a user-delegation SAS, which is valid no longer than that.
    key_starts_s: float | None
    key_expires_s: float | None
    #: Signed resource `sr` of a service SAS; empty for an account SAS.
    resource: str

    @property
    def identity(self) -> tuple[str, int, str]:
        """Return a value that is the same for two addresses of the same blob."""
        return (self.host, self.port, unquote(self.path))

    @property
    def blob_name(self) -> str:
        """Return the blob's name without its folders and without `.vhd`."""
        encoded = self.path.rpartition("/")[2]
        name = unquote(encoded)
        name = name if name.isprintable() else encoded
        return name[:-4] if name.lower().endswith(".vhd") and len(name) > 4 else name

    def permits(self, letters: str) -> bool:
        """Return True if the SAS grants one of the permissions, as far as the address states."""
        return self.permissions is None or any(letter in self.permissions for letter in letters)


@dataclass(frozen=True)
class Disk:
    """One disk of the set, as the options name it."""

    name: str
    address: BlobAddress
    lun: int | None = None
    #: Block device of the disk on the guest, when given.
    device: str | None = None


def parse_blob_uri(uri: str, subject: str) -> BlobAddress:
    """Return the parsed address of a blob; `subject` names its owner in messages.

    Raise `SettingsError` for an address that is insecure, or not that of a blob with a SAS.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise _invalid_uri(subject, "is not a URL") from None
    if parts.scheme not in _PORTS or not parts.hostname or not _is_plain(uri):
        raise _invalid_uri(subject, "is not a URL")
    if "@" in parts.netloc or parts.fragment:
        raise _invalid_uri(subject, "has a user name or a fragment")
    host = parts.hostname.lower()
    if parts.scheme == "http" and not is_loopback(host):
        raise SettingsError(
            "InsecureBlobUri",
            f"{subject} has an address with http on {host}: the network could read the SAS.",
            "Use https; http is only for a store on the loopback of this machine.",
        )
    if len([part for part in parts.path.split("/") if part]) < 2 or parts.path.endswith("/"):
        raise _invalid_uri(subject, "names no container and blob")
    query = _query(parts.query, subject)
    for key in ("snapshot", "versionid", "comp", "restype"):
        if key in query:
            raise _invalid_uri(subject, f"has {key}=, so it is not that of a blob itself")
    if "sig" not in query:
        raise SettingsError("MissingSas", f"{subject} has no SAS in its address.", NEW_SAS)
    return BlobAddress(
        uri=uri,
        shown=without_query(uri),
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        path=parts.path,
        permissions=query.get("sp", None if "si" in query else ""),
        starts_s=_time(query, "st", subject),
        expires_s=_time(query, "se", subject),
        key_starts_s=_time(query, "skt", subject),
        key_expires_s=_time(query, "ske", subject),
        resource=_resource(query, subject),
    )


def disk_names(given: Sequence[str | None], addresses: Sequence[BlobAddress]) -> list[str]:
    """Return a name for each disk: the given one, or its blob's, with a number if that is taken.

    Raise `SettingsError` if two disks have the same given name or are the same blob.
    """
    taken: set[str] = set()
    for name in filter(None, given):
        if name in taken:
            raise SettingsError(
                "DuplicateDisk",
                f"Two disks have the name {name}.",
                "Set a different name for each.",
            )
        taken.add(name)
    names = []
    for number, (chosen, address) in enumerate(zip(given, addresses), 1):
        name = chosen or _free_name(address.blob_name, number, taken)
        taken.add(name)
        names.append(name)
    _check_identities(names, addresses)
    return names


def is_loopback(host: str) -> bool:
    """Return True if a host is the loopback of this machine, by its name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _free_name(name: str, number: int, taken: set[str]) -> str:
    numbered = (f"{name}-{more}" for more in itertools.count(number))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def _check_identities(names: Sequence[str], addresses: Sequence[BlobAddress]) -> None:
    owners: dict[tuple[str, int, str], str] = {}
    for name, address in zip(names, addresses):
        if address.identity in owners:
            raise SettingsError(
                "DuplicateDisk",
                f"Disks {owners[address.identity]} and {name} are the same blob, {address.shown}.",
                "Name each blob once.",
            )
        owners[address.identity] = name


def _invalid_uri(subject: str, problem: str) -> SettingsError:
    return SettingsError("InvalidBlobUri", f"{subject}: its address {problem}.", NEW_SAS)


def _is_plain(uri: str) -> bool:
    """Return True for printable ASCII without spaces, which a request line can hold."""
    return uri.isascii() and uri.isprintable() and " " not in uri


def _query(text: str, subject: str) -> Mapping[str, str]:
    query = parse_qs(text, keep_blank_values=True)
    for key, values in query.items():
        if len(values) > 1:
            raise _invalid_uri(subject, f"has {key}= more than once")
    return {key.lower(): values[0] for key, values in query.items()}


def _resource(query: Mapping[str, str], subject: str) -> str:
    """Return the resource that the SAS is for; a blob must be part of it."""
    resource = query.get("sr", "")
    problem = ""
    if "srt" in query or "ss" in query:
        if "b" not in query.get("ss", "") or "o" not in query.get("srt", ""):
            problem = "is an account SAS that is not for objects (srt=o) of the blob service (ss=b)"
    elif "si" not in query and resource not in ("b", "c", "d"):
        problem = f"(sr={resource}) is neither for a blob nor for its container"
    if problem:
        raise SettingsError("SasWrongResource", f"{subject}: its SAS {problem}.", NEW_SAS)
    return resource


def _time(query: Mapping[str, str], key: str, subject: str) -> float | None:
    """Return a time of the SAS, in any form of ISO 8601 that the service takes."""
    text = query.get(key)
    if text is None:
        return None
    matched = _TIME.match(text.replace(" ", "+"))  # a plus that was not encoded reads as a space
    try:
        if matched is None:
            raise ValueError
        numbers = (int(part or 0) for part in matched.groups()[:6])
        year, month, day, hour, minute, second = numbers
        sign, zone_hours, zone_minutes = matched.groups()[6:]
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        return (moment + zone if sign == "-" else moment - zone).timestamp()
    except (ValueError, OverflowError):
        raise _invalid_uri(subject, f"has {key}= with a value that is not a time") from None
