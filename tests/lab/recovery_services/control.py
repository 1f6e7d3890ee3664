# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's own calls under `/lab/`: what tests order, change and look at."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping

from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.bodies import item_body
from tests.lab.recovery_services.call import Reply
from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.entra import Directory
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.faults import Faults, fault_of
from tests.lab.recovery_services.growth import add_item, add_vault, grow
from tests.lab.recovery_services.job_bodies import job_body
from tests.lab.recovery_services.ledger import Ledger
from tests.lab.recovery_services.limits import Limits
from tests.lab.recovery_services.plans import Plan
from tests.lab.recovery_services.times import stamp


@dataclass
class World:
    """Everything that one server holds."""

    seed: Mapping[str, Any]
    speed: float = 1.0
    limits_on: bool = False
    stepped: bool = False
    #: How far the clock moves after each answer that says that something goes on.
    per_look_s: float = 0.0
    base: str = ""
    faults: Faults = field(default_factory=Faults)
    ledger: Ledger = field(default_factory=Ledger)

    def __post_init__(self) -> None:
        #: Tokens outlive a new beginning.
        self._key = secrets.token_bytes(32)
        self.begin(self.seed, self.speed, self.limits_on, self.stepped)

    def begin(self, seed: Mapping[str, Any], speed: float, limits_on: bool, stepped: bool) -> None:
        """Reset the world to this seed."""
        clock = VirtualClock(speed, stepped=stepped)
        self.estate: Estate = grow(seed, clock)
        self.seed, self.speed, self.limits_on, self.clock = seed, speed, limits_on, clock
        self.stepped = stepped
        self.directory = Directory(
            seed["tenant"],
            seed["client_id"],
            seed["secret"],
            self.base,
            float(seed.get("token_lifetime_s", 3600.0)),
            key=self._key,
        )
        self.limits = Limits(limits_on, self.clock.real_seconds, seed.get("limits"))
        self.faults.clear()
        self.ledger.clear()


def handle(world: World, method: str, path: str, raw: bytes) -> Reply:
    """Answer a call; an invalid call gets a 400 with the reason."""
    action = _ACTIONS.get((method, path.strip("/")))
    if action is None:
        return Reply(404, {"error": f"unknown call {method} /lab/{path}"})
    try:
        body = json.loads(raw) if raw else {}
        return Reply(200, action(world, body if isinstance(body, dict) else {}))
    except (KeyError, TypeError, ValueError) as error:
        return Reply(400, {"error": f"{type(error).__name__}: {error}"})


def _info(world: World, _given: Dict[str, Any]) -> Any:
    seed = world.seed
    vaults = list(world.estate.vaults.values())
    return {
        "url": world.base,
        "tenant": seed["tenant"],
        "client_id": seed["client_id"],
        "secret": seed["secret"],
        "subscription_id": seed["subscriptions"][0]["id"],
        "vault": vaults[0].name if vaults else None,
        "resource_group": vaults[0].resource_group if vaults else None,
    }


def _reset(world: World, given: Dict[str, Any]) -> Any:
    world.begin(
        given.get("seed") or seeds.default(),
        float(given.get("speed", world.speed)),
        bool(given.get("limits", world.limits_on)),
        bool(given.get("stepped", world.stepped)),
    )
    # Without the secret of M(_info): playbooks call this, and Ansible may show what came back.
    return {}


def _requests(world: World, _given: Dict[str, Any]) -> Any:
    return world.ledger.shown()


def _forget_requests(world: World, _given: Dict[str, Any]) -> Any:
    world.ledger.clear()
    return {}


def _faults(world: World, _given: Dict[str, Any]) -> Any:
    return world.faults.shown()


def _fault(world: World, given: Dict[str, Any]) -> Any:
    world.faults.add(fault_of(given))
    return {}


def _forget_faults(world: World, _given: Dict[str, Any]) -> Any:
    world.faults.clear()
    return {}


def _next_backup(world: World, given: Dict[str, Any]) -> Any:
    known = ("application", "file-system", "crash", "failed", "warning")
    if given.get("result", "file-system") not in known:
        raise ValueError(f"result is one of {', '.join(known)}")
    return _next_job(world, {"operation": "Backup", "result": "file-system", **given})


def _next_job(world: World, given: Dict[str, Any]) -> Any:
    rest = dict(given)
    vm, operation = rest.pop("vm", None), str(rest.pop("operation"))
    if rest.get("recommendations") is not None:
        rest["recommendations"] = tuple(rest["recommendations"])
    world.estate.plans.add(vm, operation, Plan(**{k: v for k, v in rest.items() if v is not None}))
    return {}


def _clock(world: World, _given: Dict[str, Any]) -> Any:
    clock = world.clock
    return {"now": stamp(world.estate.now()), "speed": clock.speed, "stepped": clock.stepped}


def _set_clock(world: World, given: Dict[str, Any]) -> Any:
    if "advance" in given:
        world.clock.advance(float(given["advance"]))
    if "speed" in given:
        world.speed = float(given["speed"])
        world.stepped = bool(given.get("stepped", world.stepped))
        world.clock.run_at(world.speed, world.stepped)
    if "limits" in given:
        world.limits.on = bool(given["limits"])
    return _clock(world, given)


def _wait(world: World, given: Dict[str, Any]) -> Any:
    """Record that a client waits; a stepped clock moves by that time."""
    return {"real_s": world.clock.wait(float(given["seconds"])), "stepped": world.clock.stepped}


def _state(world: World, _given: Dict[str, Any]) -> Any:
    estate = world.estate
    now = estate.now()
    return {
        "now": stamp(now),
        "vms": [
            {"id": vm.id, "location": vm.location, "luns": vm.luns} for vm in estate.vms.values()
        ],
        "vaults": {
            vault.name: {
                "id": vault.id,
                "discovered": sorted(vault.discovered),
                "policies": dict(vault.policies.values()),
                "items": [item_body(vault, item, now) for item in vault.items.values()],
                "jobs": [job_body(vault, job, now, details=True) for job in vault.jobs.values()],
                "points": {
                    item.vm.name: [point.consistency for point in item.points]
                    for item in vault.items.values()
                },
            }
            for vault in estate.vaults.values()
        },
    }


def change(world: World, given: Mapping[str, Any]) -> Any:
    """Return one change, or several in this order."""
    estate = world.estate
    estate.now()
    for what, value in given.items():
        if what == "remove_vm":
            estate.remove_vm(estate.vm_named(value))
        elif what == "add_vm":
            subscription = estate.subscriptions[next(iter(estate.subscriptions))]["id"]
            fallback = {"subscription": subscription, "resource_group": "app-rg"}
            estate.add_vm({**fallback, "location": seeds.REGION, **value})
        elif what == "set_vm":
            vm = estate.vm_named(value["vm"])
            for name, new in value.items():
                if name != "vm":
                    if not hasattr(vm, name):
                        raise ValueError(f"A VM has no {name}")
                    setattr(vm, name, new)
        elif what == "deny":
            estate.denied.append(value)
        elif what == "unregister":
            estate.unregistered.append(value)
        elif what == "add_vault":
            add_vault(estate, value)
        elif what == "add_item":
            rest = dict(value)
            name = rest.pop("vault")
            add_item(estate, _vault_named(estate, name), rest)
        elif what == "set_vault":
            vault = _vault_named(estate, value["vault"])
            for name, new in value.items():
                if name != "vault":
                    if not hasattr(vault, name):
                        raise ValueError(f"A vault has no {name}")
                    setattr(vault, name, new)
        else:
            raise ValueError(f"unknown change {what}")
    return {}


def _vault_named(estate: Estate, name: str) -> Any:
    for vault in estate.vaults.values():
        if vault.name.lower() == name.lower():
            return vault
    raise KeyError(f"unknown vault {name}")


_ACTIONS: Dict[Any, Callable[[World, Dict[str, Any]], Any]] = {
    ("GET", "info"): _info,
    ("POST", "reset"): _reset,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _forget_requests,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _fault,
    ("DELETE", "faults"): _forget_faults,
    ("POST", "next-backup"): _next_backup,
    ("POST", "next-job"): _next_job,
    ("GET", "clock"): _clock,
    ("POST", "clock"): _set_clock,
    ("POST", "wait"): _wait,
    ("GET", "state"): _state,
    ("POST", "state"): change,
}
