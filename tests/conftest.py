# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hooks of all tests. It imports pytest alone, so that a unit test runs without the lab."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.utils import report


def pytest_configure() -> None:
    """Heed SIGINT also where a shell started the tests in the background, with SIGINT ignored.

    Programs inherit that, and some tests end programs by SIGINT.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report what was judged, and what was left out and why, after all tests."""
    if report.LINES:
        terminalreporter.section("contract")
        for line in dict.fromkeys(report.LINES):
            terminalreporter.write_line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the lines of a worker process to the process that reports."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["lines"] = report.LINES


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the lines of a worker process."""
    report.LINES.extend(getattr(node, "workeroutput", {}).get("lines", ()))
