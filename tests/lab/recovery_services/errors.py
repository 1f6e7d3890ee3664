# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The service's refusals, as it words them."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional


class AzureError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: Optional[Dict[str, str]] = None,
        more: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}
        self.more = more or {}

    @property
    def body(self) -> Dict[str, Any]:
        """The answer's body."""
        return {"error": {"code": self.code, "message": self.message, **self.more}}


#: What the backup service adds to its errors, unlike the gateway before it.
_NULLS = {"target": None, "details": None, "innerError": None}


def gateway(status: int, code: str, message: str, **headers: str) -> AzureError:
    """Return an error of Azure Resource Manager; underscores in header names become hyphens."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return AzureError(status, code, message, {"x-ms-failure-cause": "gateway", **more})


def service(status: int, code: str, message: str) -> AzureError:
    """Return an error of the backup service."""
    return AzureError(status, code, message, more=dict(_NULLS))


def not_found(kind: str, name: str, resource_group: str) -> AzureError:
    """Return a resource that is not there."""
    return gateway(
        404,
        "ResourceNotFound",
        f"The Resource '{kind}/{name}' under resource group '{resource_group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix",
    )


def no_resource_group(name: str) -> AzureError:
    """Return a resource group that is not there."""
    return gateway(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def denied(client: str, object_id: str, action: str, scope: str) -> AzureError:
    """Return the error of a client whose roles do not permit the request."""
    return gateway(
        403,
        "AuthorizationFailed",
        f"The client '{client}' with object id '{object_id}' does not have authorization to "
        f"perform action '{action}' over scope '{scope}' or the scope is invalid. If access was "
        "recently granted, please refresh your credentials.",
    )


def unregistered(namespace: str) -> AzureError:
    """Return the error of a subscription that is not registered for such resources."""
    code = "MissingSubscriptionRegistration"
    message = (
        f"The subscription is not registered to use namespace '{namespace}'. See "
        "https://aka.ms/rps-not-found for how to register subscriptions."
    )
    error = gateway(409, code, message)
    error.more["details"] = [{"code": code, "target": namespace, "message": message}]
    return error


def unreadable() -> AzureError:
    """Return a body that is not JSON, or not of the form that it must have."""
    return gateway(
        400,
        "InvalidRequestContent",
        "The request content was invalid and could not be deserialized.",
    )


def section(body: Mapping[str, Any], name: str) -> Dict[str, Any]:
    """Return an object in a body: empty if it is not there, refused if it is something else."""
    found = body.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise unreadable()
    return found


def invalid_input(what: str) -> AzureError:
    """Return a request that the backup service does not understand or permit."""
    return service(
        400, "BMSUserErrorInvalidInput", f"Input provided for the call is invalid. {what}"
    )


def invalid_policy(what: str) -> AzureError:
    """Return a policy outside its bounds."""
    return service(
        400,
        "BMSUserErrorInvalidPolicyInput",
        f"Input for create or update policy is not in proper format. {what}",
    )


def invalid_protection(what: str) -> AzureError:
    """Return a request to protect that the service refuses."""
    return service(400, "BMSUserErrorInvalidConfigureProtectionRequest", what)


def not_protected(name: str) -> AzureError:
    """Return a protected item that is not there."""
    return service(
        404,
        "BMSUserErrorDataSourceObjectNotFound",
        f"The specified data source '{name}' is not protected in this vault.",
    )


def soft_deleted() -> AzureError:
    """Something that is not done to a soft-deleted item."""
    return service(
        400,
        "BMSUserErrorDataSourceInDeferredDeleteState",
        "This operation on a soft deleted backup item is not allowed\r\n"
        "Undelete the soft deleted backup item and try again.",
    )


def busy(operation: str) -> AzureError:
    """Return the error of an item on which another operation runs."""
    if operation in ("Backup", "Restore"):
        return service(
            409,
            "BMSUserErrorObjectLocked",
            f"Another operation ({operation}) is in progress on the selected item.",
        )
    return service(
        409,
        "BMSUserErrorConflictingProtectionOperation",
        f"Another protection operation ({operation}) is in progress for this item.",
    )
