# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Start the lab by hand, until `./dev lab down`.

Its parts: a blob store, two disks made of page blobs, and an Azure with vaults and VMs. Prints
what to put into the environment, as a shell reads it. A process of its own holds the parts; with
`--serve`, this is that process.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Optional

from tests.lab._process import LAB, ROOT, LabError, wait_until
from tests.lab.azurite import Azurite
from tests.lab.blob_disk import BlobDisk
from tests.lab.disk import MIB
from tests.lab.recovery_services.lab import RecoveryServices

#: What runs, for root only: the addresses in it hold signatures.
STATE = Path(os.environ.get("LAB_STATE") or LAB / "lab.json")
_LOG = LAB / "log" / "lab.log"
_A_DAY_S = 86400.0
#: How the modules reach the lab's vault, with what was printed above it.
_ANSIBLE = """\
# .venv/bin/ansible localhost -m quiesce.azure_backup.protectable_vm_info \\
#   -a "resource_group=$LAB_RESOURCE_GROUP vault=$LAB_VAULT"
"""
#: How Azure's own command line reaches the lab's Azure, with what was printed above it.
_AZ = """\
# az: export REQUESTS_CA_BUNDLE=$AZURE_CA_CERTIFICATES AZURE_CORE_INSTANCE_DISCOVERY=false
#     az cloud register -n lab --endpoint-resource-manager $AZURE_RESOURCE_MANAGER_ENDPOINT \\
#       --endpoint-active-directory $AZURE_AUTHORITY_HOST \\
#       --endpoint-active-directory-resource-id $AZURE_RESOURCE_MANAGER_ENDPOINT/ \\
#       --endpoint-active-directory-graph-resource-id $AZURE_RESOURCE_MANAGER_ENDPOINT/
#     az cloud set -n lab
#     az login --service-principal -u $AZURE_CLIENT_ID -p $AZURE_SECRET --tenant $AZURE_TENANT"""
#: Virtual seconds of the lab's Azure per second: a backup of 41 minutes takes 25 s.
_SPEED = 100.0


def running() -> Optional[Dict[str, Any]]:
    """Return the state of the lab that runs, or None."""
    try:
        state: Dict[str, Any] = json.loads(STATE.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return state if state["started"] == started(state["pid"]) else None


def started(pid: int) -> str:
    """Return when the process was started, which tells it from another one of the same number.

    Empty when it has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _environment(
    azurite: Azurite, disks: Dict[str, BlobDisk], azure: RecoveryServices
) -> Dict[str, str]:
    found = {
        **azure.environment(),
        "LAB_VAULT": "vault1",
        "LAB_RESOURCE_GROUP": azure.resource_group,
        "AZURE_STORAGE_CONNECTION_STRING": (
            f"DefaultEndpointsProtocol=http;AccountName={azurite.account};"
            f"AccountKey={azurite.key};BlobEndpoint={azurite.account_url};"
        ),
    }
    for name, disk in disks.items():
        found[f"LAB_{name}_BLOB_URI"] = azurite.sas(disk.url, "racwd", expiry_s=_A_DAY_S)
        found[f"LAB_{name}_DEVICE"] = disk.device
        found[f"LAB_{name}_MOUNT_POINT"] = disk.mount_point
    return found


def _serve() -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as stack:
        azurite = stack.enter_context(Azurite())
        azure = stack.enter_context(RecoveryServices(speed=_SPEED))
        disks = {
            "DATA": stack.enter_context(BlobDisk(azurite, "data", 128 * MIB, "ext4")),
            "LOG": stack.enter_context(BlobDisk(azurite, "log", 128 * MIB, "xfs")),
        }
        state = {
            "pid": os.getpid(),
            "started": started(os.getpid()),
            "environment": _environment(azurite, disks, azure),
        }
        stack.callback(STATE.unlink)
        new = STATE.with_suffix(".new")
        new.touch(0o600)
        new.write_text(json.dumps(state))
        new.replace(STATE)
        while not stop.wait(0.5):
            pass


def main() -> int:
    """Start the lab, if it does not run, and print its environment."""
    if os.geteuid() != 0:
        print("The lab mounts disks of its own: run it as root.", file=sys.stderr)
        return 1
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    if running() is None:
        with _LOG.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.lab.up", "--serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )
        try:
            wait_until("the lab is up", lambda: running() is not None, process=process, log=_LOG)
        except BaseException as exc:
            process.terminate()
            process.wait(120)
            if not isinstance(exc, LabError):
                raise
            print(exc, file=sys.stderr)
            return 1
    state = running()
    assert state is not None
    for name, value in state["environment"].items():
        print(f"export {name}={shlex.quote(value)}")
    print(_ANSIBLE, end="")
    print(_AZ)
    print("# Stop the lab with: ./dev lab down")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        _serve()
    else:
        sys.exit(main())
