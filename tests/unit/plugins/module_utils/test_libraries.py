# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import Dict, Optional

import pytest

from ansible_collections.quiesce.azure_backup.plugins.module_utils import _libraries
from ansible_collections.quiesce.azure_backup.plugins.module_utils._libraries import (
    AZURE_IDENTITY,
    BACKUP,
    COMPUTE,
    STORAGE_BLOB,
    Library,
    missing,
    unusable,
)

ROOT = Path(__file__).resolve().parents[4]
ALL = (AZURE_IDENTITY, BACKUP, COMPUTE, STORAGE_BLOB)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python imports from first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def install(place: Path, name: str, version: Optional[str]) -> Library:
    """Put a library there as pip would; without a version, as one copied by hand."""
    package = name.replace("-", "_")
    (place / package).mkdir()
    (place / package / "__init__.py").write_text("raise ImportError('imported')\n")
    if version is not None:
        info = place / f"{package}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return Library(name, package, "9.1.0")


@pytest.mark.parametrize(
    ("version", "good"),
    [
        ("9.1.0", True),
        ("9.1", True),
        ("9.1.0b2", True),
        ("9.1.0.post1", True),
        ("9.10.0", True),
        ("11.2.0", True),
        (None, True),
        ("9.0.9", False),
        ("9", False),
        ("0.9.1", False),
    ],
)
def test_versions_are_compared(place: Path, version: Optional[str], good: bool) -> None:
    library = install(place, "quiesce-versions", version)
    failure = missing([library])
    assert (failure is None) == good
    if failure is not None:
        assert failure.name == "MissingLibrary"
        assert f"{library.name} {version} is installed" in failure.message
        assert "9.1.0 or newer is needed" in failure.message


def test_missing_libraries_are_one_failure(place: Path) -> None:
    old = install(place, "quiesce-old", "1.0")
    fine = install(place, "quiesce-fine", "9.2")
    absent = [Library(f"quiesce-absent-{name}", f"quiesce_absent.{name}", "2.0") for name in "ab"]
    failure = missing([absent[0], fine], together=[old, absent[1], fine])
    assert failure is not None
    for text in ("quiesce-old 1.0 is installed", "quiesce-absent-a, quiesce-absent-b"):
        assert text in failure.message
    assert failure.recommended_action == (
        f"Run: {shlex.quote(sys.executable)} -m pip install "
        "'quiesce-absent-a>=2.0' 'quiesce-old>=9.1.0' 'quiesce-absent-b>=2.0'"
    )
    assert "quiesce-fine" not in failure.message + failure.recommended_action


def test_unneeded_library_is_not_a_failure(place: Path) -> None:
    fine = install(place, "quiesce-fine", "9.1.0")
    assert missing([fine], together=[Library("quiesce-absent", "quiesce_absent", "1.0")]) is None


def test_damaged_metadata_is_not_a_failure(place: Path) -> None:
    library = install(place, "quiesce-damaged", "1.0")
    (place / "quiesce_damaged-1.0.dist-info" / "METADATA").write_text("\n")
    assert missing([library]) is None
    assert "of an unknown version" in unusable(library, ImportError("no six")).message


def test_unimportable_library_is_named(place: Path) -> None:
    failure = unusable(install(place, "quiesce-broken", "9.2.0"), ImportError("no six"))
    assert "quiesce-broken 9.2.0 cannot be used" in failure.message
    assert "no six" in failure.message and "9.1.0 or newer" in failure.message
    assert "pip install --upgrade 'quiesce-broken>=9.1.0'" in failure.recommended_action


def bounds(path: str) -> Dict[str, str]:
    """Return the lower bounds of a file of requirements."""
    lines = (ROOT / path).read_text().splitlines()
    return dict(re.findall(r"^([a-z-]+) >= ([\d.]+)$", "\n".join(lines), re.MULTILINE))


def test_requirements_have_the_same_versions() -> None:
    expected = {library.name: library.oldest for library in ALL}
    assert bounds("requirements.txt") == expected
    tested = bounds("tests/requirements.txt")
    assert {name: tested[name] for name in expected} == expected


def test_documents_have_the_same_versions() -> None:
    texts = [ROOT / "README.md", *(ROOT / "docs").rglob("*.rst"), *(ROOT / "plugins").rglob("*.py")]
    said = []
    for path in texts:
        for name, version in re.findall(
            r"(azure-(?:identity|mgmt-\w+|storage-blob)) (?:>= )?(\d+\.\d[\d.]*\d|\d+\.\d+)",
            path.read_text(),
        ):
            oldest = {library.name: library.oldest for library in ALL}[name]
            assert _libraries._numbers(version) == _libraries._numbers(oldest), (path, name)
            said.append(name)
    assert set(said) == {library.name for library in ALL}
