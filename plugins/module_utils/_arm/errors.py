# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the control plane: whatever the SDK, the network or Azure says, in our form.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Optional
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
# Codes of a 404 that say that the request was wrong, not that the thing is not there.
_WRONG_REQUEST = frozenset(
    {"invalidresourcetype", "noregisteredproviderfound", "invalidapiversionparameter"}
)
_A_RESOURCE = re.compile(r"'(?P<type>[A-Za-z0-9.]+/[A-Za-z]+)/(?P<name>[^'/]+)'")
# Codes of a 409 that no waiting helps against.
_NOT_PASSING = frozenset(
    {"scopelocked", "missingsubscriptionregistration", "readonlydisabledsubscription"}
)
# What a 400 says, in its code or message, that means that another operation is at work.
_BUSY = ("conflict", "in progress", "inprogress", "is running")
_LATER = "Try again later; if it stays so, look for a proxy that changes answers."
_UNKNOWN_OUTCOME = "Look at what is there and run the task again: it may have been done."


class VaultError(QuiesceError):
    """Azure refused, failed or did not answer.

    C(kind): authentication, connection, subscription, resource_group, vault (there is no such),
    not_found (the thing itself), authorization, conflict, throttled, request, service.
    """

    def __init__(self, failure: Failure, kind: str = "service", is_wide: bool = False) -> None:
        super().__init__(failure)
        self.kind = kind
        #: Whether every other request would fail of the same.
        self.is_wide = is_wide
        #: Whether an attempt before it may have been carried out, its answer being lost.
        self.is_doubtful = False

    @property
    def not_found(self) -> bool:
        """Whether the thing itself, in a vault that exists, is not there."""
        return self.kind == "not_found"

    @property
    def is_conflict(self) -> bool:
        """Whether another operation is in the way, or a state."""
        return self.kind == "conflict"

    @property
    def is_busy(self) -> bool:
        """The same, also where Azure says it with the status of a bad request."""
        said = f"{self.failure.name} {self.failure.azure_message}".lower()
        told = self.failure.http_status == 400 and any(words in said for words in _BUSY)
        return self.is_conflict or told

    @property
    def is_throttled(self) -> bool:
        """Whether Azure wants fewer requests."""
        return self.kind == "throttled"


class SignInError(Exception):
    """No token could be got."""

    def __init__(self, error: Exception, authority: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.authority = authority


class MalformedResponseError(Exception):
    """An answer that says yes, and whose body is not what it should be."""

    def __init__(self, response: Any) -> None:
        super().__init__("malformed")
        self.response = response


class Operation(NamedTuple):
    """What was to be done, for the words of the error, and of what."""

    what: str
    vm: Optional[VmId] = None
    vault: Optional[VaultId] = None
    endpoint: str = ""
    #: True if the request changes nothing in Azure, so that nothing of it can be half done.
    is_read: bool = False


def from_sdk(
    error: Exception,
    what: str,
    vm: Optional[VmId] = None,
    vault: Optional[VaultId] = None,
    endpoint: str = "",
    is_read: bool = False,
) -> VaultError:
    """Return anything that a request to Azure raised as C(VaultError).

    C(what) was to be done, in words for the message. C(is_read): the request changes nothing.
    """
    asked = Operation(what, vm, vault, endpoint, is_read)
    if isinstance(error, VaultError):
        return error
    if isinstance(error, ThrottledError):
        return _throttled(error, asked)
    if isinstance(error, MalformedResponseError):
        return _malformed(error, asked)
    if _is_of_sdk(error, "DeserializationError"):
        # Only older SDKs raise it: newer ones hand out a body whose shape is wrong.
        again = _LATER if asked.is_read else f"{_UNKNOWN_OUTCOME} {_LATER}"
        message = "the answer does not have the form that Azure documents"
        return _error("MalformedAnswer", message, asked, "service", again)
    if isinstance(error, SignInError):
        why = network_errors.explain_sign_in(error.error, error.authority)
        kind = "connection" if why.is_network_error else "authentication"
        action = why.action or by_status(401)
        return _error(why.name, why.message, asked, kind, action, 0, why.correlation_id, True)
    response = getattr(error, "response", None)
    if response is None:
        if not network_errors.is_network_error(error):
            # Not Azure's doing: a mistake of ours, which shall be seen as such.
            raise error
        why = network_errors.explain_network(error, endpoint)
        is_known = why.never_arrived or asked.is_read
        action = why.action if is_known else f"{_UNKNOWN_OUTCOME} {why.action}"
        return _error(why.name, why.message, asked, "connection", action, is_wide=why.never_arrived)
    return _of_answer(response, asked)


def _is_of_sdk(error: Exception, name: str) -> bool:
    """Return True if the error has this class of `azure.core.exceptions`, without importing it."""
    wanted = ("azure.core.exceptions", name)
    return any((kind.__module__, kind.__name__) == wanted for kind in type(error).__mro__)


def correlation_id(headers: Mapping[str, str]) -> str:
    """What Microsoft's support finds a request by."""
    return headers.get("x-ms-correlation-request-id") or headers.get("x-ms-request-id") or ""


def _of_answer(response: Any, asked: Operation) -> VaultError:
    status = int(response.status_code or 0)
    text = _body(response)
    said = read_body(text)
    code = said.code or f"HTTP{status}"
    kind = _kind(status, said.code, said.message)
    is_wide = kind in ("authentication", "subscription", "resource_group", "vault")
    if kind in ("subscription", "resource_group") and not _is_of(response, asked.vault):
        # That of a VM, which is elsewhere: then there is no such VM.
        kind, is_wide = "not_found", False
    message = _scope_in_words(kind, asked.vault, said.message) or said.message
    if not said.code:
        message = _not_azure(status, text, response.headers)
    return _error(
        code,
        message,
        asked,
        kind,
        recommended(code, said.message) or by_status(status),
        status,
        correlation_id(response.headers),
        is_wide,
    )


def _is_of(response: Any, vault: Optional[VaultId]) -> bool:
    """Whether the request was for what lies in the vault, or for the vault."""
    path = unquote(urlsplit(str(response.request.url)).path).lower()
    return vault is not None and f"{path}/".startswith(f"{vault.key}/")


def _kind(status: int, code: str, message: str) -> str:
    if code.lower() in _SUBSCRIPTION_CODES:
        return "subscription"
    if equals_ignoring_case(code, "ResourceGroupNotFound"):
        return "resource_group"
    found = _A_RESOURCE.search(message)
    if equals_ignoring_case(code, "ResourceNotFound") and found:
        return (
            "vault"
            if equals_ignoring_case(found["type"], "Microsoft.RecoveryServices/vaults")
            else "not_found"
        )
    if status == 404 and (not code or code.lower() in _WRONG_REQUEST):
        return "request"
    if status == 409 and code.lower() in _NOT_PASSING:
        return "request"
    return _BY_STATUS.get(status, "request" if 400 <= status < 500 else "service")


def _scope_in_words(kind: str, vault: Optional[VaultId], message: str) -> str:
    """What of the vault's id there is not, for people; empty when Azure speaks of another."""
    if vault is None:
        return ""
    scope = {"subscription": vault.subscription_id, "resource_group": vault.resource_group}
    if kind in scope and scope[kind].lower() not in message.lower():
        return ""
    return {
        "subscription": f"There is no subscription {vault.subscription_id} for these credentials",
        "resource_group": f"There is no resource group {vault.resource_group} "
        f"in subscription {vault.subscription_id}",
        "vault": f"There is no vault {vault.name} in resource group {vault.resource_group} "
        f"of subscription {vault.subscription_id}",
    }.get(kind, "")


def _not_azure(status: int, text: str, headers: Mapping[str, str]) -> str:
    """Words for an answer in none of Azure's shapes, which is often a proxy's."""
    title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
    if title:
        words = " ".join(title[1].split())
        return f"the answer {status} is a web page ({words}), not Azure's: is there a proxy?"
    if not text.strip():
        return f"the answer {status} says no reason"
    kind = (headers.get("Content-Type") or "no type").split(";")[0]
    return f"the answer {status} ({kind}) is not in a form of Azure's"


def _body(response: Any) -> str:
    try:
        text: str = response.text()
    except Exception:
        # A body that broke off, or that is in no encoding.
        return ""
    return text


def _throttled(error: ThrottledError, asked: Operation) -> VaultError:
    said = read_body(_body(error.response))
    clock = error.until.time().isoformat(timespec="seconds")
    message = (
        f"Azure takes no more requests of {error.action} before {clock} UTC "
        f"(in {error.seconds:.0f} s), which is after this task's timeout"
    )
    return _error(
        said.code or "TooManyRequests",
        message,
        asked,
        "throttled",
        f"Run the task again after {error.until.date().isoformat()} {clock} UTC, or raise timeout.",
        int(getattr(error.response, "status_code", 0)),
        correlation_id(getattr(error.response, "headers", {})),
    )


def _malformed(error: MalformedResponseError, asked: Operation) -> VaultError:
    answer = error.response
    reads = answer.request.method in ("GET", "HEAD")
    return _error(
        "MalformedAnswer",
        f"the answer {answer.status_code} is not the JSON that it should be",
        asked,
        "service",
        _LATER if reads else f"{_UNKNOWN_OUTCOME} {_LATER}",
        int(answer.status_code),
        correlation_id(answer.headers),
    )


def _error(
    code: str,
    message: str,
    asked: Operation,
    kind: str,
    action: str,
    status: int = 0,
    correlation: str = "",
    is_wide: bool = False,
) -> VaultError:
    words = redact(message).strip() or "Azure gave no reason"
    text = f"Could not {asked.what}: {code}: {words}"
    if not text.endswith((".", "!", "?")):
        text += "."
    # What every request would end in is no matter of one VM.
    vm = None if is_wide else asked.vm
    if vm and not contains_name(asked.what, vm.name):
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
