# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client of the lab's Azure without an SDK."""

from __future__ import annotations

import http.client
import json
import ssl
from dataclasses import dataclass, field
from typing import Any, Dict, Optional
from urllib.parse import quote, urlencode, urlsplit

from tests.lab.recovery_services.lab import RecoveryServices

VERSION = "api-version=2025-02-01"


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: Dict[str, str]
    body: Any

    @property
    def code(self) -> str:
        """Azure's code of the error."""
        return str(self.body["error"]["code"])


@dataclass
class Client:
    """A client without an SDK, so that every byte is the test's own."""

    azure: RecoveryServices
    token: Optional[str] = None
    headers: Dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: Any = None, raw: Optional[str] = None) -> Answer:
        """Return one request on a connection of its own."""
        address = urlsplit(self.azure.url)
        context = ssl.create_default_context(cafile=str(self.azure.ca_file))
        connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, timeout=300, context=context
        )
        headers = dict(self.headers)
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        payload = raw if raw is not None else None if body is None else json.dumps(body)
        try:
            connection.request(method, path, body=payload, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in answer.getheaders()}
        try:
            parsed = json.loads(text) if text else None
        except ValueError:
            parsed = text
        return Answer(answer.status, found, parsed)

    def get(self, path: str, **query: str) -> Answer:
        """Return a GET below the vault."""
        more = "".join(f"&{name.replace('_', '$')}={quote(value)}" for name, value in query.items())
        return self.send("GET", f"{self.vault}{path}?{VERSION}{more}")

    @property
    def vault(self) -> str:
        """The path of the first vault."""
        return (
            f"/subscriptions/{self.azure.subscription_id}/resourceGroups/backup-rg"
            "/providers/Microsoft.RecoveryServices/vaults/vault1"
        )

    @property
    def item(self) -> str:
        """The path of the item of db01."""
        name = quote("iaasvmcontainerv2;app-rg;db01", safe="")
        fabric = f"{self.vault}/backupFabrics/Azure"
        return f"{fabric}/protectionContainers/IaasVMContainer%3B{name}/protectedItems/VM%3B{name}"

    def protect(self) -> Answer:
        """Protect db01."""
        properties = {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "sourceResourceId": f"/subscriptions/{self.azure.subscription_id}/resourceGroups/"
            "app-rg/providers/Microsoft.Compute/virtualMachines/db01",
            "policyId": f"{self.vault}/backupPolicies/DefaultPolicy",
        }
        return self.send("PUT", f"{self.item}?{VERSION}", {"properties": properties})

    def sign_in(self, **changes: str) -> Answer:
        """Ask for a token, and use it from now on."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.azure.client_id,
            "client_secret": self.azure.secret,
            "scope": f"{self.azure.url}/.default",
            **changes,
        }
        answer = self.send("POST", f"/{self.azure.tenant}/oauth2/v2.0/token", raw=urlencode(form))
        if answer.status == 200:
            self.token = answer.body["access_token"]
        return answer
