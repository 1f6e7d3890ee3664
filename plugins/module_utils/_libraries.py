# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the Python libraries that a module needs: installed, and new enough."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from ansible.module_utils.basic import missing_required_lib

from ._errors import Failure


@dataclass(frozen=True)
class Library:
    """A library by pip's name, the package that Python imports, and the oldest version to use."""

    name: str
    package: str
    oldest: str

    @property
    def requirement(self) -> str:
        """The library and its versions, as pip takes them."""
        return f"{self.name}>={self.oldest}"

    def is_found(self) -> bool:
        """Return True if Python finds the package; it is not imported."""
        try:
            return importlib.util.find_spec(self.package) is not None
        except (ImportError, ValueError):
            return False

    def installed(self) -> str | None:
        """Return the installed version; None if its metadata is missing."""
        try:
            # None if the metadata file is damaged.
            return metadata.version(self.name) or None
        except (metadata.PackageNotFoundError, KeyError):
            return None

    def too_old(self) -> str | None:
        """Return the installed version if it is older than the oldest to use."""
        version = self.installed()
        if version is None or _numbers(version) >= _numbers(self.oldest):
            return None
        return version


# requirements.txt has the same versions, with the reasons; a test compares them.
AZURE_IDENTITY = Library("azure-identity", "azure.identity", "1.18.0")
BACKUP = Library("azure-mgmt-recoveryservicesbackup", "azure.mgmt.recoveryservicesbackup", "9.1.0")
COMPUTE = Library("azure-mgmt-compute", "azure.mgmt.compute", "33.0.0")
STORAGE_BLOB = Library("azure-storage-blob", "azure.storage.blob", "12.18.0")


def missing(needed: Sequence[Library], together: Sequence[Library] = ()) -> Failure | None:
    """Return one failure for all libraries that are missing or too old; None without any.

    A library of `together` alone is not a failure. But if a needed one is missing, it is named
    too, so that one installation is enough.
    """
    if not any(_is_lacking(library) for library in needed):
        return None
    lacking = [each for each in dict.fromkeys((*needed, *together)) if _is_lacking(each)]
    absent = [library.name for library in lacking if not library.is_found()]
    parts = [
        f"{library.name} {library.installed()} is installed, but {library.oldest} or newer is "
        f"needed on Python {sys.executable}."
        for library in lacking
        if library.is_found()
    ]
    if absent:
        parts.append(missing_required_lib(", ".join(absent)) + ".")
    return Failure("MissingLibrary", " ".join(parts), _installation(lacking))


def unusable(library: Library, error: Exception) -> Failure:
    """Return the failure for a library that is installed but cannot be imported."""
    version = library.installed() or "of an unknown version"
    return Failure(
        "MissingLibrary",
        f"{library.name} {version} cannot be used by Python {sys.executable}: {error}. "
        f"The module needs {library.oldest} or newer, with all its dependencies.",
        _installation([library], "--upgrade "),
    )


def _is_lacking(library: Library) -> bool:
    return not library.is_found() or library.too_old() is not None


def _installation(libraries: Sequence[Library], how: str = "") -> str:
    """Return the command that installs the libraries."""
    words = " ".join(shlex.quote(library.requirement) for library in libraries)
    return f"Run: {shlex.quote(sys.executable)} -m pip install {how}{words}"


def _numbers(version: str) -> tuple[int, ...]:
    """Return the release of a version, for comparisons; `9.1.0b2` counts as `9.1.0`."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
