# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Scripts as Microsoft's VMSnapshotLinux agent runs them: C(sh SCRIPT), whatever line 1 says.

PRIVATE: for this collection only. C(_script_file) has the collection's own rule: a script is run
by the interpreter that its first line names.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import List, Tuple

#: Names of shells whose language C(sh) runs, whichever shell C(sh) is.
_PLAIN_SHELLS = ("sh", "dash", "ash")
#: Shells look this far for a NUL character, which says that a file is no script.
_HEAD_BYTES = 80
_CHECK_LIMIT_S = 10.0
#: The line number in a shell's message, as dash and as bash write it.
_LINE = re.compile(rb"[^:\n]*: (?:line )?(\d{1,9}): ")
_MEND = "write it for sh, with the first line #!/bin/sh"


def why_not_for_sh(data: bytes, shell: str = "sh") -> str:
    """Return why C(sh SCRIPT) would not run a script with this content; empty when it would.

    C(shell) is the program that the agent would find as C(sh). It is asked for its opinion of the
    syntax, which runs nothing of the script.
    """
    first = data.split(b"\n", 1)[0]
    if data.startswith(b"\x7fELF") or b"\0" in data[:_HEAD_BYTES]:
        return "it is a program and not a script; call it from a script for sh"
    if first.startswith(b"#!") and first.endswith(b"\r"):
        return "its first line ends with a carriage return; give it Unix line ends"
    command, _options = _interpreter(first)
    if command and not _is_sh(command, shell):
        return f"its first line names {command}; {_MEND}"
    return _syntax_error(data, shell)


def lost_by_sh(data: bytes, shell: str = "sh") -> str:
    """Return how a script that C(sh) runs differs from what its first line asks; empty if not."""
    command, options = _interpreter(data.split(b"\n", 1)[0])
    if options:
        words = " ".join(options)
        return f"the options {words} of its first line are not set; put them in a set command"
    if command and Path(command).name not in _PLAIN_SHELLS and _is_sh(command, shell):
        return f"sh is {command} on this VM, and then keeps to POSIX; elsewhere it may not be"
    return ""


def _interpreter(first: bytes) -> Tuple[str, List[str]]:
    """Return the interpreter that a first line names, and its options; empty if it names none."""
    if not first.startswith(b"#!"):
        return "", []
    words = first[2:].decode("utf-8", errors="surrogateescape").split()
    if words and Path(words[0]).name == "env":
        words = words[1:]
        while words and (words[0].startswith("-") or "=" in words[0]):
            words = words[1:]
    elif words and Path(words[0]).name == "busybox":
        words = words[1:]
    return (words[0], words[1:]) if words else ("", [])


def _is_sh(command: str, shell: str) -> bool:
    """Return whether C(sh) runs the language of this interpreter."""
    if Path(command).name in _PLAIN_SHELLS:
        return True
    paths = (shutil.which(command), shutil.which(shell))
    return all(paths) and len({os.path.realpath(str(path)) for path in paths}) == 1


def _syntax_error(data: bytes, shell: str) -> str:
    """Return the first syntax error that C(sh) sees; it reads the script and runs nothing."""
    try:
        # Not run_command: no module is at hand here.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [shell, "-n"],
            input=data,
            capture_output=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=_CHECK_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"sh did not read it within {_CHECK_LIMIT_S:.0f} s; {_MEND}"
    except OSError as error:
        return f"there is no sh that could run it: {error.strerror}"
    if done.returncode == 0:
        return ""
    # The shell's own words may quote the script, and a script may hold a secret.
    line = _LINE.match(done.stderr)
    place = f" at line {int(line[1])}" if line else ""
    return f"sh refuses its syntax{place}; {_MEND}"
