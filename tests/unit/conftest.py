# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Marks by fixture: a test that uses a part of the lab has the mark of that part."""

from __future__ import annotations

from typing import List

import pytest

MARKS = {
    "azurite": "lab",
    # Files of root's below /run, some with other owners.
    "guest": "root",
    # Device nodes, loop devices and mounts.
    "machine": "root",
    "loops": "root",
    "mounted": "root",
}


def pytest_collection_modifyitems(items: List[pytest.Item]) -> None:
    """Mark each test by the fixtures that it uses."""
    for item in items:
        for name in getattr(item, "fixturenames", ()):
            if name in MARKS:
                item.add_marker(MARKS[name])
