# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Discovery: which VMs a vault could protect, and how it learns of new ones.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Union

from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import FABRIC, VmId, equals_ignoring_case
from ..._arm.times import format_duration
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection
from ..resources.jobs import list_jobs
from ..resources.protected_items import DiskSelection
from .diagnosis import Diagnosis

_FILTER = "backupManagementType eq 'AzureIaasVM'"
_LONGEST_PAUSE_S = 30.0
# More VMs than this are not asked after one by one.
MOST_DIAGNOSED = 100
_ANOTHER = (
    "Wait for the discovery that runs and run the task again, or give it more time by timeout."
)


@dataclass(frozen=True)
class ProtectableVm:
    """A VM that the vault offers to protect."""

    vm: VmId
    friendly_name: str = ""
    vm_version: str = ""
    protection_state: str = ""

    def to_result(self) -> Dict[str, Any]:
        """What a module returns of it."""
        return {
            "name": self.friendly_name or self.vm.name,
            "id": self.vm.id,
            "resource_group": self.vm.resource_group,
            "subscription_id": self.vm.subscription_id,
            "protection_state": self.protection_state or None,
        }


def list_protectable(connection: VaultConnection) -> Dict[str, ProtectableVm]:
    """The VMs that the vault knows and does not protect, by C(VmId.key)."""
    listed = connection.items(
        f"list what vault {connection.vault.name} can protect",
        lambda: connection.backup.backup_protectable_items.list(
            **connection.vault_keywords, filter=_FILTER
        ),
    )
    found = (_read(one) for one in listed)
    return {one.vm.key: one for one in found if one is not None}


def _read(resource: Mapping[str, Any]) -> Optional[ProtectableVm]:
    of = resource.get("properties") or {}
    try:
        vm = VmId.from_resource_id(str(of.get("virtualMachineId") or ""))
    except QuiesceError:
        # A classic VM, or another kind of thing.
        return None
    return ProtectableVm(
        vm,
        str(of.get("friendlyName") or ""),
        str(of.get("virtualMachineVersion") or ""),
        str(of.get("protectionState") or ""),
    )


def refresh(connection: VaultConnection, deadline: Deadline, poll_interval_s: float) -> None:
    """Let the vault look for new VMs, and wait until it has; another's looking is waited for."""
    vault = connection.vault.name
    connection.report(f"vault {vault}: looking for new VMs")
    operation_id = _start_refresh(connection, deadline, poll_interval_s)
    if operation_id is None:
        raise VaultError(
            Failure(
                "OperationNotNamed",
                f"Vault {vault} has accepted to look for new VMs, and does not say by which "
                "operation, so it is not known when it will have looked.",
                "Run the task again in some minutes.",
            )
        )
    results = connection.backup.protection_container_refresh_operation_results
    waiting = Backoff(connection.clock, deadline, poll_interval_s, _LONGEST_PAUSE_S)
    while waiting.sleep():
        looked = connection.start(
            f"follow the discovery of vault {vault}",
            lambda **options: results.get(
                **connection.vault_keywords,
                fabric_name=FABRIC,
                operation_id=operation_id,
                **options,
            ),
        )
        if looked.status != 202:
            return
    raise VaultError(
        Failure(
            "OperationTimedOut",
            f"Vault {vault} was still looking for new VMs after {format_duration(deadline.seconds)} "
            f"(operation {operation_id}).",
            "It goes on in Azure. Run the task again later, or raise timeout.",
        )
    )


def _start_refresh(
    connection: VaultConnection, deadline: Deadline, poll_interval_s: float
) -> Optional[str]:
    """Begin a refresh; its operation's id. While another one runs, the vault refuses."""
    vault = connection.vault.name
    waiting = Backoff(connection.clock, deadline, poll_interval_s, _LONGEST_PAUSE_S)
    containers = connection.backup.protection_containers

    def begin() -> Union[Optional[str], VaultError]:
        try:
            return connection.start(
                f"refresh the containers of vault {vault}",
                lambda **options: containers.refresh(
                    **connection.vault_keywords, fabric_name=FABRIC, filter=_FILTER, **options
                ),
            ).operation_id
        except VaultError as error:
            return error

    while True:
        begun = begin()
        if not isinstance(begun, VaultError):
            return begun
        if not _is_another_refresh(begun):
            raise begun
        if not waiting.sleep():
            raise _with_action(begun)
        connection.report(f"vault {vault}: another discovery is running, waiting for it")


def _is_another_refresh(error: VaultError) -> bool:
    name = error.failure.name.lower()
    return error.is_conflict or "inprogress" in name or "conflict" in name or "another" in name


def _with_action(error: VaultError) -> VaultError:
    of = error.failure
    return VaultError(
        replace(of, recommended_action=of.recommended_action or _ANOTHER),
        error.kind,
    )


@dataclass
class DiscoveryResult:
    """What discovery found of the VMs that shall be protected and are not, by C(VmId.key)."""

    #: The VMs that can be protected, as the vault names them.
    protectable: Dict[str, VmId] = field(default_factory=dict)
    #: Those for which the vault has to look for new VMs first, or had to.
    after_refresh: Set[str] = field(default_factory=set)
    #: Those that are being protected just now.
    busy: Set[str] = field(default_factory=set)
    failures: Dict[str, Failure] = field(default_factory=dict)
    #: How many are held to be found by a refresh, although nobody has looked whether they can.
    not_looked_at: int = 0


class Discovery:
    """Finds VMs to protect: in the vault's list, after a refresh if need be, or why they are not.

    C(may_write) is false in check mode: then there is no refresh, and a VM that is not listed is
    held to be found by it unless a reason can be seen why not.
    """

    def __init__(
        self,
        connection: VaultConnection,
        deadline: Deadline,
        poll_interval_s: float,
        disks: Optional[DiskSelection] = None,
        may_write: bool = True,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._disks = disks
        self._may_write = may_write

    def find(self, vms: Sequence[VmId]) -> DiscoveryResult:
        """Find these VMs, none of which the vault protects."""
        found = DiscoveryResult()
        subscription = self._connection.vault.subscription_id
        # Of another subscription the vault lists nothing: what it says to the request counts.
        found.protectable = {
            vm.key: vm for vm in vms if not equals_ignoring_case(vm.subscription_id, subscription)
        }
        missing = [vm for vm in vms if vm.key not in found.protectable]
        missing = self._take_listed(found, missing)
        found.busy = being_protected(self._connection, missing)
        missing = [vm for vm in missing if vm.key not in found.busy]
        if not missing:
            return found
        if not self._may_write:
            self._foresee(found, missing)
            return found
        try:
            refresh(self._connection, self._deadline, self._poll_interval_s)
            found.after_refresh = {vm.key for vm in missing}
            missing = self._take_listed(found, missing)
        except VaultError as error:
            found.failures.update((vm.key, error.failure) for vm in missing)
            return found
        found.failures.update(self._diagnosed(missing, lambda one: one.failure()))
        return found

    def _take_listed(self, found: DiscoveryResult, vms: Sequence[VmId]) -> List[VmId]:
        """Note what the vault lists; returns the others."""
        if not vms:
            return []
        listed = list_protectable(self._connection)
        found.protectable.update((vm.key, listed[vm.key].vm) for vm in vms if vm.key in listed)
        return [vm for vm in vms if vm.key not in listed]

    def _foresee(self, found: DiscoveryResult, missing: Sequence[VmId]) -> None:
        found.failures = self._diagnosed(missing, lambda one: one.reason())
        found.after_refresh = {vm.key for vm in missing}
        found.protectable.update((vm.key, vm) for vm in missing if vm.key not in found.failures)
        found.not_looked_at = max(0, len(missing) - MOST_DIAGNOSED)

    def _diagnosed(
        self, vms: Sequence[VmId], look: Callable[[Diagnosis], Optional[Failure]]
    ) -> Dict[str, Failure]:
        def why(vm: VmId) -> Optional[Failure]:
            return look(Diagnosis(self._connection, vm, self._disks))

        results = map_concurrently(why, vms[:MOST_DIAGNOSED])
        reasons: Dict[str, Failure] = {}
        for outcome in results:
            reason = outcome.error.failure if outcome.error else outcome.value
            if reason is not None:
                reasons[outcome.item.key] = reason
        if self._may_write:
            reasons.update((vm.key, _not_looked_into(vm)) for vm in vms[MOST_DIAGNOSED:])
        return reasons


def being_protected(connection: VaultConnection, vms: Sequence[VmId]) -> Set[str]:
    """Those of the VMs, which the vault does not list, for which a job runs that protects them."""
    if not vms:
        return set()
    try:
        jobs = list_jobs(connection, operation="ConfigureBackup", status="InProgress")
    except VaultError:
        # Who may not read jobs can still protect.
        return set()
    running = {job.container_key for job in jobs if not job.is_over}
    return {vm.key for vm in vms if vm.container_key in running}


def _not_looked_into(vm: VmId) -> Failure:
    return Failure(
        "VmNotDiscovered",
        f"VM {vm.name} is not among those that the vault can protect; with more than "
        f"{MOST_DIAGNOSED} of them, only the first were asked after.",
        "Mend what the first say, or run the task for fewer VMs.",
        vm=vm.id,
    )
