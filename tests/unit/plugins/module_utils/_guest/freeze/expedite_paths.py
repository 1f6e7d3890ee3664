# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files instead of the kernel's setting, so that no test changes the machine's own."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    SettingPaths,
)


def setting_paths(folder: Path) -> SettingPaths:
    """Make the files, in this folder, of a machine on which the setting may be used."""
    (folder / "rcu_expedited").write_text("0\n")
    (folder / "rcu_normal").write_text("0\n")
    return SettingPaths(
        value=str(folder / "rcu_expedited"),
        normal=str(folder / "rcu_normal"),
        realtime=str(folder / "realtime"),
        reserved=(str(folder / "isolated"), str(folder / "nohz_full")),
        lock=str(folder / "count"),
    )


def value(paths: SettingPaths) -> int:
    """Return the value of the setting: unlike sysfs, a file keeps the end of a longer old text."""
    return int(Path(paths.value).read_text().splitlines()[0])
