# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a test does with the lab's Azure, every answer is judged by Azure's own documents."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import Any, Iterator, List, Optional

import pytest

from tests.contract import evidence
from tests.contract.journal import JournalReader
from tests.lab.recovery_services.journal import FOLDER

_said: List[str] = []


def pytest_configure() -> None:
    """Heed SIGINT also where a shell started the tests in the background, with SIGINT ignored.

    Programs inherit that, and some tests end programs by SIGINT.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was judged, and what was left out and why, after all tests."""
    if _said:
        terminalreporter.section("contract")
        for line in _said:
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes, give what is to be said to the one that says it."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["said"] = _said


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what one of the processes has to say."""
    _said.extend(line for line in getattr(node, "workeroutput", {}).get("said", ()))


@pytest.fixture(scope="session")
def say() -> List[str]:
    """Lines for the end of the run."""
    return _said


@pytest.fixture(scope="session", autouse=True)
def journals(say: List[str]) -> Iterator[Optional[JournalReader]]:
    """Let every server that is started from now on keep a journal."""
    if not evidence.PRESENT:
        say.append(evidence.WHY_SKIPPED)
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="quiesce-journal-") as folder:
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = folder
        reader = JournalReader(Path(folder))
        try:
            yield reader
        finally:
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
