# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are swapped between their check and their use: only checked files may run.

Between the two the run sends its first request to the store: scripts and configuration are checked
and nothing has run yet. The proxy holds that request until the swap is done.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable

from tests.faults._case import (
    APPLICATION,
    FAILED,
    FILE_SYSTEM,
    QUIESCE,
    WINDOW,
    Case,
    Setting,
)
from tests.faults._harness import Harness
from tests.lab.proxy import Rule, hold

_EVIL = '#!/bin/sh\necho x >> "{marks}/evil"\n'


def _evil(harness: Harness, path: Path) -> Path:
    path.write_text(_EVIL.format(marks=harness.marks))
    path.chmod(0o700)
    return path


def _by_rename(harness: Harness, script: Path) -> None:
    _evil(harness, script.with_suffix(".new")).replace(script)


def _in_place(harness: Harness, script: Path) -> None:
    with script.open("r+b") as opened:
        opened.write(_EVIL.format(marks=harness.marks).encode() + b"exit 0\n")


def _in_place_same_time(harness: Harness, script: Path) -> None:
    before = script.stat()
    _in_place(harness, script)
    os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))


def _by_symlink(harness: Harness, script: Path) -> None:
    evil = _evil(harness, harness.folder / "evil.sh")
    script.unlink()
    script.symlink_to(evil)


def _parent_renamed(harness: Harness, script: Path) -> None:
    parent = script.parent
    parent.rename(parent.with_name("moved"))
    parent.mkdir(mode=0o700)
    _evil(harness, script)


def _at_prepare(swap: Callable[[Harness], None]) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.proxy.rules.append(Rule(hold(harness.gate), operation=""))
        harness.start()
        harness.need("first request to the store", lambda: harness.gate.wait_arrived(0))
        swap(harness)
        harness.gate.open()

    return inject


def _in_window(swap: Callable[[Harness], None]) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        harness.hold_snapshots()
        harness.start()
        harness.need("request for a snapshot", lambda: harness.gate.wait_arrived(0))
        swap(harness)
        harness.gate.open()

    return inject


def _nothing_evil(harness: Harness) -> None:
    assert not (harness.marks / "evil").exists(), "an unchecked file was run"


def _config(harness: Harness) -> None:
    """Replace the configuration by one that names another pre-script."""
    evil = _evil(harness, harness.folder / "evil.sh")
    new = harness.config_path.with_suffix(".new")
    new.write_text(
        harness.config_path.read_text().replace(str(harness.script_path("pre")), str(evil))
    )
    new.chmod(0o600)
    new.replace(harness.config_path)


_SWAPS = (
    ("rename", "replaced", _by_rename),
    ("in-place", "overwritten", _in_place),
    ("same-time", "overwritten, its times restored", _in_place_same_time),
    ("symlink", "made a symlink", _by_symlink),
    ("parent", "its folder renamed and another put there", _parent_renamed),
)


def cases() -> list[Case]:
    """Return each swap for both scripts, and one for the configuration."""
    found = []
    for short, words, swap in _SWAPS:
        for kind in ("pre", "post"):
            reach = _at_prepare if kind == "pre" else _in_window
            found.append(
                Case(
                    name=f"swap/{kind}/{short}",
                    fault=f"{kind}-script {words} after its check",
                    phase=QUIESCE if kind == "pre" else WINDOW,
                    inject=reach(_swapper(swap, kind)),
                    expect=(FILE_SYSTEM, FAILED),
                    cause=f"{kind}-script.*(chang|another|not the|swap|is not)",
                    post_runs=0 if kind == "post" else 1,
                    setting=Setting(scripts_apart=True),
                    also=_nothing_evil,
                    fast=short in ("rename", "parent"),
                )
            )
    found.append(
        Case(
            name="swap/config",
            fault="configuration replaced after its check",
            phase=QUIESCE,
            inject=_at_prepare(_config),
            expect=(APPLICATION, FILE_SYSTEM, FAILED),
            setting=Setting(scripts_apart=True),
            also=_nothing_evil,
        )
    )
    return found


def _swapper(swap: Callable[[Harness, Path], None], kind: str) -> Callable[[Harness], None]:
    return lambda harness: swap(harness, harness.script_path(kind))
