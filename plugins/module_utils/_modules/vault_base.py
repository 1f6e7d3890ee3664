# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module that calls Azure, and the options that these modules share.

Apart from `base`, so that Ansible does not send the code for Azure to the VMs.
"""

from __future__ import annotations

from typing import Any, Callable, NoReturn

from .._arm.options import auth_arguments, vault_arguments, vms_arguments, wait_arguments
from .._progress import progress_of
from .._vault.connection import VaultConnection, connect
from .argument_spec import ArgumentSpec
from .base import Module, TaskContext, run_module

VaultAct = Callable[[VaultConnection, TaskContext], dict[str, Any]]

AUTH = ArgumentSpec(auth_arguments())
VAULT = ArgumentSpec(vault_arguments())
VMS_IF_ANY = ArgumentSpec(vms_arguments(), mutually_exclusive=(("vms", "vm"),))
VMS = VMS_IF_ANY.merge(ArgumentSpec(required_one_of=(("vms", "vm"),)))


def wait_spec(timeout_s: int) -> ArgumentSpec:
    """Return the options for waiting, with this default of `timeout`."""
    return ArgumentSpec(wait_arguments(timeout_s))


def run_vault_module(module: Module, act: VaultAct) -> NoReturn:
    """Run the module like `run_module`, and pass `act` the connection that the options describe."""
    report = progress_of(module.progress_file)

    def with_connection(context: TaskContext) -> dict[str, Any]:
        return act(connect(context.params, report), context)

    run_module(module, with_connection)
