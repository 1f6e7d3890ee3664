# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery points, their consistency, and the match between a point and its job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ..._arm.connection import as_dict
from ..._arm.ids import FABRIC
from ..._arm.times import format_for_filter, format_utc, parse_time
from ..._consistency import APPLICATION, CRASH, FILE_SYSTEM, ORDER
from ..connection import VaultConnection
from .jobs import Job
from .protected_items import ProtectedItem

_BY_TYPE = {
    "crashconsistent": CRASH,
    "filesystemconsistent": FILE_SYSTEM,
    "appconsistent": APPLICATION,
    "applicationconsistent": APPLICATION,
}
# The states of a tier that holds the point's data.
_RESTORABLE = ("valid", "rehydrated")
_DISKS = "recoveryPointDiskConfiguration"
# Azure's times of a job and of its recovery point differ by less than this.
_SLACK = timedelta(seconds=5)
# A point whose expiry differs from the requested expiry by more belongs to another request.
_SAME_EXPIRY = timedelta(days=1)


@dataclass(frozen=True)
class RecoveryPoint:
    """One recovery point; `consistency` is None for a type that this collection does not know."""

    id: str
    type: str
    consistency: str | None
    time: datetime | None
    expires: datetime | None = None
    tiers: tuple[tuple[str, str], ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_restorable(self) -> bool:
        """Return True if a tier is known to hold the data."""
        return any(status.lower() in _RESTORABLE for _kind, status in self.tiers)

    @property
    def included_disk_count(self) -> int | None:
        """Return how many disks the point holds, with the OS disk; None if Azure omits it."""
        return _whole(self._disks.get("numberOfDisksIncludedInBackup"))

    @property
    def attached_disk_count(self) -> int | None:
        """Return how many disks the VM had; None if Azure omits it."""
        return _whole(self._disks.get("numberOfDisksAttachedToVm"))

    @property
    def may_lack_disks(self) -> bool:
        """Return True unless the counts show that the point holds every disk."""
        included, attached = self.included_disk_count, self.attached_disk_count
        return included is None or attached is None or included < attached

    @property
    def included_disks(self) -> list[dict[str, Any]] | None:
        """Return the disks in the point, the OS disk with LUN -1; None in a list of points."""
        return _disks(self._disks.get("includedDiskList"))

    @property
    def excluded_disks(self) -> list[dict[str, Any]] | None:
        """Return the excluded disks that Azure names."""
        return _disks(self._disks.get("excludedDiskList"))

    @property
    def _disks(self) -> Mapping[str, Any]:
        return self.properties.get(_DISKS) or {}

    def with_disks_of(self, detailed: RecoveryPoint) -> RecoveryPoint:
        """Return this point with the disks of the same point read by its id."""
        known = {key: value for key, value in detailed._disks.items() if value is not None}
        return replace(self, properties={**self.properties, _DISKS: {**self._disks, **known}})

    def to_result(self) -> dict[str, Any]:
        """Return the point as part of a result, without the keys of an encrypted VM."""
        properties = self.properties
        return {
            "recovery_point_id": self.id,
            "consistency": self.consistency,
            "type": self.type,
            "time": format_utc(self.time),
            "expiry_time": format_utc(self.expires),
            "tiers": [{"type": kind, "status": status} for kind, status in self.tiers],
            "os_type": properties.get("osType") or None,
            "encrypted": properties.get("isSourceVMEncrypted"),
            "security_type": properties.get("securityType") or None,
            "vm_size": properties.get("virtualMachineSize") or None,
            "created_with_policy_type": properties.get("createdWithPolicyType") or None,
            "managed_disks": properties.get("isManagedVirtualMachine"),
            "included_disk_count": self.included_disk_count,
            "attached_disk_count": self.attached_disk_count,
            "included_disks": self.included_disks,
            "excluded_disks": self.excluded_disks,
        }


def read_point(resource: Mapping[str, Any]) -> RecoveryPoint:
    """Read a recovery point from Azure's JSON."""
    properties = resource.get("properties") or {}
    kind = str(properties.get("recoveryPointType") or "")
    details = properties.get("recoveryPointProperties") or {}
    return RecoveryPoint(
        id=str(resource.get("name") or ""),
        type=kind,
        consistency=_BY_TYPE.get(kind.lower()),
        time=parse_time(properties.get("recoveryPointTime")),
        expires=parse_time(details.get("expiryTime")),
        tiers=tuple(
            (str(tier.get("type") or ""), str(tier.get("status") or ""))
            for tier in properties.get("recoveryPointTierDetails") or ()
        ),
        properties=properties,
    )


def list_points(
    connection: VaultConnection,
    item: ProtectedItem,
    after: datetime | None = None,
    before: datetime | None = None,
) -> list[RecoveryPoint]:
    """Return the recovery points of a VM between two times, newest first."""
    filters = None
    if after or before:
        # The service needs both ends of the window, in whole seconds.
        start = after or datetime(2015, 1, 1, tzinfo=before.tzinfo if before else None)
        end = before or max(connection.server_now(), start) + timedelta(days=1)
        filters = (
            f"startDate eq '{format_for_filter(start)}' and "
            f"endDate eq '{format_for_filter(end + timedelta(seconds=1))}'"
        )
    listed = connection.items(
        f"list the recovery points of VM {item.vm.name}",
        lambda: connection.backup.recovery_points.list(
            **connection.vault_keywords,
            fabric_name=FABRIC,
            container_name=item.container,
            protected_item_name=item.item,
            **({"filter": filters} if filters else {}),
        ),
        item.vm,
    )
    points = [point for point in map(read_point, listed) if _within(point, after, before)]
    return sorted(points, key=lambda point: (str(format_utc(point.time)), point.id), reverse=True)


def get_point(connection: VaultConnection, item: ProtectedItem, point_id: str) -> RecoveryPoint:
    """Return one recovery point, with the names of its disks."""
    return read_point(
        as_dict(
            connection.read(
                f"read recovery point {point_id} of VM {item.vm.name}",
                lambda: connection.backup.recovery_points.get(
                    **connection.vault_keywords,
                    fabric_name=FABRIC,
                    container_name=item.container,
                    protected_item_name=item.item,
                    recovery_point_id=point_id,
                ),
                item.vm,
            )
        )
    )


def point_of_job(
    points: Sequence[RecoveryPoint], job: Job, expires: datetime | None = None
) -> RecoveryPoint | None:
    """Return the point whose time lies between the job's start and end.

    Return None for a job without these times. If several points match, return the first that
    expires at the requested time.
    """
    if job.start_time is None or job.end_time is None:
        return None
    first, last = job.start_time - _SLACK, job.end_time + _SLACK
    found = [point for point in points if point.time is not None and first <= point.time <= last]
    # Azure itself may have chosen another expiry.
    found = [point for point in found if not _expires_otherwise(point, expires)] or found
    return min(found, key=lambda point: str(format_utc(point.time))) if found else None


def least(consistencies: Sequence[str | None]) -> str | None:
    """Return the least consistency; None for an empty sequence or an unknown consistency."""
    known = [consistency for consistency in consistencies if consistency is not None]
    if not known or len(known) < len(consistencies):
        return None
    return min(known, key=ORDER.index)


def _expires_otherwise(point: RecoveryPoint, expires: datetime | None) -> bool:
    if expires is None or point.expires is None:
        return False
    return abs(point.expires - expires) > _SAME_EXPIRY


def _within(point: RecoveryPoint, after: datetime | None, before: datetime | None) -> bool:
    if point.time is None:
        return True
    return (after is None or point.time >= after) and (before is None or point.time < before)


def _whole(count: Any) -> int | None:
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _disks(listed: Any) -> list[dict[str, Any]] | None:
    if listed is None:
        return None
    return [{"lun": disk.get("lun"), "name": disk.get("name")} for disk in listed]
