# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What versions of the SDK may differ in, and what does not reach the modules of it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Callable, Dict, Iterator, List

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._arm.sdk import Client
from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._libraries import BACKUP

Hook = Callable[[Any], None]
# A key that no model knows, and that is not lost.
ANSWER = {"name": "db01", "properties": {"numberOfDisksAttachedToVm": 3, "inventedByAzure": [1]}}


def answered(hook: Hook, status: int, body: Any) -> None:
    text = "" if body is None else json.dumps(body)
    hook(SimpleNamespace(http_response=SimpleNamespace(status_code=status, text=lambda: text)))


class Paged:
    """A list of the SDK, of two pages, whose elements are models that know one key."""

    def __init__(self, hook: Hook, fetched: List[int]) -> None:
        self._hook = hook
        self._fetched = fetched

    def by_page(self) -> Iterator[Iterator[Any]]:
        """Fetch a page when it is asked for."""
        for number in (1, 2):
            self._fetched.append(number)
            answered(self._hook, 200, {"value": [{**ANSWER, "page": number}], "nextLink": "x"})
            yield iter([SimpleNamespace(name="db01")])


class Model:
    """An answer as an older SDK gives it."""

    name = "db01"


def sdk(**operations: Callable[..., Any]) -> Any:
    return Client(SimpleNamespace(things=SimpleNamespace(**operations)), BACKUP).things


@pytest.mark.parametrize("known", ["put", "begin_put"])
@pytest.mark.parametrize("asked", ["put", "begin_put"])
def test_an_operation_is_found_by_either_name(known: str, asked: str) -> None:
    got: List[Dict[str, Any]] = []

    def operation(**options: Any) -> None:
        got.append(options)

    getattr(sdk(**{known: operation}), asked)(name="a", polling=False)
    del got[0]["raw_response_hook"]
    # Where the SDK could poll it must not, and where it cannot it does not know the word.
    assert got == [{"name": "a", **({"polling": False} if known == "begin_put" else {})}]


def test_bodies_are_sent_as_they_are() -> None:
    got: List[Any] = []
    sdk(put=lambda **options: got.append(options["parameters"])).put(parameters=ANSWER)
    assert json.loads(got[0]) == ANSWER and isinstance(got[0], bytes)


def test_answers_come_as_they_are() -> None:
    def get(raw_response_hook: Hook) -> Model:
        answered(raw_response_hook, 500, {"error": {}})
        answered(raw_response_hook, 200, ANSWER)
        return Model()

    assert sdk(get=get).get() == ANSWER


def test_an_answer_without_a_body_is_none() -> None:
    def put(raw_response_hook: Hook) -> None:
        answered(raw_response_hook, 202, None)

    assert sdk(put=put).put() is None


def test_what_cls_makes_of_an_answer_is_returned() -> None:
    def get(raw_response_hook: Hook, cls: Callable[..., Any]) -> Any:
        answered(raw_response_hook, 200, ANSWER)
        return cls("answer", Model(), {})

    assert sdk(get=get).get(cls=lambda answer, *_more: answer) == "answer"


def test_pages_are_fetched_one_by_one_and_nothing_of_them_is_lost() -> None:
    fetched: List[int] = []
    things = sdk(list=lambda raw_response_hook: Paged(raw_response_hook, fetched)).list()
    assert next(things) == {**ANSWER, "page": 1} and fetched == [1]
    assert list(things) == [{**ANSWER, "page": 2}] and fetched == [1, 2]


@pytest.mark.parametrize(
    "work", [lambda client: client.others, lambda client: client.things.nothing]
)
def test_an_sdk_without_the_operation_is_named(work: Callable[[Any], Any]) -> None:
    with pytest.raises(QuiesceError) as caught:
        work(Client(SimpleNamespace(things=SimpleNamespace()), BACKUP))
    assert caught.value.failure.name == "MissingLibrary"
    assert "azure-mgmt-recoveryservicesbackup" in str(caught.value)
    assert "pip install" in str(caught.value)


@pytest.mark.parametrize("name", ["send_request", "_send_request"])
def test_other_requests_go_by_either_name(name: str) -> None:
    client: Any = SimpleNamespace(**{name: lambda request: f"sent {request}"})
    assert Client(client, BACKUP).send_request("it") == "sent it"
