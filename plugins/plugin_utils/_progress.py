# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The base of the action plugins: run the module, and show its progress while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.quiesce.azure_backup.plugins.module_utils._progress import PROGRESS_FILE
from ansible_collections.quiesce.azure_backup.plugins.plugin_utils._tail import Tail

display = Display()


class ProgressAction(ActionBase):
    """An action that runs the module and, with `-v`, shows its progress.

    Progress shows only if the module runs on this machine, and not under `async`. Otherwise the
    action does the same as Ansible without an action plugin.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run the module with the task's arguments."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp  # Unused, as in Ansible's own actions.
        variables = task_vars or {}
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        if wrap_async or not self._is_wanted():
            result.update(self._run_module(variables, wrap_async, {}))
        else:
            # Ansible sets its constants at run time, so mypy does not know them.
            folder: str = constants.DEFAULT_LOCAL_TMP  # type: ignore[attr-defined]
            with Tail(self._display_of(variables), folder) as tail:
                result.update(self._run_module(variables, False, {PROGRESS_FILE: tail.path}))
        if not wrap_async:
            # A method of Ansible, without types.
            self._remove_tmp_path(  # type: ignore[no-untyped-call]
                self._connection._shell.tmpdir
            )
        return result

    def _is_wanted(self) -> bool:
        """Return True if Ansible shows the lines and the module can write them."""
        verbosity = max(display.verbosity, getattr(display, "log_verbosity", 0))
        return (
            verbosity > 0 and not self._task.no_log and self._connection.transport.endswith("local")
        )

    @staticmethod
    def _display_of(variables: Mapping[str, Any]) -> Callable[[str], None]:
        host = variables.get("inventory_hostname")
        return lambda line: display.v(line, host=host)

    def _run_module(
        self, variables: dict[str, Any], wrap_async: bool, more: Mapping[str, str]
    ) -> dict[str, Any]:
        own = {key: value for key, value in self._task.args.items() if key != PROGRESS_FILE}
        result: dict[str, Any] = self._execute_module(
            module_args={**own, **more}, task_vars=variables, wrap_async=wrap_async
        )
        invocation = result.get("invocation")
        if isinstance(invocation, dict) and isinstance(invocation.get("module_args"), dict):
            invocation["module_args"].pop(PROGRESS_FILE, None)
        return result
