# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A proxy that refuses every connection, for programs that must not reach the internet."""

from __future__ import annotations

import socket
import threading
from typing import Dict, List


class Outside:
    """A context manager. What a program wanted there is in `wanted` afterwards."""

    def __enter__(self) -> Outside:
        self.wanted: List[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        # A connection of our own ends the wait for the next one.
        self._ended = True
        with socket.create_connection(self._socket.getsockname()):
            pass
        self._thread.join()
        self._socket.close()

    _ended = False

    def _serve(self) -> None:
        while True:
            connection, _address = self._socket.accept()
            with connection:
                if self._ended:
                    return
                connection.settimeout(10.0)
                try:
                    request = connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 403 No way out\r\nContent-Length: 0\r\n\r\n")
                except OSError:
                    request = b"(nothing)"
                self.wanted.append(request.decode(errors="replace").partition("\r\n")[0])

    @property
    def environment(self) -> Dict[str, str]:
        """Variables that send a program's requests to other machines here."""
        address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        return {**dict.fromkeys(names, address), "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
