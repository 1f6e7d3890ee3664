# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How often the post-script may have run, as the checks after each case judge it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, Optional, Tuple

import pytest

from tests.faults import _checks as checks
from tests.faults._case import ANY_VERDICT, DIED, POST, PRE, WINDOW, Case, Setting

_RESULT = {"failed": False, "consistency": "application"}


def _rig(pre: int, post: int, result: Optional[Dict[str, Any]]) -> Any:
    started = {PRE: pre, POST: post}
    return SimpleNamespace(
        started=started.__getitem__, unjudged_output=False, result=lambda: result
    )


@pytest.mark.parametrize(
    ("pre", "post", "result", "problem"),
    [
        (1, 1, _RESULT, ""),
        (1, 0, _RESULT, "(c) the post-script was started 0 times, owed 1"),
        (1, 2, _RESULT, "(c) the post-script was started 2 times, owed 1"),
        (0, 0, _RESULT, ""),
        # A run that lives starts no post-script without its pre-script.
        (0, 1, _RESULT, "(c) the post-script was started 1 times, owed 0"),
        # A run that was killed right before its pre-script began owed the post-script already.
        (0, 1, None, ""),
        (0, 0, None, ""),
        (0, 2, None, "(c) the post-script was started 2 times, owed 0 or 1"),
        (1, 0, None, "(c) the post-script was started 0 times, owed 1"),
    ],
)
def test_the_post_script_runs_as_often_as_it_is_owed(
    pre: int, post: int, result: Optional[Dict[str, Any]], problem: str
) -> None:
    """Exactly once after a pre-script that began; at most once when the run was killed before."""
    case = Case("one", "none", WINDOW, lambda rig: None, (*ANY_VERDICT, DIED))
    found = checks._post_script(case, _rig(pre, post, result))
    assert found == ([problem] if problem else [])


@pytest.mark.parametrize(
    ("setting", "post_runs", "owed"),
    [
        (Setting(pre=None), None, (0,)),
        (Setting(post=None), None, (0,)),
        (Setting(), 0, (0,)),
        (Setting(), 1, (1,)),
    ],
)
def test_a_killed_run_without_a_pre_script_owes_nothing(
    setting: Setting, post_runs: Optional[int], owed: Tuple[int, ...]
) -> None:
    """What a case says itself counts; without scripts nothing is owed."""
    case = Case(
        "one", "none", WINDOW, lambda rig: None, (DIED,), setting=setting, post_runs=post_runs
    )
    assert checks._owed(case, _rig(0, 0, None)) == owed
