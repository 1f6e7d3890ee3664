# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures of the contract tests: the lab's Azure."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.contract.judging import answers_judged, journals, say
from tests.contract.served import Served
from tests.lab.recovery_services import seed as seeds
from tests.lab.recovery_services.lab import RecoveryServices

__all__ = ["answers_judged", "journals", "say"]

#: The subscription and the region of the recordings.
RECORDED_SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
RECORDED_GROUP = "clitest.rg000001"


@pytest.fixture(scope="session")
def recorded_azure() -> Iterator[RecoveryServices]:
    """An Azure like that of the recordings before they began; its clock stands still."""
    seed = seeds.empty()
    seed["subscriptions"] = [{"id": RECORDED_SUBSCRIPTION, "name": "recorded"}]
    group = {"subscription": RECORDED_SUBSCRIPTION, "name": RECORDED_GROUP, "location": "eastus2"}
    seed["resource_groups"] = [group]
    with RecoveryServices(seed=seed, speed=0) as azure:
        yield azure


@pytest.fixture
def azure_of_the_recordings(recorded_azure: RecoveryServices) -> RecoveryServices:
    """The Azure of the recordings, reset for each test."""
    recorded_azure.reset()
    return recorded_azure


@pytest.fixture
def served(azure_of_the_recordings: RecoveryServices) -> Served:
    """The modules, and answers for them; nothing is served yet."""
    return Served(azure_of_the_recordings)


@pytest.fixture(scope="session")
def one_azure() -> Iterator[RecoveryServices]:
    """One server for the session; its clock stands still."""
    with RecoveryServices(speed=0) as azure:
        yield azure


@pytest.fixture
def azure(one_azure: RecoveryServices) -> RecoveryServices:
    """The lab's usual Azure, reset for each test."""
    one_azure.reset()
    return one_azure
