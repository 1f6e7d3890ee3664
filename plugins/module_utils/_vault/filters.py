# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The backup management type of Azure VMs, and the filter of lists for it."""

from __future__ import annotations

MANAGEMENT_TYPE = "AzureIaasVM"
OF_VMS = f"backupManagementType eq '{MANAGEMENT_TYPE}'"
