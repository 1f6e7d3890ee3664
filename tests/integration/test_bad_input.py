# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bad input of every kind: a clear error, and nothing was changed."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from tests.integration.guest_rig import Guest, warnings
from tests.lab.azurite import Azurite
from tests.lab.disk import LoopDisk
from tests.lab.guest_files import GuestFiles, put, state_of
from tests.lab.module_run import ModuleRun, run_module

#: Another user, who may still read the checkout and the interpreter wherever they lie.
NOBODY = ["setpriv", "--reuid=65534", "--clear-groups"]
NOBODY += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]


@pytest.fixture(name="guest", scope="module")
def _guest(azurite: Azurite) -> Iterator[Guest]:
    """A guest for all tests: a refusal leaves it as it was."""
    with closing(Guest(azurite, ["ext4", "ext4"])) as guest:
        yield guest


@pytest.fixture(name="ready")
def _ready(guest: Guest) -> Guest:
    """The guest with a configuration that would fail the run when scripts cannot be run."""
    for path in sorted(guest.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    guest.configure(continueBackupOnFailure=False)
    return guest


def refused(guest: Guest, name: str, *words: str, **options: Any) -> ModuleRun:
    """Run vm_snapshot; it must refuse by this name and these words and leave all as it was."""
    before, taken = state_of(guest.folder), guest.snapshots()
    done = guest.run_with({**guest.options(), **options})
    assert done.failed, done
    assert done["failure"]["name"] == name, done["failure"]
    for text in (done["msg"], done["failure"]["message"]):
        for word in words:
            assert word in text
    assert done["failure"]["recommended_action"]
    assert not done.result.get("changed")
    assert guest.scripts_ran() == []
    assert guest.snapshots() == taken
    assert state_of(guest.folder) == before
    guest.check_left(done)
    return done


def test_the_guest_is_fine_without_bad_input(ready: Guest) -> None:
    done = ready.run(check=True)
    assert not done.failed, done
    assert done["failure"] is None


# --- the configuration -------------------------------------------------------------------------

GOOD = {
    "preScriptLocation": "/usr/bin/true",
    "postScriptLocation": "/usr/bin/true",
    "timeoutInSeconds": 30,
}
TEXT = json.dumps(GOOD)
WRONG_VALUES = ("30", "false", 2.5, None, -1)
KEYS = {
    "preScriptLocation": (30, False, 2.5, None, -1),
    "postScriptLocation": (30, False, 2.5, None, -1),
    "preScriptParams": WRONG_VALUES,
    "postScriptParams": WRONG_VALUES,
    "preScriptNoOfRetries": WRONG_VALUES,
    "postScriptNoOfRetries": WRONG_VALUES,
    "timeoutInSeconds": (*WRONG_VALUES, 0, 1801),
    "continueBackupOnFailure": WRONG_VALUES,
    "fsFreezeEnabled": WRONG_VALUES,
    "pluginName": (30, False, 2.5, None, -1),
}
CONTENTS = {
    "empty": b"",
    "not JSON": b"preScriptLocation=/a",
    "trailing comma": TEXT[:-1].encode() + b",}",
    "BOM": b"\xef\xbb\xbf" + TEXT.encode(),
    "UTF-16": TEXT.encode("utf-16"),
    "list": f"[{TEXT}]".encode(),
    **{
        f"{key} {value!r}": json.dumps({**GOOD, key: value}).encode()
        for key, values in KEYS.items()
        for value in values
    },
}


@pytest.fixture(name="files")
def _files() -> Iterator[GuestFiles]:
    with GuestFiles() as files:
        yield files


def told(files: GuestFiles) -> Dict[str, Any]:
    """Return what snapshot_scripts_info says; it changes nothing."""
    before = files.state()
    options = {
        "config_path": str(files.config),
        "plugin_host_path": str(files.plugin_host),
        "workload_path": str(files.workload),
    }
    done = run_module("snapshot_scripts_info", options)
    assert not done.failed, done
    assert files.state() == before
    return {**done.result, "warnings": warnings(done)}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_configuration_that_is_wrong(files: GuestFiles, content: bytes) -> None:
    put(files.config, content, 0o600)
    result = told(files)
    ours = result["vm_snapshot"]
    assert (ours["state"], result["config"]) == ("unusable", None)
    assert {finding["name"] for finding in ours["findings"]} == {"IncorrectJSONConfigFile"}
    assert all(one["message"] and one["recommended_action"] for one in ours["findings"])
    # Microsoft's agent takes some of these values; ready needs both, and the finding says which.
    assert not result["ready"]
    (finding,) = (one for one in result["findings"] if one["name"] == "IncorrectJSONConfigFile")
    assert "vm_snapshot" in finding["applies_to"]
    if "agent" not in finding["applies_to"]:
        assert result["warnings"]


@pytest.mark.parametrize("which", ["BOM", "timeoutInSeconds '30'", "timeoutInSeconds 1801"])
def test_a_run_with_a_wrong_configuration_runs_no_scripts(ready: Guest, which: str) -> None:
    put(ready.config, CONTENTS[which], 0o600)
    before = state_of(ready.folder)
    done = ready.run()
    assert not done.failed, done
    assert (done["consistency"], done["failure"]["name"]) == (
        "file-system",
        "IncorrectJSONConfigFile",
    )
    assert done["scripts"] == {"pre": None, "post": None} and ready.scripts_ran() == []
    assert state_of(ready.folder) == before


def test_missing_configuration(files: GuestFiles) -> None:
    result = told(files)
    assert [one["name"] for one in result["findings"]] == ["IncorrectJSONConfigFile"]
    assert result["vm_snapshot"]["state"] == "absent"


def test_unknown_key_is_a_warning(files: GuestFiles) -> None:
    files.put_all(timeoutInSecond=5)
    result = told(files)
    assert result["ready"] and any("timeoutInSecond" in text for text in result["warnings"])


# --- the scripts -------------------------------------------------------------------------------


def _folder(script: Path) -> None:
    script.unlink()
    script.mkdir(0o700)


def _symlink(script: Path) -> None:
    target = script.with_name("target")
    script.rename(target)
    script.symlink_to(target)


SCRIPTS: Dict[str, Any] = {
    "missing": (Path.unlink, "NotFound", "does not exist"),
    "folder": (_folder, "NotFound", "is a folder"),
    "symlink": (_symlink, "NotFound", "is a symbolic link"),
    "empty": (lambda path: path.write_bytes(b""), "ExecutionFailed", "it is empty"),
    "shebang": (lambda path: path.write_text("exit 0\n"), "ExecutionFailed", "no first line"),
}


@pytest.mark.parametrize("kind", ["pre", "post"])
@pytest.mark.parametrize("case", SCRIPTS.keys())
def test_script_that_cannot_be_run(ready: Guest, kind: str, case: str) -> None:
    spoil: Callable[[Path], Any]
    spoil, name, words = SCRIPTS[case]
    path = ready.folder / f"{kind} script"
    spoil(path)
    refused(ready, f"{kind.capitalize()}-Script{name}", str(path), words)


@pytest.mark.parametrize("kind", ["pre", "post"])
def test_script_by_a_relative_path(ready: Guest, kind: str) -> None:
    ready.configure(continueBackupOnFailure=False, **{f"{kind}ScriptLocation": "usr/bin/true"})
    refused(ready, f"{kind.capitalize()}-ScriptNotFound", "usr/bin/true", "full path")


@pytest.mark.parametrize(("mode", "uid"), [(0o755, 0), (0o700, 65534)])
def test_script_that_is_not_root_s_alone(ready: Guest, mode: int, uid: int) -> None:
    path = ready.folder / "pre script"
    os.chown(path, uid, 0)
    path.chmod(mode)
    refused(ready, "InsufficientPermissionforPre-Script", str(path))


# --- the disks ---------------------------------------------------------------------------------


def disk(uri: str, **more: Any) -> List[Dict[str, Any]]:
    return [{"name": "bad", "blob_uri": uri, **more}]


def test_no_disk(ready: Guest) -> None:
    refused(ready, "NoDisks", "disks", disks=[])
    options = ready.options()
    del options["disks"]
    done = ready.run_with(options)
    assert done.failed and "one of the following is required" in done["msg"]


def test_same_blob_twice(ready: Guest, azurite: Azurite) -> None:
    url = ready.blobs[0]
    for other in (azurite.sas(url, "rwd"), azurite.sas(url.replace("/disks/", "/%64isks/"), "r")):
        disks = [
            {"name": "one", "blob_uri": azurite.sas(url, "rw")},
            {"name": "two", "blob_uri": other.replace("sp=r&", "sp=rw&")},
        ]
        refused(ready, "DuplicateDisk", "one", "two", disks=disks)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "disk",
        "/dev/sdc",
        "ftp://127.0.0.1/account/disks/data?sig=c2VjcmV0",
        "http://[::1/account/disks/data?sig=c2VjcmV0",
        "https://127.0.0.1:notaport/account/disks/data?sig=c2VjcmV0",
        "https://127.0.0.1/?sig=c2VjcmV0",
        "https://127.0.0.1/a b/c?sig=c2VjcmV0",
    ],
)
def test_no_url(ready: Guest, uri: str) -> None:
    refused(ready, "InvalidBlobUri", "bad", disks=disk(uri))


@pytest.mark.parametrize("host", ["quiesce.blob.core.windows.net", "192.0.2.1", "127.example.org"])
def test_http_to_another_machine(ready: Guest, host: str) -> None:
    uri = f"http://{host}/disks/data?sv=2021-08-06&sr=b&sp=rw&sig=c2VjcmV0"
    refused(ready, "InsecureBlobUri", host, "http", disks=disk(uri))


def test_no_sas(ready: Guest) -> None:
    refused(ready, "MissingSas", "bad", disks=disk(ready.blobs[0]))


@pytest.mark.parametrize(
    ("sas", "name", "word"),
    [
        ({"expiry_s": -60}, "SasExpired", "expired"),
        ({"expiry_s": 20}, "SasExpiresTooSoon", "expires at"),
        ({"start_s": 1800}, "SasNotYetValid", "valid only from"),
        ({"permission": "r"}, "SasPermissionMissing", "create a snapshot"),
        ({"permission": "w"}, "SasPermissionMissing", "to read"),
    ],
)
def test_sas_that_will_not_do(
    ready: Guest, azurite: Azurite, sas: Dict[str, Any], name: str, word: str
) -> None:
    refused(ready, name, "bad", word, disks=disk(azurite.sas(ready.blobs[0], **sas)))


def test_sas_with_a_wrong_signature(ready: Guest, azurite: Azurite) -> None:
    uri, _mark, rest = azurite.sas(ready.blobs[0], "rw").partition("sig=")
    wrong = f"{uri}sig={'A' * 43}%3D{''.join(rest.partition('&')[1:])}"
    before, taken = state_of(ready.folder), ready.snapshots()
    done = ready.run_with({**ready.options(), "disks": disk(wrong)})
    assert done.failed and "bad" in done["msg"] and done["failure"]["recommended_action"]
    assert "A" * 43 not in done.stdout + done.stderr
    assert state_of(ready.folder) == before and ready.snapshots() == taken


def test_blob_that_is_missing(ready: Guest, azurite: Azurite) -> None:
    disks = [*ready.options()["disks"], *disk(azurite.sas(ready.blobs[0] + "-not", "rw"))]
    before, taken = state_of(ready.folder), ready.snapshots()
    done = ready.run_with({**ready.options(), "disks": disks})
    assert done.failed and "bad" in done["msg"] and f"{ready.blobs[0]}-not" in done["msg"]
    assert state_of(ready.folder) == before and ready.snapshots() == taken
    ready.check_left(done)


def test_block_blob_as_a_disk(ready: Guest, azurite: Azurite) -> None:
    url = azurite.block_blob("no-disk", b"x" * 512)
    refused(ready, "NotAPageBlob", "bad", "BlockBlob", disks=disk(azurite.sas(url, "rw")))
    assert azurite.snapshots(url) == []


@pytest.mark.parametrize("device", ["/no/such", "/dev/null", "/etc"])
def test_device_that_is_none(ready: Guest, azurite: Azurite, device: str) -> None:
    uri = azurite.sas(ready.blobs[0], "rw")
    refused(ready, "InvalidDevice", device, disks=disk(uri, device=device), freeze="auto")


# --- what to freeze ----------------------------------------------------------------------------


def test_no_mount_point(ready: Guest) -> None:
    # In a filesystem that may be frozen, should it ever not be refused.
    inner = ready.disks[0].path / "inner"
    inner.mkdir(exist_ok=True)
    file = ready.disks[0].path / "file"
    file.touch()
    for path in (inner, file, ready.disks[0].path / "missing"):
        refused(ready, "InvalidFreeze", str(path), freeze=[str(path)])


def test_read_only_mount(ready: Guest) -> None:
    with LoopDisk(options=["ro"]) as read_only:
        point = read_only.mount_point
        refused(ready, "InvalidFreeze", point, "read-only", freeze=[point])


def test_tmpfs(ready: Guest) -> None:
    point = ready.disks[0].path / "tmpfs"
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(point)], check=True)
    try:
        refused(ready, "InvalidFreeze", str(point), "tmpfs", freeze=[str(point)])
    finally:
        subprocess.run(["umount", str(point)], check=True)


def test_one_filesystem_twice(ready: Guest) -> None:
    point, other = ready.disks[0].mount_point, ready.disks[1].path / "bind"
    refused(ready, "InvalidFreeze", "twice", point, freeze=[point, point + "/"])
    other.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", point, str(other)], check=True)
    try:
        refused(ready, "InvalidFreeze", "twice", str(other), freeze=[point, str(other)])
    finally:
        subprocess.run(["umount", str(other)], check=True)


@pytest.mark.parametrize("freeze", [[], "everything", ["relative"], [""], 5, {"a": 1}])
def test_no_way_to_say_what_to_freeze(ready: Guest, freeze: Any) -> None:
    refused(ready, "InvalidFreeze", freeze=freeze)


# --- other options, other users ----------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0, 61, -1])
def test_freeze_timeout(ready: Guest, timeout: int) -> None:
    refused(ready, "InvalidOption", str(timeout), freeze_timeout=timeout)


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("name", ["vm_snapshot", "snapshot_scripts", "snapshot_scripts_info"])
def test_not_root(ready: Guest, name: str, check: bool) -> None:
    options = {
        "vm_snapshot": ready.options(),
        "snapshot_scripts": {"state": "absent", "config_path": str(ready.config)},
        "snapshot_scripts_info": {"config_path": str(ready.config)},
    }
    before, taken = state_of(ready.folder), ready.snapshots()
    done = run_module(name, options[name], prefix=NOBODY, check=check)
    assert done.failed and done["failure"]["name"] == "NotRoot"
    assert "become" in done["failure"]["recommended_action"]
    assert state_of(ready.folder) == before and ready.snapshots() == taken
    ready.check_left(done)
