# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The log document of a run, for the log blob of the VMSnapshot extension."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from .status import clean


@dataclass(frozen=True)
class LogEntry:
    """An event; `at_ms` is in milliseconds since 1970."""

    at_ms: int
    text: str


def log_document(entries: Iterable[LogEntry]) -> bytes:
    """Return the log: one line for each entry with its time in UTC; more lines are indented."""
    lines = []
    for entry in entries:
        at = datetime.fromtimestamp(entry.at_ms // 1000, timezone.utc).replace(tzinfo=None)
        text = clean(entry.text).strip().replace("\r", "").replace("\n", "\n    ")
        lines.append(f"{at.isoformat()}.{entry.at_ms % 1000:03d}Z {text}\n")
    return "".join(lines).encode("utf-8", errors="replace")


def log_entries(result: Mapping[str, Any], started_ms: int) -> list[LogEntry]:
    """Return the entries for the result of a run that started at `started_ms`."""
    entries = [
        LogEntry(
            started_ms + int(phase["start_ms"]),
            f"{phase['name']} began and took {phase['duration_ms']:.0f} ms",
        )
        for phase in result.get("phases") or ()
    ]
    end_ms = max(
        (
            started_ms + int(phase["start_ms"] + phase["duration_ms"])
            for phase in result.get("phases") or ()
        ),
        default=started_ms,
    )
    return entries + [LogEntry(end_ms, text) for text in _findings(result)]


def _findings(result: Mapping[str, Any]) -> Iterable[str]:
    for kind in ("pre", "post"):
        script = (result.get("scripts") or {}).get(kind)
        if script:
            yield (
                f"{kind}-script: exit status {script['rc']}, {script['attempts']} attempts, "
                f"{script['duration_ms']:.0f} ms\n{script['tail']}"
            )
    freeze = result.get("freeze") or {}
    for item in freeze.get("filesystems") or ():
        yield f"{item['mount_point']} ({item['device']}, {item['type']}): {item['outcome']}"
    if freeze.get("window_ms") is not None:
        yield f"The window lasted {freeze['window_ms']:.0f} ms"
    for disk in result.get("disks") or ():
        reported = (disk.get("failure") or {}).get("message") or "no snapshot"
        yield f"disk {disk['name']}: {disk['snapshot'] or reported}"
    for warning in result.get("warnings") or ():
        yield f"warning: {warning}"
    failure = result.get("failure")
    if failure:
        yield f"{failure['name']}: {failure['message']} {failure['recommended_action']}"
    yield f"consistency: {result.get('consistency')}"
