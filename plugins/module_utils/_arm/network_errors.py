# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Explanations of network, TLS and sign-in failures.

They go by the names of the exceptions' classes, so that no library must be imported for them.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from .advice import recommended

_ADDRESS = (
    "Check resource_manager_endpoint, authority and cloud, the DNS entry of the host, and that "
    "this machine can reach it (firewall, HTTPS_PROXY)."
)
_CERTIFICATE = (
    "If the cloud or a proxy has its own certificate authority, set ca_certificates to the file "
    "with its certificate."
)
_RETRY = "Try again later."
_NETWORK = frozenset(
    {
        "ServiceRequestError",
        "ServiceRequestTimeoutError",
        "ServiceResponseError",
        "ServiceResponseTimeoutError",
        "IncompleteReadError",
        "HttpResponseError",
        "DecodeError",
    }
)
_AADSTS = re.compile(r"AADSTS\d+")
_TRACE = re.compile(r"\s*Trace ID: .*", re.DOTALL)
# Azure-identity's links to its own pages: the recommended action replaces them.
_ADVICE = re.compile(r"(Visit|To mitigate this issue|See the troubleshooting guide)[^\n]*")
_CORRELATION = re.compile(r"Correlation ID: ([0-9a-fA-F-]{36})")


class Cause(NamedTuple):
    """The cause of a failure, as the parts of an error."""

    name: str
    message: str
    action: str
    is_network_error: bool = False
    #: True if the request certainly did not reach the service.
    never_arrived: bool = True
    correlation_id: str = ""


def is_network_error(error: BaseException) -> bool:
    """Return True if an exception is the SDK's for a connection that failed or broke."""
    return any(kind.__name__ in _NETWORK for kind in type(error).__mro__)


def is_unsent(error: BaseException) -> bool:
    """Return True if the request certainly did not reach the service.

    The exception's class alone does not show it: the SDK raises the same class if TLS or a proxy
    fails while the response is read.
    """
    is_request_error = any(kind.__name__ == "ServiceRequestError" for kind in type(error).__mro__)
    return is_request_error and _was_connecting(error)


def explain_network(error: BaseException, endpoint: str) -> Cause:
    """Return the cause of a request to this endpoint that got no response."""
    names, words = _names_and_words(error)
    host = _host(endpoint)

    def cause(name: str, message: str, action: str, never_arrived: bool = True) -> Cause:
        return Cause(name, message, action, True, never_arrived)

    if "NameResolutionError" in names or "gaierror" in names:
        return cause("EndpointNotFound", f"the host name of {host} cannot be resolved", _ADDRESS)
    if "ProxyError" in names and _was_connecting(error):
        return cause("ProxyFailed", f"the proxy to {host} failed", _ADDRESS)
    if "SSLCertVerificationError" in names or "CERTIFICATE_VERIFY_FAILED" in words:
        detail = re.search(r"certificate verify failed: ([^(\"']+)", words)
        reason = f" ({detail[1].strip()})" if detail else ""
        message = f"the certificate of {host} is not trusted{reason}"
        return cause("CertificateNotTrusted", message, _CERTIFICATE)
    if "SSLError" in names and _was_connecting(error):
        return cause("TlsFailed", f"the TLS handshake with {host} failed", _ADDRESS)
    if "ConnectionRefusedError" in names:
        return cause("ConnectionRefused", f"{host} refused the connection", _ADDRESS)
    if "ConnectTimeoutError" in names or "ConnectTimeout" in names:
        return cause("ConnectionTimedOut", f"the connection to {host} timed out", _ADDRESS)
    if "ReadTimeoutError" in names or "ReadTimeout" in names:
        return cause("AnswerTimedOut", f"{host} did not respond in time", _RETRY, False)
    if is_unsent(error):
        return cause("ConnectionFailed", f"the connection to {host} failed", _ADDRESS)
    return cause("ConnectionBroken", f"the connection to {host} broke", _RETRY, False)


def explain_sign_in(error: BaseException, authority: str) -> Cause:
    """Return the cause of a sign-in that gave no token."""
    for inner in _chain(error):
        if is_network_error(inner) and getattr(inner, "response", None) is None and _is_io(inner):
            return explain_network(inner, authority)
    text = str(getattr(error, "message", None) or error)
    names, _words = _names_and_words(error)
    found = _AADSTS.search(text)
    correlation = _CORRELATION.search(text)
    message = " ".join(_ADVICE.sub("", _TRACE.sub("", text)).split())
    if found:
        name = found[0]
        message = message[message.index(name) + len(name) :].lstrip(": ")
    elif "Unable to get authority configuration" in text or "Invalid tenant" in text:
        name, message = "InvalidTenant", f"{_host(authority)} does not know the tenant"
    elif "CredentialUnavailableError" in names or "DefaultAzureCredential failed" in text:
        name = _unavailable(text)
    else:
        name = "AuthenticationFailed"
    id_ = correlation[1] if correlation else ""
    return Cause(name, message, recommended(name, text, "sign in"), correlation_id=id_)


def _unavailable(text: str) -> str:
    """Return the error name for credentials that do not exist."""
    if "DefaultAzureCredential" in text:
        # The message lists every kind of credential; any of them would do.
        return "NoCredentials"
    if "az login" in text:
        return "AzureCliNotLoggedIn"
    if "Azure CLI not found" in text:
        return "AzureCliNotFound"
    if re.search("managed ?identity", text, re.IGNORECASE):
        return "NoManagedIdentity"
    return "NoCredentials"


def _is_io(error: BaseException) -> bool:
    return any(kind.__name__.startswith("Service") for kind in type(error).__mro__)


def _was_connecting(error: BaseException) -> bool:
    """Return True if it was raised while connecting, TLS included, so before any request.

    Neither the SDK nor urllib3 has a class for that: an `SSLError` is the same in the handshake
    and in the response. But urllib3 1.26 and 2 connect in a method `connect`.
    """
    return any(
        frame.f_code.co_name == "connect"
        for cause in _chain(error)
        for frame, _line in traceback.walk_tb(cause.__traceback__)
    )


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).netloc or endpoint or "the service"


def _names_and_words(error: BaseException) -> tuple[frozenset[str], str]:
    """Return the class names and the texts of an exception and of its causes."""
    found = list(_chain(error))
    names = frozenset(kind.__name__ for cause in found for kind in type(cause).__mro__)
    return names, " ".join(str(cause) for cause in found)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes, in each place where libraries keep them."""
    seen: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop(0)
        if any(current is known for known in seen):
            continue
        seen.append(current)
        yield current
        kept = (getattr(current, name, None) for name in ("inner_exception", "reason", "__cause__"))
        context = None if current.__suppress_context__ else current.__context__
        causes = (*kept, context, *current.args)
        waiting.extend(cause for cause in causes if isinstance(cause, BaseException))
