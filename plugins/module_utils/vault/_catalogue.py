# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What to do about the problems of the control plane, by Azure's code or by its words.

PRIVATE: for this collection only.
"""

from __future__ import annotations


def recommended(code: str, message: str = "", operation: str = "") -> str:
    """What to do about a problem; empty when nothing is known.

    C(code): Azure's code, a name or a number; C(operation): discover, register, backup.
    """
    del message, operation
    return {"ResourceNotFound": "Check the names."}.get(code, "")
