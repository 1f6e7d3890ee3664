# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The check of the number of starts of the post-script."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.faults import _checks as checks
from tests.faults._case import ANY_VERDICT, DIED, POST, PRE, WINDOW, Case, Setting

_RESULT = {"failed": False, "consistency": "application"}


def _harness(pre: int, post: int, result: dict[str, Any] | None) -> Any:
    started = {PRE: pre, POST: post}
    return SimpleNamespace(
        started=started.__getitem__, unjudged_output=False, result=lambda: result
    )


@pytest.mark.parametrize(
    ("pre", "post", "result", "problem"),
    [
        (1, 1, _RESULT, ""),
        (1, 0, _RESULT, "(c) the post-script was started 0 times, due 1"),
        (1, 2, _RESULT, "(c) the post-script was started 2 times, due 1"),
        (0, 0, _RESULT, ""),
        # A run that lives does not start the post-script without its pre-script.
        (0, 1, _RESULT, "(c) the post-script was started 1 times, due 0"),
        # A run killed right before its pre-script has already marked the post-script due.
        (0, 1, None, ""),
        (0, 0, None, ""),
        (0, 2, None, "(c) the post-script was started 2 times, due 0 or 1"),
        (1, 0, None, "(c) the post-script was started 0 times, due 1"),
    ],
)
def test_post_script_starts_are_judged_by_pre_script(
    pre: int, post: int, result: dict[str, Any] | None, problem: str
) -> None:
    """Check for one start after a pre-script that began, at most one if the run was killed."""
    case = Case("one", "none", WINDOW, lambda harness: None, (*ANY_VERDICT, DIED))
    found = checks._post_script(case, _harness(pre, post, result))
    assert found == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("setting", "post_runs", "due"),
    [
        (Setting(pre=None), None, (0,)),
        (Setting(post=None), None, (0,)),
        (Setting(), 0, (0,)),
        (Setting(), 1, (1,)),
    ],
)
def test_post_script_without_pre_script_is_not_due(
    setting: Setting, post_runs: int | None, due: tuple[int, ...]
) -> None:
    """Check that the number of the case counts, and that 0 counts without scripts."""
    case = Case(
        "one", "none", WINDOW, lambda harness: None, (DIED,), setting=setting, post_runs=post_runs
    )
    assert checks._due_starts(case, _harness(0, 0, None)) == due
