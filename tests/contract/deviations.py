# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Known differences between the real service and its own documents, each with a recording.

Every entry needs a recording that shows it. Without a recording, the lab's server is wrong.
"""

from __future__ import annotations

from typing import Dict, Tuple

from tests.contract.openapi import Deviation

_TEXT = {"type": "string"}
#: 5/29/2025 7:16:33 AM
_US_TIME = {"type": "string", "pattern": r"^\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d [AP]M$"}
_NO_TEXT = {"type": ["string", "null"]}
_NOTHING = {"type": "null"}

DEVIATIONS: Tuple[Deviation, ...] = (
    Deviation(
        "bms.AzureIaaSVMJobTaskDetails",
        "taskType",
        {"enum": ["Normal"]},
        "test_backup_job.jsonl:24",
    ),
    Deviation(
        "bms.ProtectedItem",
        "policyType",
        {"enum": ["", "V1", "V2"]},
        "test_backup_item.jsonl:41",
    ),
    Deviation(
        "bms.ProtectedItem",
        "softDeleteRetentionPeriod",
        {"type": "integer"},
        "test_backup_item.jsonl:41",
        "the documents have softDeleteRetentionPeriodInDays",
    ),
    Deviation(
        "vaults.SecuritySettings",
        "sourceScanConfiguration",
        {
            "type": "object",
            "properties": {"state": {"enum": ["Enabled", "Disabled"]}},
            "additionalProperties": False,
        },
        "test_backup_item.jsonl:5",
    ),
    Deviation(
        "vaults.OperationResource",
        "startTime",
        _US_TIME,
        "test_backup_item.jsonl:76",
        "no ISO time",
    ),
    Deviation(
        "vaults.OperationResource", "endTime", _US_TIME, "test_backup_item.jsonl:76", "no ISO time"
    ),
    Deviation(
        "bms.IaasVMRecoveryPoint",
        "createdWithPolicyType",
        {"enum": ["V1", "V2"]},
        "test_backup_job.jsonl:137",
    ),
    Deviation("bms.BackupStatusResponse", "objectType", _TEXT, "test_backup_protection.jsonl:12"),
    # The older answers say what they do not know.
    Deviation("bms.CloudErrorBody", "target", _NO_TEXT, "errors.jsonl:9"),
    Deviation("bms.CloudErrorBody", "details", {"type": ["array", "null"]}, "errors.jsonl:9"),
    Deviation("bms.CloudErrorBody", "innerError", _NOTHING, "errors.jsonl:9"),
    Deviation("types.ErrorDetail", "target", _NO_TEXT, "errors.jsonl:28"),
    Deviation("types.ErrorDetail", "details", {"type": ["array", "null"]}, "errors.jsonl:28"),
    Deviation("types.ErrorDetail", "innerError", _NOTHING, "errors.jsonl:28"),
)

#: Recorded answers that are not as documented, and that the lab's server must not imitate.
OLD_ANSWERS: Dict[str, str] = {
    "errors.jsonl:32": "2021: actionsInfo as numbers, not words",
    "errors.jsonl:11": "cross region restore: another document, and another form of error",
    "errors.jsonl:12": "cross region restore: another document, and another form of error",
    "errors.jsonl:34": "2022: ConfiguredRPGenerationFrequency, a .NET name that leaked",
    "errors.jsonl:35": "2022: ConfiguredRPGenerationFrequency, a .NET name that leaked",
}

#: What other clients send although it is not documented, and Azure takes: the client's name and an
#: expression for the problem.
CLIENTS_MISTAKES: Tuple[Tuple[str, str], ...] = (
    ("AZURECLI/", r"diskLunList\[\d+\]: '\d+' is not of type 'integer'"),
)

#: What the documents in the evidence do not describe, by the beginning of what follows
#: `/providers/` in the path, in lower case, and why it is not judged.
NOT_DESCRIBED: Dict[str, str] = {
    "microsoft.compute/": "Compute's documents are not in the evidence",
    "microsoft.storage/": "another service",
    "microsoft.classicstorage/": "another service",
}
