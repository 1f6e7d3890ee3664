# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure: subscriptions, resource groups, VMs and vaults, and what is yet to happen."""

from __future__ import annotations

import heapq
import itertools
import random
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.errors import gateway, no_resource_group, not_found
from tests.lab.recovery_services.model import Item, Operation, Vault, Vm
from tests.lab.recovery_services.names import vm_id
from tests.lab.recovery_services.plans import Plans

_Event = Callable[[datetime], None]


class Estate:
    """Everything there is. Whoever looks at it first lets happen what is due: M(now)."""

    def __init__(self, clock: VirtualClock, chance: str = "lab") -> None:
        self.clock = clock
        self.chance = chance
        #: The tenant that the client is in.
        self.tenant = ""
        #: Id, name and tenant, by id in lower case.
        self.subscriptions: Dict[str, Dict[str, str]] = {}
        self.groups: Dict[Tuple[str, str], Tuple[str, str]] = {}
        self.vms: Dict[str, Vm] = {}
        self.vaults: Dict[Tuple[str, str, str], Vault] = {}
        self.plans = Plans()
        #: Actions that the client may not do, by patterns such as `*/backupJobs/read`.
        self.denied: List[str] = []
        #: Namespaces that no subscription is registered for.
        self.unregistered: List[str] = []
        #: Jobs and operations that begin while this is true never end.
        self.hang = False
        #: Operations on vaults and VMs outlive them: by their ids, in lower case.
        self.gone: Dict[str, Tuple[Vault, Operation]] = {}
        self.vm_operations: Dict[str, Operation] = {}
        self._events: List[Tuple[datetime, int, _Event]] = []
        self._order = itertools.count()
        self._settled = clock.now()

    # --- time -----------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the service's time, everything due until then having happened."""
        moment = max(self.clock.now(), self._settled)
        while self._events and self._events[0][0] <= moment:
            when, _number, event = heapq.heappop(self._events)
            event(when)
        self._settled = moment
        return moment

    def after(self, seconds: float, event: _Event, since: Optional[datetime] = None) -> datetime:
        """Let something happen so long after `since`, by default now; returns when."""
        when = (since or self._settled) + timedelta(seconds=seconds)
        heapq.heappush(self._events, (when, next(self._order), event))
        return when

    def number(self, *of: object) -> int:
        """Return a number as the service gives to things: the same for the same arguments."""
        return random.Random(":".join(map(str, (self.chance, *of)))).randrange(10**11, 10**15)

    # --- what there is --------------------------------------------------------------------------

    def add_group(self, subscription: str, name: str, location: str) -> None:
        """Make a resource group if it is not there."""
        self.groups.setdefault((subscription.lower(), name.lower()), (name, location))

    def add_vm(self, description: Mapping[str, Any]) -> Vm:
        """Make a VM, and its resource group."""
        vm = Vm(**description)
        self.add_group(vm.subscription, vm.resource_group, vm.location)
        self.vms[vm.id.lower()] = vm
        return vm

    def remove_vm(self, vm: Vm) -> None:
        """Delete a VM; what protects it stays."""
        self.vms.pop(vm.id.lower(), None)

    def vm_named(self, name: str) -> Vm:
        """Return a VM by its id, by `group/name`, or by its name; raises `KeyError`."""
        wanted = name.lower()
        for vm in self.vms.values():
            if wanted in (vm.id.lower(), f"{vm.resource_group}/{vm.name}".lower(), vm.name.lower()):
                return vm
        raise KeyError(f"unknown VM {name}")

    def group(self, subscription: str, name: str) -> Tuple[str, str]:
        """Return the resource group's name and location."""
        self.subscription(subscription)
        try:
            return self.groups[(subscription.lower(), name.lower())]
        except KeyError:
            raise no_resource_group(name) from None

    def subscription(self, subscription: str) -> Dict[str, str]:
        """Return what is known of a subscription."""
        try:
            return self.subscriptions[subscription.lower()]
        except KeyError:
            raise gateway(
                404,
                "SubscriptionNotFound",
                f"The subscription '{subscription}' could not be found.",
            ) from None

    def vm(self, subscription: str, group: str, name: str) -> Vm:
        """Return a VM as Compute knows it."""
        self.group(subscription, group)
        try:
            return self.vms[vm_id(subscription, group, name).lower()]
        except KeyError:
            raise not_found("Microsoft.Compute/virtualMachines", name, group) from None

    def vms_of(self, subscription: str, group: Optional[str] = None) -> List[Vm]:
        """Return the VMs of a subscription, or of one of its resource groups."""
        return [
            vm
            for vm in self.vms.values()
            if vm.subscription.lower() == subscription.lower()
            and (group is None or vm.resource_group.lower() == group.lower())
        ]

    def vault(self, subscription: str, group: str, name: str) -> Vault:
        """Return a vault."""
        self.group(subscription, group)
        try:
            return self.vaults[(subscription.lower(), group.lower(), name.lower())]
        except KeyError:
            raise not_found("Microsoft.RecoveryServices/vaults", name, group) from None

    def add_vault(self, vault: Vault) -> None:
        """Put in a vault, and its resource group."""
        self.add_group(vault.subscription, vault.resource_group, vault.location)
        key = (vault.subscription.lower(), vault.resource_group.lower(), vault.name.lower())
        self.vaults[key] = vault

    def remove_vault(self, vault: Vault) -> None:
        """Delete a vault."""
        key = (vault.subscription.lower(), vault.resource_group.lower(), vault.name.lower())
        self.vaults.pop(key, None)

    def protection_of(self, vm: Vm) -> Optional[Tuple[Vault, Item]]:
        """Return where a VM is protected, if it is."""
        for vault in self.vaults.values():
            item = vault.items.get(vm.key)
            if item is not None and item.vm.id.lower() == vm.id.lower():
                return vault, item
        return None
