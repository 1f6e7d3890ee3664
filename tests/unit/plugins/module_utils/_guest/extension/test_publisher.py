# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run says to the outside, with a place that keeps what is written there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest
import yaml

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    StoreError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.extension.publisher import (
    VERSION,
    StatusPublisher,
)
from tests.unit.plugins.module_utils._guest.run.stage import Stage

STATUS = "https://store.invalid/status?sig=SECRET"
LOG = "https://store.invalid/log?sig=SECRET"


class Place:
    """Where documents are written; some addresses can be refused."""

    def __init__(self) -> None:
        self.written: Dict[str, List[bytes]] = {}
        self.refused: List[str] = []

    def write(self, uri: str, data: bytes, what: str) -> None:
        if uri in self.refused:
            raise StoreError(Failure("AuthorizationFailure", f"{what} was not written."))
        self.written.setdefault(uri, []).append(data)

    def status(self, number: int = -1) -> Any:
        (document,) = json.loads(self.written[STATUS][number])
        return document["status"]


@pytest.fixture(name="place")
def _place() -> Place:
    return Place()


@pytest.fixture(name="documents")
def _documents(place: Place) -> StatusPublisher:
    return StatusPublisher(place.write, wall=lambda: 1_800_000_000.0)


@pytest.fixture(name="stage")
def _stage(tmp_path: Path) -> Stage:
    options = {"status_uri": STATUS, "logs_uri": LOG, "task_id": "the-task"}
    return Stage(tmp_path, options=options)


def test_version_is_that_of_the_collection() -> None:
    folder = Path(__file__).resolve().parents[6]
    assert yaml.safe_load((folder / "galaxy.yml").read_text())["version"] == VERSION


def test_a_good_run(stage: Stage, place: Place, documents: StatusPublisher) -> None:
    record = stage.run()
    documents.announce(record)
    documents.publish(record)
    first, last = place.status(0), place.status(1)
    assert (first["code"], first["snapshotInfo"]) == ("4", [])
    assert (last["code"], last["status"], last["taskId"]) == ("0", "success", "the-task")
    assert [one["isSuccessful"] for one in last["snapshotInfo"]] == [True, True]
    assert b"consistency: application" in place.written[LOG][0]
    assert not any(b"SECRET" in data for one in place.written.values() for data in one)


def test_a_failed_run(stage: Stage, place: Place, documents: StatusPublisher) -> None:
    stage.pre, stage.continue_backup = "exit 3", False
    documents.publish(stage.run())
    status = place.status()
    assert (status["status"], status["code"]) == ("error", "300")
    assert "exit status 3" in status["formattedMessage"]["message"]


def test_one_refused_document_does_not_keep_the_other(
    stage: Stage, place: Place, documents: StatusPublisher
) -> None:
    place.refused.append(STATUS)
    record = stage.run()
    with pytest.raises(StoreError, match="The status was not written"):
        documents.publish(record)
    assert LOG in place.written


def test_a_refused_request(place: Place, documents: StatusPublisher) -> None:
    documents.refuse(STATUS, LOG, Failure("NoDisks", "There is no disk.", "Name one."))
    assert place.status()["status"] == "error"
    assert b"NoDisks: There is no disk. Name one." in place.written[LOG][0]


def test_no_places_no_documents(stage: Stage, place: Place, documents: StatusPublisher) -> None:
    stage.options.clear()
    record = stage.run()
    documents.announce(record)
    documents.publish(record)
    documents.refuse(None, None, Failure("NoDisks", "There is no disk."))
    assert place.written == {}
