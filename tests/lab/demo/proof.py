# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof: what a snapshot must show, line by line, each with the numbers that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from tests.lab.blob_disk import BlobDisk, Write
from tests.lab.demo import vault as vaults
from tests.lab.workload import LEDGER, STEADY, History

NAMES = {"ext4": "ext4", "xfs": "XFS"}


@dataclass(frozen=True)
class Line:
    """One thing that must hold."""

    holds: bool
    subject: str
    words: str

    def __str__(self) -> str:
        return f"{'OK' if self.holds else 'FAILS':<6}{self.subject:<14} {self.words}"


@dataclass(frozen=True)
class Seen:
    """Everything that the proof is made from."""

    disks: Sequence[BlobDisk]
    #: The result of the module, of the same module for the control, and what the snapshots show.
    snapshot: Mapping[str, Any]
    control: Mapping[str, Any]
    looks: Sequence[Mapping[str, Any]]
    history: Mapping[str, History]
    had_to_thaw: int
    signatures: Sequence[str]
    #: Text by the name of where it was.
    texts: Mapping[str, str]
    vault: vaults.Vault


def lines(seen: Seen) -> List[Line]:
    """Return the proof."""
    found = [_at_rest(look) for look in seen.looks[:2]]
    found += [_records(seen, disk, look) for disk, look in zip(seen.disks, seen.looks)]
    found += [_ledger(seen), _writes(seen), _window(seen), _thawed(seen), _resumed(seen)]
    found += [_verdict(seen), _secrets(seen), _control(seen)]
    proved = str(seen.snapshot["consistency"])
    return found + [Line(*one) for one in vaults.proof(seen.vault, proved, seen.texts)]


def windows(snapshot: Mapping[str, Any]) -> Dict[str, Tuple[int, int]]:
    """Return by mount point the monotonic times of the end of FIFREEZE and the start of FITHAW."""
    base = snapshot["started_ns"]
    found = {}
    for one in snapshot["freeze"]["filesystems"]:
        begin, end = one["frozen_at_ms"], one["thawed_at_ms"]
        if begin is not None and end is not None:
            thaw_began = end - one["thaw_ms"]
            found[one["mount_point"]] = (base + int(begin * 1e6), base + int(thaw_began * 1e6))
    return found


def _at_rest(look: Mapping[str, Any]) -> Line:
    return Line(look["at_rest"] is True, f"{NAMES[look['fstype']]} at rest", look["words"])


def _records(seen: Seen, disk: BlobDisk, look: Mapping[str, Any]) -> Line:
    subject = f"{NAMES[disk.fstype]} records"
    window = windows(seen.snapshot).get(disk.mount_point)
    if window is None or not isinstance(look["steady"], int):
        return Line(False, subject, f"no window, or {look['steady']}")
    history = seen.history[f"{STEADY} {disk.mount_point}"]
    before, begun = history.acknowledged_before(window[0]), history.begun_before(window[1])
    after = len(history.acknowledged_ns) - history.acknowledged_before(window[1])
    words = (
        f"{before} acknowledged before the freeze, {look['steady']} in the snapshot, "
        f"{begun} begun before the thaw, {after} since"
    )
    return Line(0 < before <= look["steady"] <= begun and after > 0, subject, words)


def _ledger(seen: Seen) -> Line:
    window = _whole_window(seen)
    counts = [look["ledger"] for look in seen.looks[:2]]
    history = seen.history[LEDGER]
    paused_at = history.acknowledged_before(window[1])
    words = f"{paused_at} records when paused, {counts[0]} and {counts[1]} in the snapshots"
    return Line(counts == [paused_at, paused_at] and paused_at > 0, "ledger", words)


def _writes(seen: Seen) -> Line:
    inside, beside = 0, []
    for disk in seen.disks:
        begin, end = windows(seen.snapshot).get(disk.mount_point, (0, 0))
        log = disk.writes()
        inside += _between(log, begin, end)
        # A log that sees nothing proves nothing.
        beside += [any(one.ns < begin for one in log), any(one.ns > end for one in log)]
    words = f"{inside} writes reached the disks between freeze and thaw"
    if not all(beside):
        words += ", but none before or none after it either"
    return Line(inside == 0 and all(beside) and _whole_window(seen)[0] > 0, "write log", words)


def _between(log: Sequence[Write], begin: int, end: int) -> int:
    return sum(1 for one in log if begin <= one.ns <= end)


def _window(seen: Seen) -> Line:
    freeze = seen.snapshot["freeze"]
    outcomes = [one["outcome"] for one in freeze["filesystems"]]
    inside = [one["in_window"] for one in seen.snapshot["disks"]]
    words = (
        f"{freeze['window_ms']:.1f} ms; filesystems: {', '.join(outcomes)}; "
        f"{inside.count(True)} of {len(inside)} snapshots asked for and acknowledged inside"
    )
    return Line(outcomes == ["held", "held"] and inside == [True, True], "window", words)


def _thawed(seen: Seen) -> Line:
    who = sorted({str(one["thawed_by"]) for one in seen.snapshot["freeze"]["filesystems"]})
    words = f"by the module ({', '.join(who)}); the lab's safety process had to thaw "
    return Line(seen.had_to_thaw == 0, "thawed", words + str(seen.had_to_thaw))


def _resumed(seen: Seen) -> Line:
    history = seen.history[LEDGER]
    since = len(history.acknowledged_ns) - history.acknowledged_before(_whole_window(seen)[1])
    return Line(since > 0, "resumed", f"the ledger got {since} more records after the post-script")


def _verdict(seen: Seen) -> Line:
    consistency = seen.snapshot["consistency"]
    return Line(
        consistency == "application", "verdict", f"the module says {consistency}-consistent"
    )


def _secrets(seen: Seen) -> Line:
    where = [name for name, text in seen.texts.items() if any(s in text for s in seen.signatures)]
    words = (
        f"in the playbook's output, the results and every file it left ({len(seen.texts)} texts)"
    )
    if where:
        words = "found in " + ", ".join(where)
    return Line(not where and bool(seen.signatures), "no signature", words)


def _control(seen: Seen) -> Line:
    look, verdict = seen.looks[2], seen.control["consistency"]
    words = f"a snapshot without freezing is {verdict}-consistent: {look['words']}"
    return Line("needs_recovery set" in look["words"] and verdict == "crash", "control", words)


def _whole_window(seen: Seen) -> Tuple[int, int]:
    """Return the end of the last FIFREEZE and the start of the first FITHAW, or zeros."""
    each = list(windows(seen.snapshot).values())
    if len(each) < len(seen.disks):
        return 0, 0
    return max(begin for begin, _end in each), min(end for _begin, end in each)


def texts_below(folder: Path) -> Dict[str, str]:
    """Return all files below the folder, as text, by name."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            found[file.name] = file.read_text(errors="replace")
    return found
