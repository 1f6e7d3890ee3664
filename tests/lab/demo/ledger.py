# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The demo's pre-script and post-script: ask the application to pause, or to go on.

Parameters: the application's socket, and `pause` or `resume`.
"""

import json
import socket
import sys

with socket.socket(socket.AF_UNIX) as application:
    application.settimeout(60)
    application.connect(sys.argv[1])
    application.sendall(sys.argv[2].encode() + b"\n")
    with application.makefile("rb") as answer:
        count = json.loads(answer.readline())["count"]
print(f"{sys.argv[2]}: the ledger has {count} records")
