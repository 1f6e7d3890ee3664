# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which vault, which VMs, and how long to wait.

PRIVATE: for this collection only.
"""

from __future__ import annotations


class ModuleDocFragment:
    """The options of M(vault_arguments) and its neighbours in C(_arm/options.py)."""

    DOCUMENTATION = r"""
options:
  vault:
    description:
      - The Recovery Services vault, by its name or its resource id.
    type: str
    required: true
  resource_group:
    description:
      - The vault's resource group. Not needed where O(vault) is a resource id.
    type: str
"""

    VMS = r"""
options:
  vms:
    description:
      - The VMs. Each is a resource id, or C(GROUP/NAME), or a name in O(vm_resource_group). One
        that is named twice, in whatever case, counts once.
    type: list
    elements: str
  vm:
    description:
      - The VM, where there is one. It is named as in O(vms).
    type: str
  vm_resource_group:
    description:
      - The resource group of VMs that are given by their name alone. Without it, that of the vault.
    type: str
"""

    # A module says timeout itself, as its default differs.
    WAIT = r"""
options:
  wait:
    description:
      - Whether to wait until Azure has done what was asked for.
    type: bool
    default: true
  poll_interval:
    description:
      - The shortest pause between two looks at the jobs, in seconds, at least 0.1. Pauses grow
        with the time that has passed, up to a minute.
    type: float
    default: 5.0
"""
