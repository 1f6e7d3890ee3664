# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documents of a run, with a writer that keeps them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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
from tests.unit.plugins.module_utils._guest.run.fake_run import FakeRun

STATUS = "https://store.invalid/status?sig=SECRET"
LOG = "https://store.invalid/log?sig=SECRET"


class Place:
    """A writer of documents that keeps them, and refuses some addresses."""

    def __init__(self) -> None:
        self.written: dict[str, list[bytes]] = {}
        self.refused: list[str] = []

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


@pytest.fixture(name="publisher")
def _publisher(place: Place) -> StatusPublisher:
    return StatusPublisher(place.write, STATUS, LOG, wall=lambda: 1_800_000_000.0)


@pytest.fixture(name="fake")
def _fake(tmp_path: Path) -> FakeRun:
    return FakeRun(tmp_path, options={"task_id": "the-task"})


def test_version_is_that_of_the_collection() -> None:
    folder = Path(__file__).resolve().parents[6]
    assert yaml.safe_load((folder / "galaxy.yml").read_text())["version"] == VERSION


def test_a_good_run(fake: FakeRun, place: Place, publisher: StatusPublisher) -> None:
    record = fake.run()
    publisher.announce(record)
    publisher.publish(record)
    first, last = place.status(0), place.status(1)
    assert (first["code"], first["snapshotInfo"]) == ("4", [])
    assert (last["code"], last["status"], last["taskId"]) == ("0", "success", "the-task")
    assert [one["isSuccessful"] for one in last["snapshotInfo"]] == [True, True]
    assert b"consistency: application" in place.written[LOG][0]
    assert not any(b"SECRET" in data for one in place.written.values() for data in one)


def test_a_failed_run(fake: FakeRun, place: Place, publisher: StatusPublisher) -> None:
    fake.pre, fake.continue_backup = "exit 3", False
    publisher.publish(fake.run())
    status = place.status()
    assert (status["status"], status["code"]) == ("error", "300")
    assert "exit status 3" in status["formattedMessage"]["message"]


def test_failed_status_still_writes_the_log(
    fake: FakeRun, place: Place, publisher: StatusPublisher
) -> None:
    place.refused.append(STATUS)
    record = fake.run()
    with pytest.raises(StoreError, match="The status was not written"):
        publisher.publish(record)
    assert LOG in place.written


def test_refused_options_are_published(place: Place, publisher: StatusPublisher) -> None:
    publisher.refuse(Failure("NoDisks", "The list of disks is empty.", "Name one."), "t_1")
    assert place.status()["taskId"] == "t_1"
    assert place.status()["status"] == "error"
    assert b"NoDisks: The list of disks is empty. Name one." in place.written[LOG][0]


def test_without_addresses_writes_nothing(fake: FakeRun, place: Place) -> None:
    publisher = StatusPublisher(place.write)
    record = fake.run()
    publisher.announce(record)
    publisher.publish(record)
    publisher.refuse(Failure("NoDisks", "The list of disks is empty."))
    assert place.written == {}
