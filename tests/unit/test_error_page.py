# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check that the page of all errors sees the names and actions that the source holds."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.utils.error_page import found_errors

_ERRORS = "class SettingsError(Exception): ...\n"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('Failure("NotRoot", "text", "Set become: true.")', {"NotRoot": {"Set become: true."}}),
        ('raise SettingsError("NoDisks", "text")', {"NoDisks": set()}),
        ('raise SettingsError(Failure("NoDisks", "text"))', {"NoDisks": set()}),
        (
            """
            def _fail(name, why, action): return Failure(name, why, action)
            _fail("VmNotFound", "text", f"Check {vm}.")
            """,
            {"VmNotFound": {"Check ...."}},
        ),
        (
            """
            from .advice import WAIT
            NAME = "InvalidFreeze"
            raise SettingsError(NAME, "text", WAIT)
            """,
            {"InvalidFreeze": {"Wait."}},
        ),
        (
            """
            def unfit(item):
                if item: name, action = "Gone", "Look."
                else: name, action = "Stopped", "Resume it."
                return Failure(name, "text", action)
            """,
            {"Gone": {"Look."}, "Stopped": {"Resume it."}},
        ),
        (
            """
            _ACTIONS = {"BlobNotFound": "Check the blob."}
            def refusal(answer):
                name = answer.code
                return Failure(name, "text", _ACTIONS.get(name, ""))
            """,
            {"BlobNotFound": {"Check the blob."}},
        ),
        ('raise ProtocolError("one header has no name")', {}),
    ],
)
def test_found_errors_of_source(tmp_path: Path, source: str, expected: dict[str, set[str]]) -> None:
    (tmp_path / "_errors.py").write_text(_ERRORS)
    (tmp_path / "advice.py").write_text('WAIT = "Wait."\n')
    (tmp_path / "code.py").write_text(textwrap.dedent(source))
    found = {name: actions for name, (actions, _files) in found_errors(tmp_path).items()}
    assert {name: actions - {"..."} for name, actions in found.items()} == expected
