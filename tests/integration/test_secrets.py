# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No signature of a SAS is anywhere where people or other programs could read it."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from tests.integration.guest_rig import Guest
from tests.lab.azurite import Azurite
from tests.lab.leaks import Watch, leaks, leaks_below

STATE = Path("/run/quiesce.azure_backup")


@pytest.fixture(name="guest")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    with closing(Guest(azurite, ["ext4"], guarded_s=600.0)) as guest:
        guest.configure(pre="echo quiet", post="echo loud")
        yield guest


class Play:
    """Tasks for ansible-playbook, as loud as it gets, and everything that they left to see."""

    def __init__(self, guest: Guest, folder: Path) -> None:
        self._guest = guest
        self._folder = folder
        self._tasks: List[Dict[str, Any]] = []
        self._variables: Dict[str, Any] = {
            "ansible_python_interpreter": sys.executable,
            "ansible_remote_tmp": str(folder / "remote"),
        }

    def task(self, module: str, options: Any) -> None:
        """Add a task; its options come from a variable, so that no source line shows them."""
        name = f"options_{len(self._tasks)}"
        self._variables[name] = options
        self._tasks += [
            {
                "name": name,
                f"quiesce.azure_backup.{module}": f"{{{{ {name} }}}}",
                "register": "result",
                "ignore_errors": True,
            },
            {"name": f"show {name}", "ansible.builtin.debug": {"var": "result"}},
        ]

    def run(self, uris: List[str]) -> str:
        """Run it, look everywhere, and give the output back."""
        playbook, variables = self._folder / "playbook.json", self._folder / "variables.json"
        ansible = self._folder / "ansible"
        ansible.mkdir()
        play = {"hosts": "localhost", "gather_facts": False, "tasks": self._tasks}
        playbook.write_text(json.dumps([play]))
        variables.write_text(json.dumps(self._variables))
        with Watch(uris) as watch:
            done = subprocess.run(
                [
                    str(Path(sys.executable).with_name("ansible-playbook")),
                    *("-vvv", "--diff", "--connection", "local", "--inventory", "localhost,"),
                    *("--extra-vars", f"@{variables}", str(playbook)),
                ],
                env={
                    **os.environ,
                    "ANSIBLE_HOME": str(ansible),
                    "ANSIBLE_LOCAL_TEMP": str(ansible / "local"),
                    "ANSIBLE_LOG_PATH": str(ansible / "log"),
                    "ANSIBLE_INJECT_FACT_VARS": "0",
                    "ANSIBLE_NOCOLOR": "1",
                    # So loud that a module's traceback is shown too.
                    "ANSIBLE_DISPLAY_TRACEBACK": "always",
                },
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=900,
                check=False,
            )
        self._guest.check_thawed()
        assert watch.samples > 5 and watch.processes == set()
        print(done.stdout)
        found = leaks(done.stdout, uris)
        assert found == [], [
            done.stdout[max(0, done.stdout.find(one) - 500) :][:600] for one in found
        ]
        log = watch.log()
        assert leaks(log, uris) == [], log
        if self._tasks and watch.listened:
            assert "ansible-" in log, "the modules did not log, so nothing was proved"
        folders = [ansible, self._folder / "remote", self._guest.folder, STATE]
        assert leaks_below([one for one in folders if one.exists()], uris) == []
        assert done.returncode == 0, done.stdout
        return done.stdout


def test_the_search_finds_what_is_there(azurite: Azurite) -> None:
    """Check as a control that each of the searches can fail."""
    uri = azurite.sas(azurite.page_blob("control", 512), "rw")
    encoded = base64.encodebytes(b"." + json.dumps({"blobSASUri": [uri]}).encode()).decode()
    assert leaks(uri, [uri]) and leaks(encoded, [uri]) and leaks(repr(encoded), [uri])
    assert not leaks(uri.partition("sig=")[0], [uri])
    program = "import syslog, sys, time; syslog.syslog(sys.argv[1]); time.sleep(3)"
    with Watch([uri]) as watch:
        argv = [sys.executable, "-c", program, uri]
        subprocess.run(argv, env={**os.environ, "LEAK": uri}, check=True)
    assert {one.split()[0] for one in watch.processes} == {"cmdline", "environ"}
    if watch.listened:
        assert leaks(watch.log(), [uri])


def settings(azurite: Azurite, guest: Guest, number: int, object_str: Any) -> Dict[str, Any]:
    """Return the extension's documents, the status's address among the public ones."""
    return {
        "settings": {
            "taskId": f"{guest.folder.name.split()[-1]}_{number}",
            "commandToExecute": "snapshot",
            "vmType": "microsoft.compute/virtualmachines",
            "statusBlobUri": azurite.sas(guest.document(), "rw"),
        },
        "protected_settings": {
            "objectStr": object_str,
            "logsBlobUri": azurite.sas(guest.document(), "rw"),
        },
    }


def addresses(value: Any) -> List[str]:
    """Return every address in a value, however deep."""
    if isinstance(value, str):
        return [value] if value.startswith(("http", "blob http")) and "sig=" in value else []
    items = value.values() if isinstance(value, dict) else value
    if not isinstance(value, (dict, list)):
        return []
    return [found for item in items for found in addresses(item)]


def test_runs_that_succeed(guest: Guest, azurite: Azurite, tmp_path: Path) -> None:
    play = Play(guest, tmp_path)
    documents = {"status": guest.document(), "logs": guest.document()}
    options = guest.options(
        **{f"{name}_blob_uri": azurite.sas(uri, "rw") for name, uri in documents.items()}
    )
    play.task("vm_snapshot", options)
    uris = addresses(options)
    disks = [one["blob_uri"] for one in options["disks"]]
    without_disks = {name: value for name, value in guest.options().items() if name != "disks"}
    holder = {"blobSASUri": disks}
    forms = [
        json.dumps(holder, indent=4),
        # With line ends, as the base64 program writes it.
        base64.encodebytes(json.dumps(holder).encode()).decode(),
    ]
    for number, form in enumerate(forms):
        extension = settings(azurite, guest, number, form)
        uris += addresses(extension)
        play.task("vm_snapshot", {**without_disks, "extension_settings": extension})
    shown = play.run(uris)
    assert shown.count('"consistency": "application"') >= len(forms) + 1
    for uri in (one.partition("?")[0] for one in uris):
        if uri not in guest.blobs:
            text = azurite.read(uri).decode()
            assert text and leaks(text, uris) == []


def test_runs_that_fail(guest: Guest, azurite: Azurite, tmp_path: Path) -> None:
    """Check the text of each error: of the store, of the network, of Ansible about the options."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{closed.getsockname()[1]}"
    good = azurite.sas(guest.blobs[0], "rw")
    address = good.partition("sig=")[0]
    bad = {
        "wrong signature": f"{address}sig={'Q1d2' * 10}Q1c%3D",
        "missing blob": azurite.sas(guest.blobs[0] + "-not", "rw"),
        "no listener": good.replace(f"127.0.0.1:{azurite.port}", nobody),
        "expired": azurite.sas(guest.blobs[0], "rw", expiry_s=-60),
        "http": good.replace("127.0.0.1", "192.0.2.1"),
        "no url": "blob " + good,
        "port": good.replace("127.0.0.1", "127.0.0.1:x"),
        "block blob": azurite.sas(azurite.block_blob("secret-block", b"x"), "rw"),
    }
    play = Play(guest, tmp_path)
    base = guest.options()
    # With and without the padding that makes it look like name=value.
    text = json.dumps({"blobSASUri": [good]})
    text += " " * (-len(text) % 3)
    padded, encoded = (base64.encodebytes(one.encode()).decode() for one in (text + " ", text))
    extension = settings(azurite, guest, 7, encoded)
    status = {"status_blob_uri": bad["no listener"], "logs_blob_uri": bad["wrong signature"]}
    mistakes: List[Dict[str, Any]] = [
        *({"disks": [{"name": name, "blob_uri": uri}]} for name, uri in bad.items()),
        {**status, "freeze": ["/no/such"]},
        # Mistakes that Ansible itself finds, before anything is known to be a secret.
        {"disks": good},
        {"disks": [good]},
        {"disks": [[good]]},
        {"disks": [{"blob_url": good}]},
        {"disks": [{"blob_uri": good, "lun": good}]},
        {"disk": [{"blob_uri": good}]},
        {"freeze_timeout": good},
        {"status_blob_url": good},
        {"require_consistency": good},
        {"metadata": {"of": good}},
        {"task_id": good},
        {"freeze": [good]},
        {"config_path": good},
        {"disks": None, "extension_settings": encoded},
        {"disks": None, "extension_settings": padded},
        {"disks": None, "extension_settings": {**extension, "settings": None}},
        {"disks": None, "extension_settings": {"setting": extension, "settings": {}}},
        {"disks": None, "extension_settings": {**extension, "settings": encoded}},
        {"disks": None, "extension_settings": {**extension, "settings": padded}},
        {"disks": None, "extension_settings": {**extension, "protected_settings": encoded}},
        {"extension_settings": extension},
    ]
    for mistake in mistakes:
        given = {**base, **mistake}
        play.task("vm_snapshot", {name: one for name, one in given.items() if one is not None})
    play.task("snapshot_scripts", {"pre_script_content": f"#!/bin/sh\ncurl '{good}'\n"})
    play.task("snapshot_scripts_info", {"config_path": good})
    shown = play.run(addresses([bad, base, good, extension, status]))
    # What makes sense although it holds a secret is done: a label, a path where nothing is.
    assert shown.count("...ignoring") == len(mistakes) + 2 - 3
    assert guest.snapshots() == [2]
