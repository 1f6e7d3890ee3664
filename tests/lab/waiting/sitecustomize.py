# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Modules wait on the lab's clock: their waiting takes no real time and moves that clock.

Python imports this file when it starts, where a test has put its folder into `PYTHONPATH`. It
replaces only how the modules' `Clock` sleeps and reads the time. If the lab's clock is not stepped,
`Clock` stays as it is.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import sys
import threading
import time
from types import ModuleType
from typing import Any, Optional, Sequence

_COLLECTION = "ansible_collections.quiesce.azure_backup."


class LabClock:
    """The client's time: it moves when the client waits, and stands while it works."""

    def __init__(self, address: str) -> None:
        self._url, _space, self._ca_file = address.partition(" ")
        self._lock = threading.Lock()
        self._now = time.monotonic()
        self._stepped: Optional[bool] = None

    def monotonic(self) -> float:
        """Seconds since some moment."""
        with self._lock:
            if self._stepped is None:
                self._wait(0.0)
            return self._now if self._stepped else time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let this long pass; threads that sleep at the same time wait for it together."""
        end = self.monotonic() + seconds
        if not self._stepped:
            time.sleep(max(0.0, seconds))
            return
        with self._lock:
            if end > self._now:
                self._wait(end - self._now)
                self._now = end

    def _wait(self, seconds: float) -> None:
        """Tell the lab; it answers after its clock has moved."""
        import http.client
        import json
        import ssl
        from urllib.parse import urlsplit

        address = urlsplit(self._url)
        context = ssl.create_default_context(cafile=self._ca_file)
        connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=120.0, context=context
        )
        try:
            connection.request("POST", "/lab/wait", body=json.dumps({"seconds": seconds}))
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if self._stepped is None:
            self._stepped = bool(answer["stepped"])


class _Loader(importlib.abc.Loader):
    """Loads the module with `Clock` in it, and has the lab's clock stand in."""

    def __init__(self, inner: Any, clock: LabClock) -> None:
        self._inner = inner
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> Optional[ModuleType]:
        """Return the module as it would be without this."""
        created: Optional[ModuleType] = self._inner.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, and change its class."""
        self._inner.exec_module(module)
        clock = self._clock
        real: Any = vars(module)["Clock"]
        real.monotonic = lambda _self: clock.monotonic()
        real.sleep = lambda _self, seconds: clock.sleep(seconds)


class Finder(importlib.abc.MetaPathFinder):
    """Finds the one module of the collection that knows the time."""

    def __init__(self, address: str) -> None:
        self._clock = LabClock(address)

    def find_spec(
        self, fullname: str, path: Optional[Sequence[str]], target: Optional[ModuleType] = None
    ) -> Optional[importlib.machinery.ModuleSpec]:
        """Return the module, with a loader that changes it."""
        if not fullname.startswith(_COLLECTION) or not fullname.endswith("._arm.clock"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None:
            spec.loader = _Loader(spec.loader, self._clock)
        return spec


_address = os.environ.get("QUIESCE_LAB_CLOCK")
if _address:
    sys.meta_path.insert(0, Finder(_address))
