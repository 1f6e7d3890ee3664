# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Addresses of blobs with a shared access signature (SAS): whether they can serve, before any use.

PRIVATE: for this collection only. The rules: Microsoft's pages on the service SAS, the account SAS
and the operation Snapshot Blob. No message has any part of the query but dates and permissions.
"""

from __future__ import annotations

import ipaddress
import re
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Dict, Mapping, NoReturn, Optional, Sequence, Tuple
from urllib.parse import parse_qs, unquote, urlsplit

from ..._disks import Disk
from ..._errors import refuse
from ..._redact import without_query

#: How far this clock and the service's may be apart before a SAS is taken to begin in the future.
_START_TOLERANCE_S = 300.0
_NEW_SAS = (
    "Give the blob's address with a SAS that permits to read, to create a snapshot and to delete "
    "(sp=rcwd), and that is valid for longer than the run can last."
)
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,7})?)?(?:Z|([+-])(\d\d):?(\d\d))?)?\Z"
)
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True)
class BlobAddress:
    """The address of a blob, taken apart. Only C(uri) holds the signature."""

    #: With its SAS: never to be shown.
    uri: str = field(repr=False)
    #: The same without its query.
    shown: str
    scheme: str
    host: str
    port: int
    #: As it is in the address: percent-encoded.
    path: str
    #: The letters of C(sp); None when a stored access policy (C(si)) may grant them.
    permissions: Optional[str]
    #: Seconds since 1970; None where the address does not say.
    starts_s: Optional[float]
    expires_s: Optional[float]
    #: The same of the key that signed a user-delegation SAS, which is valid no longer than that.
    key_starts_s: Optional[float]
    key_expires_s: Optional[float]
    #: Signed resource C(sr) of a service SAS; empty for an account SAS.
    resource: str

    @property
    def identity(self) -> Tuple[str, int, str]:
        """What two addresses of one blob have in common."""
        return (self.host, self.port, unquote(self.path))

    def permits(self, letters: str) -> bool:
        """Whether the SAS grants one of these permissions, as far as the address tells."""
        return self.permissions is None or any(letter in self.permissions for letter in letters)


def parse_blob_uri(uri: str, what: str) -> BlobAddress:
    """Take the address of a blob apart; C(what) names it in messages.

    Raises C(SettingsError) for what is no address of a blob with a SAS, or an insecure one.
    """
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        _refuse_uri(what, "is not a URL")
    if parts.scheme not in _PORTS or not parts.hostname or not _is_plain(uri):
        _refuse_uri(what, "is not a URL")
    if "@" in parts.netloc or parts.fragment:
        _refuse_uri(what, "has a user name or a fragment")
    host = parts.hostname.lower()
    if parts.scheme == "http" and not is_loopback(host):
        refuse(
            "InsecureBlobUri",
            f"{what} is addressed by http on {host}: the SAS could be read on its way.",
            "Use https; http is for a store on this machine's loopback only.",
        )
    if len([part for part in parts.path.split("/") if part]) < 2 or parts.path.endswith("/"):
        _refuse_uri(what, "names no container and blob")
    query = _query(parts.query, what)
    for key in ("snapshot", "versionid", "comp", "restype"):
        if key in query:
            _refuse_uri(what, f"has {key}=, so it is not that of a blob itself")
    if "sig" not in query:
        refuse("MissingSas", f"{what} has no SAS in its address.", _NEW_SAS)
    return BlobAddress(
        uri=uri,
        shown=without_query(uri),
        scheme=parts.scheme,
        host=host,
        port=port or _PORTS[parts.scheme],
        path=parts.path,
        permissions=query.get("sp", None if "si" in query else ""),
        starts_s=_time(query, "st", what),
        expires_s=_time(query, "se", what),
        key_starts_s=_time(query, "skt", what),
        key_expires_s=_time(query, "ske", what),
        resource=_resource(query, what),
    )


def check_disks(
    disks: Sequence[Disk], deadline_s: float, now_s: Optional[float] = None
) -> Tuple[BlobAddress, ...]:
    """The addresses of the disks, if snapshots can be taken by them for C(deadline_s) from now.

    C(now_s): seconds since 1970, this machine's clock by default. Raises C(SettingsError) for the
    first disk that cannot serve, and for two that have one name or are the same blob.
    """
    names = [disk.name for disk in disks]
    for name in names:
        if names.count(name) > 1:
            refuse("DuplicateDisk", f"Two disks have the name {name}.", "Name each differently.")
    now = time.time() if now_s is None else now_s
    found: Dict[Tuple[str, int, str], str] = {}
    addresses = []
    for disk in disks:
        what = f"Disk {disk.name}"
        address = parse_blob_uri(disk.blob_uri, what)
        check_permissions(address, what)
        check_times(address, what, now, deadline_s)
        if address.identity in found:
            refuse(
                "DuplicateDisk",
                f"Disks {found[address.identity]} and {disk.name} are the same blob, "
                f"{address.shown}.",
                "Name each blob once.",
            )
        found[address.identity] = disk.name
        addresses.append(address)
    return tuple(addresses)


def check_permissions(address: BlobAddress, what: str) -> None:
    """Raise C(SettingsError) when the SAS permits no snapshot (needs w or c), or not to read."""
    missing = []
    if not address.permits("r"):
        missing.append("to read (r)")
    if not address.permits("wc"):
        missing.append("to create a snapshot (c or w)")
    if missing:
        refuse(
            "SasPermissionMissing",
            f"{what}: its SAS (sp={address.permissions}) does not permit {' or '.join(missing)}.",
            _NEW_SAS,
        )


def check_times(
    address: BlobAddress, what: str, now_s: float, deadline_s: float, clock: str = "this machine's"
) -> None:
    """Raise C(SettingsError) unless the SAS is valid now and for C(deadline_s) from now.

    C(clock) says in the message whose time C(now_s) is.
    """
    stated = f"it is {_text(now_s)} by {clock} clock"
    for starts_s, expires_s, thing, start, end in (
        (address.starts_s, address.expires_s, "its SAS", "st", "se"),
        (address.key_starts_s, address.key_expires_s, "the key of its SAS", "skt", "ske"),
    ):
        if starts_s is not None and starts_s > now_s + _START_TOLERANCE_S:
            refuse(
                "SasNotYetValid",
                f"{what}: {thing} is valid only from {_text(starts_s)} ({start}), and {stated}.",
                "Check the machine's clock, or give a SAS that is valid now.",
            )
        if expires_s is None:
            continue
        if expires_s <= now_s:
            refuse(
                "SasExpired",
                f"{what}: {thing} expired at {_text(expires_s)} ({end}), and {stated}.",
                _NEW_SAS,
            )
        if expires_s <= now_s + deadline_s:
            refuse(
                "SasExpiresTooSoon",
                f"{what}: {thing} expires at {_text(expires_s)} ({end}), {stated}, and the run "
                f"may take {deadline_s:.0f} s.",
                _NEW_SAS,
            )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine's loopback, by its name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_uri(what: str, problem: str) -> NoReturn:
    refuse("InvalidBlobUri", f"{what}: its address {problem}.", _NEW_SAS)


def _is_plain(uri: str) -> bool:
    """Printable ASCII without spaces: what can be sent, and nothing that could be sent besides."""
    return uri.isascii() and uri.isprintable() and " " not in uri


def _query(text: str, what: str) -> Mapping[str, str]:
    found = parse_qs(text, keep_blank_values=True)
    for key, values in found.items():
        if len(values) > 1:
            _refuse_uri(what, f"has {key}= more than once")
    return {key.lower(): values[0] for key, values in found.items()}


def _resource(query: Mapping[str, str], what: str) -> str:
    """What the SAS is for; a blob must be part of it."""
    resource = query.get("sr", "")
    if "srt" in query or "ss" in query:
        if "b" not in query.get("ss", "") or "o" not in query.get("srt", ""):
            problem = "is an account SAS that is not for objects (srt=o) of the blob service (ss=b)"
            refuse("SasWrongResource", f"{what}: its SAS {problem}.", _NEW_SAS)
    elif "si" not in query and resource not in ("b", "c", "d"):
        problem = f"(sr={resource}) is neither for a blob nor for its container"
        refuse("SasWrongResource", f"{what}: its SAS {problem}.", _NEW_SAS)
    return resource


def _time(query: Mapping[str, str], key: str, what: str) -> Optional[float]:
    """A time of the SAS, in the forms of ISO 8601 that the service takes."""
    text = query.get(key)
    if text is None:
        return None
    matched = _TIME.match(text.replace(" ", "+"))  # a plus that was not encoded reads as a space
    try:
        if matched is None:
            raise ValueError
        year, month, day, hour, minute, second = (int(one or 0) for one in matched.groups()[:6])
        sign, zone_hours, zone_minutes = matched.groups()[6:]
        moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc)
        zone = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
        return (moment + zone if sign == "-" else moment - zone).timestamp()
    except (ValueError, OverflowError):
        _refuse_uri(what, f"has {key}= with a value that is no time")


def _text(seconds: float) -> str:
    moment = datetime.fromtimestamp(int(seconds), timezone.utc)
    return f"{moment.replace(tzinfo=None).isoformat()}Z"
