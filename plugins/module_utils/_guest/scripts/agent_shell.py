# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks that `sh` can run a script: Microsoft's VMSnapshotLinux agent ignores its first line.

The collection itself runs a script by the interpreter that its first line names; its checks are in
`validation`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

#: Names of shells whose language every `sh` runs.
_PLAIN_SHELLS = ("sh", "dash", "ash")
#: A shell rejects a file with a NUL character in its first bytes: it is not a script.
_HEAD_BYTES = 80
_CHECK_LIMIT_S = 10.0
#: The line number in a shell's message, as dash and as bash write it.
_LINE = re.compile(rb"[^:\n]*: (?:line )?(\d{1,9}): ")
_ADVICE = "write it for sh, with the first line #!/bin/sh"


def why_not_for_sh(data: bytes, shell: str = "sh") -> str:
    """Return the reason why `sh SCRIPT` cannot run a script with this content, or an empty text.

    `shell` is the program that the agent would find as `sh`. It checks the syntax without running
    the script.
    """
    first = data.split(b"\n", 1)[0]
    if data.startswith(b"\x7fELF") or b"\0" in data[:_HEAD_BYTES]:
        return "it is a binary program, not a script; call it from a script for sh"
    if first.startswith(b"#!") and first.endswith(b"\r"):
        return "its first line ends with a carriage return; use Unix line ends"
    command, _options = _interpreter(first)
    if command and not _is_sh(command, shell):
        return f"its first line names {command}; {_ADVICE}"
    return _syntax_error(data, shell)


def difference_under_sh(data: bytes, shell: str = "sh") -> str:
    """Return the difference between a run by `sh` and by the first line, or an empty text."""
    command, options = _interpreter(data.split(b"\n", 1)[0])
    if options:
        words = " ".join(options)
        return f"the options {words} of its first line are ignored; set them by a set command"
    if command and Path(command).name not in _PLAIN_SHELLS and _is_sh(command, shell):
        return f"sh is {command} in POSIX mode on this VM; on other VMs sh may be another shell"
    return ""


def _interpreter(first: bytes) -> tuple[str, list[str]]:
    """Return the interpreter that a first line names and its options; empty without a name."""
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
    """Return True if `sh` runs the language of this interpreter."""
    if Path(command).name in _PLAIN_SHELLS:
        return True
    paths = (shutil.which(command), shutil.which(shell))
    return all(paths) and len({os.path.realpath(str(path)) for path in paths}) == 1


def _syntax_error(data: bytes, shell: str) -> str:
    """Return the first syntax error that `sh` reports; it only reads the script."""
    try:
        # Not run_command: this code has no module object.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            [shell, "-n"],
            input=data,
            capture_output=True,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=_CHECK_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"sh did not check its syntax within {_CHECK_LIMIT_S:.0f} s; {_ADVICE}"
    except OSError as error:
        return f"sh cannot be started: {error.strerror}"
    if done.returncode == 0:
        return ""
    # The shell's message may quote the script, and a script may hold a secret.
    line = _LINE.match(done.stderr)
    place = f" at line {int(line[1])}" if line else ""
    return f"sh reports a syntax error{place}; {_ADVICE}"
