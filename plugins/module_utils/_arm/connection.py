# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection to Azure Resource Manager: SDK clients, and calls whose errors are `VaultError`."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import (
    Any,
    Callable,
    Generic,
    TypeVar,
    cast,
)
from urllib.parse import urlsplit

from .._errors import QuiesceError
from .._libraries import AZURE_IDENTITY, BACKUP, COMPUTE, Library, missing, unusable
from .clock import Clock, Deadline
from .credentials import Cloud, Tokens
from .errors import Operation, VaultError, from_sdk
from .ids import VaultId, VmId, last_segment
from .pipeline import policies
from .retry import ResponseLog, ThrottleGate, retry_after_s
from .sdk import Client

T = TypeVar("T")
R = TypeVar("R")
Report = Callable[[str], None]
AGENT = "ansible-quiesce.azure_backup"
_CONNECT_TIMEOUT_S = 20


def silent(_line: str) -> None:
    """Report no progress."""


@dataclass(frozen=True)
class AcceptedOperation:
    """An operation that Azure has accepted and carries out on its own."""

    operation_id: str | None
    status: int
    retry_after_s: float | None
    at: datetime


@dataclass(frozen=True)
class ClientConfig:
    """The settings of all clients of a task: endpoints, tokens, time, progress."""

    cloud: Cloud
    tokens: Tokens
    clock: Clock
    deadline: Deadline
    report: Report = silent
    ca_certificates: str | None = None


class ArmConnection:
    """Clients and calls of Resource Manager. Threads may share it.

    `scope` is the vault that the task works on, for the messages of errors.
    """

    def __init__(self, config: ClientConfig, scope: VaultId | None = None) -> None:
        self.config = config
        self.clock = config.clock
        self.deadline = config.deadline
        self.report = config.report
        self._scope = scope
        self._lock = threading.RLock()
        self._clients: dict[tuple[Library, str], Client] = {}
        self._gate = ThrottleGate(config.clock, config.deadline, config.report)
        self._responses = ResponseLog()

    def compute(self, subscription_id: str) -> Any:
        """Return the client of a subscription's VMs."""
        return self.client(COMPUTE, "ComputeManagementClient", subscription_id)

    def client(
        self, library: Library, name: str, subscription_id: str, api_version: str = ""
    ) -> Client:
        """Return a client of the SDK. The first call makes it, as the import takes time."""
        with self._lock:
            if (library, subscription_id) not in self._clients:
                made = self._make(library, name, subscription_id, api_version)
                self._clients[library, subscription_id] = Client(made, library)
            return self._clients[library, subscription_id]

    def server_now(self) -> datetime:
        """Return the service's time at its last response; before the first, the local time."""
        return _date(self._responses.date) or self.clock.now()

    def read(self, operation: str, send: Callable[[], T], vm: VmId | None = None) -> T:
        """Return the value of `send`, which changes nothing in Azure.

        Raise `VaultError`, "Could not `operation`", if it fails.
        """
        return self._call(operation, send, vm, is_read=True)

    def find(self, operation: str, send: Callable[[], T], vm: VmId | None = None) -> T | None:
        """Return the value of `send`; None if the resource does not exist in an existing vault."""
        try:
            return self.read(operation, send, vm)
        except VaultError as error:
            if error.not_found:
                return None
            raise

    def items(
        self, operation: str, paged: Callable[[], Iterable[Any]], vm: VmId | None = None
    ) -> list[dict[str, Any]]:
        """Return every element of all pages of a list, with Azure's own names."""
        return self.read(operation, lambda: [as_dict(element) for element in paged()], vm)

    def start(
        self,
        operation: str,
        send: Callable[..., Any],
        vm: VmId | None = None,
        is_read: bool = False,
    ) -> AcceptedOperation:
        """Start an operation: pass `cls`, the SDK's keyword, to `send`.

        A call that begins with `begin_` needs `polling=False` too: the caller polls. With
        `is_read` the request only reads the state of an operation.
        """
        self._responses.forget()
        try:
            self._call(operation, lambda: send(cls=lambda *_response: None), vm, is_read)
        except VaultError as error:
            last = self._responses.last
            # Also if Azure accepted the request, and the SDK could not read the response.
            is_accepted = last is not None and 200 <= last.status < 300
            error.is_doubtful = self._responses.was_lost or is_accepted
            raise
        response = self._responses.last
        headers = response.headers if response else {}
        return AcceptedOperation(
            operation_id=_operation_id(headers),
            status=response.status if response else 0,
            retry_after_s=retry_after_s(headers.get("Retry-After"), headers.get("Date")),
            at=_date(headers.get("Date")) or self.clock.now(),
        )

    def _call(self, operation: str, send: Callable[[], T], vm: VmId | None, is_read: bool) -> T:
        try:
            return send()
        except QuiesceError:
            raise
        except Exception as error:
            endpoint = self.config.cloud.resource_manager
            raise from_sdk(
                error, Operation(operation, vm, self._scope, endpoint, is_read)
            ) from error

    def _make(self, library: Library, name: str, subscription_id: str, api_version: str) -> Any:
        require(library)
        config = self.config
        options: dict[str, Any] = {}
        if api_version:
            options["api_version"] = api_version
        if config.ca_certificates:
            options["connection_verify"] = config.ca_certificates
        try:
            make = getattr(importlib.import_module(library.package), name)
            pipeline = policies(
                config.tokens, self._gate, self.clock, self.deadline, self._responses, AGENT
            )
        except (ImportError, AttributeError) as error:
            raise QuiesceError(unusable(library, error)) from error
        return make(
            config.tokens,
            subscription_id,
            base_url=config.cloud.resource_manager,
            credential_scopes=[config.cloud.scope],
            policies=pipeline,
            connection_timeout=_CONNECT_TIMEOUT_S,
            **options,
        )


def require(*libraries: Library) -> None:
    """Raise one error that names every missing library of the modules on the controller."""
    problem = missing(libraries, (AZURE_IDENTITY, BACKUP, COMPUTE))
    if problem is not None:
        raise QuiesceError(problem)


class TaskOutcome(Generic[T, R]):
    """The outcome of one task of many: the item it was for, and its value or its error."""

    def __init__(self, item: T, value: R | None = None, error: VaultError | None = None) -> None:
        self.item = item
        self.error = error
        self._value = value

    @property
    def value(self) -> R:
        """The value; raises the error of a task that failed."""
        if self.error is not None:
            raise self.error
        return cast("R", self._value)


def map_concurrently(
    work: Callable[[T], R], items: Sequence[T], workers: int = 8
) -> list[TaskOutcome[T, R]]:
    """Return the outcome of `work` for each item, in their order. `workers` items run at a time.

    A `VaultError` of one item leaves the others alone, unless every request would fail with it,
    as with a wrong secret: then no more items start. Any other exception is raised.
    """
    wide_errors: list[VaultError] = []
    defects: list[BaseException] = []

    def run(item: T) -> TaskOutcome[T, R]:
        if defects:
            raise defects[0]
        if wide_errors:
            return TaskOutcome(item, error=wide_errors[0])
        try:
            return TaskOutcome(item, work(item))
        except VaultError as error:
            if error.is_wide:
                wide_errors.append(error)
            return TaskOutcome(item, error=error)
        except BaseException as error:
            defects.append(error)
            raise

    if len(items) < 2:
        return [run(item) for item in items]
    with ThreadPoolExecutor(max_workers=min(workers, len(items))) as pool:
        return list(pool.map(run, items))


def as_dict(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response's mapping as a copy."""
    return dict(answer)


def _operation_id(headers: Mapping[str, str]) -> str | None:
    """Return the operation's ID, the last segment of the address of its status."""
    for name in ("Azure-AsyncOperation", "Location"):
        path = urlsplit(headers.get(name) or "").path
        if path:
            return last_segment(path)
    return None


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError):
        return None
    # A zone of -0000 gives a time without a zone, which compares with no other time.
    return found.replace(tzinfo=timezone.utc) if found and found.tzinfo is None else found
