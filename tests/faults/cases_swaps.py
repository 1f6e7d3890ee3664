# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that are swapped between their check and their use: what was checked is what runs.

The moment between the two is when the run asks the store about its disks: scripts and configuration
were examined, nothing ran yet. The proxy holds that request until the swap is done.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Callable, List

from tests.faults._case import (
    APPLICATION,
    FAILED,
    FILE_SYSTEM,
    QUIESCE,
    WINDOW,
    Case,
    Setting,
)
from tests.faults._rig import Rig
from tests.lab.proxy import Rule, hold

_EVIL = '#!/bin/sh\necho x >> "{marks}/evil"\n'


def _evil(rig: Rig, path: Path) -> Path:
    path.write_text(_EVIL.format(marks=rig.marks))
    path.chmod(0o700)
    return path


def _by_rename(rig: Rig, script: Path) -> None:
    _evil(rig, script.with_suffix(".new")).replace(script)


def _in_place(rig: Rig, script: Path) -> None:
    with script.open("r+b") as opened:
        opened.write(_EVIL.format(marks=rig.marks).encode() + b"exit 0\n")


def _in_place_same_time(rig: Rig, script: Path) -> None:
    before = script.stat()
    _in_place(rig, script)
    os.utime(script, ns=(before.st_atime_ns, before.st_mtime_ns))


def _by_symlink(rig: Rig, script: Path) -> None:
    evil = _evil(rig, rig.folder / "evil.sh")
    script.unlink()
    script.symlink_to(evil)


def _parent_renamed(rig: Rig, script: Path) -> None:
    parent = script.parent
    parent.rename(parent.with_name("moved"))
    parent.mkdir(mode=0o700)
    _evil(rig, script)


def _at_prepare(swap: Callable[[Rig], None]) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        rig.proxy.rules.append(Rule(hold(rig.gate), operation=""))
        rig.start()
        rig.need("first request to the store", lambda: rig.gate.wait_arrived(0))
        swap(rig)
        rig.gate.open()

    return inject


def _in_window(swap: Callable[[Rig], None]) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        rig.hold_snapshots()
        rig.start()
        rig.need("request for a snapshot", lambda: rig.gate.wait_arrived(0))
        swap(rig)
        rig.gate.open()

    return inject


def _nothing_evil(rig: Rig) -> None:
    assert not (rig.marks / "evil").exists(), "what was not checked was run"


def _config(rig: Rig) -> None:
    """The configuration names other scripts and another policy from now on."""
    evil = _evil(rig, rig.folder / "evil.sh")
    new = rig.config_path.with_suffix(".new")
    new.write_text(rig.config_path.read_text().replace(str(rig.script_path("pre")), str(evil)))
    new.chmod(0o600)
    new.replace(rig.config_path)


_WAYS = (
    ("rename", "replaced", _by_rename),
    ("in-place", "overwritten", _in_place),
    ("same-time", "overwritten, its times put back", _in_place_same_time),
    ("symlink", "made a symlink", _by_symlink),
    ("parent", "its folder renamed and another put there", _parent_renamed),
)


def cases() -> List[Case]:
    """Each way, for both scripts, and the configuration."""
    found = []
    for short, words, swap in _WAYS:
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


def _swapper(swap: Callable[[Rig, Path], None], kind: str) -> Callable[[Rig], None]:
    return lambda rig: swap(rig, rig.script_path(kind))
