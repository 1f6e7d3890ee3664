# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""vm_snapshot beside a filesystem that does not answer, which none of its disks lies on."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from typing import Any, Dict, Iterator

import pytest

from tests.integration.guest_rig import Guest, holds, warnings
from tests.lab.azurite import Azurite
from tests.lab.hung_mount import HungMount
from tests.lab.own_lock import own_lock

#: What the module does, with other limits, which no option sets.
_LIMITED = """\
import json, sys
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.run import sequence
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules import (
    base, vm_snapshot, vm_snapshot_options,
)
given = json.load(sys.stdin)
spec = vm_snapshot_options.VM_SNAPSHOT.argument_spec
params = {name: argument.get("default") for name, argument in spec.items()}
disks = [{"lun": None, **disk} for disk in given.pop("disks")]
for name, value in given.pop("limits").items():
    setattr(sequence, name, value)
try:
    context = base.TaskContext({**params, **given, "disks": disks})
    result = vm_snapshot.run_snapshot(context)
except vm_snapshot.RunFailedError as failed:
    result = {**failed.result, "failure": failed.failure.to_result()}
print(json.dumps(result))
"""


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    guest = Guest(azurite, ["ext4"])
    yield guest
    guest.close()


@pytest.fixture(name="hung")
def _hung() -> Iterator[HungMount]:
    with HungMount() as hung:
        yield hung


def _mount_image(hung: HungMount) -> None:
    """Make a filesystem in the image, and mount it beside the one that will hang."""
    device = hung.attach()
    point = hung.folder / "inner"
    point.mkdir()
    for words in (["mkfs.ext4", "-q", device], ["mount", "-o", "ro", device, str(point)]):
        subprocess.run(words, check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("check", [False, True])
def test_a_hung_mount_under_a_loop_device(guest: Guest, hung: HungMount, check: bool) -> None:
    """Check that the run reads only the kernel's lists and makes no call to the mount."""
    _mount_image(hung)
    hung.attach()
    guest.configure()
    hung.hang()
    done = guest.run(check=check)
    assert not done.failed, done.stdout
    if not check:
        assert done["consistency"] == "application"
        assert holds(done)["disks_covered"] is True
        assert guest.snapshots() == [1]


def test_a_mount_that_hangs_while_the_application_is_paused(guest: Guest, hung: HungMount) -> None:
    """Check that the second check, after the pre-script, is like the first."""
    _mount_image(hung)
    guest.configure(pre=f'while ! [ -e "{guest.folder}/go" ]; do sleep 0.1; done')
    process = guest.start()
    guest.wait_for_scripts(process)
    hung.hang()
    (guest.folder / "go").touch()
    done = process.finish()
    assert not done.failed, done.stdout
    assert done["consistency"] == "application"
    assert guest.scripts_ran() == ["pre", "post"]
    guest.check_left(done)


def test_what_is_named_below_a_hung_mount(guest: Guest, hung: HungMount) -> None:
    """Check that such a path is refused without a call that the mount answers."""
    guest.configure()
    hung.hang()
    disks = guest.options()["disks"]
    for path, words in (
        (hung.mount_point, "of type fuse"),
        (hung.image, f"leads into {hung.mount_point} (fuse"),
    ):
        done = guest.run(freeze=[str(path)])
        assert done.failed and done["failure"]["name"] == "InvalidFreeze"
        assert words in done["msg"]
    # In check mode, because it would freeze every filesystem if this was not refused.
    named = [{**disks[0], "device": str(hung.image)}]
    done = guest.run(check=True, disks=named, freeze="auto")
    assert done.failed and done["failure"]["name"] == "InvalidDevice"
    assert "may not answer" in done["msg"]
    assert guest.scripts_ran() == [] and guest.snapshots() == [0]


def test_a_disk_that_lies_on_a_hung_mount(guest: Guest, hung: HungMount) -> None:
    """Check that the coverage is unknown: only opening the device would tell whether it is used."""
    device = hung.attach()
    guest.configure()
    hung.hang()
    disks = guest.options()["disks"]
    done = guest.run(disks=[{**disks[0], "device": device}])
    assert holds(done)["disks_covered"] is None
    assert any(f"use of {device} by the kernel" in text for text in warnings(done))


def _run_limited(guest: Guest, **more: Any) -> Dict[str, Any]:
    options = guest.options(**{"limits": {}, **more})
    done = subprocess.run(
        [*own_lock(guest.locks), sys.executable, "-c", _LIMITED],
        input=json.dumps(options),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={"PYTHONPATH": sysconfig.get_path("purelib"), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    found: Dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_look_that_blocks_all_the_same_ends_the_run(guest: Guest, hung: HungMount) -> None:
    """Check that a configuration on a hung mount ends the run, and that the lock is free."""
    guest.configure()
    hung.hang()
    config = str(hung.mount_point / "config.json")
    done = _run_limited(guest, config_path=config, limits={"VALIDATE_LIMIT_S": 5.0})
    assert done["failure"]["name"] == "ValidationTimeout"
    assert "reading the configuration" in done["failure"]["message"]
    assert done["changed"] is False
    assert guest.run()["consistency"] == "application"
    assert guest.snapshots() == [1]


def test_a_second_look_that_takes_too_long_ends_the_pause(guest: Guest) -> None:
    """With no time at all for it: the post-script runs, and nothing is frozen."""
    guest.configure()
    done = _run_limited(guest, limits={"RECHECK_LIMIT_S": 0.0})
    assert done["failure"]["name"] == "ValidationTimeout"
    assert done["changed"] is True
    assert guest.scripts_ran() == ["pre", "post"]
    assert guest.snapshots() == [0]
    guest.check_thawed()
    assert guest.run()["consistency"] == "application"


def test_no_proc(guest: Guest) -> None:
    """Check that the module refuses with a name before anything is done."""
    guest.configure()
    hide = ["unshare", "--mount", "--propagation", "private"]
    hide += ["sh", "-c", 'umount --lazy /proc && exec "$@"', "sh"]
    done = guest.start_with(guest.options(), prefix=hide).finish()
    assert done.failed and done["failure"]["name"] == "ProcNotMounted", done.stderr
    assert guest.scripts_ran() == [] and guest.snapshots() == [0]
    assert list(guest.locks.iterdir()) == []
