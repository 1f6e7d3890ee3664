# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of the guest's files share."""

from __future__ import annotations

from typing import Iterator

import pytest

from tests.lab.guest_files import GuestFiles


@pytest.fixture
def guest() -> Iterator[GuestFiles]:
    with GuestFiles() as files:
        yield files
