# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection to one Recovery Services vault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from .._arm.clock import Clock, Deadline
from .._arm.connection import ArmConnection, ClientConfig, Report, require, silent
from .._arm.credentials import (
    Tokens,
    check_certificates,
    cloud_of,
    make_credential,
    subscription_of,
)
from .._arm.ids import VaultId
from .._arm.options import check_wait, chosen_vault
from .._libraries import AZURE_IDENTITY, BACKUP
from .._redact import redact

# The version for reading a vault, for which the SDK of backups has no operation.
_VAULT_API = "2024-04-01"
# Fixed, so that a newer SDK changes nothing. The tests' recorded exchanges have this version.
_BACKUP_API = "2025-02-01"
# The limit for Azure's pauses if the task has no timeout. Azure's request limits are hourly.
_DEFAULT_TIMEOUT_S = 3600


class VaultConnection(ArmConnection):
    """A connection to one vault. Threads may share it."""

    def __init__(self, vault: VaultId, config: ClientConfig) -> None:
        super().__init__(config, vault)
        self.vault = vault
        self._vault_resource: dict[str, Any] | None = None

    @property
    def vault_keywords(self) -> dict[str, str]:
        """The vault, as keywords of nearly every call of `backup`."""
        return {"vault_name": self.vault.name, "resource_group_name": self.vault.resource_group}

    @property
    def backup(self) -> Any:
        """The client of Azure Backup; call it with keywords only."""
        subscription_id = self.vault.subscription_id
        return self.client(BACKUP, "RecoveryServicesBackupClient", subscription_id, _BACKUP_API)

    def vault_resource(self) -> dict[str, Any]:
        """Return the vault's own resource. Only the first call reads it."""
        with self._lock:
            if self._vault_resource is None:
                self._vault_resource = self.read(f"read vault {self.vault.name}", self._read_vault)
            return self._vault_resource

    def _read_vault(self) -> dict[str, Any]:
        from azure.core.rest import HttpRequest

        address = f"{self.config.cloud.resource_manager}{quote(self.vault.id)}"
        request = HttpRequest("GET", address, params={"api-version": _VAULT_API})
        response = self.backup.send_request(request)
        response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found


def connect(
    params: Mapping[str, Any], report: Report = silent, clock: Clock | None = None
) -> VaultConnection:
    """Return the connection of the options. No request is sent yet."""
    check_wait(params)
    require(AZURE_IDENTITY, BACKUP)
    check_certificates(params.get("ca_certificates"))
    clock = clock or Clock()
    cloud = cloud_of(params)
    subscription_id = subscription_of(params)
    config = ClientConfig(
        cloud,
        Tokens(lambda: make_credential(params, cloud), cloud.scope, cloud.authority),
        clock,
        Deadline(clock, float(params.get("timeout") or _DEFAULT_TIMEOUT_S)),
        lambda line: report(redact(line)),
        params.get("ca_certificates"),
    )
    return VaultConnection(chosen_vault(params, subscription_id), config)
