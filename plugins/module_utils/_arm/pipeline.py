# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Policies for the SDK's pipeline: tokens, pauses, retries, and a log of responses.

The SDK needs only `next` and `send` of a policy. These policies have no base class of the SDK, so
that this module can be imported without the SDK.
"""

from __future__ import annotations

import json
from typing import Any

from .._errors import QuiesceError
from .clock import Clock, Deadline
from .credentials import Tokens
from .errors import MalformedResponseError, SignInError
from .network_errors import is_network_error, is_unsent
from .retry import (
    ResponseLog,
    ThrottleGate,
    action_of,
    broken_pause,
    busy_pause,
    counted_as,
    error_pause,
    is_replayable,
    read_body,
    retry_after_s,
    seconds_in_words,
)

_READ_TIMEOUT_S = 120.0
_SHORTEST_READ_TIMEOUT_S = 10.0
# The last segments of lists' addresses. The SDK takes a response without its list as empty.
_LISTS = frozenset(
    {
        "backupjobs",
        "backuppolicies",
        "backupprotectableitems",
        "backupprotecteditems",
        "extensions",
        "recoverypoints",
    }
)


class BearerPolicy:
    """A policy that adds the token, and renews it once if Azure refuses it."""

    def __init__(self, tokens: Tokens) -> None:
        #: The next policy; the SDK sets it.
        self.next: Any = None
        self._tokens = tokens

    def send(self, request: Any) -> Any:
        """Send the request with a valid token."""
        token = self._token()
        response = self._send(request, token)
        if response.http_response.status_code == 401:
            other = self._token(refused=token)
            if other != token:
                response = self._send(request, other)
        return response

    def _send(self, request: Any, token: str) -> Any:
        request.http_request.headers["Authorization"] = f"Bearer {token}"
        return self.next.send(request)

    def _token(self, refused: str | None = None) -> str:
        try:
            return self._tokens.current(refused)
        except QuiesceError:
            # An error of the options, which has its own message.
            raise
        except Exception as error:
            raise SignInError(error, self._tokens.authority) from error


class RetryPolicy:
    """A policy that retries a request if that is safe, after the pause that Azure requires."""

    def __init__(
        self, gate: ThrottleGate, clock: Clock, deadline: Deadline, responses: ResponseLog
    ) -> None:
        #: The next policy; the SDK sets it.
        self.next: Any = None
        self._gate = gate
        self._clock = clock
        self._deadline = deadline
        self._responses = responses

    def send(self, request: Any) -> Any:
        """Send the request until it has a final response, or until the deadline."""
        sent = request.http_request
        action = action_of(sent.method, sent.url)
        is_safe = is_replayable(sent.method, sent.url)
        attempt = 0
        while True:
            attempt += 1
            self._gate.wait(action)
            left = max(self._deadline.left(), _SHORTEST_READ_TIMEOUT_S)
            request.context.options["read_timeout"] = min(left, _READ_TIMEOUT_S)
            try:
                response = self.next.send(request)
                # The SDK leaves the response of a long-running operation unread.
                answer = response.http_response
                # The responses of older SDKs have no `read`.
                (getattr(answer, "read", None) or answer.body)()
            except Exception as error:
                if not is_network_error(error) or getattr(error, "response", None) is not None:
                    raise
                if not is_unsent(error):
                    self._responses.lose()
                pause = _pause_after(error, attempt, is_safe)
                if not self._may_sleep(pause):
                    raise
                continue
            self._responses.note(response.http_response)
            if not self._should_retry(response.http_response, action, attempt, is_safe):
                return response

    def _should_retry(self, response: Any, action: str, attempt: int, is_safe: bool) -> bool:
        """Return True to send again, after the pause or with the gate closed for it."""
        status = response.status_code
        if status >= 500:
            self._responses.lose()
        if status in (429, 503):
            pause = busy_pause(status, attempt, _retry_after(response), is_safe)
            if pause is not None:
                scope = counted_as(action, read_body(response.text()).code)
                self._gate.close(scope, pause, status, response)
            return pause is not None
        if _is_malformed(response):
            self._responses.lose()
            is_read = response.request.method == "GET"
            if is_safe and self._may_sleep(error_pause(500, attempt, is_read)):
                return True
            raise MalformedResponseError(response)
        return self._may_sleep(error_pause(status, attempt, is_safe))

    def _may_sleep(self, pause: float | None) -> bool:
        """Sleep and return True; return False without a pause, or without time for it."""
        if pause is None or pause > self._deadline.left():
            return False
        self._clock.sleep(pause)
        return True


def policies(
    tokens: Tokens,
    gate: ThrottleGate,
    clock: Clock,
    deadline: Deadline,
    responses: ResponseLog,
    agent: str,
) -> list[Any]:
    """Return the policies of a client's pipeline.

    Some of the SDK's are left out on purpose. One registers the subscription with a provider (a
    write, also in check mode), one follows redirections with the token, and one logs headers.
    """
    from azure.core.pipeline.policies import (
        ContentDecodePolicy,
        CustomHookPolicy,
        HeadersPolicy,
        ProxyPolicy,
        RequestIdPolicy,
        UserAgentPolicy,
    )

    return [
        RequestIdPolicy(),
        HeadersPolicy(),
        UserAgentPolicy(base_user_agent=agent),
        ProxyPolicy(),
        ContentDecodePolicy(),
        # Before the policies that retry, so that it sees the final response.
        CustomHookPolicy(),
        RetryPolicy(gate, clock, deadline, responses),
        BearerPolicy(tokens),
    ]


def _pause_after(error: Exception, attempt: int, is_safe: bool) -> float | None:
    """Return the pause after a request got no response; None to give up."""
    unsent = is_unsent(error)
    if unsent and type(getattr(error, "inner_exception", None)).__name__ == "SSLError":
        return None
    return broken_pause(attempt, not unsent, is_safe)


def _retry_after(response: Any) -> float | None:
    """Return the pause that a response requires."""
    headers = response.headers
    pause = retry_after_s(headers.get("Retry-After"), headers.get("Date"))
    if pause is None and response.status_code == 429:
        pause = seconds_in_words(read_body(response.text()).message)
    return pause


def _is_malformed(response: Any) -> bool:
    """Return True if a response of success is not the expected JSON."""
    if response.status_code not in (200, 201):
        return False
    text = response.text()
    is_read = response.request.method == "GET"
    path = response.request.url.partition("?")[0].lower()
    if not text.strip():
        return is_read and "operationresults" not in path
    try:
        body = json.loads(text)
    except ValueError:
        return True
    if not isinstance(body, dict):
        return True
    is_list = is_read and path.rpartition("/")[2] in _LISTS
    return is_list and not isinstance(body.get("value"), list)
