# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run that executes commands of a test, in a process of its own, which the test may kill.

It reads one command per line from standard input and answers each with a line of JSON.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from dataclasses import asdict
from typing import Any, Callable

from ansible_collections.quiesce.azure_backup.plugins.module_utils._errors import QuiesceError
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.freezer import (
    Freezer,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.freeze.rcu_expedited import (
    Setting,
    SettingPaths,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.model import (
    ScriptSpec,
    Target,
)
from ansible_collections.quiesce.azure_backup.plugins.module_utils._guest.scripts.runner import (
    run_script,
)


def _spec(kind: str, given: dict[str, Any] | None) -> ScriptSpec | None:
    if given is None:
        return None
    return ScriptSpec(
        kind=kind,
        path=given["path"],
        retries=given.get("retries", 0),
        timeout_s=given["timeout_s"],
        identity=tuple(given["identity"]),
    )


class Commands:
    """The commands, by name."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        targets = [Target(**target) for target in plan["targets"]]
        self._freezer = Freezer.start(
            targets,
            plan["freeze_timeout_s"],
            _spec("post", plan.get("post")),
            setting=Setting("yes", SettingPaths(**plan["paths"])),
        )
        self._freezer.stage("prepare", 300)

    def protection(self) -> object:
        """Return the supervisors of the run."""
        return self._freezer.protection

    def expedited(self) -> object:
        """Return the state of the setting that makes FIFREEZE short."""
        return self._freezer.expedited

    def stage(self, limit_s: str) -> object:
        """Begin a stage."""
        self._freezer.stage("a stage of the test", float(limit_s))
        return None

    def mark_due(self) -> object:
        """Make the post-script due."""
        self._freezer.mark_post_script_due()
        return None

    def pre(self) -> object:
        """Run the pre-script."""
        spec = _spec("pre", self._plan["pre"])
        assert spec is not None
        outcome = run_script(spec, before_exec=self._freezer.before_script)
        self._freezer.script_ended()
        return asdict(outcome)

    def verify(self) -> object:
        """Check the mounts."""
        self._freezer.verify()
        return None

    def flush(self) -> object:
        """Flush."""
        return self._freezer.flush(self._plan.get("flush_limit_s", 60))

    def freeze(self) -> object:
        """Freeze."""
        self._freezer.freeze()
        return self._freezer.deadline_ns

    def is_window_over(self) -> object:
        """Return True if the window is over."""
        return self._freezer.is_window_over()

    def thaw(self) -> object:
        """Thaw."""
        return [asdict(record) for record in self._freezer.thaw()]

    def run_once(self) -> object:
        """Run the post-script."""
        outcome = self._freezer.run_post_script()
        return None if outcome is None else asdict(outcome)

    def is_taken_over(self) -> object:
        """Return True if the run was taken over."""
        return self._freezer.is_taken_over()

    def stop(self) -> object:
        """End the supervisors."""
        self._freezer.stop()
        return None


def _answer(command: Callable[[], object]) -> dict[str, Any]:
    try:
        return {"value": command()}
    except QuiesceError as error:
        return {"error": error.failure.name, "message": str(error)}


def main() -> None:
    """Execute commands until the input ends; then exit without cleanup, like a killed run."""
    plan = json.loads(sys.stdin.readline())
    commands: dict[str, Commands] = {}

    def start() -> object:
        commands["run"] = Commands(plan)
        return os.getpid()

    print(json.dumps(_answer(start)), flush=True)
    for line in sys.stdin:
        name, *arguments = line.split()
        command = functools.partial(getattr(commands["run"], name), *arguments)
        print(json.dumps(_answer(command)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
