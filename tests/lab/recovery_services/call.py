# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A request to the control plane and its answer, without anything of HTTP's machinery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional

from tests.lab.recovery_services.errors import AzureError, unreadable
from tests.lab.recovery_services.estate import Estate
from tests.lab.recovery_services.model import Vault

#: What the signatures in addresses of operations begin with.
SIGNATURE = "lab-signature-"


@dataclass(frozen=True)
class Reply:
    """An answer."""

    status: int
    body: Any = None
    headers: Dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A request that has been let in and routed."""

    estate: Estate
    method: str
    #: The address of this server, without a slash at its end.
    base: str
    #: The path as the client wrote it, decoded.
    path: str
    #: The names in the path, decoded.
    params: Mapping[str, str]
    #: The query, names in lower case.
    query: Mapping[str, str]
    json: Any = None

    @property
    def api_version(self) -> str:
        """The api-version asked for."""
        return self.query["api-version"]

    @property
    def body(self) -> Dict[str, Any]:
        """The request's body, which must be a JSON object."""
        if not isinstance(self.json, dict):
            raise unreadable()
        return self.json

    @property
    def properties(self) -> Dict[str, Any]:
        """`properties` of the body."""
        found = self.body.get("properties")
        if not isinstance(found, dict):
            raise AzureError(400, "BMSUserErrorInvalidInput", "The request has no properties.")
        return found

    def vault(self) -> Vault:
        """Return the vault that the path names."""
        given = self.params
        return self.estate.vault(given["subscription"], given["group"], given["vault"])

    def page_query(self) -> Dict[str, str]:
        """Return the query as it goes into the address of a next page."""
        return {name: value for name, value in self.query.items() if value}

    def link(self, path: str, version: Optional[str] = None) -> str:
        """Return an absolute address on this server."""
        return f"{self.base}{path}?api-version={version or self.api_version}"

    def signed(self, path: str, operation: str) -> str:
        """Return an absolute address with the signature that clients must keep secret."""
        signature = f"{SIGNATURE}{operation.replace('-', '')}"
        return f"{self.link(f'{path}/{operation}')}&t=6390&c={signature}&s={signature}&h=bGFi"

    @property
    def address(self) -> str:
        """The absolute address of this request, without its query."""
        return f"{self.base}{self.path}"


Handler = Callable[[Call], Reply]
