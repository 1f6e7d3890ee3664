# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Check the Python libraries that a module needs: installed, and new enough.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from dataclasses import dataclass
from importlib import metadata
from typing import Optional, Sequence, Tuple

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

    def installed(self) -> Optional[str]:
        """Return the installed version; None if nothing on the disk says it."""
        try:
            # None where the file that should say it is damaged.
            return metadata.version(self.name) or None
        except (metadata.PackageNotFoundError, KeyError):
            return None

    def too_old(self) -> Optional[str]:
        """Return the installed version if it is older than the oldest to use."""
        version = self.installed()
        if version is None or _numbers(version) >= _numbers(self.oldest):
            return None
        return version


# requirements.txt says the same, with the reasons; a test compares them.
AZURE_IDENTITY = Library("azure-identity", "azure.identity", "1.18.0")
BACKUP = Library("azure-mgmt-recoveryservicesbackup", "azure.mgmt.recoveryservicesbackup", "9.1.0")
COMPUTE = Library("azure-mgmt-compute", "azure.mgmt.compute", "33.0.0")
STORAGE_BLOB = Library("azure-storage-blob", "azure.storage.blob", "12.18.0")


def missing(needed: Sequence[Library], together: Sequence[Library] = ()) -> Optional[Failure]:
    """Return one failure for every library that is missing or too old; None if none is.

    Libraries of C(together) alone are no failure: they are named too where one that is needed is
    missing, so that one installation is enough.
    """
    if not any(_is_wanting(library) for library in needed):
        return None
    wanting = [one for one in dict.fromkeys((*needed, *together)) if _is_wanting(one)]
    absent = [one.name for one in wanting if not one.is_found()]
    parts = [
        f"{one.name} {one.installed()} is installed, but {one.oldest} or newer is needed on "
        f"Python {sys.executable}."
        for one in wanting
        if one.is_found()
    ]
    if absent:
        parts.append(missing_required_lib(", ".join(absent)) + ".")
    return Failure("MissingLibrary", " ".join(parts), _installation(wanting))


def unusable(library: Library, error: Exception) -> Failure:
    """Return the failure for a library that is there but cannot be imported."""
    version = library.installed() or "of an unknown version"
    return Failure(
        "MissingLibrary",
        f"{library.name} {version} cannot be used by Python {sys.executable}: {error}. "
        f"Needed is {library.oldest} or newer, with all that it depends on.",
        _installation([library], "--upgrade "),
    )


def _is_wanting(library: Library) -> bool:
    return not library.is_found() or library.too_old() is not None


def _installation(libraries: Sequence[Library], how: str = "") -> str:
    """Return the command that installs them."""
    words = " ".join(shlex.quote(library.requirement) for library in libraries)
    return f"Run: {shlex.quote(sys.executable)} -m pip install {how}{words}"


def _numbers(version: str) -> Tuple[int, ...]:
    """Return the release of a version, to compare; C(9.1.0b2) counts as C(9.1.0)."""
    found = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in found.group().split(".")] if found else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
