# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recovery points: what they hold, how consistent they are, and which one a job has made.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

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
# The service's times of a job and of its point are by the same clock, but for this much.
_SLACK = timedelta(seconds=5)
# A point that expires so much sooner or later than was asked for is not that of the request.
_SAME_EXPIRY = timedelta(days=1)


@dataclass(frozen=True)
class RecoveryPoint:
    """One recovery point; C(consistency) is nothing when the service uses a word of its own."""

    id: str
    type: str
    consistency: Optional[str]
    time: Optional[datetime]
    expires: Optional[datetime] = None
    tiers: Tuple[Tuple[str, str], ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_restorable(self) -> bool:
        """Return True if a tier holds its data; no tier, and an unknown state, is no proof."""
        return any(status.lower() in _RESTORABLE for _kind, status in self.tiers)

    @property
    def included_disk_count(self) -> Optional[int]:
        """Return how many disks are in it, the OS disk among them; None where Azure is silent."""
        return _whole(self._disks.get("numberOfDisksIncludedInBackup"))

    @property
    def attached_disk_count(self) -> Optional[int]:
        """Return how many disks the VM had; None where Azure is silent."""
        return _whole(self._disks.get("numberOfDisksAttachedToVm"))

    @property
    def may_lack_disks(self) -> bool:
        """Return True unless its counts show that every disk is in it."""
        included, attached = self.included_disk_count, self.attached_disk_count
        return included is None or attached is None or included < attached

    @property
    def included_disks(self) -> Optional[List[Dict[str, Any]]]:
        """Return the disks in it, the OS disk with LUN -1; None in a list of points."""
        return _disks(self._disks.get("includedDiskList"))

    @property
    def excluded_disks(self) -> Optional[List[Dict[str, Any]]]:
        """Return the disks that were left out, as far as Azure names them."""
        return _disks(self._disks.get("excludedDiskList"))

    @property
    def _disks(self) -> Mapping[str, Any]:
        return self.properties.get(_DISKS) or {}

    def with_disks_of(self, detailed: RecoveryPoint) -> RecoveryPoint:
        """Return this point with what the same one, read by its id, says of its disks."""
        said = {key: value for key, value in detailed._disks.items() if value is not None}
        return replace(self, properties={**self.properties, _DISKS: {**self._disks, **said}})

    def to_result(self) -> Dict[str, Any]:
        """The point as a result has it: never the keys of an encrypted VM."""
        of = self.properties
        return {
            "recovery_point_id": self.id,
            "consistency": self.consistency,
            "type": self.type,
            "time": format_utc(self.time),
            "expiry_time": format_utc(self.expires),
            "tiers": [{"type": kind, "status": status} for kind, status in self.tiers],
            "os_type": of.get("osType") or None,
            "encrypted": of.get("isSourceVMEncrypted"),
            "security_type": of.get("securityType") or None,
            "vm_size": of.get("virtualMachineSize") or None,
            "created_with_policy_type": of.get("createdWithPolicyType") or None,
            "managed_disks": of.get("isManagedVirtualMachine"),
            "included_disk_count": self.included_disk_count,
            "attached_disk_count": self.attached_disk_count,
            "included_disks": self.included_disks,
            "excluded_disks": self.excluded_disks,
        }


def read_point(resource: Mapping[str, Any]) -> RecoveryPoint:
    """A recovery point of the service's own form."""
    of = resource.get("properties") or {}
    kind = str(of.get("recoveryPointType") or "")
    more = of.get("recoveryPointProperties") or {}
    return RecoveryPoint(
        id=str(resource.get("name") or ""),
        type=kind,
        consistency=_BY_TYPE.get(kind.lower()),
        time=parse_time(of.get("recoveryPointTime")),
        expires=parse_time(more.get("expiryTime")),
        tiers=tuple(
            (str(tier.get("type") or ""), str(tier.get("status") or ""))
            for tier in of.get("recoveryPointTierDetails") or ()
        ),
        properties=of,
    )


def list_points(
    connection: VaultConnection,
    item: ProtectedItem,
    after: Optional[datetime] = None,
    before: Optional[datetime] = None,
) -> List[RecoveryPoint]:
    """The recovery points of a VM between two times, newest first."""
    wanted = None
    if after or before:
        # The service wants both ends, and takes whole seconds.
        start = after or datetime(2015, 1, 1, tzinfo=before.tzinfo if before else None)
        end = before or max(connection.server_now(), start) + timedelta(days=1)
        wanted = (
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
            **({"filter": wanted} if wanted else {}),
        ),
        item.vm,
    )
    points = [point for point in map(read_point, listed) if _within(point, after, before)]
    return sorted(points, key=lambda point: (str(format_utc(point.time)), point.id), reverse=True)


def get_point(connection: VaultConnection, item: ProtectedItem, point_id: str) -> RecoveryPoint:
    """Read one recovery point, with the names of its disks."""
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
    points: Sequence[RecoveryPoint], job: Job, expires: Optional[datetime] = None
) -> Optional[RecoveryPoint]:
    """The point that the job has made: its time lies between the job's start and end.

    A job without these times has none that could be told from another's. Where more than one point
    lies there, the one that expires when it was asked to, and of these the first.
    """
    if job.start_time is None or job.end_time is None:
        return None
    first, last = job.start_time - _SLACK, job.end_time + _SLACK
    found = [point for point in points if point.time is not None and first <= point.time <= last]
    # A point may also expire at another time because the service has decided so.
    found = [point for point in found if not _expires_otherwise(point, expires)] or found
    return min(found, key=lambda point: str(format_utc(point.time))) if found else None


def least(consistencies: Sequence[Optional[str]]) -> Optional[str]:
    """The least of them; nothing when there is none, or one is not known."""
    known = [one for one in consistencies if one is not None]
    if not known or len(known) < len(consistencies):
        return None
    return min(known, key=ORDER.index)


def _expires_otherwise(point: RecoveryPoint, expires: Optional[datetime]) -> bool:
    if expires is None or point.expires is None:
        return False
    return abs(point.expires - expires) > _SAME_EXPIRY


def _within(point: RecoveryPoint, after: Optional[datetime], before: Optional[datetime]) -> bool:
    if point.time is None:
        return True
    return (after is None or point.time >= after) and (before is None or point.time < before)


def _whole(count: Any) -> Optional[int]:
    return count if isinstance(count, int) and not isinstance(count, bool) else None


def _disks(listed: Any) -> Optional[List[Dict[str, Any]]]:
    if listed is None:
        return None
    return [{"lun": disk.get("lun"), "name": disk.get("name")} for disk in listed]
