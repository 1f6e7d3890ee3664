# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Errors of the control plane: whatever the SDK, the network or Azure says, in our form.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import json
import re
from typing import Any, Mapping, NamedTuple, Optional

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    QuiesceError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._redact import redact
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._catalogue import (
    recommended,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils.vault._names import (
    VaultId,
    VmId,
)

# Kinds of errors that concern every request, so that to send more of them is of no use.
WIDE = frozenset({"authentication", "connection", "subscription", "resource_group", "vault"})


class VaultError(QuiesceError):
    """Azure refused, failed or did not answer.

    C(kind): authentication, connection, subscription, resource_group, vault (there is no such),
    not_found (the thing itself), authorization, conflict, throttled, request, service, answer.
    """

    def __init__(self, failure: Failure, kind: str = "service") -> None:
        super().__init__(failure)
        self.kind = kind

    @property
    def not_found(self) -> bool:
        """Whether the thing itself, in a vault that exists, is not there."""
        return self.kind == "not_found"

    @property
    def is_conflict(self) -> bool:
        """Whether another operation is in the way, or a state."""
        return self.kind == "conflict"

    @property
    def is_throttled(self) -> bool:
        """Whether Azure wants fewer requests."""
        return self.kind == "throttled"

    @property
    def is_wide(self) -> bool:
        """Whether every other request would fail of the same."""
        return self.kind in WIDE


class SignInFailed(Exception):
    """No token could be got."""

    def __init__(self, error: Exception, authority: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.authority = authority


class MalformedAnswer(Exception):
    """An answer that says yes, and whose body is not what it should be."""

    def __init__(self, response: Any) -> None:
        super().__init__("malformed")
        self.response = response


class Said(NamedTuple):
    """What the body of an error answer says."""

    code: str
    message: str


def read_body(text: str) -> Said:
    """The code and message of a body, in either of Azure's shapes; of no other, empty ones."""
    try:
        body = json.loads(text)
    except ValueError:
        return Said("", "")
    if not isinstance(body, dict):
        return Said("", "")
    error = body.get("error")
    if isinstance(error, dict):
        return Said(_text(error.get("code")), _first_message(error))
    if isinstance(error, str):
        # Microsoft Entra's own shape.
        return Said(error, _text(body.get("error_description")))
    message = body.get("Message", body.get("message"))
    if isinstance(message, dict):
        message = message.get("Value")
    return Said(
        _text(body.get("ErrorCode") or body.get("code") or body.get("Code")), _text(message)
    )


def _first_message(error: Mapping[str, Any]) -> str:
    """The message of an error, or that of the first of its details that has one."""
    message = _text(error.get("message"))
    for detail in error.get("details") or ():
        if message:
            break
        if isinstance(detail, dict):
            message = _text(detail.get("message"))
    return message


def _text(value: Any) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def of_sdk(
    error: Exception,
    what: str,
    vm: Optional[VmId] = None,
    vault: Optional[VaultId] = None,
    endpoint: str = "",
) -> VaultError:
    """Anything that a request to Azure raised, as C(VaultError); C(what) was to be done."""
    if isinstance(error, VaultError):
        return error
    response = getattr(error, "response", None)
    if response is None:
        return _error("RequestFailed", what, str(error), vm, kind="connection")
    said = read_body(_body(response))
    status = int(getattr(response, "status_code", 0) or 0)
    code = said.code or f"HTTP{status}"
    return _error(
        code,
        what,
        said.message,
        vm,
        kind=_kind(status, said, vault),
        status=status,
        correlation_id=correlation_id(response.headers),
    )


def correlation_id(headers: Mapping[str, str]) -> str:
    """What Microsoft's support finds a request by."""
    return headers.get("x-ms-correlation-request-id") or headers.get("x-ms-request-id") or ""


def _body(response: Any) -> str:
    try:
        text: str = response.text()
    except Exception:
        return ""
    return text


def _kind(status: int, said: Said, vault: Optional[VaultId]) -> str:
    if said.code in ("SubscriptionNotFound", "InvalidSubscriptionId"):
        return "subscription"
    if said.code == "ResourceGroupNotFound":
        return "resource_group"
    if said.code == "ResourceNotFound" and _is_of_vault(said.message):
        return "vault"
    return {
        401: "authentication",
        403: "authorization",
        404: "not_found",
        409: "conflict",
        412: "conflict",
        429: "throttled",
    }.get(status, "request" if 400 <= status < 500 else "service")


def _is_of_vault(message: str) -> bool:
    return bool(re.search(r"Microsoft\.RecoveryServices/vaults/[^/']+'", message, re.IGNORECASE))


def _error(
    code: str,
    what: str,
    message: str,
    vm: Optional[VmId],
    *,
    kind: str,
    status: int = 0,
    correlation_id: str = "",
) -> VaultError:
    words = redact(message) or "Azure gave no reason"
    text = f"Could not {what}: {code}: {words}"
    if not text.endswith((".", "!", "?")):
        text += "."
    failure = Failure(
        code,
        text,
        recommended(code, message),
        correlation_id=correlation_id,
        http_status=status or None,
        vm=vm.id if vm else "",
    )
    return VaultError(failure, kind)
