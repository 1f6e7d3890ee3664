# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one module of the control plane.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, NoReturn

from .._arm.connection import VaultConnection, connect
from .._progress import progress_of
from .base import PROGRESS_FILE, Module, run_module

VaultAct = Callable[[VaultConnection, Mapping[str, Any], bool], Dict[str, Any]]


def run_vault_module(module: Module, act: VaultAct) -> NoReturn:
    """As C(run_module), but C(act) is first given the connection of the options."""

    say = progress_of({PROGRESS_FILE: module.progress_file})

    def with_connection(params: Mapping[str, Any], check_mode: bool) -> Dict[str, Any]:
        return act(connect(params, say), params, check_mode)

    run_module(module, with_connection)
