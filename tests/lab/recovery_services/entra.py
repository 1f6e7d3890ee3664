# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sign-in: tokens of a tenant for one client with a secret, and what clients ask beforehand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Dict, Mapping, Optional, Set

from tests.lab.recovery_services.call import Reply
from tests.lab.recovery_services.errors import AzureError

#: The client's own object in the directory.
OBJECT_ID = "dddddddd-4444-4ddd-8ddd-dddddddddddd"
#: The token of a workload that the client trusts. Invented: real ones are JWTs of an issuer.
ASSERTION = "the-token-of-a-workload-in-the-lab"
_JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Audiences that Azure's own clients ask for, beside this server's address.
_AUDIENCES = (
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.chinacloudapi.cn",
    "https://management.usgovcloudapi.net",
)


@dataclass
class Directory:
    """The tenant, its client, and the tokens it has given out."""

    tenant: str
    client_id: str
    secret: str
    base: str = ""
    #: How long a token is good for, in real seconds, as clients count them.
    lifetime_s: float = 3600.0
    clock: Callable[[], float] = time.time
    #: What its tokens are signed with.
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def __post_init__(self) -> None:
        self._revoked: Set[str] = set()

    # --- what is asked beforehand ----------------------------------------------------------------

    def configuration(self, tenant: str) -> Reply:
        """Return the OpenID metadata of the tenant."""
        if tenant.lower() not in (self.tenant.lower(), "common", "organizations"):
            return self._no_tenant(tenant)
        at = f"{self.base}/{tenant}"
        return Reply(
            200,
            {
                "token_endpoint": f"{at}/oauth2/v2.0/token",
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "jwks_uri": f"{at}/discovery/v2.0/keys",
                "response_modes_supported": ["query", "fragment", "form_post"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "response_types_supported": ["code", "id_token", "code id_token"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "issuer": f"{self.base}/{self.tenant}/v2.0",
                "authorization_endpoint": f"{at}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{at}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{at}/oauth2/v2.0/logout",
                "tenant_region_scope": "EU",
                "cloud_instance_name": "lab",
            },
        )

    def discovery(self, _query: Mapping[str, str]) -> Reply:
        """Instance discovery: this server is an authority."""
        host = self.base.partition("://")[2]
        document = {
            "tenant_discovery_endpoint": (
                f"{self.base}/{self.tenant}/v2.0/.well-known/openid-configuration"
            ),
            "api-version": "1.1",
            "metadata": [
                {"preferred_network": host, "preferred_cache": host, "aliases": [host]},
            ],
        }
        return Reply(200, document)

    # --- tokens ----------------------------------------------------------------------------------

    def token(self, tenant: str, form: Mapping[str, str]) -> Reply:
        """Answer a request for a token, of both versions of the endpoint."""
        if tenant.lower() != self.tenant.lower():
            return self._no_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            why = f"AADSTS70003: The grant type '{form.get('grant_type')}' is not supported."
            return self._refusal(400, "unsupported_grant_type", why, 70003)
        if form.get("client_id", "").lower() != self.client_id.lower():
            why = (
                f"AADSTS700016: Application with identifier '{form.get('client_id')}' was not "
                "found in the directory 'Lab'."
            )
            return self._refusal(400, "unauthorized_client", why, 700016)
        if form.get("client_assertion_type") == _JWT_BEARER:
            if form.get("client_assertion") != ASSERTION:
                # Invented after the documentation of Entra's error codes; not recorded.
                why = (
                    "AADSTS700213: No matching federated identity record found for presented "
                    "assertion subject."
                )
                return self._refusal(401, "invalid_client", why, 700213)
        elif not hmac.compare_digest(form.get("client_secret", "").encode(), self.secret.encode()):
            why = (
                "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in "
                "the request is the client secret value, not the client secret ID."
            )
            return self._refusal(401, "invalid_client", why, 7000215)
        scope = form.get("scope", "").split()
        audience = form.get("resource") or (scope[0] if scope else "")
        audience = audience[: -len("/.default")] if audience.endswith("/.default") else audience
        return self._issue(audience, v1="resource" in form)

    def _issue(self, audience: str, v1: bool) -> Reply:
        now = int(self.clock())
        expires = int(now + self.lifetime_s)
        token = self._sign(
            {
                "aud": audience,
                "iss": f"{self.base}/{self.tenant}/",
                "iat": now,
                "nbf": now,
                "exp": expires,
                "appid": self.client_id,
                "appidacr": "1",
                "idp": f"{self.base}/{self.tenant}/",
                "idtyp": "app",
                "oid": OBJECT_ID,
                "sub": OBJECT_ID,
                "tid": self.tenant,
                "uti": secrets.token_urlsafe(16),
                "ver": "1.0",
            }
        )
        left = int(self.lifetime_s)
        if not v1:
            body = {"token_type": "Bearer", "expires_in": left, "ext_expires_in": left}
            return Reply(200, {**body, "access_token": token})
        body_v1: Dict[str, Any] = {
            "token_type": "Bearer",
            "expires_in": str(left),
            "ext_expires_in": str(left),
            "expires_on": str(expires),
            "not_before": str(now),
            "resource": audience,
            "access_token": token,
        }
        return Reply(200, body_v1)

    def _sign(self, claims: Mapping[str, Any]) -> str:
        header = _part({"typ": "JWT", "alg": "HS256", "kid": "lab"})
        signed = f"{header}.{_part(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def _signature(self, signed: str) -> str:
        digest = hmac.new(self.key, signed.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def revoke(self, authorization: Optional[str]) -> None:
        """Take a token to be expired from now on."""
        self._revoked.add((authorization or "").partition(" ")[2])

    def check(self, authorization: Optional[str]) -> None:
        """Check the token of a request; raises `AzureError` if it is not valid."""
        scheme, _space, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            )
        claims = self._claims(token)
        if claims is None:
            raise self._challenge("InvalidAuthenticationToken", "The access token is invalid.")
        if token in self._revoked or claims["exp"] <= self.clock():
            was, now = (
                f"{datetime.fromtimestamp(moment, timezone.utc):%m/%d/%Y %I:%M:%S %p}"
                for moment in (min(claims["exp"], self.clock()), self.clock())
            )
            raise self._challenge(
                "ExpiredAuthenticationToken",
                f"The access token expiry UTC time '{was}' is earlier than current UTC time "
                f"'{now}'.",
            )
        audience = str(claims["aud"]).rstrip("/")
        if audience not in (*_AUDIENCES, self.base):
            raise self._challenge(
                "InvalidAuthenticationTokenAudience",
                f"The access token has been obtained for wrong audience or resource '{audience}'. "
                f"It should exactly match with one of the allowed audiences '{self.base}/'.",
            )

    def check_tenant(self, tenant: str) -> None:
        """Refuse a subscription of another tenant; raises `AzureError`."""
        if tenant.lower() != self.tenant.lower():
            raise self._challenge(
                "InvalidAuthenticationTokenTenant",
                f"The access token is from the wrong issuer '{self.base}/{self.tenant}/'. It must "
                f"match the tenant '{self.base}/{tenant}/' associated with this subscription.",
            )

    def _claims(self, token: str) -> Optional[Dict[str, Any]]:
        signed, _dot, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return None
        body = signed.partition(".")[2]
        found: Dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return found

    def _challenge(self, code: str, message: str) -> AzureError:
        at = f'Bearer authorization_uri="{self.base}/{self.tenant}", error="invalid_token"'
        headers = {
            "WWW-Authenticate": f'{at}, error_description="{message}"',
            "x-ms-failure-cause": "gateway",
        }
        return AzureError(401, code, message, headers)

    def _no_tenant(self, tenant: str) -> Reply:
        why = (
            f"AADSTS90002: Tenant '{tenant}' not found. Check to make sure you have the correct "
            "tenant ID and are signing into the correct cloud."
        )
        return self._refusal(400, "invalid_request", why, 90002)

    def _refusal(self, status: int, error: str, why: str, code: int) -> Reply:
        now = datetime.fromtimestamp(self.clock(), timezone.utc)
        body = {
            "error": error,
            "error_description": why,
            "error_codes": [code],
            "timestamp": f"{now:%Y-%m-%d %H:%M:%SZ}",
            "trace_id": "00000000-0000-4000-8000-000000000000",
            "correlation_id": "00000000-0000-4000-8000-000000000000",
            "error_uri": f"{self.base}/error?code={code}",
        }
        return Reply(status, body)


def endpoints(base: str, version: str) -> Any:
    """Return what `/metadata/endpoints` says of this cloud, as that version of it does."""
    old = {
        "galleryEndpoint": f"{base}/",
        "graphEndpoint": f"{base}/",
        "portalEndpoint": f"{base}/",
        "authentication": {
            "loginEndpoint": f"{base}/",
            "audiences": [f"{base}/", "https://management.azure.com/"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
    }
    new = {
        **old,
        "portal": base,
        "name": "Lab",
        "media": base,
        "graph": f"{base}/",
        "gallery": f"{base}/",
        "batch": f"{base}/",
        "resourceManager": f"{base}/",
        "sqlManagement": f"{base}/",
        "vmImageAliasDoc": f"{base}/vm-aliases.json",
        "microsoftGraphResourceId": f"{base}/",
        "activeDirectoryDataLake": f"{base}/",
        "suffixes": {
            "storage": "core.windows.net",
            "keyVaultDns": "vault.azure.net",
            "sqlServerHostname": "database.windows.net",
            "acrLoginServer": "azurecr.io",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        },
    }
    if version < "2018":
        return old
    return new if version >= "2022" else [new]


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
