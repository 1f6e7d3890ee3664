# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The checks of a shared access signature (SAS) before its use: permissions and times.

The rules are those of Microsoft's pages on the service SAS, the account SAS and the operation
Snapshot Blob.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone

from ..._disks import NEW_SAS, BlobAddress, Disk
from ..._errors import SettingsError

#: The difference between two clocks that is tolerated for the start of a SAS, in seconds.
_START_TOLERANCE_S = 300.0


def check_disks(disks: Sequence[Disk], deadline_s: float, now_s: float | None = None) -> None:
    """Raise `SettingsError` for the first disk whose SAS does not last for `deadline_s` from now.

    `now_s` is in seconds since 1970; the default is the time of this machine's clock.
    """
    now = time.time() if now_s is None else now_s
    for disk in disks:
        subject = f"Disk {disk.name}"
        check_permissions(disk.address, subject)
        check_times(disk.address, subject, now, deadline_s)


def check_permissions(address: BlobAddress, subject: str) -> None:
    """Raise `SettingsError` unless the SAS permits to read and to create a snapshot (w or c)."""
    missing = []
    if not address.permits("r"):
        missing.append("to read (r)")
    if not address.permits("wc"):
        missing.append("to create a snapshot (c or w)")
    if missing:
        granted = f"its SAS (sp={address.permissions})"
        raise SettingsError(
            "SasPermissionMissing",
            f"{subject}: {granted} does not permit {' or '.join(missing)}.",
            NEW_SAS,
        )


def check_times(
    address: BlobAddress,
    subject: str,
    now_s: float,
    deadline_s: float,
    clock: str = "this machine's",
) -> None:
    """Raise `SettingsError` unless the SAS is valid now and for `deadline_s` from now.

    `clock` names the clock of `now_s` in messages.
    """
    stated = f"it is {_text(now_s)} by {clock} clock"
    for starts_s, expires_s, thing, start, end in (
        (address.starts_s, address.expires_s, "its SAS", "st", "se"),
        (address.key_starts_s, address.key_expires_s, "the key of its SAS", "skt", "ske"),
    ):
        if starts_s is not None and starts_s > now_s + _START_TOLERANCE_S:
            raise SettingsError(
                "SasNotYetValid",
                f"{subject}: {thing} is valid only from {_text(starts_s)} ({start}), and {stated}.",
                "Check this machine's clock, or set an address with a SAS that is valid now.",
            )
        if expires_s is None:
            continue
        if expires_s <= now_s:
            raise SettingsError(
                "SasExpired",
                f"{subject}: {thing} expired at {_text(expires_s)} ({end}), and {stated}.",
                NEW_SAS,
            )
        if expires_s <= now_s + deadline_s:
            raise SettingsError(
                "SasExpiresTooSoon",
                f"{subject}: {thing} expires at {_text(expires_s)} ({end}), {stated}, and the run "
                f"may take {deadline_s:.0f} s.",
                NEW_SAS,
            )


def _text(seconds: float) -> str:
    moment = datetime.fromtimestamp(int(seconds), timezone.utc)
    return f"{moment.replace(tzinfo=None).isoformat()}Z"
