# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules snapshot_scripts and snapshot_scripts_info, from their options to their results."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .._consistency import APPLICATION, FILE_SYSTEM, NONE
from .._errors import Failure, SettingsError
from .._guest.scripts.agent_rules import evaluate
from .._guest.scripts.file_transaction import apply_changes
from .._guest.scripts.install import desired_config, plan_absent, plan_present
from .._guest.scripts.validation import Readiness, ReadinessState, examine
from .argument_spec import ArgumentSpec
from .base import TaskContext

_CONFIG_PATH = {"type": "path", "default": "/etc/azure/VMSnapshotScriptPluginConfig.json"}

_OPTIONS: dict[str, Any] = {
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
_INFO_OPTIONS: dict[str, Any] = {
    "config_path": _CONFIG_PATH,
    "plugin_host_path": {"type": "path", "default": "/etc/azure/VMSnapshotPluginHost.conf"},
    "workload_path": {"type": "path", "default": "/etc/azure/workload.conf"},
}
SNAPSHOT_SCRIPTS = ArgumentSpec(
    _OPTIONS,
    required_if=(("state", "present", ("pre_script_location", "post_script_location")),),
)
SNAPSHOT_SCRIPTS_INFO = ArgumentSpec(_INFO_OPTIONS)


def _check_root() -> None:
    if os.geteuid() != 0:
        message = "This module must run as root, who owns the configuration and the scripts."
        raise SettingsError("NotRoot", message, "Set become: true.")


def apply_scripts(context: TaskContext) -> dict[str, Any]:
    """Install or remove the configuration and its scripts.

    Raise `SettingsError` on failure, after undoing the changes.
    """
    params = context.params
    _check_root()
    config = None
    if params["state"] == "present":
        config = desired_config(params)
        plan = plan_present(params, config)
    else:
        plan = plan_absent(params)
    if not context.check_mode:
        apply_changes(plan.changes)
    return {**plan.to_result(context.diff), "config": config.to_result() if config else None}


def inspect_scripts(context: TaskContext) -> dict[str, Any]:
    """Return the findings that keep Microsoft's agent and our run from running the scripts."""
    params = context.params
    _check_root()
    readiness = examine(params["config_path"])
    agent = evaluate(params["config_path"], params["plugin_host_path"], params["workload_path"])
    return {
        "changed": False,
        "ready": not agent.findings and readiness.state is ReadinessState.READY,
        "expected_consistency": agent.expected_consistency,
        "findings": _merged(agent.findings, readiness.findings),
        "vm_snapshot": {
            "state": readiness.state.value,
            "expected_consistency": _expected(readiness),
            "findings": [finding.to_result() for finding in readiness.findings],
        },
        "config": readiness.config.to_result() if readiness.config else None,
        "warnings": [*agent.warnings, *readiness.warnings],
    }


def _merged(agents: Sequence[Failure], ours: Sequence[Failure]) -> list[dict[str, Any]]:
    """Return the agent's findings, then our other ones, each with the programs that it affects."""
    names = {finding.name for finding in ours}
    merged = [
        {
            **finding.to_result(),
            "applies_to": ["agent", "vm_snapshot"] if finding.name in names else ["agent"],
        }
        for finding in agents
    ]
    known = {finding.name for finding in agents}
    return merged + [
        {**finding.to_result(), "applies_to": ["vm_snapshot"]}
        for finding in ours
        if finding.name not in known
    ]


def _expected(readiness: Readiness) -> str:
    """Return the consistency of our own run if the scripts succeed and the freeze holds."""
    if readiness.state is ReadinessState.READY:
        return APPLICATION
    config = readiness.config
    if readiness.state is not ReadinessState.UNTRUSTED_SCRIPTS or config is None:
        return FILE_SYSTEM
    continues = config.continue_backup_on_failure and config.fs_freeze_enabled
    return FILE_SYSTEM if continues else NONE
