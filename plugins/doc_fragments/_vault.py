# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of the options for the vault, the VMs and the wait."""

from __future__ import annotations


class ModuleDocFragment:
    """The options of `vault_arguments`, `vms_arguments` and `wait_arguments`."""

    DOCUMENTATION = r"""
options:
  vault:
    description:
      - The name or resource ID of the Recovery Services vault.
    type: str
    required: true
  resource_group:
    description:
      - The resource group of the vault. Not required if O(vault) is a resource ID.
    type: str
"""

    VMS = r"""
options:
  vms:
    description:
      - The VMs. Each VM is a resource ID, C(GROUP/NAME), or a name in O(vm_resource_group).
        Duplicates are ignored. Names are case-insensitive.
    type: list
    elements: str
  vm:
    description:
      - A single VM, in the form of O(vms).
      - Mutually exclusive with O(vms).
    type: str
  vm_resource_group:
    description:
      - The resource group of VMs that are given by name only. Defaults to the resource group of the
        vault.
    type: str
"""

    # A module documents timeout itself, because its default differs.
    WAIT = r"""
options:
  wait:
    description:
      - Whether to wait until Azure has completed the operations.
    type: bool
    default: true
  poll_interval:
    description:
      - The shortest interval between two polls of the jobs, in seconds. The interval grows with the
        time that has passed, up to one minute.
      - The minimum is 0.1.
    type: float
    default: 5.0
"""
