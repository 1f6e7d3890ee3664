# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures that judge every answer of the lab's Azure by Azure's own documents.

A `conftest.py` whose tests use the lab's Azure imports the three fixtures.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Iterator, List, Optional

import pytest

from tests.contract import evidence
from tests.contract.journal import JournalReader
from tests.lab.recovery_services.journal import FOLDER
from tests.utils import report

#: One journal for the run, however many folders judge: a server serves tests of any of them.
_shared: List[JournalReader] = []


@pytest.fixture(scope="session")
def say() -> List[str]:
    """Return the lines for the end of the run."""
    return report.LINES


@pytest.fixture(scope="session", autouse=True)
def journals(say: List[str]) -> Iterator[Optional[JournalReader]]:
    """Let every server that is started from now on keep a journal."""
    if not evidence.PRESENT:
        say.append(evidence.WHY_SKIPPED)
        yield None
        return
    if _shared:
        yield _shared[0]
        return
    with tempfile.TemporaryDirectory(prefix="quiesce-journal-") as folder:
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = folder
        reader = JournalReader(Path(folder))
        _shared.append(reader)
        try:
            yield reader
        finally:
            _shared.clear()
            if before is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = before
        if reader.judgement.judged:
            say += reader.lines()


@pytest.fixture(autouse=True)
def answers_judged(journals: Optional[JournalReader]) -> Iterator[None]:
    """Fail the test that got an answer which Azure would not give."""
    yield
    if journals is not None:
        news = journals.judge_news()
        if news.problems:
            pytest.fail(f"The lab's Azure answered as Azure would not:\n{news}", pytrace=False)
