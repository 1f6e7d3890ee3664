# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run one module: one way out when it worked, one when it did not, and no secret in either.

PRIVATE: for this collection only.
"""

from __future__ import annotations

import codecs
import sys
import traceback
from typing import Any, Callable, Dict, Mapping, NoReturn, Optional

from ansible.module_utils.basic import AnsibleModule

from .._errors import Failure, QuiesceError, refuse
from .._redact import redact

#: The argument by which an action plugin of the collection names the file.
PROGRESS_FILE = "_progress_file"
Act = Callable[[Mapping[str, Any], bool], Dict[str, Any]]


def redacted(value: Any) -> Any:
    """The value with every SAS signature in it replaced, however deep it lies."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redacted(key): redacted(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redacted(item) for item in value]
    return value


class Module(AnsibleModule):
    """A module whose output, log and errors hold no SAS, also not where it was not expected.

    Ansible keeps back the values of the options that are known to be secret, once it has found
    the options good. Until then, as when a name is misspelt, a secret may be anywhere.
    """

    def __init__(self, **arguments: Any) -> None:
        #: The file that the collection's own action plugin wants lines of progress in, if one does.
        self.progress_file: Optional[str] = None
        self._options_are_good = False
        AnsibleModule.__init__(self, **arguments)
        self._options_are_good = True

    def _load_params(self) -> None:
        """Read the arguments; that of our own action plugin is none of the options."""
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

    def log(self, msg: str, log_args: Optional[Mapping[str, Any]] = None) -> None:
        """Write to the system's log; of the options only which were given."""
        if log_args is not None:
            given = sorted(name for name in log_args if self.params.get(name) is not None)
            msg = f"Invoked with {', '.join(given)}"
        AnsibleModule.log(self, redact(msg))

    def _invocation(self) -> Dict[str, Any]:
        """The options, for those who ask Ansible for much output."""
        if self._options_are_good:
            return {"module_args": self.params}
        return {"module_args": dict.fromkeys(self.params, "NOT SHOWN, as the options are not good")}


def run_module(module: AnsibleModule, act: Act) -> NoReturn:
    """Call C(act) with the options and whether this is check mode, and report; never returns.

    C(act) returns the result, with C(changed). A C(QuiesceError) is reported as C(failure), with
    what its attribute C(result) holds, if it has one; anything else is a mistake in our own code
    and is shown with its traceback, without secrets.
    """
    finish: Callable[..., NoReturn]
    try:
        _check_paths(module.argument_spec, module.params)
        finish, ending = module.exit_json, act(module.params, bool(module.check_mode))
    except Exception as error:
        finish, ending = module.fail_json, _of_error(error)
    shown = redacted(ending)
    # Given to Ansible, which puts them into the result: to return them oneself is deprecated.
    for text in shown.pop("warnings", ()):
        module.warn(text)
    # Outside the handler, so that Ansible adds no traceback of its own, which is not redacted.
    finish(**shown)


def _check_paths(spec: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse paths that Python would name to the kernel in the encoding of a locale.

    Files are named in UTF-8. In a locale of another encoding Python would look for another file.
    """
    encoding = sys.getfilesystemencoding()
    if codecs.lookup(encoding).name == "utf-8":
        return
    for option, argument in spec.items():
        value = given.get(option)
        if argument.get("options") and value is not None:
            for one in value if isinstance(value, list) else [value]:
                _check_paths(argument["options"], one)
        elif argument.get("type") == "path" and not str(value).isascii():
            refuse(
                "UnsupportedLocale",
                f"{option}: {value} has letters beyond ASCII, and the locale of this host has the "
                f"encoding {encoding}, in which it would name another file.",
                "Run the task with environment: {LC_ALL: C.UTF-8}.",
            )


def _of_error(error: Exception) -> Dict[str, Any]:
    if isinstance(error, QuiesceError):
        extra = dict(getattr(error, "result", {}))
        return {**extra, "msg": str(error), "failure": error.failure.to_result()}
    message = f"This is a mistake in the module: {type(error).__name__}: {error}"
    failure = Failure("InternalError", message, "Report it, with this output.")
    # Not as C(exception), which Ansible shows only where tracebacks are turned on.
    trace = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    return {"msg": message, "failure": failure.to_result(), "traceback": trace}
