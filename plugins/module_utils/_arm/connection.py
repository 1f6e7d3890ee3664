# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to one vault: clients that are made when needed, and calls that end in our errors.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
)
from urllib.parse import quote, urlsplit

from .._errors import QuiesceError
from .._libraries import AZURE_IDENTITY, BACKUP, COMPUTE, Library, missing, unusable
from .._redact import redact
from .clock import Clock, Deadline
from .credentials import (
    Cloud,
    Tokens,
    check_certificates,
    cloud_of,
    make_credential,
    subscription_of,
)
from .errors import VaultError, from_sdk
from .ids import VaultId, VmId, last_segment
from .options import check_wait, chosen_vault
from .pipeline import policies
from .retry import ResponseLog, ThrottleGate, retry_after_s
from .sdk import Client

T = TypeVar("T")
R = TypeVar("R")
Say = Callable[[str], None]
# The version of the reads of a vault, which the SDK of backups does not have.
_VAULT_API = "2024-04-01"
# Fixed, so that a newer SDK changes nothing: the version that real exchanges were recorded of. The
# SDK of VMs takes none for the whole client; of VMs we only read.
_API = {BACKUP: {"api_version": "2025-02-01"}}
AGENT = "ansible-quiesce.azure_backup"
_CONNECT_TIMEOUT_S = 20
# How long Azure's pauses may take where no timeout was given: the limits are those of an hour.
_DEFAULT_PATIENCE_S = 3600


def silent(_line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class AcceptedOperation:
    """An operation that Azure accepted, and does on its own."""

    operation_id: Optional[str]
    status: int
    retry_after_s: Optional[float]
    at: datetime


class VaultConnection:
    """One vault and what is needed to talk to it. Threads may share it."""

    def __init__(
        self,
        vault: VaultId,
        cloud: Cloud,
        tokens: Tokens,
        clock: Clock,
        deadline: Deadline,
        say: Say = silent,
        ca_certificates: Optional[str] = None,
    ) -> None:
        self.vault = vault
        self.clock = clock
        self.deadline = deadline
        self.say = say
        self._cloud = cloud
        self._tokens = tokens
        self._ca_certificates = ca_certificates
        self._lock = threading.RLock()
        self._clients: Dict[Tuple[Library, str], Client] = {}
        self._vault_resource: Optional[Dict[str, Any]] = None
        self._gate = ThrottleGate(clock, deadline, say)
        self._answers = ResponseLog()

    @property
    def at(self) -> Dict[str, str]:
        """The vault, as keywords of nearly every call of C(backup)."""
        return {"vault_name": self.vault.name, "resource_group_name": self.vault.resource_group}

    @property
    def backup(self) -> Any:
        """The client of Azure Backup; call it with keywords only."""
        return self._client(BACKUP, "RecoveryServicesBackupClient", self.vault.subscription_id)

    def compute(self, subscription_id: str) -> Any:
        """The client of VMs of a subscription."""
        return self._client(COMPUTE, "ComputeManagementClient", subscription_id)

    def server_now(self) -> datetime:
        """The service's clock at its last answer; ours before the first."""
        return _date(self._answers.date) or self.clock.now()

    def read(self, what: str, send: Callable[[], T], vm: Optional[VmId] = None) -> T:
        """Return what C(send) returns, which changes nothing in Azure.

        Raises C(VaultError) when Azure could not C(what).
        """
        return self._call(what, send, vm, is_read=True)

    def find(self, what: str, send: Callable[[], T], vm: Optional[VmId] = None) -> Optional[T]:
        """The same; None when there is no such thing in a vault that exists."""
        try:
            return self.read(what, send, vm)
        except VaultError as error:
            if error.not_found:
                return None
            raise

    def items(
        self, what: str, paged: Callable[[], Iterable[Any]], vm: Optional[VmId] = None
    ) -> List[Dict[str, Any]]:
        """Every element of a list, of all its pages, with Azure's own names."""
        return self.read(what, lambda: [as_dict(element) for element in paged()], vm)

    def start(
        self, what: str, send: Callable[..., Any], vm: Optional[VmId] = None
    ) -> AcceptedOperation:
        """Start an operation; C(send) is given C(cls) for the SDK's call.

        A call that begins with C(begin_) needs C(polling=False) too: nobody polls here.
        """
        self._answers.forget()
        try:
            self._call(what, lambda: send(cls=lambda *_answer: None), vm, is_read=False)
        except VaultError as error:
            error.is_doubtful = self._answers.was_lost
            raise
        answer = self._answers.last
        headers = answer.headers if answer else {}
        return AcceptedOperation(
            operation_id=_operation_id(headers),
            status=answer.status if answer else 0,
            retry_after_s=retry_after_s(headers.get("Retry-After"), headers.get("Date")),
            at=_date(headers.get("Date")) or self.clock.now(),
        )

    def vault_resource(self) -> Dict[str, Any]:
        """The vault itself, which is read once."""
        with self._lock:
            if self._vault_resource is None:
                self._vault_resource = self.get(
                    f"read vault {self.vault.name}", self.vault.id, _VAULT_API
                )
            return self._vault_resource

    def get(self, what: str, resource_id: str, api_version: str) -> Dict[str, Any]:
        """Read a resource for which the SDK that we use has no call."""
        from azure.core.rest import HttpRequest

        def send() -> Dict[str, Any]:
            address = f"{self._cloud.resource_manager}{quote(resource_id)}"
            request = HttpRequest("GET", address, params={"api-version": api_version})
            response = self.backup.send_request(request)
            response.raise_for_status()
            found: Dict[str, Any] = response.json()
            return found

        return self.read(what, send)

    def _call(self, what: str, send: Callable[[], T], vm: Optional[VmId], is_read: bool) -> T:
        try:
            return send()
        except QuiesceError:
            raise
        except Exception as error:
            endpoint = self._cloud.resource_manager
            raise from_sdk(error, what, vm, self.vault, endpoint, is_read) from error

    def _client(self, library: Library, name: str, subscription_id: str) -> Client:
        """A client, made when it is first asked for, as to import it takes time."""
        with self._lock:
            if (library, subscription_id) not in self._clients:
                made = Client(self._make(library, name, subscription_id), library)
                self._clients[library, subscription_id] = made
            return self._clients[library, subscription_id]

    def _make(self, library: Library, name: str, subscription_id: str) -> Any:
        require(library)
        options: Dict[str, Any] = dict(_API.get(library, {}))
        if self._ca_certificates:
            options["connection_verify"] = self._ca_certificates
        try:
            make = getattr(importlib.import_module(library.package), name)
            way = policies(
                self._tokens, self._gate, self.clock, self.deadline, self._answers, AGENT
            )
        except (ImportError, AttributeError) as error:
            raise QuiesceError(unusable(library, error)) from error
        return make(
            self._tokens,
            subscription_id,
            base_url=self._cloud.resource_manager,
            credential_scopes=[self._cloud.scope],
            policies=way,
            connection_timeout=_CONNECT_TIMEOUT_S,
            **options,
        )


def require(*libraries: Library) -> None:
    """Raise one error that names every library of the vault's modules that is missing."""
    problem = missing(libraries, (AZURE_IDENTITY, BACKUP, COMPUTE))
    if problem is not None:
        raise QuiesceError(problem)


def connect(
    params: Mapping[str, Any], say: Say = silent, clock: Optional[Clock] = None
) -> VaultConnection:
    """The connection of the options. Sends nothing yet."""
    check_wait(params)
    require(AZURE_IDENTITY, BACKUP)
    check_certificates(params.get("ca_certificates"))
    clock = clock or Clock()

    def say_it(line: str) -> None:
        say(redact(line))

    cloud = cloud_of(params)
    subscription_id = subscription_of(params)
    tokens = Tokens(lambda: make_credential(params, cloud), cloud.scope, cloud.authority)
    return VaultConnection(
        chosen_vault(params, subscription_id),
        cloud,
        tokens,
        clock,
        Deadline(clock, float(params.get("timeout") or _DEFAULT_PATIENCE_S)),
        say_it,
        params.get("ca_certificates"),
    )


def map_concurrently(
    work: Callable[[T], R], things: Sequence[T], workers: int = 8
) -> List[Tuple[T, Union[R, VaultError]]]:
    """Do the work for each thing, some at a time; one's C(VaultError) leaves the others alone.

    After an error that every request would end in, such as a wrong secret, no more are sent; nor
    after any other exception, which is raised.
    """
    wide: List[VaultError] = []
    mistakes: List[BaseException] = []

    def one(thing: T) -> Union[R, VaultError]:
        if mistakes:
            raise mistakes[0]
        if wide:
            return wide[0]
        try:
            return work(thing)
        except VaultError as error:
            if error.is_wide:
                wide.append(error)
            return error
        except BaseException as error:
            mistakes.append(error)
            raise

    if len(things) < 2:
        return [(thing, one(thing)) for thing in things]
    with ThreadPoolExecutor(max_workers=min(workers, len(things))) as pool:
        return list(zip(things, pool.map(one, things)))


def as_dict(answer: Mapping[str, Any]) -> Dict[str, Any]:
    """Return an answer as a mapping of its own."""
    return dict(answer)


def _operation_id(headers: Mapping[str, str]) -> Optional[str]:
    """The operation's id, which is the end of the address where its state is told."""
    for name in ("Azure-AsyncOperation", "Location"):
        path = urlsplit(headers.get(name) or "").path
        if path:
            return last_segment(path)
    return None


def _date(text: Optional[str]) -> Optional[datetime]:
    try:
        return parsedate_to_datetime(text) if text else None
    except (TypeError, ValueError):
        return None
