# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The run as a picture in characters: its phases with their milliseconds, the window marked."""

from __future__ import annotations

from typing import Any, List, Mapping

_WIDTH = 40


def timeline(snapshot: Mapping[str, Any]) -> List[str]:
    """Return the lines of the picture."""
    phases = snapshot["phases"]
    whole = max(one["start_ms"] + one["duration_ms"] for one in phases) or 1.0
    drawn = [f"  {'phase':<12}{'start ms':>10}{'took ms':>10}"]
    for one in phases:
        is_window = one["name"] == "window"
        drawing = _bar(one["start_ms"], one["duration_ms"], whole, "#" if is_window else "-")
        mark = "  <== frozen" if is_window else ""
        row = f"  {one['name']:<12}{one['start_ms']:>10.1f}{one['duration_ms']:>10.1f}  |{drawing}|"
        drawn.append(row + mark)
        drawn += _inside(snapshot) if is_window else []
    return drawn


def verdict(snapshot: Mapping[str, Any]) -> List[str]:
    """Return the verdict and what it rests on."""
    text = [f"  {snapshot['consistency']}-consistent"]
    for name, one in snapshot["evidence"].items():
        # This one is an exception to what the others say, and of interest only when it holds.
        if name != "freeze_off_by_config" or one["holds"]:
            sign = {True: "+", False: "-"}.get(one["holds"], " ")
            text.append(f"  {sign} {one['words']}")
    return text


def _inside(snapshot: Mapping[str, Any]) -> List[str]:
    """Return what happened in the window, in its order."""
    freeze = snapshot["freeze"]
    events = []
    for one in freeze["filesystems"]:
        for key, length, word in (
            ("frozen_at_ms", "freeze_ms", "frozen"),
            ("thawed_at_ms", "thaw_ms", "thawed"),
        ):
            if one[key] is not None:
                took = f"{word} in {one[length]:.1f} ms"
                events.append((one[key], f"{one['type']} {one['mount_point']} {took}"))
    for disk in snapshot["disks"]:
        if disk["requested_ms"] is not None and disk["acknowledged_ms"] is not None:
            took = f"in {disk['acknowledged_ms'] - disk['requested_ms']:.1f} ms"
            text = f"snapshot of {disk['name']} acknowledged {took}"
            events.append((disk["acknowledged_ms"], text))
    rows = [f"  {'':<12}{at:>10.1f}  {text}" for at, text in sorted(events)]
    return [*rows, f"  {'':<12}{'':>10}  the whole window: {freeze['window_ms']:.1f} ms"]


def _bar(start: float, took: float, whole: float, sign: str) -> str:
    begin = min(int(start / whole * _WIDTH), _WIDTH - 1)
    end = max(begin + 1, round((start + took) / whole * _WIDTH))
    return (" " * begin + sign * (end - begin)).ljust(_WIDTH)
