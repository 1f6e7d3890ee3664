# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the SDK with one interface for all supported versions of the SDK.

The versions differ in the names of operations (with `begin_` or without). Their models give Azure's
fields different names, and drop different fields. Requests and responses here
are mappings with Azure's own names. The SDK provides the addresses, the pipeline and the paging.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Callable

from .._errors import QuiesceError
from .._libraries import Library, unusable

_BEGIN = "begin_"
#: The keyword in which operations take a body.
_BODY = "parameters"


class Client:
    """An SDK client: its groups of operations are attributes."""

    def __init__(self, client: Any, library: Library) -> None:
        self._client = client
        self._library = library

    def __getattr__(self, name: str) -> Operations:
        try:
            return Operations(getattr(self._client, name), self._library)
        except AttributeError as error:
            raise QuiesceError(unusable(self._library, error)) from error

    def send_request(self, request: Any) -> Any:
        """Send a request that has no operation in the SDK."""
        client = self._client
        send = getattr(client, "send_request", None) or client._send_request
        return send(request)


class Operations:
    """A group of operations. Call them with keywords; bodies and results are mappings."""

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
    """One operation of the SDK, with the interface of `Operations`."""

    def __init__(self, operation: Callable[..., Any], polls: bool) -> None:
        self._operation = operation
        self._polls = polls

    def __call__(self, **options: Any) -> Any:
        """Return the response's body, the elements of all pages, or the value of `cls`."""
        options.pop("polling", None)
        if self._polls:
            options["polling"] = False
        if isinstance(options.get(_BODY), dict):
            # Older models drop unknown fields of a mapping, but send bytes unchanged.
            options[_BODY] = json.dumps(options[_BODY]).encode()
        bodies = _Bodies()
        result = self._operation(raw_response_hook=bodies.take, **options)
        if hasattr(result, "by_page"):
            return result if "cls" in options else bodies.elements(result)
        if "cls" in options or self._polls or result is None:
            return result
        return bodies.last


class _Bodies:
    """The bodies of responses, as Azure sent them."""

    def __init__(self) -> None:
        self.last: dict[str, Any] = {}

    def take(self, response: Any) -> None:
        """Keep the body of a response of success; the SDK's `raw_response_hook`."""
        http_response = response.http_response
        if http_response.status_code in (200, 201):
            text = http_response.text()
            self.last = json.loads(text) if text.strip() else {}

    def elements(self, paged: Any) -> Iterator[dict[str, Any]]:
        """Yield every element of every page; the SDK requests the next page when it is needed."""
        for _page in paged.by_page():
            # Azure's own elements replace those that the SDK has parsed.
            elements: list[dict[str, Any]] = self.last.get("value") or []
            yield from elements
