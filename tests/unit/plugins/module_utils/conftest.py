# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files of a guest, a real blob store, and a proxy before it that makes faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterator

import pytest

from tests.lab.guest_files import GuestFiles
from tests.lab.proxy import FaultProxy

if TYPE_CHECKING:
    from tests.lab.azurite import Azurite


@pytest.fixture
def guest() -> Iterator[GuestFiles]:
    with GuestFiles() as files:
        yield files


@pytest.fixture(name="azurite", scope="session")
def _azurite() -> Iterator[Azurite]:
    # Here, so that a test without a blob store needs no Azure SDK.
    from tests.lab.azurite import Azurite

    with Azurite() as azurite:
        yield azurite


@pytest.fixture(name="proxy")
def _proxy(azurite: Azurite) -> Iterator[FaultProxy]:
    with FaultProxy(azurite.account_url) as proxy:
        yield proxy
