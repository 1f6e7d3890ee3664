# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The end of a module, through Ansible's own class and with real output."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import (
    Failure,
    SettingsError,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._modules.base import (
    TaskContext,
    run_module,
)

SECRET = "Zm9vYmFyYmF6%3D"
URI = f"http://127.0.0.1/c/b?sv=2021&sig={SECRET}&se=x"


class FailedError(SettingsError):
    """An error with a result."""

    def __init__(self, failure: Failure, result: dict[str, Any]) -> None:
        super().__init__(failure)
        self.result = result


def run(act: Any, capsys: pytest.CaptureFixture[str], **modes: bool) -> dict[str, Any]:
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": modes}).encode()
    with pytest.MonkeyPatch.context() as patch:
        # By hand, as Ansible's own helper for it came with ansible-core 2.19.
        patch.setattr(basic, "_ANSIBLE_ARGS", arguments)
        patch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        module = basic.AnsibleModule({}, supports_check_mode=True)
        with pytest.raises(SystemExit):
            run_module(module, act)
    out = capsys.readouterr().out
    assert SECRET not in out
    result: dict[str, Any] = json.loads(out)
    return result


def test_result_has_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    def act(context: TaskContext) -> dict[str, Any]:
        return {
            "changed": True,
            "modes": [context.check_mode, context.diff],
            "deep": [{URI: (URI, None, 3)}],
            "warnings": [f"look at {URI}"],
        }

    result = run(act, capsys, _ansible_check_mode=True, _ansible_diff=True)
    assert (result["changed"], result["modes"]) == (True, [True, True])
    assert run(act, capsys)["modes"] == [False, False]
    shown = "http://127.0.0.1/c/b?sv=2021&sig=REDACTED&se=x"
    assert result["deep"] == [{shown: [shown, None, 3]}]
    assert "REDACTED" in json.dumps(result["warnings"])


def test_failure_keeps_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_context: TaskContext) -> dict[str, Any]:
        extra = {"disks": [URI], "failure": "another", "changed": True}
        raise FailedError(Failure("Name", f"{URI} is bad.", "Do it.", 305), extra)

    result = run(act, capsys)
    assert result["failed"] and result["changed"]
    assert result["msg"] == "http://127.0.0.1/c/b?sv=2021&sig=REDACTED&se=x is bad. Do it."
    assert result["failure"] == {
        "name": "Name",
        "code": 305,
        "message": "http://127.0.0.1/c/b?sv=2021&sig=REDACTED&se=x is bad.",
        "recommended_action": "Do it.",
    }
    assert "REDACTED" in result["disks"][0]


def test_internal_error_shows_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def act(_context: TaskContext) -> dict[str, Any]:
        raise ValueError(URI)

    result = run(act, capsys)
    assert result["failure"]["name"] == "InternalError"
    assert "ValueError" in result["msg"]
    assert "test_base.py" in result["traceback"]
