# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Records of the lab's Azure, without behaviour."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Optional, Set, Tuple

from tests.lab.recovery_services import names


def new_id() -> str:
    """Return a new GUID."""
    return str(uuid.uuid4())


@dataclass
class Vm:
    """A virtual machine."""

    subscription: str
    resource_group: str
    name: str
    location: str
    #: Logical unit numbers of its data disks.
    luns: List[int] = field(default_factory=list)
    os_type: str = "Linux"
    size: str = "Standard_D2s_v5"
    #: `Ready`, or what the VM agent says instead.
    agent: str = "Ready"
    power: str = "running"
    #: Whether the backup service shows its resource group in upper case, as it sometimes does.
    odd_case: bool = False
    #: What its backups yield: `application`, `file-system`, `crash`, `failed`, `warning`.
    backup_result: str = "file-system"
    #: Names of the VM extensions it has, with their handler versions.
    extensions: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    tags: Dict[str, str] = field(default_factory=dict)
    vm_id: str = field(default_factory=new_id)

    @property
    def id(self) -> str:
        """Its resource id."""
        return names.vm_id(self.subscription, self.resource_group, self.name)

    @property
    def shown_id(self) -> str:
        """Its resource id as the backup service shows it."""
        group = self.resource_group.upper() if self.odd_case else self.resource_group
        return names.vm_id(self.subscription, group, self.name)

    @property
    def key(self) -> str:
        """The key of its container and item."""
        return names.vm_key(self.resource_group, self.name)


@dataclass
class RecoveryPoint:
    """A recovery point of a protected item."""

    name: str
    time: datetime
    #: `AppConsistent`, `FileSystemConsistent` or `CrashConsistent`.
    consistency: str
    expires: Optional[datetime] = None
    #: Tier and status, in the order they came.
    tiers: Dict[str, str] = field(default_factory=dict)
    size: str = "Standard_D2s_v5"
    os_type: str = "Linux"
    #: LUN and name of each disk that the VM had, and whether the point holds it; the OS disk has
    #: LUN -1. Empty where the protection left none out: then the service says nothing of them.
    disks: List[Tuple[int, str, bool]] = field(default_factory=list)


@dataclass
class Item:
    """A protected item: a VM in a vault."""

    key: str
    vm: Vm
    policy: str
    policy_type: str
    state: str = "IRPending"
    created: Optional[datetime] = None
    data_id: str = ""
    last_backup_status: str = ""
    last_backup: Optional[datetime] = None
    #: Code, title, message and recommendations of what is wrong with it.
    health: Optional[Dict[str, Any]] = None
    backed_up: bool = False
    #: When it was soft-deleted.
    deleted: Optional[datetime] = None
    #: `diskExclusionProperties`, if any were ever given.
    disks: Optional[Dict[str, Any]] = None
    extended: bool = False
    points: List[RecoveryPoint] = field(default_factory=list)
    #: How often it was soft-deleted or undeleted.
    generation: int = 0

    def disks_of_point(self) -> List[Tuple[int, str, bool]]:
        """Return the disks of a recovery point that is made now, as `RecoveryPoint.disks`."""
        luns, inclusive = (self.disks or {}).get("diskLunList"), False
        if not self.disks or luns is None:
            return []
        inclusive = bool(self.disks.get("isInclusionList"))
        data = [
            (lun, f"{self.vm.name}-data-{lun}", (lun in luns) == inclusive) for lun in self.vm.luns
        ]
        return [(-1, f"{self.vm.name}_OsDisk_1", True), *data]

    @property
    def container(self) -> str:
        """The container's name, which is the service's own case."""
        return f"IaasVMContainer;iaasvmcontainerv2;{self.key}"

    @property
    def name(self) -> str:
        """The item's name."""
        return f"VM;iaasvmcontainerv2;{self.key}"


@dataclass
class Task:
    """A part of a job: from and to, in seconds after the job's start."""

    name: str
    begins: float
    ends: float


@dataclass
class Job:
    """A job of a vault."""

    id: str
    operation: str
    key: str
    vm_name: str
    start: datetime
    status: str = "InProgress"
    end: Optional[datetime] = None
    #: How long it takes, all going well.
    takes: float = 0.0
    tasks: List[Task] = field(default_factory=list)
    bag: Dict[str, str] = field(default_factory=dict)
    internal_bag: Dict[str, str] = field(default_factory=dict)
    errors: List[Dict[str, Any]] = field(default_factory=list)
    cancellable: bool = False
    percent: bool = False
    activity: str = field(default_factory=new_id)

    @property
    def over(self) -> bool:
        """True if it has ended."""
        return self.end is not None


@dataclass
class Operation:
    """An operation that a 202 answer points to."""

    id: str
    start: datetime
    #: The job that it brings about; it lasts as long as that one, unless it ends by itself.
    job: Optional[Job] = None
    #: When it ends by itself; None is with the job, or never.
    ends: Optional[datetime] = None
    #: Code and message.
    error: Optional[Tuple[str, str]] = None
    #: The item that it concerns.
    key: str = ""
    #: The jobs that a change of a policy brings about, one for each VM; none for other operations.
    jobs: List[Job] = field(default_factory=list)
    #: Whether it is one that names its jobs in the plural form.
    plural: bool = False


@dataclass
class Vault:
    """A Recovery Services vault."""

    subscription: str
    resource_group: str
    name: str
    location: str
    tags: Dict[str, str] = field(default_factory=dict)
    identity: Optional[Dict[str, Any]] = None
    sku: Dict[str, Any] = field(default_factory=lambda: {"name": "Standard"})
    public_network: str = "Enabled"
    monitoring: Optional[Dict[str, Any]] = None
    redundancy: str = "GeoRedundant"
    immutability: str = "Disabled"
    provisioned: bool = True
    changed: Optional[datetime] = None
    #: The vault's backup configuration.
    soft_delete: str = "Enabled"
    soft_delete_days: int = 14
    enhanced_security: str = "Enabled"
    #: The vault's own interface has set soft delete: the backup configuration's may not any more.
    soft_delete_of_vault: bool = False
    #: How it stores backups, which it decides when it is given the first item.
    storage_version: str = "V2"
    #: Deleted items become soft-deleted, independent of the configuration.
    secure_by_default: bool = False
    #: By name in lower case; name as given, and properties.
    policies: Dict[str, Tuple[str, Dict[str, Any]]] = field(default_factory=dict)
    items: Dict[str, Item] = field(default_factory=dict)
    #: The VMs that the last refresh of its containers found.
    discovered: Set[str] = field(default_factory=set)
    jobs: Dict[str, Job] = field(default_factory=dict)
    operations: Dict[str, Operation] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its resource id."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/Microsoft.RecoveryServices/vaults/{self.name}"
        )
