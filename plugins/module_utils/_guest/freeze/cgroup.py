# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Leave the control group of the login session.

A login session may be ended as a whole: by `loginctl terminate-session`, by `KillUserProcesses`, or
when a service is stopped. Then every process in its control group is killed, even one with a
session and process group of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

#: How the process left; the shared state holds the index.
NOT_LEFT, SYSTEMD_SCOPE, ROOT_GROUP, NOTHING_TO_LEAVE = range(4)
DESCRIPTIONS = (
    "not left: a killed session may end it too",
    "in a systemd scope of its own",
    "in the root control group",
    "in the root control group from the start",
)

_LIMIT_S = 5.0
_POLL_S = 0.02
_BUSCTL_PATHS = ("/usr/bin/busctl", "/bin/busctl")


def leave_login_cgroup() -> int:
    """Leave the control group of the login session; return how, as an index of `DESCRIPTIONS`.

    With systemd, move it into a scope of its own, which systemd makes on request (D-Bus method
    StartTransientUnit). Otherwise move it into the root of the hierarchies that hold sessions: the
    unified one and that of systemd. Others, such as the one that limits memory, stay as they are.
    Takes at most 10 seconds and never raises.
    """
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        if _in_root():
            return NOTHING_TO_LEAVE
        if Path("/run/systemd/system").is_dir() and _ask_systemd():
            return SYSTEMD_SCOPE
        _move_to_root()
        if _in_root():
            return ROOT_GROUP
    return NOT_LEFT


def _session_groups() -> list[tuple[str, str]]:
    """Return the hierarchies that hold sessions, and the group of this process in each."""
    groups = []
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _number, controllers, group = line.split(":", 2)
        if controllers in ("", "name=systemd"):
            groups.append((controllers, group))
    return groups


def _in_root() -> bool:
    return all(group == "/" for _controllers, group in _session_groups())


def _ask_systemd() -> bool:
    busctl = next((path for path in _BUSCTL_PATHS if os.access(path, os.X_OK)), None)
    if busctl is None:
        return False
    before = _session_groups()
    pid = str(os.getpid())
    manager = "org.freedesktop.systemd1"
    command = [busctl, "--system", f"--timeout={_LIMIT_S}", "call", manager]
    command += ["/org/freedesktop/systemd1", f"{manager}.Manager", "StartTransientUnit"]
    command += ["ssa(sv)a(sa(sv))", f"quiesce-watchdog-{pid}.scope", "fail"]
    command += ["3", "PIDs", "au", "1", pid, "Slice", "s", "system.slice"]
    command += ["CollectMode", "s", "inactive-or-failed", "0"]
    # Not run_command: the watchdog has no AnsibleModule.
    answer = subprocess.run(  # pylint: disable=ansible-bad-function
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        timeout=_LIMIT_S,
        check=False,
    )
    if answer.returncode:
        return False
    # The reply only means that systemd has queued the job.
    until = time.monotonic() + _LIMIT_S
    while time.monotonic() < until:
        if _session_groups() != before:
            return True
        time.sleep(_POLL_S)
    return False


def _move_to_root() -> None:
    for controllers, folder in _hierarchies():
        group = dict(_session_groups()).get(controllers, "/")
        if group != "/":
            with contextlib.suppress(OSError):
                (Path(folder) / "cgroup.procs").write_text(f"{os.getpid()}\n", encoding="ascii")


def _hierarchies() -> Iterator[tuple[str, str]]:
    """Yield the controllers and the mount point of each hierarchy that holds sessions."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _source, folder, fstype, options = line.split(" ")[:4]
        if fstype == "cgroup2":
            yield "", folder
        elif fstype == "cgroup" and "name=systemd" in options.split(","):
            yield "name=systemd", folder
