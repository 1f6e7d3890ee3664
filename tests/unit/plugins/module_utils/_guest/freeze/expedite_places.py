# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files in the place of the kernel's setting, so that no test touches that of the machine."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    SettingPaths,
)


def places_below(folder: Path) -> SettingPaths:
    """A machine on which the setting may be used, with its files in this folder."""
    (folder / "rcu_expedited").write_text("0\n")
    (folder / "rcu_normal").write_text("0\n")
    return SettingPaths(
        value=str(folder / "rcu_expedited"),
        normal=str(folder / "rcu_normal"),
        realtime=str(folder / "realtime"),
        reserved=(str(folder / "isolated"), str(folder / "nohz_full")),
        lock=str(folder / "count"),
    )


def value(places: SettingPaths) -> int:
    """What the setting is now; a file keeps what was behind a shorter text, sysfs does not."""
    return int(Path(places.value).read_text().splitlines()[0])
