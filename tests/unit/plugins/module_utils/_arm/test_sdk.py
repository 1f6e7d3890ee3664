# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the client against SDKs of different versions."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.sdk import Client
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._libraries import BACKUP

Hook = Callable[[Any], None]
# One key is unknown to all models, and must not get lost.
ANSWER = {"name": "db01", "properties": {"numberOfDisksAttachedToVm": 3, "inventedByAzure": [1]}}


def answered(hook: Hook, status: int, body: Any) -> None:
    text = "" if body is None else json.dumps(body)
    hook(SimpleNamespace(http_response=SimpleNamespace(status_code=status, text=lambda: text)))


class Paged:
    """A list of the SDK with two pages. Its elements are models with one key."""

    def __init__(self, hook: Hook, fetched: List[int]) -> None:
        self._hook = hook
        self._fetched = fetched

    def by_page(self) -> Iterator[Iterator[Any]]:
        """Fetch a page when it is needed."""
        for number in (1, 2):
            self._fetched.append(number)
            answered(self._hook, 200, {"value": [{**ANSWER, "page": number}], "nextLink": "x"})
            yield iter([SimpleNamespace(name="db01")])


class Model:
    """A result of an older SDK."""

    name = "db01"


def sdk(**operations: Callable[..., Any]) -> Any:
    return Client(SimpleNamespace(things=SimpleNamespace(**operations)), BACKUP).things


@pytest.mark.parametrize("known", ["put", "begin_put"])
@pytest.mark.parametrize("name", ["put", "begin_put"])
def test_operation_is_found_by_either_name(known: str, name: str) -> None:
    got: List[Dict[str, Any]] = []

    def operation(**options: Any) -> None:
        got.append(options)

    getattr(sdk(**{known: operation}), name)(name="a", polling=False)
    del got[0]["raw_response_hook"]
    # An SDK that can poll must not. One that cannot does not know the keyword.
    assert got == [{"name": "a", **({"polling": False} if known == "begin_put" else {})}]


def test_bodies_are_sent_unchanged() -> None:
    got: List[Any] = []
    sdk(put=lambda **options: got.append(options["parameters"])).put(parameters=ANSWER)
    assert json.loads(got[0]) == ANSWER and isinstance(got[0], bytes)


def test_results_are_azures_own_bodies() -> None:
    def get(raw_response_hook: Hook) -> Model:
        answered(raw_response_hook, 500, {"error": {}})
        answered(raw_response_hook, 200, ANSWER)
        return Model()

    assert sdk(get=get).get() == ANSWER


def test_response_without_body_is_none() -> None:
    def put(raw_response_hook: Hook) -> None:
        answered(raw_response_hook, 202, None)

    assert sdk(put=put).put() is None


def test_value_of_cls_is_returned() -> None:
    def get(raw_response_hook: Hook, cls: Callable[..., Any]) -> Any:
        answered(raw_response_hook, 200, ANSWER)
        return cls("answer", Model(), {})

    assert sdk(get=get).get(cls=lambda answer, *_more: answer) == "answer"


def test_pages_are_fetched_lazily_and_completely() -> None:
    fetched: List[int] = []
    things = sdk(list=lambda raw_response_hook: Paged(raw_response_hook, fetched)).list()
    assert next(things) == {**ANSWER, "page": 1} and fetched == [1]
    assert list(things) == [{**ANSWER, "page": 2}] and fetched == [1, 2]


@pytest.mark.parametrize(
    "work", [lambda client: client.others, lambda client: client.things.nothing]
)
def test_missing_operation_names_the_library(work: Callable[[Any], Any]) -> None:
    with pytest.raises(QuiesceError) as caught:
        work(Client(SimpleNamespace(things=SimpleNamespace()), BACKUP))
    assert caught.value.failure.name == "MissingLibrary"
    assert "azure-mgmt-recoveryservicesbackup" in str(caught.value)
    assert "pip install" in str(caught.value)


@pytest.mark.parametrize("name", ["send_request", "_send_request"])
def test_send_request_is_found_by_either_name(name: str) -> None:
    client: Any = SimpleNamespace(**{name: lambda request: f"sent {request}"})
    assert Client(client, BACKUP).send_request("it") == "sent it"
