# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests of the collection's own checks of the configuration and the scripts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.trusted_file import (
    identity,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.validation import (
    Readiness,
    examine,
)
from tests.lab.guest_files import GuestFiles, put


def names(readiness: Readiness) -> list[str]:
    return [finding.name for finding in readiness.findings]


def assert_no_scripts(readiness: Readiness, state: str) -> None:
    assert readiness.state == state
    assert readiness.pre is None and readiness.post is None


def test_ready_scripts_have_identity_of_files(guest: GuestFiles) -> None:
    guest.put_all(preScriptParams=["a"], postScriptNoOfRetries=2, timeoutInSeconds=7)
    readiness = examine(str(guest.config))
    assert (readiness.state, readiness.findings, readiness.warnings) == ("ready", (), ())
    pre, post = readiness.pre, readiness.post
    assert pre is not None and post is not None
    assert (pre.kind, pre.path, pre.params, pre.retries) == ("pre", str(guest.pre), ("a",), 0)
    assert (post.kind, post.path, post.retries, post.timeout_s) == ("post", str(guest.post), 2, 7.0)
    assert pre.identity == identity(guest.pre.lstat())
    assert post.identity == identity(guest.post.lstat())


def test_missing_configuration_is_absent(guest: GuestFiles) -> None:
    for path in (guest.config, guest.folder / "missing" / "config.json"):
        readiness = examine(str(path))
        assert_no_scripts(readiness, "absent")
        assert readiness.findings == () and readiness.config is None


def test_invalid_content_is_unusable(guest: GuestFiles) -> None:
    guest.put_all(timeoutInSeconds=1801, typo=1)
    readiness = examine(str(guest.config))
    assert_no_scripts(readiness, "unusable")
    assert names(readiness) == ["IncorrectJSONConfigFile"]
    assert readiness.config is None and len(readiness.warnings) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o700, 0o660, 0o602, 0o400])
def test_configuration_with_wrong_mode_is_unusable(guest: GuestFiles, mode: int) -> None:
    guest.put_all()
    guest.config.chmod(mode)
    readiness = examine(str(guest.config))
    assert_no_scripts(readiness, "unusable")
    assert names(readiness) == ["IncorrectJSONConfigFile"]
    assert f"mode {mode:04o}" in readiness.findings[0].message


def test_configuration_of_other_user_is_unusable(guest: GuestFiles) -> None:
    guest.put_all()
    os.chown(guest.config, 65534, 0)
    assert_no_scripts(examine(str(guest.config)), "unusable")


def test_configuration_behind_link_is_unusable(guest: GuestFiles) -> None:
    guest.put_all()
    link = guest.folder / "link.json"
    link.symlink_to(guest.config)
    assert_no_scripts(examine(str(link)), "unusable")
    assert_no_scripts(examine(str(guest.folder)), "unusable")
    assert_no_scripts(examine("config.json"), "unusable")
    guest.folder.chmod(0o777)
    readiness = examine(str(guest.config))
    assert_no_scripts(readiness, "unusable")
    assert "is writable by other users" in readiness.findings[0].message


@pytest.mark.parametrize(("kind", "prefix"), [("pre", "Pre"), ("post", "Post")])
class TestScripts:
    """Tests of one script that cannot run."""

    def check(self, guest: GuestFiles, name: str, words: str) -> None:
        readiness = examine(str(guest.config))
        assert_no_scripts(readiness, "untrusted_scripts")
        assert readiness.config is not None
        assert names(readiness) == [name]
        assert words in readiness.findings[0].message

    def script(self, guest: GuestFiles, kind: str) -> Path:
        guest.put_all()
        path: Path = getattr(guest, kind)
        return path

    def test_missing(self, guest: GuestFiles, kind: str, prefix: str) -> None:
        self.script(guest, kind).unlink()
        self.check(guest, f"{prefix}-ScriptNotFound", "does not exist")

    @pytest.mark.parametrize("path", ["", "pre.sh", "./pre.sh", "/run/../pre.sh", "/" + "x" * 300])
    def test_relative_path(self, guest: GuestFiles, kind: str, prefix: str, path: str) -> None:
        guest.put_scripts()
        guest.put_config(**{f"{kind}ScriptLocation": path})
        self.check(guest, f"{prefix}-ScriptNotFound", "")

    def test_folder(self, guest: GuestFiles, kind: str, prefix: str) -> None:
        script = self.script(guest, kind)
        script.unlink()
        script.mkdir(0o700)
        self.check(guest, f"{prefix}-ScriptNotFound", "is a folder")

    def test_symbolic_link(self, guest: GuestFiles, kind: str, prefix: str) -> None:
        script = self.script(guest, kind)
        target = guest.folder / "real.sh"
        script.rename(target)
        script.symlink_to(target)
        self.check(guest, f"{prefix}-ScriptNotFound", "is a symbolic link")

    @pytest.mark.parametrize("mode", [0o755, 0o750, 0o600, 0o500, 0o4700, 0o000])
    def test_mode(self, guest: GuestFiles, kind: str, prefix: str, mode: int) -> None:
        self.script(guest, kind).chmod(mode)
        self.check(guest, f"InsufficientPermissionfor{prefix}-Script", f"mode {mode:04o}")

    def test_owner(self, guest: GuestFiles, kind: str, prefix: str) -> None:
        os.chown(self.script(guest, kind), 65534, 0)
        self.check(guest, f"InsufficientPermissionfor{prefix}-Script", "owner 65534:0")

    def test_open_folder(self, guest: GuestFiles, kind: str, prefix: str) -> None:
        script = self.script(guest, kind)
        folder = guest.folder / "open"
        folder.mkdir()
        folder.chmod(0o1777)
        shutil.move(script, folder / script.name)
        guest.put_config(**{f"{kind}ScriptLocation": str(folder / script.name)})
        self.check(guest, f"InsufficientPermissionfor{prefix}-Script", "writable by other users")

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "it is empty"),
            (b"\n", "it is empty"),
            (b"echo\n", "no first line"),
            (b"#!\necho\n", "no first line"),
            (b"#!/bin/sh\r\necho\r\n", "carriage return"),
            (b"#!/no/such/shell\n", "/no/such/shell that its first line names does not exist"),
            (b"#!sh\n", "does not exist"),
        ],
    )
    def test_content(
        self, guest: GuestFiles, kind: str, prefix: str, data: bytes, words: str
    ) -> None:
        put(self.script(guest, kind), data, 0o700)
        self.check(guest, f"{prefix}-ScriptExecutionFailed", words)


def test_all_problems_are_reported_with_configuration(guest: GuestFiles) -> None:
    guest.put_all(continueBackupOnFailure=False)
    put(guest.pre, b"", 0o755, uid=65534)
    guest.post.unlink()
    readiness = examine(str(guest.config))
    assert names(readiness) == [
        "InsufficientPermissionforPre-Script",
        "Pre-ScriptExecutionFailed",
        "Post-ScriptNotFound",
    ]
    assert readiness.config is not None and not readiness.config.continue_backup_on_failure


def test_binary_program_needs_no_first_line(guest: GuestFiles) -> None:
    guest.put_all()
    put(guest.pre, Path("/bin/true").read_bytes(), 0o700)
    assert examine(str(guest.config)).state == "ready"
