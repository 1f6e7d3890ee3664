# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run a module, and report its result or its error without secrets."""

from __future__ import annotations

import codecs
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, NoReturn

from ansible.module_utils.basic import AnsibleModule

from .._errors import Failure, QuiesceError, SettingsError
from .._progress import PROGRESS_FILE
from .._redact import redact


@dataclass(frozen=True)
class TaskContext:
    """The options of a task, and the modes in which it runs."""

    params: Mapping[str, Any]
    check_mode: bool = False
    diff: bool = False


Act = Callable[[TaskContext], dict[str, Any]]


def redacted(value: Any) -> Any:
    """Return the value with every SAS signature in it replaced, at any depth."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redacted(key): redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


class Module(AnsibleModule):
    """A module whose output, log and errors contain no SAS, even in an unexpected place.

    Ansible masks the values of secret options only after it has accepted the options. Before that,
    for example with a misspelt name, any value may be a secret.
    """

    def __init__(self, **arguments: Any) -> None:
        #: The file for progress lines, if an action plugin of the collection has passed one.
        self.progress_file: str | None = None
        self._options_are_good = False
        AnsibleModule.__init__(self, **arguments)
        self._options_are_good = True

    def _load_params(self) -> None:
        """Read the arguments, and take out the one that our own action plugin adds."""
        AnsibleModule._load_params(self)
        self.progress_file = self.params.pop(PROGRESS_FILE, None)

    def exit_json(self, **result: Any) -> NoReturn:
        """End with this result, redacted."""
        super().exit_json(**redacted({"invocation": self._invocation(), **result}))

    def fail_json(self, msg: str, **result: Any) -> NoReturn:
        """End with this error and result, redacted."""
        super().fail_json(
            redact(str(msg)), **redacted({"invocation": self._invocation(), **result})
        )

    def log(self, msg: str, log_args: Mapping[str, Any] | None = None) -> None:
        """Write to the system log the names of the given options, but not their values."""
        if log_args is not None:
            given = sorted(name for name in log_args if self.params.get(name) is not None)
            msg = f"Invoked with {', '.join(given)}"
        AnsibleModule.log(self, redact(msg))

    def _invocation(self) -> dict[str, Any]:
        """Return the options, which Ansible shows at a high verbosity."""
        if self._options_are_good:
            return {"module_args": self.params}
        return {"module_args": dict.fromkeys(self.params, "NOT SHOWN: the options are invalid")}


def run_module(module: AnsibleModule, act: Act) -> NoReturn:
    """Call `act` with the context of the task, and report its result or its error.

    `act` returns the result, with `changed`. A `QuiesceError` is reported as `failure`, with the
    result in its attribute `result` if it has one. Any other exception is an internal error, and
    is reported with its traceback, without secrets.
    """
    finish: Callable[..., NoReturn]
    try:
        _check_paths(module.argument_spec, module.params)
        context = TaskContext(module.params, bool(module.check_mode), bool(module._diff))
        finish, ending = module.exit_json, act(context)
    except Exception as error:
        finish, ending = module.fail_json, _error_result(error)
    shown = redacted(ending)
    # Ansible adds them to the result. To return them as a part of it is deprecated.
    for text in shown.pop("warnings", ()):
        module.warn(text)
    # Outside the handler, so that Ansible adds no traceback of its own, which is not redacted.
    finish(**shown)


def _check_paths(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Reject paths that Python would encode differently from UTF-8, the encoding of file names."""
    encoding = sys.getfilesystemencoding()
    if codecs.lookup(encoding).name == "utf-8":
        return
    for option, argument in spec.items():
        value = given.get(option)
        if argument.get("options") and value is not None:
            for entry in value if isinstance(value, list) else [value]:
                _check_paths(argument["options"], entry)
        elif argument.get("type") == "path" and not str(value).isascii():
            raise SettingsError(
                Failure(
                    "UnsupportedLocale",
                    f"{option}: {value} contains non-ASCII characters, and the locale of this host "
                    f"has the encoding {encoding}, in which it would name another file.",
                    "Run the task with environment: {LC_ALL: C.UTF-8}.",
                )
            )


def _error_result(error: Exception) -> dict[str, Any]:
    if isinstance(error, QuiesceError):
        extra = dict(getattr(error, "result", {}))
        return {**extra, "msg": str(error), "failure": error.failure.to_result()}
    message = f"Internal error: {type(error).__name__}: {error}"
    failure = Failure("InternalError", message, "Report it, with this output.")
    # Ansible shows a key `exception` only if tracebacks are enabled.
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {"msg": message, "failure": failure.to_result(), "traceback": trace}
