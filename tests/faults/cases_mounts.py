# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mounts that are not what they look like, and filesystems that are full, foreign or gone."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

from tests.faults import _places as places
from tests.faults._case import (
    APPLICATION,
    CRASH,
    FAILED,
    FILE_SYSTEM,
    WINDOW,
    Case,
    Setting,
)
from tests.faults._rig import Rig
from tests.lab.hung_mount import HungMount
from tests.lab.proxy import Rule, hold

_HELD = (APPLICATION,)
_VALIDATE = "validate"


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True, timeout=60)


@contextlib.contextmanager
def _point(rig: Rig, name: str, *words: str) -> Iterator[str]:
    """Something more that is mounted, at a new folder of the case."""
    point = rig.folder / name
    point.mkdir()
    _mount(*words, str(point))
    rig.on_exit(_unmount, str(point))
    yield str(point)


def _unmount(point: str) -> None:
    subprocess.run(["umount", "--lazy", point], check=False, capture_output=True, timeout=60)


def _bind(both: bool) -> Callable[[Rig], None]:
    def inject(rig: Rig) -> None:
        with _point(rig, "bind", "--bind", rig.mount_points[0]) as point:
            first = [rig.mount_points[0]] if both else []
            rig.start(freeze=[*first, point, *rig.mount_points[1:]])

    return inject


def _twice(rig: Rig) -> None:
    """The same device, mounted at a second place."""
    with _point(rig, "second", rig.disks[0].device):
        rig.start()


def _stacked(rig: Rig) -> None:
    """The outer one is named first, and has to be frozen last."""
    outer = rig.outer[0].mount_point
    rig.start(freeze=[outer, *rig.mount_points])


def _overlay(rig: Rig) -> None:
    base = Path(rig.mount_points[0])
    for name in ("lower", "upper", "work"):
        (base / name).mkdir()
    options = f"lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work"
    with _point(rig, "merged", "-t", "overlay", "overlay", "-o", options) as point:
        rig.start(freeze=[point, *rig.mount_points[1:]])


def _other_namespace(rig: Rig) -> None:
    """Another namespace has it mounted too; one freeze is for both."""
    there = rig.folder / "there"
    there.mkdir()
    script = f'mount --bind "{rig.mount_points[0]}" "{there}" && echo ready && exec sleep 600'
    other = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
        stdout=subprocess.PIPE,
    )
    rig.on_exit(_end, other)
    assert other.stdout is not None and other.stdout.readline() == b"ready\n"
    rig.start()


def _inside(rig: Rig, *words: str) -> None:
    """Run a command in the mount namespace of the run."""
    enter = ["nsenter", "--target", str(rig.run_pid), "--mount", "--", *words]
    subprocess.run(enter, check=True, capture_output=True, timeout=60)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait(60)


def _read_only(rig: Rig) -> None:
    rig.writers.stop()
    _mount("-o", "remount,ro", rig.mount_points[1])
    rig.write_to([rig.mount_points[0], rig.mount_points[2]])
    rig.on_exit(lambda: _mount("-o", "remount,rw", rig.mount_points[1]))
    rig.start()


def _unmounted_in_window(rig: Rig) -> None:
    places.window(rig)
    # Lazily: what holds descriptors keeps it busy, and the kernel lets it go when they are closed.
    # The run has a mount namespace of its own here: in that one, and in ours.
    _inside(rig, "umount", "--lazy", rig.mount_points[0])
    _unmount(rig.mount_points[0])
    rig.gate.open()


def _replaced_before_freeze(rig: Rig) -> None:
    """Another filesystem is mounted over the one that was planned, after the plan was made."""
    rig.proxy.rules.append(Rule(hold(rig.gate), operation=""))
    rig.start()
    rig.need("first request to the store", lambda: rig.gate.wait_arrived(0))
    _inside(rig, "mount", "-t", "tmpfs", "tmpfs", rig.mount_points[0])
    rig.gate.open()


def _full(rig: Rig) -> None:
    subprocess.run(
        ["dd", "if=/dev/zero", f"of={rig.mount_points[0]}/full", "bs=1M"],
        check=False,
        capture_output=True,
        timeout=120,
    )
    rig.start()


def _without(key: int) -> Callable[[Rig], None]:
    """The set leaves out one disk, whose filesystem is frozen all the same."""

    def inject(rig: Rig) -> None:
        disks: List[Dict[str, Any]] = rig.options()["disks"]
        rig.start(disks=[one for index, one in enumerate(disks) if index != key])

    return inject


def _not_named(rig: Rig) -> None:
    """A filesystem on a disk of the set is not among those to be frozen."""
    rig.start(freeze=rig.mount_points[:1])


def _bare_disk(rig: Rig) -> None:
    """A disk of the set holds no filesystem."""
    rig.start(freeze=rig.mount_points)


def _hung(rig: Rig) -> None:
    """A loop device that none of the disks lies on, over an image whose server is stopped."""
    hung = HungMount()
    hung.__enter__()
    rig.on_exit(hung.__exit__)
    hung.attach()
    hung.hang()
    rig.start()


def cases() -> List[Case]:
    """All of them."""
    three = Setting(filesystems=("ext4", "xfs", "btrfs"))
    rows: List[Any] = [
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
