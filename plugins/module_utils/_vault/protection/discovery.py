# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Discovery of the VMs that a vault can protect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from ..._arm.clock import Backoff, Deadline
from ..._arm.connection import map_concurrently
from ..._arm.errors import VaultError
from ..._arm.ids import FABRIC, VmId, equals_ignoring_case
from ..._arm.times import format_duration
from ..._errors import Failure, QuiesceError
from ..connection import VaultConnection
from ..filters import OF_VMS
from ..resources.jobs import list_jobs
from ..resources.protected_items import DiskSelection
from .diagnosis import Diagnosis

_LONGEST_PAUSE_S = 30.0
# Each VM is diagnosed by several requests, so only this many are.
MOST_DIAGNOSED = 100
_ANOTHER = "Wait for the running discovery and run the task again, or set a longer timeout."


@dataclass(frozen=True)
class ProtectableVm:
    """A VM that the vault can protect."""

    vm: VmId
    friendly_name: str = ""
    vm_version: str = ""
    protection_state: str = ""

    def to_result(self) -> dict[str, Any]:
        """Return the VM as part of a result."""
        return {
            "name": self.friendly_name or self.vm.name,
            "id": self.vm.id,
            "resource_group": self.vm.resource_group,
            "subscription_id": self.vm.subscription_id,
            "protection_state": self.protection_state or None,
        }


def list_protectable(connection: VaultConnection) -> dict[str, ProtectableVm]:
    """Return the VMs that the vault lists as protectable, by `VmId.key`."""
    listed = connection.items(
        f"list the protectable VMs of vault {connection.vault.name}",
        lambda: connection.backup.backup_protectable_items.list(
            **connection.vault_keywords, filter=OF_VMS
        ),
    )
    found = (_read(resource) for resource in listed)
    return {item.vm.key: item for item in found if item is not None}


def _read(resource: Mapping[str, Any]) -> ProtectableVm | None:
    properties = resource.get("properties") or {}
    try:
        vm = VmId.from_resource_id(str(properties.get("virtualMachineId") or ""))
    except QuiesceError:
        # A classic VM, or another kind of workload.
        return None
    return ProtectableVm(
        vm,
        str(properties.get("friendlyName") or ""),
        str(properties.get("virtualMachineVersion") or ""),
        str(properties.get("protectionState") or ""),
    )


def refresh(connection: VaultConnection, deadline: Deadline, poll_interval_s: float) -> None:
    """Start a discovery of new VMs and wait for its end, after any other running discovery."""
    vault = connection.vault.name
    connection.report(f"vault {vault}: discovering new VMs")
    operation_id = _start_refresh(connection, deadline, poll_interval_s)
    if operation_id is None:
        raise VaultError(
            Failure(
                "OperationNotNamed",
                f"Vault {vault} accepted the discovery of new VMs without naming its operation, "
                "so its end is unknown.",
                "Run the task again in a few minutes.",
            )
        )
    results = connection.backup.protection_container_refresh_operation_results
    backoff = Backoff(connection.clock, deadline, poll_interval_s, _LONGEST_PAUSE_S)
    while backoff.sleep():
        answer = connection.start(
            f"follow the discovery of vault {vault}",
            lambda **options: results.get(
                **connection.vault_keywords,
                fabric_name=FABRIC,
                operation_id=operation_id,
                **options,
            ),
            is_read=True,
        )
        if answer.status != 202:
            return
    raise VaultError(
        Failure(
            "OperationTimedOut",
            f"Vault {vault} was still discovering new VMs after "
            f"{format_duration(deadline.seconds)} (operation {operation_id}). The discovery "
            "continues in Azure.",
            "Run the task again later, or set a longer timeout.",
        )
    )


def _start_refresh(
    connection: VaultConnection, deadline: Deadline, poll_interval_s: float
) -> str | None:
    """Start a refresh and return its operation's id; wait while Azure refuses a second one."""
    vault = connection.vault.name
    backoff = Backoff(connection.clock, deadline, poll_interval_s, _LONGEST_PAUSE_S)
    containers = connection.backup.protection_containers

    def begin() -> str | VaultError | None:
        try:
            return connection.start(
                f"refresh the containers of vault {vault}",
                lambda **options: containers.refresh(
                    **connection.vault_keywords, fabric_name=FABRIC, filter=OF_VMS, **options
                ),
            ).operation_id
        except VaultError as error:
            return error

    while True:
        started = begin()
        if not isinstance(started, VaultError):
            return started
        if not _is_another_refresh(started):
            raise started
        if not backoff.sleep():
            raise _with_action(started)
        connection.report(f"vault {vault}: waiting for another discovery to end")


def _is_another_refresh(error: VaultError) -> bool:
    name = error.failure.name.lower()
    return error.is_conflict or "inprogress" in name or "conflict" in name or "another" in name


def _with_action(error: VaultError) -> VaultError:
    failure = error.failure
    return VaultError(
        replace(failure, recommended_action=failure.recommended_action or _ANOTHER),
        error.kind,
    )


@dataclass
class DiscoveryResult:
    """The VMs to protect that the vault does not list yet, by `VmId.key`."""

    #: The protectable VMs, as the vault names them.
    protectable: dict[str, VmId] = field(default_factory=dict)
    #: The VMs that need, or needed, a refresh first.
    after_refresh: set[str] = field(default_factory=set)
    #: The VMs whose protection is in progress.
    busy: set[str] = field(default_factory=set)
    failures: dict[str, Failure] = field(default_factory=dict)
    #: How many VMs count as found by a refresh without a diagnosis.
    not_diagnosed: int = 0


class Discovery:
    """Finds VMs to protect in the vault's list, after a refresh if needed, or a failure.

    `may_write` is false in check mode: then no refresh runs, and a VM that is not listed counts
    as found unless its diagnosis shows a reason against it.
    """

    def __init__(
        self,
        connection: VaultConnection,
        deadline: Deadline,
        poll_interval_s: float,
        disks: DiskSelection | None = None,
        may_write: bool = True,
    ) -> None:
        self._connection = connection
        self._deadline = deadline
        self._poll_interval_s = poll_interval_s
        self._disks = disks
        self._may_write = may_write

    def find(self, vms: Sequence[VmId]) -> DiscoveryResult:
        """Find these VMs, which the vault does not protect."""
        found = DiscoveryResult()
        subscription = self._connection.vault.subscription_id
        # The vault does not list VMs of other subscriptions, so its answer to the request decides.
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
            self._expect(found, missing)
            return found
        try:
            refresh(self._connection, self._deadline, self._poll_interval_s)
            found.after_refresh = {vm.key for vm in missing}
            missing = self._take_listed(found, missing)
        except VaultError as error:
            found.failures.update((vm.key, error.failure) for vm in missing)
            return found
        found.failures.update(self._diagnosed(missing, lambda diagnosis: diagnosis.failure()))
        return found

    def _take_listed(self, found: DiscoveryResult, vms: Sequence[VmId]) -> list[VmId]:
        """Note the listed VMs; return the others."""
        if not vms:
            return []
        listed = list_protectable(self._connection)
        found.protectable.update((vm.key, listed[vm.key].vm) for vm in vms if vm.key in listed)
        return [vm for vm in vms if vm.key not in listed]

    def _expect(self, found: DiscoveryResult, missing: Sequence[VmId]) -> None:
        found.failures = self._diagnosed(missing, lambda diagnosis: diagnosis.reason())
        found.after_refresh = {vm.key for vm in missing}
        found.protectable.update((vm.key, vm) for vm in missing if vm.key not in found.failures)
        found.not_diagnosed = max(0, len(missing) - MOST_DIAGNOSED)

    def _diagnosed(
        self, vms: Sequence[VmId], diagnose: Callable[[Diagnosis], Failure | None]
    ) -> dict[str, Failure]:
        def diagnosed(vm: VmId) -> Failure | None:
            return diagnose(Diagnosis(self._connection, vm, self._disks))

        results = map_concurrently(diagnosed, vms[:MOST_DIAGNOSED])
        reasons: dict[str, Failure] = {}
        for outcome in results:
            reason = outcome.error.failure if outcome.error else outcome.value
            if reason is not None:
                reasons[outcome.item.key] = reason
        if self._may_write:
            reasons.update((vm.key, _not_diagnosed(vm)) for vm in vms[MOST_DIAGNOSED:])
        return reasons


def being_protected(connection: VaultConnection, vms: Sequence[VmId]) -> set[str]:
    """Return the keys of those unlisted VMs that a running job protects."""
    if not vms:
        return set()
    try:
        jobs = list_jobs(connection, operation="ConfigureBackup", status="InProgress")
    except VaultError:
        # Credentials without access to jobs may still permit protection.
        return set()
    running = {job.container_key for job in jobs if not job.is_over}
    return {vm.key for vm in vms if vm.container_key in running}


def _not_diagnosed(vm: VmId) -> Failure:
    return Failure(
        "VmNotDiscovered",
        f"The vault does not list VM {vm.name} as protectable. The cause is unknown, because "
        f"only the first {MOST_DIAGNOSED} such VMs were diagnosed.",
        "Fix the failures of the other VMs, or run the task for fewer VMs.",
        vm=vm.id,
    )
