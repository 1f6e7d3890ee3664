# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the SDK sends its requests by: our connections, with a limit, and without its errors.

PRIVATE: for this collection only. The SDK serializes requests and reads answers. How long something
may take, and on which connection it happens, is decided here; the SDK's own transport can promise
neither. It is not imported by importing this.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Dict, Iterator, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from ..._disks import BlobAddress
from ..._errors import Failure, StoreError
from ..._http.exchange import NO_NETWORK_CODE, Exchange, HttpConnection, send_all
from ..._http.parser import ResponseParser
from ..._libraries import STORAGE_BLOB, missing
from ..._redact import redact

#: Codes that Microsoft's agent reports for what the service says; it reports 76 for all else.
_SERVICE_CODES = {"SnapshotCountExceeded": 85, "SnapshotOperationRateExceeded": 173}
_CHECK_SAS = "Check the permissions, the times and the allowed addresses of the SAS."
_LATER = "Try again later."
_LOOK_UP = "Look the code up in Microsoft's list of the error codes of Blob Storage."
_ACTIONS = {
    "AuthenticationFailed": "The SAS is not valid: its key was rotated, it expired, or it was cut.",
    "AuthorizationFailure": "Check the SAS, and the storage account's firewall and private links.",
    "AuthorizationPermissionMismatch": _CHECK_SAS,
    "AuthorizationResourceTypeMismatch": _CHECK_SAS,
    "AuthorizationSourceIPMismatch": _CHECK_SAS,
    "BlobNotFound": "Check the name of the blob and of its container.",
    "ContainerNotFound": "Check the name of the container.",
    "SnapshotCountExceeded": "Delete old snapshots of this blob; a premium page blob takes 100.",
    "SnapshotOperationRateExceeded": "Wait: a premium page blob takes one snapshot in 10 minutes.",
    "ServerBusy": _LATER,
    "TooManyRequests": _LATER,
    "InternalError": _LATER,
    "OperationTimedOut": _LATER,
}


def sdk_problem() -> Optional[Failure]:
    """Return why the SDK cannot be used, found without importing it; None when it can."""
    return missing([STORAGE_BLOB])


class ServiceRefused(StoreError):
    """The service answered with an error; C(status) is that of HTTP."""

    def __init__(self, status: int, failure: Failure) -> None:
        super().__init__(failure)
        self.status = status


def refusal(answer: ResponseParser) -> Failure:
    """An answer that says no, in our form: the service's own name, and what to do."""
    name = answer.error_code or f"HTTP{answer.status}"
    reason = redact(answer.reason)[:100] if answer.reason.isprintable() else ""
    words = f"the service answered {answer.status} {reason}".rstrip()
    if answer.error_code:
        words += f" ({answer.error_code})"
    default = _LATER if (answer.status or 0) >= 500 else _LOOK_UP
    code = _SERVICE_CODES.get(name, NO_NETWORK_CODE)
    return Failure(name, f"{words}.", _ACTIONS.get(name, default), code)


class Captured(Exception):
    """Not an error: the bytes of the request that would have been sent."""

    def __init__(self, payload: bytes) -> None:
        super().__init__("captured")
        self.payload = payload


class _Response:
    """An answer in the form that the SDK reads; only success comes this far."""

    def __init__(self, request: Any, answer: ResponseParser) -> None:
        self.request = request
        self.status_code = answer.status
        self.reason = answer.reason
        self.headers: Dict[str, str] = _Headers(answer.headers)
        self.content_type = answer.headers.get("content-type", "")
        self.content = answer.body

    def body(self) -> bytes:
        """The whole body."""
        return self.content

    def read(self) -> bytes:
        """The same, by the name of newer versions of the SDK."""
        return self.content

    def text(self, encoding: Optional[str] = None) -> str:
        """The body as text."""
        return self.content.decode(encoding or "utf-8-sig", "replace")

    def stream_download(self, _pipeline: Any = None, **_options: Any) -> Iterator[bytes]:
        """The body in one piece."""
        return iter((self.content,))


class _Headers(Dict[str, str]):
    """Headers by names in any case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in headers.items()})

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: Any = None) -> Any:
        """The header, or what is to be had instead."""
        return super().get(name.lower(), default)


class Transport:
    """The SDK's way to one store, by one connection."""

    def __init__(self, connection: HttpConnection) -> None:
        self.connection = connection
        # A TLS connection that two threads use at once can bring the whole process down.
        self._lock = threading.Lock()
        #: Until when whatever is asked must be answered.
        self.deadline_ns = 0
        #: Send nothing: raise C(Captured) with what would be sent.
        self.capturing = False
        #: The headers of the last answer, by lower-case name.
        self.last_headers: Mapping[str, str] = {}

    def within(self, limit_s: float) -> None:
        """Give what comes next so many seconds altogether."""
        self.deadline_ns = time.monotonic_ns() + int(limit_s * 1e9)

    def send(self, request: Any, **_options: Any) -> _Response:
        """Send a request of the SDK, on a new connection if the store closed the old one.

        Only for requests that may be sent twice. Raises C(StoreError).
        """
        method, payload = _serialize(request)
        if self.capturing:
            raise Captured(payload)
        with self._lock:
            call = self._ask(method, payload)
            if call.problem and time.monotonic_ns() < self.deadline_ns:
                call = self._ask(method, payload)
            if not call.answer.complete:
                self.connection.close()
        answer = call.answer
        if not answer.complete or answer.status is None:
            raise StoreError(no_answer(call))
        self.last_headers = answer.headers
        if answer.status >= 300:
            raise ServiceRefused(answer.status, refusal(answer))
        return _Response(request, answer)

    def _ask(self, method: str, payload: bytes) -> Exchange:
        self.connection.open(self.deadline_ns)
        call = Exchange(self.connection, payload, bodiless=method == "HEAD")
        send_all([call], self.deadline_ns)
        return call

    def open(self) -> None:
        """What the SDK calls; connections are opened when needed."""

    def close(self) -> None:
        """What the SDK calls; who made the connection closes it."""

    def sleep(self, _duration: float) -> None:
        """What the SDK calls between attempts, of which there is one."""

    def __enter__(self) -> Transport:
        return self

    def __exit__(self, *_exc: object) -> None:
        """See C(close)."""


def no_answer(call: Exchange) -> Failure:
    """Why a request has no answer, in our form."""
    if call.withheld:
        advice = "Find out what stopped or slowed this run; its phases in the result show when."
        return Failure("NotAskedInTime", f"{call.problem}.", advice)
    if call.problem:
        name = "ConnectionLost" if call.answer.status is None else "UnusableAnswer"
        words = call.problem
    else:
        name, words = "NoAnswer", "no answer came in time"
    advice = "Check the network between this machine and the store, and the store's own state."
    return Failure(name, f"{words}.", advice, NO_NETWORK_CODE)


def blob_client(uri: str, transport: Transport, snapshot: Optional[str] = None) -> Any:
    """The SDK's client for the blob, by way of the transport, with no attempt but the first."""
    from azure.storage.blob import BlobClient

    return BlobClient.from_blob_url(uri, snapshot=snapshot, transport=transport, retry_total=0)


def container_client(address: BlobAddress, client: Any, transport: Transport) -> Any:
    """The SDK's client for the blob's container, with the blob's SAS."""
    from azure.storage.blob import ContainerClient

    origin = address.shown[: -len(address.path)]
    segments = address.path.strip("/").split("/")
    # On a store without host names of its own, such as Azurite, the account is in the path.
    account = "" if segments[0] == client.container_name else f"/{segments[0]}"
    return ContainerClient(
        origin + account,
        client.container_name,
        credential=address.uri.partition("?")[2],
        transport=transport,
        retry_total=0,
    )


def unexpected(error: Exception) -> Failure:
    """An error of the SDK; its text is shown only without secrets, and not all of it."""
    text = redact(str(error)).split("?")[0][:200]
    message = f"the SDK failed: {type(error).__name__}: {text.rstrip('. ')}."
    action = "Run the task again. If it fails again, report it with this output."
    return Failure("UnexpectedAnswer", message, action)


def _serialize(request: Any) -> Tuple[str, bytes]:
    """Method and bytes of a request of the SDK."""
    parts = urlsplit(request.url)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    body = request.data or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    headers = {str(name): str(value) for name, value in request.headers.items()}
    for name in [one for one in headers if one.lower() in ("host", "content-length")]:
        del headers[name]
    headers["Host"] = parts.netloc
    # Also where there is no body: without it the service answers 411.
    headers["Content-Length"] = str(len(body))
    lines = [f"{request.method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return str(request.method), "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + bytes(body)
