# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the integration tests, which run on real parts, as root."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Iterator, List

import pytest

from tests.contract.judging import answers_judged, journals, say
from tests.lab.module_fork import FORKED
from tests.lab.recovery_services.lab import RecoveryServices

if TYPE_CHECKING:
    from tests.lab.azurite import Azurite

__all__ = ["answers_judged", "journals", "say"]


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Mark all tests of this folder as root's, but those that the fast loop runs too."""
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("quick"):
            item.add_marker("root")


@pytest.fixture(scope="session", autouse=True)
def orderly_end() -> Iterator[None]:
    """Refuse to run without privileges; end on SIGTERM as on Ctrl-C, so that all is cleaned up."""
    if os.geteuid() != 0 and not os.environ.get(FORKED):
        pytest.exit("The integration tests mount and freeze disks: run them as root.", 1)
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """One blob store for the session; each test makes blobs of names of its own."""
    # Here, because the fast loop has no blob store.
    from tests.lab.azurite import Azurite

    with Azurite() as store:
        yield store


@pytest.fixture(scope="session")
def recovery_services_process() -> Iterator[RecoveryServices]:
    """One control plane for the session; for a second that a module waits, 200 pass in it."""
    with RecoveryServices(speed=200.0, stepped=True) as azure:
        yield azure


@pytest.fixture
def recovery_services(
    recovery_services_process: RecoveryServices, monkeypatch: pytest.MonkeyPatch
) -> RecoveryServices:
    """The control plane as it is in the beginning: state, requests, faults and speed.

    Its clock stands while a test looks: it moves while a module of the test waits, which then
    takes no real time, and by what the test advances it. How fast the machine is decides nothing.
    """
    recovery_services_process.reset()
    for name, value in recovery_services_process.waiting().items():
        monkeypatch.setenv(name, value)
    return recovery_services_process
