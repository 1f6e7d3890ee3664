# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cause there was no answer, or no token: the network, the certificate, the credentials, in words.

Works by the names of the exceptions' classes, so that nothing is imported for it.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import re
import traceback
from typing import FrozenSet, Iterator, List, NamedTuple, Tuple
from urllib.parse import urlsplit

from .advice import recommended

_ADDRESS = (
    "Check resource_manager_endpoint, authority and cloud, the name's DNS, and that this machine "
    "may go there (firewall, HTTPS_PROXY)."
)
_CERTIFICATE = (
    "If the cloud or a proxy has a certificate authority of its own, give its certificate "
    "as ca_certificates."
)
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
# Azure-identity's pointers to its own pages; our recommended action says what to do.
_ADVICE = re.compile(r"(Visit|To mitigate this issue|See the troubleshooting guide)[^\n]*")
_CORRELATION = re.compile(r"Correlation ID: ([0-9a-fA-F-]{36})")


class Cause(NamedTuple):
    """The reason, in our form."""

    name: str
    message: str
    action: str
    is_network_error: bool = False
    #: Whether the request surely never came to the service.
    never_arrived: bool = True
    correlation_id: str = ""


def is_network_error(error: BaseException) -> bool:
    """Whether an exception is the SDK's word for a connection that failed or broke."""
    return any(kind.__name__ in _NETWORK for kind in type(error).__mro__)


def is_unsent(error: BaseException) -> bool:
    """Whether the request surely did not come to the service.

    The SDK says so also of TLS, or a proxy, that fails while the answer is read.
    """
    says_so = any(kind.__name__ == "ServiceRequestError" for kind in type(error).__mro__)
    return says_so and _was_connecting(error)


def explain_network(error: BaseException, endpoint: str) -> Cause:
    """Cause a request to this endpoint was not answered."""
    names, words = _names_and_words(error)
    host = _host(endpoint)

    def why(name: str, message: str, action: str, never_arrived: bool = True) -> Cause:
        return Cause(name, message, action, True, never_arrived)

    if "NameResolutionError" in names or "gaierror" in names:
        return why("EndpointNotFound", f"the name of {host} is not known", _ADDRESS)
    if "ProxyError" in names and _was_connecting(error):
        return why("ProxyFailed", f"the proxy on the way to {host} failed", _ADDRESS)
    if "SSLCertVerificationError" in names or "CERTIFICATE_VERIFY_FAILED" in words:
        detail = re.search(r"certificate verify failed: ([^(\"']+)", words)
        said = f" ({detail[1].strip()})" if detail else ""
        message = f"the certificate of {host} is not trusted{said}"
        return why("CertificateNotTrusted", message, _CERTIFICATE)
    if "SSLError" in names and _was_connecting(error):
        return why("TlsFailed", f"no TLS connection to {host} came about", _ADDRESS)
    if "ConnectionRefusedError" in names:
        return why("ConnectionRefused", f"{host} refused the connection", _ADDRESS)
    if "ConnectTimeoutError" in names or "ConnectTimeout" in names:
        return why("ConnectionTimedOut", f"{host} took no connection in time", _ADDRESS)
    if "ReadTimeoutError" in names or "ReadTimeout" in names:
        action = "Try again later."
        return why("AnswerTimedOut", f"{host} did not answer in time", action, False)
    if is_unsent(error):
        return why("ConnectionFailed", f"no connection to {host} came about", _ADDRESS)
    return why("ConnectionBroken", f"the connection to {host} broke", "Try again later.", False)


def explain_sign_in(error: BaseException, authority: str) -> Cause:
    """Cause no token was got."""
    for cause in _chain(error):
        if is_network_error(cause) and getattr(cause, "response", None) is None and _is_io(cause):
            return explain_network(cause, authority)
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
    """The name for credentials that are not there."""
    if "DefaultAzureCredential" in text:
        # It tells why of each kind, and any of them would do.
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
    """Whether it was raised while the connection was made, TLS included, so before any request."""
    return any(
        frame.f_code.co_name == "connect"
        for cause in _chain(error)
        for frame, _line in traceback.walk_tb(cause.__traceback__)
    )


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).netloc or endpoint or "the service"


def _names_and_words(error: BaseException) -> Tuple[FrozenSet[str], str]:
    """The names of the classes of an exception and of what caused it, and all they say."""
    found = list(_chain(error))
    names = frozenset(kind.__name__ for cause in found for kind in type(cause).__mro__)
    return names, " ".join(str(cause) for cause in found)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, wherever the libraries keep them."""
    seen: List[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if any(one is known for known in seen):
            continue
        seen.append(one)
        yield one
        kept = (getattr(one, name, None) for name in ("inner_exception", "reason", "__cause__"))
        context = None if one.__suppress_context__ else one.__context__
        causes = (*kept, context, *one.args)
        waiting.extend(cause for cause in causes if isinstance(cause, BaseException))
