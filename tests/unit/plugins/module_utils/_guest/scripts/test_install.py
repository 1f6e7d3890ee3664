# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests that install, roll back and remove the configuration and its scripts."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.validation import (
    examine,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import TaskContext
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.snapshot_scripts import (
    SNAPSHOT_SCRIPTS,
    apply_scripts,
)
from tests.lab.guest_files import GuestFiles, put

PRE = "#!/bin/sh\necho pre\n"
POST = "#!/bin/sh\necho post\n"


def options(guest: GuestFiles, **changes: Any) -> dict[str, Any]:
    """Return the options of the module, as Ansible passes them, with both scripts."""
    return {
        **{name: spec.get("default") for name, spec in SNAPSHOT_SCRIPTS.argument_spec.items()},
        "config_path": str(guest.config),
        "pre_script_location": str(guest.pre),
        "pre_script_content": PRE,
        "post_script_location": str(guest.post),
        "post_script_content": POST,
        **changes,
    }


def apply(guest: GuestFiles, check: bool = False, **changes: Any) -> dict[str, Any]:
    return apply_scripts(TaskContext(options(guest, **changes), check, diff=True))


def refused(guest: GuestFiles, **changes: Any) -> SettingsError:
    """Return the error, after checking that nothing was changed."""
    before = guest.state()
    with pytest.raises(SettingsError) as caught:
        apply(guest, **changes)
    assert guest.state() == before
    return caught.value


def test_install_change_and_remove(guest: GuestFiles) -> None:
    planned = apply(guest, check=True)
    assert guest.state() == {}
    done = apply(guest)
    assert planned == done
    assert done["changed"]
    assert done["written"] == [str(path) for path in (guest.pre, guest.post, guest.config)]
    assert guest.pre.read_text() == PRE and guest.post.read_text() == POST
    assert guest.pre.stat().st_mode & 0o7777 == 0o700
    assert guest.config.stat().st_mode & 0o7777 == 0o600
    assert examine(str(guest.config)).state == "ready"

    before = guest.state()
    again = apply(guest)
    assert (again["changed"], again["written"], again["diff"]) == (False, [], [])
    assert guest.state() == before

    changed = apply(guest, timeout_in_seconds=60, post_script_content=POST + "#\n")
    assert changed["written"] == [str(guest.post), str(guest.config)]
    assert examine(str(guest.config)).state == "ready"

    before = guest.state()
    planned = apply(guest, check=True, state="absent")
    assert guest.state() == before
    gone = apply(guest, state="absent")
    assert planned == gone
    assert gone["removed"] == [str(path) for path in (guest.config, guest.post, guest.pre)]
    assert (gone["changed"], gone["config"]) == (True, None)
    assert guest.state() == {}
    assert not apply(guest, state="absent")["changed"]


def test_diff_shows_text_and_permissions(guest: GuestFiles) -> None:
    apply(guest)
    put(guest.pre, b"#!/bin/sh\nold\n", 0o755, uid=65534)
    guest.config.chmod(0o644)
    diff = apply(guest, check=True, fs_freeze_enabled=False)["diff"]
    assert [(item["before_header"], item["before"], item["after"]) for item in diff[:2]] == [
        (str(guest.pre), "#!/bin/sh\nold\n", PRE),
        (str(guest.pre), "owner 65534:0, mode 0755\n", "owner 0:0, mode 0700\n"),
    ]
    assert '"fsFreezeEnabled" : true' in diff[2]["before"]
    assert '"fsFreezeEnabled" : false' in diff[2]["after"]
    assert diff[3]["before"] == "owner 0:0, mode 0644\n"


@pytest.mark.parametrize("which", ["pre", "post", "config"])
def test_wrong_owner_is_corrected(guest: GuestFiles, which: str) -> None:
    apply(guest)
    path: Path = getattr(guest, which)
    for uid, gid in ((65534, 0), (0, 65534)):
        os.chown(path, uid, gid)
        assert apply(guest)["written"] == [str(path)]
        assert (path.stat().st_uid, path.stat().st_gid) == (0, 0)


def test_folders_are_made_and_kept(guest: GuestFiles) -> None:
    config = guest.folder / "etc" / "azure" / "config.json"
    apply(guest, config_path=str(config))
    assert config.parent.stat().st_mode & 0o7777 == 0o755
    apply(guest, config_path=str(config), state="absent")
    assert config.parent.is_dir() and list(config.parent.iterdir()) == []


def test_existing_scripts_only_get_owner_and_mode(guest: GuestFiles) -> None:
    put(guest.pre, b"#!/bin/sh\nmine\n", 0o755, uid=65534)
    put(guest.post, Path("/bin/true").read_bytes(), 0o700)
    before = guest.state()["post.sh"]
    with guest.pre.open("ab") as still_open:
        given = {"pre_script_content": None, "post_script_content": None}
        assert apply(guest, **given)["written"] == [str(guest.pre), str(guest.config)]
        still_open.write(b"from a process that had it open\n")
    assert guest.pre.read_bytes() == b"#!/bin/sh\nmine\n"
    assert (guest.pre.stat().st_uid, guest.pre.stat().st_mode & 0o7777) == (0, 0o700)
    assert guest.state()["post.sh"] == before
    assert not apply(guest, **given)["changed"]
    gone = apply(guest, state="absent")
    assert gone["removed"] == [str(guest.config)]
    assert len(gone["warnings"]) == 2 and "this module did not write it" in gone["warnings"][0]
    assert sorted(guest.state()) == ["post.sh", "pre.sh"]


def test_one_script_for_both_is_written_once(guest: GuestFiles) -> None:
    same = {"post_script_location": str(guest.pre), "post_script_content": None}
    done = apply(guest, pre_script_params=["begin"], post_script_params=["end"], **same)
    assert done["written"] == [str(guest.pre), str(guest.config)]
    readiness = examine(str(guest.config))
    assert readiness.post is not None and readiness.post.params == ("end",)
    error = refused(guest, post_script_location=str(guest.pre))
    assert "their contents differ" in str(error)


def test_absent_keeps_replaced_files(guest: GuestFiles) -> None:
    apply(guest)
    guest.pre.unlink()
    guest.pre.symlink_to("/etc/passwd")
    os.chown(guest.post, 65534, 0)
    gone = apply(guest, state="absent")
    assert gone["removed"] == [str(guest.config)]
    assert sorted(guest.state()) == ["post.sh", "pre.sh"]
    assert any("is now a symbolic link" in warning for warning in gone["warnings"])
    assert any("is now owned by the user 65534" in warning for warning in gone["warnings"])


def test_absent_removes_scripts_of_earlier_runs(guest: GuestFiles) -> None:
    apply(guest)
    moved = guest.folder / "moved.sh"
    apply(guest, pre_script_location=str(moved))
    assert guest.pre.exists()
    removed = apply(guest, state="absent")["removed"]
    assert set(removed) == {str(path) for path in (guest.config, guest.pre, guest.post, moved)}


def test_absent_with_unusable_record_keeps_scripts(guest: GuestFiles) -> None:
    apply(guest)
    (record,) = (path for path in guest.folder.iterdir() if path.name.startswith("."))
    assert record.stat().st_mode & 0o7777 == 0o600
    put(record, b"{", 0o600)
    gone = apply(guest, state="absent")
    assert gone["removed"] == [str(guest.config)]
    assert sorted(guest.state()) == ["post.sh", "pre.sh"]


@pytest.mark.parametrize(("mode", "uid"), [(0o602, 0), (0o620, 0), (0o600, 65534)])
def test_absent_with_record_of_others_keeps_scripts(guest: GuestFiles, mode: int, uid: int) -> None:
    apply(guest)
    (record,) = (path for path in guest.folder.iterdir() if path.name.startswith("."))
    record.chmod(mode)
    os.chown(record, uid, 0)
    gone = apply(guest, state="absent")
    assert gone["removed"] == [str(guest.config)]
    assert "is unusable" in gone["warnings"][0]
    assert sorted(guest.state()) == ["post.sh", "pre.sh"]


def test_keys_without_option_are_removed_with_warning(guest: GuestFiles) -> None:
    guest.put_all(appName="orders", typo=1)
    (warning,) = apply(guest)["warnings"]
    assert "appName, typo" in warning
    assert b"appName" not in guest.config.read_bytes()
    assert apply(guest)["warnings"] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"timeout_in_seconds": 0}, "timeout_in_seconds must be from 1 to 1800; it is 0"),
        ({"timeout_in_seconds": 1801}, "it is 1801"),
        ({"pre_script_no_of_retries": -1}, "pre_script_no_of_retries must be 0 or more"),
        ({"post_script_params": ["a\0b"]}, "post_script_params cannot be used: parameter 1"),
        ({"pre_script_params": ["a", "\ud800"]}, "pre_script_params cannot be used: parameter 2"),
        ({"pre_script_params": ["x" * 100_000] * 30}, "together they have"),
        ({"pre_script_location": "pre.sh"}, "pre_script_location must be a full path"),
        ({"post_script_location": "/run/../post.sh"}, "must be a full path"),
        ({"config_path": "config.json"}, "config_path must be a full path"),
        ({"pre_script_content": "echo\n"}, "could not be started: it has no first line"),
        ({"post_script_content": ""}, "could not be started: it is empty"),
        ({"pre_script_content": None}, "does not exist, and pre_script_content is not set"),
        ({"pre_script_location": "/tmp/pre.sh"}, "/tmp is writable by other users"),
        ({"config_path": "/tmp/config.json"}, "/tmp is writable by other users"),
        ({"config_path": "/tmp/config.json", "state": "absent"}, "/tmp is writable by other"),
        ({"config_path": "config.json", "state": "absent"}, "must be a full path"),
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_invalid_options_change_nothing(
    guest: GuestFiles, changes: dict[str, Any], words: str, there: bool
) -> None:
    if there:
        guest.put_config(timeoutInSeconds=7)
        put(guest.post, b"#!/bin/sh\n", 0o755)
    error = refused(guest, **changes)
    assert words in str(error)
    assert error.failure.name


def test_missing_script_has_documented_name(guest: GuestFiles) -> None:
    error = refused(guest, post_script_content=None)
    assert (error.failure.name, error.failure.code) == ("Post-ScriptNotFound", 303)


@pytest.mark.parametrize("which", ["pre", "post", "config"])
@pytest.mark.parametrize("state", ["present", "absent"])
def test_links_and_folders_are_kept(guest: GuestFiles, which: str, state: str) -> None:
    guest.put_all()
    path: Path = getattr(guest, which)
    path.rename(guest.folder / "real")
    path.symlink_to(guest.folder / "real")
    if state == "absent" and which != "config":
        apply(guest, state="absent")
        assert path.is_symlink()
        return
    assert "is a symbolic link" in str(refused(guest, state=state))
    path.unlink()
    path.mkdir()
    assert "is a folder" in str(refused(guest, state=state))


def test_script_path_equal_to_configuration_is_refused(guest: GuestFiles) -> None:
    for path in (guest.config, guest.folder / f".{guest.config.name}.quiesce"):
        error = refused(guest, pre_script_location=str(path))
        assert "name the same file" in str(error)


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Make writes beyond a file size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("there", [False, True])
def test_write_failure_restores_all_files(guest: GuestFiles, there: bool) -> None:
    if there:
        put(guest.pre, b"#!/bin/sh\nold\n", 0o755, uid=65534)
        put(guest.config, b"{}", 0o644)
    deep = {"post_script_location": str(guest.folder / "deep" / "er" / "post.sh")}
    before = {name: (file[0], file[1], file[4]) for name, file in guest.state().items()}
    with no_file_above(100), pytest.raises(SettingsError) as caught:
        # The scripts are short enough, the configuration is not.
        apply(guest, **deep)
    assert caught.value.failure.name == "WriteFailed"
    assert "All files are as they were before." in str(caught.value)
    assert {name: (file[0], file[1], file[4]) for name, file in guest.state().items()} == before


def test_apply_as_other_user_is_refused(guest: GuestFiles) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(SettingsError) as caught:
            apply(guest)
    finally:
        os.seteuid(0)
    assert caught.value.failure.name == "NotRoot"


def test_script_that_sh_cannot_run_warns(guest: GuestFiles) -> None:
    """Check the warning: ScriptRunner.py runs every script by sh, vm_snapshot by its first line."""
    python = "#!/usr/bin/python3\nimport sys\n"
    result = apply(guest, pre_script_content=python)
    (warning,) = result["warnings"]
    assert str(guest.pre) in warning and "names /usr/bin/python3" in warning
    assert guest.pre.read_text() == python
    assert apply(guest, pre_script_content=python)["warnings"] == [warning]
    assert apply(guest)["warnings"] == []
