# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of Azure: each failure of the SDK, the network or the service as a `VaultError`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from .._errors import Failure, QuiesceError
from .._redact import redact
from . import network_errors
from .advice import by_status, recommended
from .ids import VaultId, VmId, contains_name, equals_ignoring_case
from .retry import ThrottledError, read_body

_BY_STATUS = {
    401: "authentication",
    403: "authorization",
    404: "not_found",
    409: "conflict",
    412: "conflict",
    429: "throttled",
}
_SUBSCRIPTION_CODES = frozenset({"subscriptionnotfound", "invalidsubscriptionid"})
# Codes of a 404 for a wrong request, not for a resource that does not exist.
_WRONG_REQUEST = frozenset(
    {"invalidresourcetype", "noregisteredproviderfound", "invalidapiversionparameter"}
)
_RESOURCE = re.compile(r"'(?P<type>[A-Za-z0-9.]+/[A-Za-z]+)/(?P<name>[^'/]+)'")
# Codes of a 409 that persists: waiting does not help.
_PERMANENT = frozenset(
    {"scopelocked", "missingsubscriptionregistration", "readonlydisabledsubscription"}
)
# Words in the code or message of a 400 that mean a conflict with another operation.
_BUSY = ("conflict", "in progress", "inprogress", "is running")
_CHECK_PROXY = "Try again later. If the error persists, check for a proxy that changes responses."
_CHECK_FIRST = (
    "The request may have taken effect: check the current state, then run the task again."
)


class VaultError(QuiesceError):
    """Azure refused a request, failed, or sent no usable response.

    The values of `kind`: authentication, connection, subscription, resource_group, vault,
    not_found, authorization, conflict, throttled, request, service. Those of the scope mean that
    the subscription, group or vault does not exist; not_found means the same of the item itself.
    """

    def __init__(self, failure: Failure, kind: str = "service", is_wide: bool = False) -> None:
        super().__init__(failure)
        self.kind = kind
        #: True if every other request would fail with the same error.
        self.is_wide = is_wide
        #: True if the response to an earlier attempt was lost, so it may have taken effect.
        self.is_doubtful = False
        #: True if Azure accepted the request and may still carry it out.
        self.is_running = False

    @property
    def not_found(self) -> bool:
        """True if the item itself does not exist in an existing vault."""
        return self.kind == "not_found"

    @property
    def is_conflict(self) -> bool:
        """True if another operation, or a state, prevents the request."""
        return self.kind == "conflict"

    @property
    def is_busy(self) -> bool:
        """True for a conflict, also if Azure reports it with the status of a bad request."""
        text = f"{self.failure.name} {self.failure.azure_message}".lower()
        is_reported = self.failure.http_status == 400 and any(words in text for words in _BUSY)
        return self.is_conflict or is_reported

    @property
    def is_throttled(self) -> bool:
        """True if Azure requires fewer requests."""
        return self.kind == "throttled"


class SignInError(Exception):
    """No token was obtained."""

    def __init__(self, error: Exception, authority: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.authority = authority


class MalformedResponseError(Exception):
    """A response of success whose body is not the expected JSON."""

    def __init__(self, response: Any) -> None:
        super().__init__("malformed")
        self.response = response


class Operation(NamedTuple):
    """An operation, for the messages of its errors: "Could not `action`"."""

    action: str
    vm: VmId | None = None
    vault: VaultId | None = None
    endpoint: str = ""
    #: True if the request changes nothing in Azure, so that nothing of it can be half done.
    is_read: bool = False


def from_sdk(error: Exception, operation: Operation) -> VaultError:
    """Return an exception of a request to Azure as a `VaultError`."""
    if isinstance(error, VaultError):
        return error
    if isinstance(error, ThrottledError):
        return _throttled(error, operation)
    if isinstance(error, MalformedResponseError):
        return _malformed(error, operation)
    if _is_of_sdk(error, "DeserializationError"):
        # Only older SDKs raise it: newer ones return a body of any shape.
        action = _CHECK_PROXY if operation.is_read else f"{_CHECK_FIRST} {_CHECK_PROXY}"
        message = "the response does not have the form that Azure documents"
        return _error("MalformedAnswer", message, operation, "service", action)
    if isinstance(error, SignInError):
        cause = network_errors.explain_sign_in(error.error, error.authority)
        kind = "connection" if cause.is_network_error else "authentication"
        action = cause.action or by_status(401)
        return _error(
            cause.name, cause.message, operation, kind, action, 0, cause.correlation_id, True
        )
    response = getattr(error, "response", None)
    if response is None:
        if not network_errors.is_network_error(error):
            # A defect of this collection, which must show as one.
            raise error
        cause = network_errors.explain_network(error, operation.endpoint)
        is_known = cause.never_arrived or operation.is_read
        action = cause.action if is_known else f"{_CHECK_FIRST} {cause.action}"
        return _error(
            cause.name,
            cause.message,
            operation,
            "connection",
            action,
            is_wide=cause.never_arrived,
        )
    return _from_response(response, operation)


def _is_of_sdk(error: Exception, name: str) -> bool:
    """Return True if the error has this class of `azure.core.exceptions`, without importing it."""
    wanted = ("azure.core.exceptions", name)
    return any((kind.__module__, kind.__name__) == wanted for kind in type(error).__mro__)


def correlation_id(headers: Mapping[str, str]) -> str:
    """Return the ID by which Microsoft's support finds a request."""
    return headers.get("x-ms-correlation-request-id") or headers.get("x-ms-request-id") or ""


def _from_response(response: Any, operation: Operation) -> VaultError:
    status = int(response.status_code or 0)
    text = _body(response)
    reported = read_body(text)
    code = reported.code or f"HTTP{status}"
    kind = _kind(status, reported.code, reported.message)
    is_wide = kind in ("authentication", "subscription", "resource_group", "vault")
    if kind in ("subscription", "resource_group") and not _is_in(response, operation.vault):
        # The scope is that of a VM elsewhere: so this VM does not exist.
        kind, is_wide = "not_found", False
    message = _missing_scope(kind, operation.vault, reported.message) or reported.message
    if not reported.code:
        message = _not_azure(status, text, response.headers)
    return _error(
        code,
        message,
        operation,
        kind,
        recommended(code, reported.message) or by_status(status),
        status,
        correlation_id(response.headers),
        is_wide,
    )


def _is_in(response: Any, vault: VaultId | None) -> bool:
    """Return True if the request was for the vault or for an item in it."""
    path = unquote(urlsplit(str(response.request.url)).path).lower()
    return vault is not None and f"{path}/".startswith(f"{vault.key}/")


def _kind(status: int, code: str, message: str) -> str:
    if code.lower() in _SUBSCRIPTION_CODES:
        return "subscription"
    if equals_ignoring_case(code, "ResourceGroupNotFound"):
        return "resource_group"
    found = _RESOURCE.search(message)
    if equals_ignoring_case(code, "ResourceNotFound") and found:
        return (
            "vault"
            if equals_ignoring_case(found["type"], "Microsoft.RecoveryServices/vaults")
            else "not_found"
        )
    if status == 404 and (not code or code.lower() in _WRONG_REQUEST):
        return "request"
    if status == 409 and code.lower() in _PERMANENT:
        return "request"
    return _BY_STATUS.get(status, "request" if 400 <= status < 500 else "service")


def _missing_scope(kind: str, vault: VaultId | None, message: str) -> str:
    """Return a message naming the missing part of the vault's ID; empty if another is meant."""
    if vault is None:
        return ""
    scope = {"subscription": vault.subscription_id, "resource_group": vault.resource_group}
    if kind in scope and scope[kind].lower() not in message.lower():
        return ""
    return {
        "subscription": f"Subscription {vault.subscription_id} was not found with these "
        "credentials",
        "resource_group": f"Resource group {vault.resource_group} was not found in subscription "
        f"{vault.subscription_id}",
        "vault": f"Vault {vault.name} was not found in resource group {vault.resource_group} of "
        f"subscription {vault.subscription_id}",
    }.get(kind, "")


def _not_azure(status: int, text: str, headers: Mapping[str, str]) -> str:
    """Return the message for a response that is not in Azure's format, often a proxy's."""
    title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
    if title:
        words = " ".join(title[1].split())
        return f"the response {status} is a web page ({words}), not Azure's: check for a proxy"
    if not text.strip():
        return f"the response {status} gives no reason"
    kind = (headers.get("Content-Type") or "no type").split(";")[0]
    return f"the response {status} ({kind}) is not in Azure's format"


def _body(response: Any) -> str:
    try:
        text: str = response.text()
    except Exception:
        # The body broke off or has an unknown encoding.
        return ""
    return text


def _throttled(error: ThrottledError, operation: Operation) -> VaultError:
    reported = read_body(_body(error.response))
    clock = error.until.time().isoformat(timespec="seconds")
    message = (
        f"Azure accepts no more requests of {error.action} before {clock} UTC "
        f"(in {error.seconds:.0f} s), which is after this task's timeout"
    )
    return _error(
        reported.code or "TooManyRequests",
        message,
        operation,
        "throttled",
        f"Run the task again after {error.until.date().isoformat()} {clock} UTC, or raise timeout.",
        int(getattr(error.response, "status_code", 0)),
        correlation_id(getattr(error.response, "headers", {})),
    )


def _malformed(error: MalformedResponseError, operation: Operation) -> VaultError:
    response = error.response
    is_read = response.request.method in ("GET", "HEAD")
    return _error(
        "MalformedAnswer",
        f"the response {response.status_code} is not the expected JSON",
        operation,
        "service",
        _CHECK_PROXY if is_read else f"{_CHECK_FIRST} {_CHECK_PROXY}",
        int(response.status_code),
        correlation_id(response.headers),
    )


def _error(
    code: str,
    message: str,
    operation: Operation,
    kind: str,
    action: str,
    status: int = 0,
    correlation: str = "",
    is_wide: bool = False,
) -> VaultError:
    words = redact(message).strip() or "Azure gave no reason"
    text = f"Could not {operation.action}: {code}: {words}"
    if not text.endswith((".", "!", "?")):
        text += "."
    # An error that every request would have does not belong to one VM.
    vm = None if is_wide else operation.vm
    if vm and not contains_name(operation.action, vm.name):
        text = f"VM {vm.resource_group}/{vm.name}: {text}"
    failure = Failure(
        code,
        text,
        action,
        code=int(code) if code.isdecimal() else None,
        correlation_id=correlation,
        http_status=status or None,
        vm=vm.id if vm else "",
        azure_message=words,
    )
    return VaultError(failure, kind, is_wide)
