# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the SDK that is the same for every version of it that we use.

The versions differ in what an operation is called (with C(begin_) or without), in the names that
their models give to Azure's own, and in what their models drop because they do not know it. So
mappings go in and come out here, as Azure wrote them; of the SDK the addresses are used, the
pipeline, and the division into pages.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, Iterator, List

from .._errors import QuiesceError
from .._libraries import Library, unusable

_BEGIN = "begin_"
#: The keyword in which operations take a body.
_BODY = "parameters"


class Client:
    """A client's groups of operations, as attributes."""

    def __init__(self, client: Any, library: Library) -> None:
        self._client = client
        self._library = library

    def __getattr__(self, name: str) -> Operations:
        try:
            return Operations(getattr(self._client, name), self._library)
        except AttributeError as error:
            raise QuiesceError(unusable(self._library, error)) from error

    def send_request(self, request: Any) -> Any:
        """Send a request for which the SDK has no operation."""
        client = self._client
        send = getattr(client, "send_request", None) or client._send_request
        return send(request)


class Operations:
    """Operations, to be called with keywords only; a body is a mapping, and so is an answer."""

    def __init__(self, operations: Any, library: Library) -> None:
        self._operations = operations
        self._library = library

    def __getattr__(self, name: str) -> Callable[..., Any]:
        plain = name[len(_BEGIN) :] if name.startswith(_BEGIN) else name
        for known in (name, plain, f"{_BEGIN}{plain}"):
            operation = getattr(self._operations, known, None)
            if operation is not None:
                return _Operation(operation, polls=known.startswith(_BEGIN))
        error = AttributeError(f"it has no operation {name}")
        raise QuiesceError(unusable(self._library, error))


class _Operation:
    """One operation of the SDK, in our terms."""

    def __init__(self, operation: Callable[..., Any], polls: bool) -> None:
        self._operation = operation
        self._polls = polls

    def __call__(self, **options: Any) -> Any:
        """Return the answer, the elements of all pages, or what C(cls) makes of the answer."""
        options.pop("polling", None)
        if self._polls:
            # It starts, and that is all: nobody polls here.
            options["polling"] = False
        if isinstance(options.get(_BODY), dict):
            # Given a mapping, older models would drop what they do not know; bytes are sent as is.
            options[_BODY] = json.dumps(options[_BODY]).encode()
        answers = _Answers()
        found = self._operation(raw_response_hook=answers.take, **options)
        if hasattr(found, "by_page"):
            return found if "cls" in options else answers.elements(found)
        if "cls" in options or self._polls or found is None:
            return found
        return answers.last


class _Answers:
    """The bodies of answers, as they came."""

    def __init__(self) -> None:
        self.last: Dict[str, Any] = {}

    def take(self, response: Any) -> None:
        """Keep the body of an answer that says yes; C(raw_response_hook) of the SDK."""
        answer = response.http_response
        if answer.status_code in (200, 201):
            text = answer.text()
            self.last = json.loads(text) if text.strip() else {}

    def elements(self, paged: Any) -> Iterator[Dict[str, Any]]:
        """Yield every element of every page; the SDK asks for the next page when it is needed."""
        for _page in paged.by_page():
            # The SDK has parsed this page; its elements are left aside for those that came.
            elements: List[Dict[str, Any]] = self.last.get("value") or []
            yield from elements
