# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin of the module protected_vm, which shows its progress."""

from __future__ import annotations

from ansible_collections.quiesce.azure_backup.plugins.plugin_utils._progress import ProgressAction


class ActionModule(ProgressAction):
    """The action of the module."""
