# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab's Azure as tests use it: a process of its own, and its control calls."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional
from urllib.parse import urlsplit

from tests.lab._process import PATIENCE_S, ROOT, LabError, discard, start, stop, wait_until
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.ledger import Request

__all__ = ["RecoveryServices", "Request"]

#: Where modules find the code that makes them wait on the lab's clock.
_WAITING = Path(__file__).parents[1] / "waiting"


@dataclass
class RecoveryServices:
    """An ARM server on a free port of 127.0.0.1, with a certificate authority of its own.

    A context manager. Must be entered in a thread that lives as long as it is used: the process
    ends with the thread that started it. `speed` is virtual seconds per second of the clients': of
    the real time, or, where the clock is `stepped`, of what clients say that they wait.
    `per_look_s` is for clients that wait in real time: after each answer that says that something
    goes on, the clock moves so far.
    """

    seed: Optional[Mapping[str, Any]] = None
    speed: float = 1.0
    limits: bool = False
    stepped: bool = False
    per_look_s: float = 0.0

    def __enter__(self) -> RecoveryServices:
        self.folder = Path(tempfile.mkdtemp(prefix="quiesce-azure-"))
        self.log = self.folder / "azure.log"
        self.log.touch()
        seed_file = self.folder / "seed.json"
        seeds.write(dict(self.seed or seeds.default()), seed_file)
        argv = [sys.executable, "-m", "tests.lab.recovery_services", "--seed", str(seed_file)]
        argv += ["--folder", str(self.folder), "--speed", str(self.speed)]
        argv += ["--limits"] if self.limits else []
        argv += ["--stepped"] if self.stepped else []
        argv += ["--per-look", str(self.per_look_s)]
        self.url = ""
        self.process = start(argv, self.log, cwd=ROOT)
        try:
            wait_until("Azure listens", self._answers, process=self.process, log=self.log)
            self._know(self._control("GET", "info"))
        except BaseException:
            self._end(failed=True)
            raise
        return self

    def __exit__(self, exc_type: object, *exc: object) -> None:
        died = self.process.poll() is not None
        self._end(failed=died or exc_type is not None)

    def _answers(self) -> bool:
        first, newline, _rest = self.log.read_bytes().partition(b"\n")
        if not newline or not first.startswith(b"{"):
            return False
        self.url = json.loads(first)["url"]
        self.ca_file = self.folder / "ca.pem"
        self._context = ssl.create_default_context(cafile=str(self.ca_file))
        return True

    def _know(self, info: Mapping[str, Any]) -> None:
        self.tenant = str(info["tenant"])
        self.client_id = str(info["client_id"])
        self.secret = str(info["secret"])
        self.subscription_id = str(info["subscription_id"])
        self.resource_group = str(info["resource_group"])

    def _end(self, failed: bool) -> None:
        stop(self.process)
        discard(self.folder, keep_log=self.log if failed else None)

    def _control(self, method: str, path: str, body: Optional[Mapping[str, Any]] = None) -> Any:
        address = urlsplit(self.url)
        connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=PATIENCE_S, context=self._context
        )
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, f"/lab/{path}", body=payload)
            answer = connection.getresponse()
            found = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise LabError(f"{method} /lab/{path}: {found}")
        return found

    # --- how clients reach it ------------------------------------------------------------------

    def environment(self) -> Dict[str, str]:
        """Return the environment variables by which the modules reach it."""
        return {
            "AZURE_SUBSCRIPTION_ID": self.subscription_id,
            "AZURE_TENANT": self.tenant,
            "AZURE_TENANT_ID": self.tenant,
            "AZURE_CLIENT_ID": self.client_id,
            "AZURE_SECRET": self.secret,
            "AZURE_CLIENT_SECRET": self.secret,
            "AZURE_RESOURCE_MANAGER_ENDPOINT": self.url,
            "AZURE_AUTHORITY_HOST": self.url,
            "AZURE_CA_CERTIFICATES": str(self.ca_file),
        }

    def options(self, vault: str = "vault1") -> Dict[str, Any]:
        """Return the options by which the modules reach it."""
        return {
            "auth_source": "service_principal",
            "resource_manager_endpoint": self.url,
            "authority": self.url,
            "ca_certificates": str(self.ca_file),
            "tenant": self.tenant,
            "client_id": self.client_id,
            "secret": self.secret,
            "subscription_id": self.subscription_id,
            "vault": vault,
            "resource_group": self.resource_group,
        }

    def waiting(self) -> Dict[str, str]:
        """Return the environment variables that make modules wait on its clock if it is stepped."""
        others = [path for path in (os.environ.get("PYTHONPATH"),) if path]
        return {
            "QUIESCE_LAB_CLOCK": f"{self.url} {self.ca_file}",
            "PYTHONPATH": os.pathsep.join([str(_WAITING), *others]),
        }

    # --- what happens in it --------------------------------------------------------------------

    def reset(
        self,
        seed: Optional[Mapping[str, Any]] = None,
        speed: Optional[float] = None,
        limits: Optional[bool] = None,
    ) -> None:
        """Reset state, requests, faults and plans, and set the clock to the real time.

        The default arguments are those of the start.
        """
        body: Dict[str, Any] = {
            "seed": seed or self.seed,
            "speed": self.speed if speed is None else speed,
            "limits": self.limits if limits is None else limits,
            "stepped": self.stepped,
        }
        self._control("POST", "reset", body)
        self._know(self._control("GET", "info"))

    def requests(self) -> List[Request]:
        """Return the requests since the last reset, without those of this class."""
        return [Request(**one) for one in self._control("GET", "requests")]

    def writes(self) -> List[Request]:
        """Return those of them that could have changed something."""
        return [one for one in self.requests() if one.write]

    def forget_requests(self) -> None:
        """Begin a new record."""
        self._control("DELETE", "requests")

    def fault(self, **fault: Any) -> None:
        """Order a fault: any field of `faults.Fault`."""
        self._control("POST", "faults", fault)

    def faults(self) -> List[Dict[str, Any]]:
        """Return the faults that are yet to come."""
        found: List[Dict[str, Any]] = self._control("GET", "faults")
        return found

    def forget_faults(self) -> None:
        """Order no faults any more."""
        self._control("DELETE", "faults")

    def next_backup(
        self, vm: Optional[str] = None, result: str = "file-system", **more: Any
    ) -> None:
        """Decide the next backup of a VM, or of any; `more` as in `plans.Plan`."""
        self._control("POST", "next-backup", {"vm": vm, "result": result, **more})

    def next_job(self, vm: Optional[str], operation: str, **more: Any) -> None:
        """Decide the next job of this operation; `more` as in `plans.Plan`."""
        self._control("POST", "next-job", {"vm": vm, "operation": operation, **more})

    def advance(self, seconds: float) -> None:
        """Let this much virtual time pass at once."""
        self._control("POST", "clock", {"advance": seconds})

    def run_at(self, speed: float) -> None:
        """Go on at this speed, stepped or not as before."""
        self._control("POST", "clock", {"speed": speed})

    def run_freely(self, speed: float) -> None:
        """Let the clock run at this speed with the real time, independent of waiting clients.

        The test then depends on the speed of the machine: explain at the call why it may.
        """
        self._control("POST", "clock", {"speed": speed, "stepped": False})

    def hold(self) -> None:
        """Stop the clock: it moves by M(advance) only, and modules wait in real time."""
        self.run_freely(0.0)

    def now(self) -> str:
        """Return the service's time."""
        return str(self._control("GET", "clock")["now"])

    def state(self) -> Dict[str, Any]:
        """Return the VMs and vaults with their items and jobs."""
        found: Dict[str, Any] = self._control("GET", "state")
        return found

    def change(self, **changes: Any) -> None:
        """Change the state.

        `remove_vm`, `add_vm`, `set_vm`, `add_vault`, `set_vault`, `add_item`; `deny` an
        action, such as `*/backupJobs/read`; `unregister` a namespace.
        """
        self._control("POST", "state", changes)

    def remove_vm(self, name: str) -> None:
        """Delete a VM, as in the portal."""
        self.change(remove_vm=name)
