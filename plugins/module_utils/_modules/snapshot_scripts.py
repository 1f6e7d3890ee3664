# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules snapshot_scripts and snapshot_scripts_info: from their options to their results.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Sequence

from .._errors import Failure, refuse
from .._guest.scripts.agent_rules import APPLICATION, FILE_SYSTEM, NONE, evaluate
from .._guest.scripts.file_transaction import apply_changes
from .._guest.scripts.install import config_of, plan_absent, plan_present
from .._guest.scripts.validation import READY, UNTRUSTED_SCRIPTS, Readiness, examine

_CONFIG_PATH = {"type": "path", "default": "/etc/azure/VMSnapshotScriptPluginConfig.json"}

SCRIPTS_ARGUMENTS: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "pre_script_location": {"type": "path"},
    "pre_script_content": {"type": "str"},
    "pre_script_params": {"type": "list", "elements": "str", "default": []},
    "pre_script_no_of_retries": {"type": "int", "default": 0},
    "post_script_location": {"type": "path"},
    "post_script_content": {"type": "str"},
    "post_script_params": {"type": "list", "elements": "str", "default": []},
    "post_script_no_of_retries": {"type": "int", "default": 0},
    "timeout_in_seconds": {"type": "int", "default": 30},
    "continue_backup_on_failure": {"type": "bool", "default": True},
    "fs_freeze_enabled": {"type": "bool", "default": True},
    "config_path": _CONFIG_PATH,
}
SCRIPTS_INFO_ARGUMENTS: Dict[str, Any] = {
    "config_path": _CONFIG_PATH,
    "plugin_host_path": {"type": "path", "default": "/etc/azure/VMSnapshotPluginHost.conf"},
    "workload_path": {"type": "path", "default": "/etc/azure/workload.conf"},
}


def _need_root() -> None:
    if os.geteuid() != 0:
        refuse(
            "NotRoot",
            "This module must run as root: the configuration and the scripts are root's alone.",
            "Set become: true.",
        )


def apply_scripts(params: Mapping[str, Any], check_mode: bool, with_diff: bool) -> Dict[str, Any]:
    """Put the unit there or remove it. Raises C(SettingsError); nothing is changed then."""
    _need_root()
    config = None
    if params["state"] == "present":
        config = config_of(params)
        plan = plan_present(params, config)
    else:
        plan = plan_absent(params)
    if not check_mode:
        apply_changes(plan.changes)
    return {**plan.to_result(with_diff), "config": config.to_result() if config else None}


def inspect_scripts(params: Mapping[str, Any], _check_mode: bool) -> Dict[str, Any]:
    """Return what stands in the way of the scripts, for Microsoft's agent and for our own run."""
    _need_root()
    readiness = examine(params["config_path"])
    agent = evaluate(params["config_path"], params["plugin_host_path"], params["workload_path"])
    return {
        "changed": False,
        "ready": not agent.findings and readiness.state == READY,
        "expected_consistency": agent.expected_consistency,
        "findings": _merged(agent.findings, readiness.findings),
        "vm_snapshot": {
            "state": readiness.state,
            "expected_consistency": _expected(readiness),
            "findings": [finding.to_result() for finding in readiness.findings],
        },
        "config": readiness.config.to_result() if readiness.config else None,
        "warnings": [*agent.warnings, *readiness.warnings],
    }


def _merged(agents: Sequence[Failure], ours: Sequence[Failure]) -> List[Dict[str, Any]]:
    """Return the agent's findings and then ours that it does not have, each with its programs."""
    names = {finding.name for finding in ours}
    found = [
        {
            **finding.to_result(),
            "applies_to": ["agent", "vm_snapshot"] if finding.name in names else ["agent"],
        }
        for finding in agents
    ]
    known = {finding.name for finding in agents}
    return found + [
        {**finding.to_result(), "applies_to": ["vm_snapshot"]}
        for finding in ours
        if finding.name not in known
    ]


def _expected(readiness: Readiness) -> str:
    """The consistency that our own run reaches if the scripts succeed and the window holds."""
    if readiness.state == READY:
        return APPLICATION
    config = readiness.config
    if readiness.state != UNTRUSTED_SCRIPTS or config is None:
        return FILE_SYSTEM
    goes_on = config.continue_backup_on_failure and config.fs_freeze_enabled
    return FILE_SYSTEM if goes_on else NONE
