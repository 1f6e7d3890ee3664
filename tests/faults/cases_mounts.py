# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unusual mounts, and filesystems that are full, foreign or unmounted."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

from tests.faults import _phases as phases
from tests.faults._case import (
    APPLICATION,
    CRASH,
    FAILED,
    FILE_SYSTEM,
    WINDOW,
    Case,
    Setting,
)
from tests.faults._harness import Harness
from tests.lab.hung_mount import HungMount
from tests.lab.proxy import Rule, hold

_HELD = (APPLICATION,)
_VALIDATE = "validate"


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def _point(harness: Harness, name: str, *words: str) -> Iterator[str]:
    """Mount at a new folder of the case."""
    point = harness.folder / name
    point.mkdir()
    _mount(*words, str(point))
    harness.on_exit(_unmount, str(point))
    yield str(point)


def _unmount(point: str) -> None:
    subprocess.run(["umount", "--lazy", point], check=False, capture_output=True, timeout=60)


def _bind(both: bool) -> Callable[[Harness], None]:
    def inject(harness: Harness) -> None:
        with _point(harness, "bind", "--bind", harness.mount_points[0]) as point:
            first = [harness.mount_points[0]] if both else []
            harness.start(freeze=[*first, point, *harness.mount_points[1:]])

    return inject


def _twice(harness: Harness) -> None:
    """Mount the same device at a second mount point."""
    with _point(harness, "second", harness.disks[0].device):
        harness.start()


def _stacked(harness: Harness) -> None:
    """Name the outer filesystem first, although it must be frozen last."""
    outer = harness.outer[0].mount_point
    harness.start(freeze=[outer, *harness.mount_points])


def _overlay(harness: Harness) -> None:
    base = Path(harness.mount_points[0])
    for name in ("lower", "upper", "work"):
        (base / name).mkdir()
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    with _point(harness, "merged", "-t", "overlay", "overlay", "-o", options) as point:
        harness.start(freeze=[point, *harness.mount_points[1:]])


def _other_namespace(harness: Harness) -> None:
    """Mount the filesystem in another namespace too; one freeze holds for both."""
    there = harness.folder / "there"
    there.mkdir()
    script = f'mount --bind "{harness.mount_points[0]}" "{there}" && echo ready && exec sleep 600'
    other = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    harness.on_exit(_end, other)
    assert other.stdout is not None and other.stdout.readline() == b"ready\n"
    harness.start()


def _inside(harness: Harness, *words: str) -> None:
    """Run a command in the mount namespace of the run."""
    enter = ["nsenter", "--target", str(harness.run_pid), "--mount", "--", *words]
    subprocess.run(enter, check=True, capture_output=True, timeout=60)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)


def _read_only(harness: Harness) -> None:
    harness.writers.stop()
    _mount("-o", "remount,ro", harness.mount_points[1])
    harness.write_to([harness.mount_points[0], harness.mount_points[2]])
    harness.on_exit(lambda: _mount("-o", "remount,rw", harness.mount_points[1]))
    harness.start()


def _unmounted_in_window(harness: Harness) -> None:
    phases.window(harness)
    # Lazily, because open descriptors keep it busy. In the mount namespace of the run, and in that
    # of the test.
    _inside(harness, "umount", "--lazy", harness.mount_points[0])
    _unmount(harness.mount_points[0])
    harness.gate.open()


def _replaced_before_freeze(harness: Harness) -> None:
    """Mount another filesystem over the planned one, after the plan was made."""
    harness.proxy.rules.append(Rule(hold(harness.gate), operation=""))
    harness.start()
    harness.need("first request to the store", lambda: harness.gate.wait_arrived(0))
    _inside(harness, "mount", "-t", "tmpfs", "tmpfs", harness.mount_points[0])
    harness.gate.open()


def _full(harness: Harness) -> None:
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={harness.mount_points[0]}/full", "bs=1M"],
        check=False,
        capture_output=True,
        timeout=120,
    )
    harness.start()


def _without(key: int) -> Callable[[Harness], None]:
    """Leave one disk out of the set, whose filesystem is frozen anyway."""

    def inject(harness: Harness) -> None:
        disks: list[dict[str, Any]] = harness.options()["disks"]
        harness.start(disks=[disk for index, disk in enumerate(disks) if index != key])

    return inject


def _not_named(harness: Harness) -> None:
    """Leave a filesystem on a disk of the set out of the freeze."""
    harness.start(freeze=harness.mount_points[:1])


def _bare_disk(harness: Harness) -> None:
    """Add a disk without a filesystem to the set."""
    harness.start(freeze=harness.mount_points)


def _hung(harness: Harness) -> None:
    """Attach an unrelated loop device to an image whose server is stopped."""
    hung = HungMount()
    hung.__enter__()
    harness.on_exit(hung.__exit__)
    hung.attach()
    hung.hang()
    harness.start()


def cases() -> list[Case]:
    """Return all cases of this file."""
    three = Setting(filesystems=("ext4", "xfs", "btrfs"))
    rows: list[Any] = [
        ("bind", "a bind mount is named", _bind(False), _HELD, "", three, True),
        (
            "bind-both",
            "a mount and its bind mount named",
            _bind(True),
            (FAILED,),
            "twice",
            three,
            0,
        ),
        ("twice", "the same device mounted twice", _twice, _HELD, "", three, 0),
        (
            "stacked",
            "an image on a filesystem that is frozen too",
            _stacked,
            _HELD,
            "",
            Setting(filesystems=("ext4", "xfs"), blockable=(0,)),
            True,
        ),
        ("overlay", "an overlay is named", _overlay, (FAILED, *_HELD), "overlay", three, 0),
        ("namespace", "mounted in another namespace too", _other_namespace, _HELD, "", three, 0),
        ("read-only", "a read-only mount is named", _read_only, (FAILED,), "read-only", three, 0),
        (
            "replaced",
            "another filesystem mounted over it before the freeze",
            _replaced_before_freeze,
            (FAILED, CRASH, *_HELD),
            "",
            three,
            0,
        ),
        ("hung", "a loop device over a mount that does not answer", _hung, _HELD, "", three, 0),
        ("full", "a full filesystem", _full, _HELD, "", three, 0),
        (
            "disk-not-in-set",
            "a filesystem on a disk that is not in the set",
            _without(1),
            (APPLICATION, FAILED),
            "",
            three,
            0,
        ),
        (
            "not-named",
            "a disk's filesystem that is not frozen",
            _not_named,
            (CRASH, FAILED),
            "",
            three,
            0,
        ),
        (
            "bare",
            "a disk without a filesystem",
            _bare_disk,
            (APPLICATION, FILE_SYSTEM, CRASH, FAILED),
            "filesystem",
            Setting(filesystems=("ext4", "xfs"), bare_disks=1),
            0,
        ),
    ]
    found = [
        Case(
            name=f"mount/{short}",
            fault=words,
            phase=_VALIDATE,
            inject=inject,
            expect=expect,
            cause=cause,
            setting=setting,
            fast=bool(fast),
        )
        for short, words, inject, expect, cause, setting, fast in rows
    ]
    found.append(
        Case(
            name="mount/unmounted",
            fault="unmounted (lazily) in the window",
            phase=WINDOW,
            inject=_unmounted_in_window,
            expect=(APPLICATION, CRASH),
            setting=three,
        )
    )
    return found
