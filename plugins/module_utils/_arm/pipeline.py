# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way of a request through the SDK: tokens, pauses, other attempts, and what was answered.

Of the SDK's pipeline a policy needs no more than C(next) and C(send), so ours have no base in it:
this can be imported where there is no SDK.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import json
from typing import Any, List, Optional

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
    is_replayable,
    read_body,
    retry_after_s,
    seconds_in_words,
    trouble_pause,
)

_READ_TIMEOUT_S = 120.0
_SHORTEST_READ_TIMEOUT_S = 10.0
# The ends of the addresses of lists. The SDK reads an answer without its list as an empty one.
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
    """Adds the token; when it is refused, asks for another, once."""

    def __init__(self, tokens: Tokens) -> None:
        #: The next policy; the SDK sets it.
        self.next: Any = None
        self._tokens = tokens

    def send(self, request: Any) -> Any:
        """Send with a token that is good."""
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

    def _token(self, refused: Optional[str] = None) -> str:
        try:
            return self._tokens.current(refused)
        except QuiesceError:
            # The options, which are of our own making.
            raise
        except Exception as error:
            raise SignInError(error, self._tokens.authority) from error


class PatientPolicy:
    """Sends again what may be sent again, when it may be sent again."""

    def __init__(
        self, gate: ThrottleGate, clock: Clock, deadline: Deadline, answers: ResponseLog
    ) -> None:
        #: The next policy; the SDK sets it.
        self.next: Any = None
        self._gate = gate
        self._clock = clock
        self._deadline = deadline
        self._answers = answers

    def send(self, request: Any) -> Any:
        """Send until there is an answer to give, or no time."""
        sent = request.http_request
        action = action_of(sent.method, sent.url)
        safe = is_replayable(sent.method, sent.url)
        attempt = 0
        while True:
            attempt += 1
            self._gate.wait(action)
            left = max(self._deadline.left(), _SHORTEST_READ_TIMEOUT_S)
            request.context.options["read_timeout"] = min(left, _READ_TIMEOUT_S)
            try:
                response = self.next.send(request)
                # The SDK leaves unread what begins an operation that takes long.
                answer = response.http_response
                # Older SDKs get an answer of another class, which has no C(read).
                (getattr(answer, "read", None) or answer.body)()
            except Exception as error:
                if not is_network_error(error) or getattr(error, "response", None) is not None:
                    raise
                if not is_unsent(error):
                    self._answers.lose()
                pause = _pause_after(error, attempt, safe)
                if not self._may_sleep(pause):
                    raise
                continue
            self._answers.note(response.http_response)
            if not self._goes_on(response, action, attempt, safe):
                return response

    def _goes_on(self, response: Any, action: str, attempt: int, safe: bool) -> bool:
        """Whether there is to be another attempt; by then, the pause is over or is the gate's."""
        answer = response.http_response
        status = answer.status_code
        if status >= 500:
            self._answers.lose()
        if status in (429, 503):
            pause = busy_pause(status, attempt, _asked(answer), safe)
            if pause is not None:
                concerned = counted_as(action, read_body(answer.text()).code)
                self._gate.close(concerned, pause, status, answer)
            return pause is not None
        if _is_malformed(answer):
            self._answers.lose()
            if safe and self._may_sleep(
                trouble_pause(500, attempt, answer.request.method == "GET")
            ):
                return True
            raise MalformedResponseError(answer)
        return self._may_sleep(trouble_pause(status, attempt, safe))

    def _may_sleep(self, pause: Optional[float]) -> bool:
        """Sleep and say so, unless there is to be no pause or no time for it."""
        if pause is None or pause > self._deadline.left():
            return False
        self._clock.sleep(pause)
        return True


def policies(
    tokens: Tokens,
    gate: ThrottleGate,
    clock: Clock,
    deadline: Deadline,
    answers: ResponseLog,
    agent: str,
) -> List[Any]:
    """The way of a client's requests.

    Not on it: what would register the subscription with a provider behind our back (a write, also
    in check mode), follow redirections with our token, or log headers.
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
        # Before those that send again, so that it sees the answer that counts.
        CustomHookPolicy(),
        PatientPolicy(gate, clock, deadline, answers),
        BearerPolicy(tokens),
    ]


def _pause_after(error: Exception, attempt: int, safe: bool) -> Optional[float]:
    """The pause after there was no answer; None for no other attempt."""
    unsent = is_unsent(error)
    if unsent and type(getattr(error, "inner_exception", None)).__name__ == "SSLError":
        return None
    return broken_pause(attempt, not unsent, safe)


def _asked(answer: Any) -> Optional[float]:
    """The pause that an answer asks for."""
    headers = answer.headers
    asked = retry_after_s(headers.get("Retry-After"), headers.get("Date"))
    if asked is None and answer.status_code == 429:
        asked = seconds_in_words(read_body(answer.text()).message)
    return asked


def _is_malformed(answer: Any) -> bool:
    """Whether an answer that says yes is not the JSON that it should be."""
    if answer.status_code not in (200, 201):
        return False
    text = answer.text()
    reads = answer.request.method == "GET"
    path = answer.request.url.partition("?")[0].lower()
    if not text.strip():
        return reads and "operationresults" not in path
    try:
        body = json.loads(text)
    except ValueError:
        return True
    if not isinstance(body, dict):
        return True
    is_list = reads and path.rpartition("/")[2] in _LISTS
    return is_list and not isinstance(body.get("value"), list)
