# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation of check mode, diff mode, idempotence and platforms."""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes. A module adds `support` and `details` to each attribute that it takes."""

    # For a module that changes something. It gives support for each attribute itself.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Predicts changes in C(check_mode) without making them.
  diff_mode:
    description: Returns in diff mode the changes made, or in C(check_mode) the predicted changes.
  idempotent:
    description: A second run with the same options makes no further changes.
  platform:
    description: The operating systems of the hosts on which the module runs.
    platforms: linux
    support: full
"""

    # For a module that only reads.
    INFO_MODULE = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: The module changes nothing.
  diff_mode:
    support: N/A
    details: The module changes nothing.
  idempotent:
    support: full
    details: The module changes nothing.
"""

    # For a module that calls Azure.
    CONTROLLER = r"""
options: {}
attributes:
  platform:
    details: Runs on the controller, or on the host to which the task is delegated.
"""
