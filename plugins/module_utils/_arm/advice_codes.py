# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Azure's codes, and what to do about each: of sign-in, Resource Manager, vaults, and backups.

PRIVATE: for this collection only.
"""

from __future__ import annotations

from typing import Tuple

WAIT = (
    "Another operation is running on this item: wait until it has ended, then run the task again."
)
_LATER = "This is Azure's own trouble: run the task again in some minutes."
_TENANT = "Check tenant: the id or the domain of the tenant of the service principal."
_AGENT = (
    "Check the VM agent on the VM: it must run and be current. "
    "quiesce.azure_backup.vm_extension_info says what Azure knows of it."
)
_AGENT_NETWORK = (
    "Check that the VM may reach Azure (DNS, firewall, proxy of the VM agent), and that its agent "
    "runs."
)
_EXTENSION = (
    "Remove the extension VMSnapshotLinux from the VM; the next backup installs it again. "
    "quiesce.azure_backup.vm_extension_info says its state."
)
_VM_GONE = (
    "The VM is gone: stop its protection and keep the data (protected_vm with state=stopped), or "
    "delete both (state=absent)."
)
_POLICY = (
    "Compare the policy with the bounds in the documentation of quiesce.azure_backup.backup_policy."
)
_ROLE = (
    "Give these credentials a role that may do this, such as Backup Contributor on the vault's "
    "resource group and Virtual Machine Contributor on that of the VMs; a new role takes some "
    "minutes to work."
)
_EMPTY_VAULT = (
    "Delete what the vault still protects, also what is soft-deleted, and unregister its "
    "containers; soft-deleted items go when their time is over."
)
_SUBSCRIPTION = (
    "Check subscription_id, and that these credentials have a role in that subscription; the "
    "subscription may also be of another tenant."
)
_PROVISIONING = (
    "Bring the VM to the state Succeeded first: look at what failed last on it in Azure, start it, "
    "or repeat that operation."
)
_FREEZE = (
    "Check the VM's filesystems (mount, fsck) and the agent's log on it; "
    "quiesce.azure_backup.snapshot_scripts_info says whether the scripts would run."
)

# Codes, apart by spaces, and one action for all of them.
ACTIONS: Tuple[Tuple[str, str], ...] = (
    # Sign-in.
    ("InvalidTenant AADSTS90002 AADSTS900021 AADSTS900023 AADSTS50020", _TENANT),
    (
        "AADSTS700016 AADSTS700019 AADSTS90013",
        "Check client_id, and that the application exists in this tenant.",
    ),
    ("AADSTS7000215", "Check secret: it is the value of a client secret, not its id."),
    ("AADSTS7000222", "The client secret has expired: make a new one and give it as secret."),
    ("AADSTS7000112 AADSTS50057", "The account is disabled: let an administrator enable it."),
    (
        "AADSTS53003 AADSTS53000 AADSTS530003",
        "A conditional access policy of the tenant is in the way: ask its administrator.",
    ),
    (
        "AADSTS700082 AADSTS70043 AADSTS50173 AADSTS50078 AADSTS50076 AADSTS50079 "
        "AzureCliNotLoggedIn",
        "Log in with 'az login' as the user that the task runs as, or choose another auth_source.",
    ),
    (
        "AzureCliNotFound",
        "Install the Azure CLI where the task runs and log in, or choose another auth_source.",
    ),
    (
        "NoManagedIdentity",
        "Run the task on a machine of Azure that has a managed identity (client_id says which, "
        "where there are several), or choose another auth_source.",
    ),
    (
        "NoCredentials",
        "Give tenant, client_id and secret, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
        "AZURE_CLIENT_SECRET, or log in with 'az login'.",
    ),
    ("AuthenticationFailed", "Check the credentials and the tenant."),
    (
        "InvalidAuthenticationToken ExpiredAuthenticationToken",
        "Check that the clock of this machine is right and that the credentials are of this cloud.",
    ),
    (
        "InvalidAuthenticationTokenTenant",
        "The credentials are of another tenant or cloud than the subscription: check tenant and "
        "cloud.",
    ),
    # Azure Resource Manager.
    ("AuthorizationFailed", _ROLE),
    (
        "LinkedAuthorizationFailed",
        "The request also touches a resource of another subscription or tenant: give these "
        "credentials a role there too.",
    ),
    (
        "MissingSubscriptionRegistration",
        "Register the subscription for it once: "
        "'az provider register --namespace Microsoft.RecoveryServices'.",
    ),
    ("SubscriptionNotFound InvalidSubscriptionId", _SUBSCRIPTION),
    ("ResourceGroupNotFound", "Check resource_group and subscription_id."),
    (
        "ResourceNotFound NotFound",
        "Check the names of vault and resource group, and subscription_id.",
    ),
    (
        "ReadOnlyDisabledSubscription",
        "The subscription is disabled: enable it in Azure first.",
    ),
    (
        "RequestDisallowedByPolicy UserErrorRequestDisallowedByPolicy",
        "An Azure Policy forbids it: ask who governs the subscription.",
    ),
    ("ScopeLocked", "Remove the lock on the resource or its group first."),
    (
        "ResourceRequestsThrottled TooManyRequests SubscriptionRequestsThrottled",
        "Run the task again after the time that the message names; fewer tasks at the same time "
        "on one vault need fewer requests.",
    ),
    (
        "InternalServerError ServiceUnavailable ServerBusy ServerTimeout GatewayTimeout "
        "InvalidGatewayHost BadGateway RequestTimeout OperationTimedOut",
        _LATER,
    ),
    (
        "PreconditionFailed Conflict",
        "Somebody else has changed it meanwhile: run the task again.",
    ),
    ("AnotherOperationInProgress OperationInProgress", WAIT),
    (
        "InvalidResourceType NoRegisteredProviderFound InvalidApiVersionParameter",
        "This cloud or region does not have Azure Backup in the version that the SDK asks for: "
        "check resource_manager_endpoint and cloud.",
    ),
    # The vault and its items.
    ("RestApiInternalError CloudInternalError InternalError CloudStorageUnexpectedError", _LATER),
    (
        "BMSUserErrorDataSourceInDeferredDeleteState",
        "The item is soft-deleted: bring it back first (protected_vm with state=undeleted, or "
        "state=protected, which does both).",
    ),
    (
        "BMSUserErrorContainerNotUndeleted",
        "Bring the container back first: it was deleted with its items (protected_vm with "
        "state=undeleted).",
    ),
    (
        "BMSUserErrorDataSourceObjectNotFound",
        "The VM is not protected in this vault: protect it first (protected_vm), or check vault.",
    ),
    (
        "BMSContainerStatusNotRegistered",
        "The VM is not registered in this vault: protect it first (protected_vm).",
    ),
    (
        "BMSUserErrorInvalidConfigureProtectionRequest BMSUserErrorInvalidInput",
        "Check the VM's id, that the policy is one for VMs of this vault, and that both are in "
        "the same region.",
    ),
    ("BMSUserErrorInvalidPolicyInput", _POLICY),
    (
        "UserErrorOperationDeniedOnImmutableItem",
        "The vault may be immutable: then nothing may be deleted or kept for less time. Where it "
        "is not, Azure says this also of an item that is in the wrong state for the operation.",
    ),
    (
        "BMSUserErrorDisablingSoftDeleteStateNotAllowed BMSUserErrorSoftDeleteUseVaultApi",
        "Soft delete of this vault is set with the vault itself, and can often not be turned off.",
    ),
    (
        "BMSUserErrorObjectLocked BMSUserErrorConflictingProtectionOperation "
        "UserErrorBackupOperationInProgress",
        WAIT,
    ),
    (
        "BMSUserErrorVaultDeletionNotPermitted ServiceResourceNotEmptyWithBackendMessage "
        "ServiceResourceNotEmptyWithContainerDetails",
        _EMPTY_VAULT,
    ),
    # Jobs, and what they say of the VM. Numbers are the codes of jobs.
    ("UserErrorVmNotFoundV2 400136", _VM_GONE),
    ("320001", _VM_GONE),
    (
        "UserErrorGenericResourceNotFound 400309",
        "Something that the operation needs is gone, such as the VM, a disk or a resource group: "
        "bring it back, or stop the VM's protection and keep the data.",
    ),
    ("UserErrorJobSuccessfullyCancelled 400158", "Somebody cancelled the job: start it again."),
    ("IaasVmHealthGreenDefault 400239 Success 0", "Nothing: all is well."),
    ("RestoreOperationFailed 400003", "Restore again in some minutes."),
    (
        "BackUpOperationFailed BackUpOperationFailedV2",
        "Back up again in some minutes: there may be too much data at once. If the VM was "
        "deleted, stop its protection and keep the data (protected_vm with state=stopped).",
    ),
    (
        "UserErrorBackupTookCrashConsistentSnapshot 400446",
        "The backup is good, but only crash-consistent. Look on the VM why filesystems or "
        "applications could not be frozen: quiesce.azure_backup.snapshot_scripts_info.",
    ),
    (
        "GuestAgentSnapshotTaskStatusError UserErrorGuestAgentStatusUnavailable 400039",
        _AGENT,
    ),
    (
        "ExtensionSnapshotFailedNoNetwork ExtensionSnapshotFailedNoSecureNetwork "
        "ExtensionFailedTimeoutVMNetworkUnresponsive ExtensionFailedVMAgentNotResponding",
        _AGENT_NETWORK,
    ),
    (
        "ExtensionStuckInDeletionState ExtensionConfigParsingFailure ExtensionFailedAccessDenied "
        "ExtensionInstallationFailedMDTC ExtentionInstallationFailedMDTC",
        _EXTENSION,
    ),
    (
        "ExtensionOperationFailed ExtensionOperationFailedForManagedDisks",
        "The VM agent is a prerequisite of the backup extension: install it on the VM, let it "
        "reach Azure, then back up again.",
    ),
    (
        "UserErrorVmProvisioningStateFailed UserErrorVmNotInDesirableState "
        "OSProvisioningClientError OsProvisioningTimedOut",
        _PROVISIONING,
    ),
    (
        "UserErrorFsFreezeFailed",
        _FREEZE,
    ),
    (
        "UserErrorRpCollectionLimitReached UserErrorBcmPremiumStorageQuotaError",
        "Azure keeps no more snapshots of these disks: delete old restore points or snapshots, or "
        "keep instant restore points for fewer days.",
    ),
    (
        "UserErrorKeyvaultPermissionsNotConfigured",
        "Let Azure Backup read the key vault of the encrypted VM (backup, get and list of keys "
        "and secrets).",
    ),
    (
        "UserErrorUnsupportedDiskSize",
        "Azure Backup does not support this VM as it is: leave the disk out with "
        "include_disk_luns or exclude_disk_luns, or change it.",
    ),
    (
        "UserErrorCrpReportedUserError",
        "Azure's compute service refused: look at the VM's activity log for its reason.",
    ),
)
