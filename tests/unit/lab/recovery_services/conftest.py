# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An estate and a server whose clock stands still until a test pushes it on."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Iterator

import pytest

from tests.contract.judging import answers_judged, journals, say
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.clock import VirtualClock
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.growth import grow
from tests.lab.recovery_services.lab import RecoveryServices
from tests.unit.lab.recovery_services.client import Client

__all__ = ["answers_judged", "journals", "say"]

START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=timezone.utc)


@pytest.fixture
def estate() -> Estate:
    """The default seed, at noon of the first of March."""
    return grow(seeds.default(), VirtualClock(0.0, START))


@pytest.fixture(scope="package")
def process() -> Iterator[RecoveryServices]:
    """One server for all tests of this folder."""
    with RecoveryServices(speed=0.0) as azure:
        yield azure


@pytest.fixture
def azure(process: RecoveryServices) -> RecoveryServices:
    """The server as in the beginning; its clock stands still."""
    process.reset()
    return process


@pytest.fixture
def client(azure: RecoveryServices) -> Client:
    """A client that has signed in."""
    client = Client(azure)
    assert client.sign_in().status == 200
    azure.forget_requests()
    return client
