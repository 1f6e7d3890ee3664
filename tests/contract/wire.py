# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain HTTPS client for the lab's Azure, without any SDK, and what a replay does to it."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from email.message import Message
from typing import Any, Dict, Mapping, Optional
from urllib.parse import quote, urlencode

from tests.contract.evidence import Exchange
from tests.lab.recovery_services.lab import RecoveryServices

_LIMIT_S = 60.0
#: What a recorded address may hold as it is; the rest is escaped.
_SAFE = "/?&=%;:$',+()@"


class Wire:
    """Requests with a token, and their answers as exchanges. A `replay.Target`."""

    def __init__(self, azure: RecoveryServices) -> None:
        self.azure = azure
        self._context = ssl.create_default_context(cafile=str(azure.ca_file))
        self._token = self._sign_in()

    def _sign_in(self) -> str:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.azure.client_id,
            "client_secret": self.azure.secret,
            "scope": f"{self.azure.url}/.default",
        }
        url = f"{self.azure.url}/{self.azure.tenant}/oauth2/v2.0/token"
        request = urllib.request.Request(url, urlencode(form).encode())
        with urllib.request.urlopen(request, timeout=_LIMIT_S, context=self._context) as answer:
            return str(json.loads(answer.read())["access_token"])

    def send(self, method: str, url: str, body: Any = None) -> Exchange:
        """Send a request; `url` is its path and query."""
        data: Optional[bytes] = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            self.azure.url + quote(url, safe=_SAFE), data, headers, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=_LIMIT_S, context=self._context) as answer:
                return _exchange(method, url, body, answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return _exchange(method, url, body, error.code, error.headers, error.read())

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.azure.advance(seconds)

    def add_vm(self, vm: Mapping[str, Any]) -> None:
        """Make a VM."""
        self.azure.change(add_vm=dict(vm))

    def remove_vm(self, vm_id: str) -> None:
        """Delete a VM."""
        self.azure.remove_vm(vm_id)

    def set_storage_version(self, vault_id: str, version: str) -> None:
        """Decide how a vault stores backups."""
        name = vault_id.rpartition("/")[2]
        self.azure.change(set_vault={"vault": name, "storage_version": version})

    def next_backup(self, vm_id: str, result: str) -> None:
        """Decide what the next backup of a VM yields."""
        self.azure.next_backup(vm_id, result)


def _exchange(
    method: str, url: str, body: Any, status: int, headers: Message, content: bytes
) -> Exchange:
    names: Dict[str, str] = {name.lower(): value for name, value in headers.items()}
    answer = json.loads(content) if content else None
    return Exchange(method, url, status, body, answer, names, where=f"{method} {url}")
