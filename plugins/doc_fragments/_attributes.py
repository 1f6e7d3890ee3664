# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module says about check mode, diff mode, idempotence and platforms.

PRIVATE: for this collection only.
"""

from __future__ import annotations


class ModuleDocFragment:
    """The attributes; a module says C(support) (and C(details)) for each that it takes."""

    # For a module that changes something. It gives support for each attribute itself.
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Runs in C(check_mode) and says what would change without changing anything.
  diff_mode:
    description: Says in diff mode what was changed, or in C(check_mode) what would be.
  idempotent:
    description: Does nothing when run again with the same options on a host that is as asked for.
  platform:
    description: The operating systems of the hosts that the module runs on.
    platforms: linux
    support: full
"""

    # For a module that only looks.
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
