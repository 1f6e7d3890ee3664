# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The list of all cases."""

from __future__ import annotations

import fnmatch

from tests.faults import (
    cases_freeze,
    cases_mounts,
    cases_post_script,
    cases_runs,
    cases_scripts,
    cases_sessions,
    cases_signals,
    cases_store,
    cases_swaps,
)
from tests.faults._case import Case

_PARTS = (
    cases_runs,
    cases_signals,
    cases_freeze,
    cases_store,
    cases_scripts,
    cases_post_script,
    cases_swaps,
    cases_mounts,
    cases_sessions,
)


def matrix(fast: bool = False, only: str | None = None) -> list[Case]:
    """Return all cases, the fast ones, or those whose name matches or begins with a pattern."""
    cases = [case for part in _PARTS for case in part.cases()]
    names = [case.name for case in cases]
    if len(names) != len(set(names)):
        raise ValueError("two cases have the same name")
    if fast:
        cases = [case for case in cases if case.fast]
    if only:
        cases = [
            case for case in cases if fnmatch.fnmatch(case.name, only) or case.name.startswith(only)
        ]
    return cases
