# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tests with real files and folders, of root and of other users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import SettingsError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.trusted_file import (
    FILE,
    FOLDER,
    SPECIAL,
    SYMLINK,
    check_ancestors,
    identity,
    inspect,
    is_full_path,
    make_parents,
    remove_folders,
    why_untrusted,
    write_atomically,
)
from tests.lab.guest_files import GuestFiles


def test_folder_of_root_is_trusted(guest: GuestFiles) -> None:
    deep = guest.folder / "a" / "b"
    deep.mkdir(parents=True)
    check_ancestors(str(deep / "file"))
    check_ancestors(str(deep / "missing" / "file"))


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775, 0o757, 0o2770])
def test_folder_writable_by_others_is_untrusted(guest: GuestFiles, mode: int) -> None:
    open_folder = guest.folder / "open"
    (open_folder / "inner").mkdir(parents=True)
    open_folder.chmod(mode)
    with pytest.raises(SettingsError) as caught:
        check_ancestors(str(open_folder / "inner" / "file"))
    assert caught.value.failure.name == "UntrustedPath"
    assert f"{open_folder} is writable by other users" in str(caught.value)


def test_folder_of_other_user_is_untrusted(guest: GuestFiles) -> None:
    foreign = guest.folder / "foreign"
    foreign.mkdir(0o755)
    os.chown(foreign, 65534, 65534)
    assert "is owned by the user 65534" in why_untrusted(str(foreign / "file"))


def test_symbolic_link_above_is_untrusted(guest: GuestFiles) -> None:
    (guest.folder / "real").mkdir()
    (guest.folder / "link").symlink_to(guest.folder / "real")
    assert "is a symbolic link" in why_untrusted(str(guest.folder / "link" / "file"))


def test_file_above_is_untrusted(guest: GuestFiles) -> None:
    guest.put_config()
    assert "is not a folder" in why_untrusted(str(guest.config / "file"))


def test_temp_folder_is_untrusted() -> None:
    assert why_untrusted("/tmp/file")


@pytest.mark.parametrize(
    ("path", "full"),
    [
        ("/etc/azure/pre.sh", True),
        ("/a b/c", True),
        ("pre.sh", False),
        ("", False),
        ("/", False),
        ("//etc/x", False),
        ("/etc/../x", False),
        ("/etc/./x", False),
        ("/etc/x/", False),
        ("/etc//x", False),
        ("/etc/\0x", False),
    ],
)
def test_is_full_path_accepts_normalized_paths_only(path: str, full: bool) -> None:
    assert is_full_path(path) is full


def test_inspect_never_follows_links_or_blocks(guest: GuestFiles) -> None:
    guest.put_config()
    link, pipe = guest.folder / "link", guest.folder / "pipe"
    link.symlink_to(guest.config)
    os.mkfifo(pipe)
    kinds = [inspect(str(path)) for path in (guest.config, link, pipe, guest.folder)]
    assert [found and found.kind for found in kinds] == [FILE, SYMLINK, SPECIAL, FOLDER]
    assert inspect(str(guest.folder / "missing")) is None
    assert inspect(str(guest.config / "beneath a file")) is None


def test_inspect_state_is_of_one_file(guest: GuestFiles) -> None:
    guest.put_config()
    found = inspect(str(guest.config))
    assert found is not None
    assert found.identity == identity(guest.config.lstat())
    assert (found.mode, found.uid, found.data) == (0o600, 0, guest.config.read_bytes())
    write_atomically(str(guest.config), found.data, 0o600)
    assert identity(guest.config.lstat()) != found.identity


def test_write_replaces_file_without_leftovers(guest: GuestFiles) -> None:
    guest.put_config()
    with guest.config.open("rb") as still_open:
        before = still_open.read()
        write_atomically(str(guest.config), b"new", 0o640, (65534, 65534))
        still_open.seek(0)
        assert still_open.read() == before
    status = guest.config.lstat()
    assert (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (0o640, 65534, 65534)
    assert guest.config.read_bytes() == b"new"
    assert list(guest.folder.iterdir()) == [guest.config]


def test_write_failure_leaves_no_leftovers(guest: GuestFiles) -> None:
    folder = guest.folder / "taken"
    folder.mkdir()
    with pytest.raises(OSError):
        write_atomically(str(folder), b"new", 0o600)
    assert list(guest.folder.iterdir()) == [folder]


def test_make_parents_ignores_umask(guest: GuestFiles) -> None:
    path = guest.folder / "a" / "b" / "file"
    old = os.umask(0o077)
    try:
        made = make_parents(str(path))
    finally:
        os.umask(old)
    assert made == [str(guest.folder / "a"), str(guest.folder / "a" / "b")]
    assert [Path(folder).stat().st_mode & 0o7777 for folder in made] == [0o755, 0o755]
    assert make_parents(str(path)) == []
    (guest.folder / "a" / "kept").write_text("")
    remove_folders(made)
    assert (guest.folder / "a").is_dir() and not (guest.folder / "a" / "b").exists()


def test_make_parents_failure_removes_folders(guest: GuestFiles) -> None:
    with pytest.raises(OSError):
        make_parents(str(guest.folder / "a" / "b" / ("x" * 300) / "file"))
    assert list(guest.folder.iterdir()) == []
