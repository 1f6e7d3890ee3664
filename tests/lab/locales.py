# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Locales in a folder of their own, made by `localedef` from what the package locales has."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict

from tests.lab._process import PATIENCE_S, LabError


@dataclass(frozen=True)
class Locale:
    """A language and an encoding, such as `ja_JP` and `UTF-8`."""

    language: str
    encoding: str

    @property
    def name(self) -> str:
        """The name by which `LC_ALL` chooses it."""
        return f"{self.language}.{self.encoding}"

    def make(self, folder: Path) -> Dict[str, str]:
        """Compile it into the folder; return the environment of a process that is to use it."""
        done = subprocess.run(
            [
                "localedef",
                "--no-archive",
                *("-i", self.language),
                *("-f", self.encoding),
                str(folder / self.name),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
        # 1: made, with warnings.
        if done.returncode not in (0, 1) or not (folder / self.name).is_dir():
            raise LabError(f"localedef did not make {self.name}: {done.stderr}")
        return {"LOCPATH": str(folder), "LC_ALL": self.name, "LANG": self.name, "LANGUAGE": ""}
