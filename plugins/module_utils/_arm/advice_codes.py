# Copyright (c) 2026, the quiesce.azure_backup maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Recommended actions by error code and by HTTP status.

The codes are those of sign-in, Resource Manager, vaults, backups and jobs, and the names of this
collection's own errors where the same advice applies.
"""

from __future__ import annotations

WAIT = (
    "Another operation is running on this item: wait until it has ended, then run the task again."
)
LATER = "Azure reported an internal error. Retry in a few minutes."
CHANGED = "Another client changed the resource at the same time: run the task again."
TOO_MANY_DISKS = (
    "Detach some of the VM's data disks, or leave some out of the backup with include_disk_luns or "
    "exclude_disk_luns."
)
TOO_MUCH_DATA = (
    "Back up again in a few minutes: there may be too much data at once. If the VM was deleted, "
    "stop its protection and keep the data (protected_vm with state=stopped)."
)
IMMUTABLE = (
    "If the vault is immutable, it keeps the data until the recovery points expire: stop the "
    "backups and keep the data (protected_vm with state=stopped). If the vault is not immutable, "
    "the item is in a state that does not permit the operation: see it with protected_vm_info."
)
OTHER_VAULT = (
    "A VM is protected by one vault at a time: use that vault, or stop protection and delete the "
    "data there."
)
OTHER_REGION = "Protect the VM with a vault of its own region."
NOT_RUNNING = (
    "Start the VM, so that Azure can install the backup extension; then run the task again."
)
AGENT_MISSING = (
    "Install the VM agent on the VM, let it reach Azure, then back up again: the backup extension "
    "requires it."
)
LOG_IN = "Log in with 'az login' as the user that the task runs as, or choose another auth_source."
_TENANT = "Set tenant to the ID or the domain of the service principal's tenant."
_AGENT = (
    "Check on the VM that the VM agent runs and is current. "
    "quiesce.azure_backup.vm_extension_info shows its status in Azure."
)
_AGENT_NETWORK = (
    "Check that the VM agent runs, and that the VM can reach Azure (DNS, firewall, proxy of the "
    "agent)."
)
_EXTENSION = (
    "Remove the extension VMSnapshotLinux from the VM; the next backup installs it again. "
    "quiesce.azure_backup.vm_extension_info shows its state."
)
_VM_GONE = (
    "The VM no longer exists: stop its protection and keep the data (protected_vm with "
    "state=stopped), or delete both (state=absent)."
)
_POLICY = (
    "Compare the policy with the limits in the documentation of quiesce.azure_backup.backup_policy."
)
_ROLE = (
    "Give these credentials a role that permits the operation, such as Backup Contributor on the "
    "vault's resource group and Virtual Machine Contributor on that of the VMs. A new role takes "
    "effect after a few minutes."
)
_EMPTY_VAULT = (
    "Delete everything that the vault still protects, and unregister its containers. Soft-deleted "
    "items go when their retention ends."
)
_SUBSCRIPTION = (
    "Check subscription_id, that these credentials have a role in that subscription, and that the "
    "subscription belongs to their tenant."
)
_PROVISIONING = (
    "Bring the VM to the state Succeeded: find the operation that failed last on it in Azure, and "
    "start the VM or repeat that operation."
)
_FREEZE = (
    "Check the VM's filesystems (mount, fsck) and the agent's log on it; "
    "quiesce.azure_backup.snapshot_scripts_info shows whether the scripts would run."
)

# Codes, apart by spaces, and one action for all of them.
ACTIONS: tuple[tuple[str, str], ...] = (
    # Sign-in.
    ("InvalidTenant AADSTS90002 AADSTS900021 AADSTS900023 AADSTS50020", _TENANT),
    (
        "AADSTS700016 AADSTS700019 AADSTS90013",
        "Check client_id, and that the application exists in this tenant.",
    ),
    ("AADSTS7000215", "Set secret to the value of a client secret, not to its ID."),
    ("AADSTS7000222", "The client secret has expired: create a new one and set secret to it."),
    ("AADSTS7000112 AADSTS50057", "The account is disabled: ask an administrator to enable it."),
    (
        "AADSTS53003 AADSTS53000 AADSTS530003",
        "A conditional access policy of the tenant forbids the sign-in: ask its administrator.",
    ),
    (
        "AADSTS700082 AADSTS70043 AADSTS50173 AADSTS50078 AADSTS50076 AADSTS50079 "
        "AzureCliNotLoggedIn",
        LOG_IN,
    ),
    (
        "AzureCliNotFound",
        "Install the Azure CLI where the task runs and log in, or choose another auth_source.",
    ),
    (
        "NoManagedIdentity",
        "Run the task on an Azure machine that has a managed identity (set client_id if it has "
        "several), or choose another auth_source.",
    ),
    (
        "NoCredentials",
        "Set tenant, client_id and secret, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and "
        "AZURE_CLIENT_SECRET, or log in with 'az login'.",
    ),
    ("AuthenticationFailed", "Check the credentials and the tenant."),
    (
        "InvalidAuthenticationToken ExpiredAuthenticationToken",
        "Check the clock of this machine, and that the credentials belong to this cloud.",
    ),
    (
        "InvalidAuthenticationTokenTenant",
        "The credentials belong to another tenant or cloud than the subscription: check tenant and "
        "cloud.",
    ),
    # Azure Resource Manager.
    ("AuthorizationFailed", _ROLE),
    (
        "LinkedAuthorizationFailed",
        "The request also involves a resource of another subscription or tenant: give these "
        "credentials a role there too.",
    ),
    (
        "MissingSubscriptionRegistration",
        "Register the subscription once: "
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
        "The subscription is disabled: enable it in Azure.",
    ),
    (
        "RequestDisallowedByPolicy UserErrorRequestDisallowedByPolicy",
        "An Azure Policy forbids the operation: ask the owner of the subscription.",
    ),
    ("ScopeLocked", "Remove the lock on the resource or its resource group."),
    (
        "ResourceRequestsThrottled TooManyRequests SubscriptionRequestsThrottled",
        "Run the task again after the time in the message. Run fewer tasks at the same time on one "
        "vault.",
    ),
    (
        "InternalServerError ServiceUnavailable ServerBusy ServerTimeout GatewayTimeout "
        "InvalidGatewayHost BadGateway RequestTimeout OperationTimedOut",
        LATER,
    ),
    ("PreconditionFailed Conflict", CHANGED),
    ("AnotherOperationInProgress OperationInProgress", WAIT),
    (
        "InvalidResourceType NoRegisteredProviderFound InvalidApiVersionParameter",
        "This cloud or region does not have the version of Azure Backup that the SDK requests: "
        "check resource_manager_endpoint and cloud.",
    ),
    # The vault and its items.
    ("RestApiInternalError CloudInternalError InternalError CloudStorageUnexpectedError", LATER),
    (
        "BMSUserErrorDataSourceInDeferredDeleteState",
        "The item is soft-deleted: undelete it (protected_vm with state=undeleted), or undelete "
        "and protect it (state=protected).",
    ),
    (
        "BMSUserErrorContainerNotUndeleted",
        "The container was deleted with its items: undelete it (protected_vm with "
        "state=undeleted).",
    ),
    (
        "BMSUserErrorDataSourceObjectNotFound",
        "The VM is not protected in this vault: protect it (protected_vm), or check vault.",
    ),
    (
        "BMSContainerStatusNotRegistered",
        "The VM is not registered in this vault: protect it (protected_vm).",
    ),
    (
        "BMSUserErrorInvalidConfigureProtectionRequest BMSUserErrorInvalidInput",
        "Check the VM's ID, that the policy is a policy for VMs in this vault, and that vault and "
        "VM are in the same region.",
    ),
    ("BMSUserErrorInvalidPolicyInput", _POLICY),
    ("UserErrorOperationDeniedOnImmutableItem", IMMUTABLE),
    (
        "BMSUserErrorDisablingSoftDeleteStateNotAllowed BMSUserErrorSoftDeleteUseVaultApi",
        "Set soft delete on the vault itself. Azure often does not permit turning it off.",
    ),
    (
        "BMSUserErrorObjectLocked BMSUserErrorConflictingProtectionOperation "
        "UserErrorBackupOperationInProgress VmNotListed",
        WAIT,
    ),
    (
        "BMSUserErrorVaultDeletionNotPermitted ServiceResourceNotEmptyWithBackendMessage "
        "ServiceResourceNotEmptyWithContainerDetails",
        _EMPTY_VAULT,
    ),
    # Our own errors of a VM that cannot be protected, as its vault refuses the same by words.
    ("TooManyDisks", TOO_MANY_DISKS),
    ("VmInAnotherRegion", OTHER_REGION),
    ("VmProtectedInAnotherVault", OTHER_VAULT),
    ("VmNotRunning", NOT_RUNNING),
    # Jobs, and their errors of the VM. Numbers are the codes of jobs.
    ("UserErrorVmNotFoundV2 400136", _VM_GONE),
    ("320001", _VM_GONE),
    (
        "UserErrorGenericResourceNotFound 400309",
        "A resource that the operation needs no longer exists, such as the VM, a disk or a "
        "resource group: restore it, or stop the VM's protection and keep the data.",
    ),
    ("UserErrorJobSuccessfullyCancelled 400158", "The job was cancelled: start it again."),
    ("IaasVmHealthGreenDefault 400239 Success 0", "No action is needed."),
    ("RestoreOperationFailed 400003", "Restore again in a few minutes."),
    ("BackUpOperationFailed BackUpOperationFailedV2", TOO_MUCH_DATA),
    (
        "UserErrorBackupTookCrashConsistentSnapshot 400446",
        "The backup is good, but only crash-consistent. Find out on the VM why filesystems or "
        "applications could not be frozen: run quiesce.azure_backup.snapshot_scripts_info.",
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
    ("ExtensionOperationFailed ExtensionOperationFailedForManagedDisks", AGENT_MISSING),
    (
        "UserErrorVmProvisioningStateFailed UserErrorVmNotInDesirableState "
        "OSProvisioningClientError OsProvisioningTimedOut",
        _PROVISIONING,
    ),
    ("UserErrorFsFreezeFailed", _FREEZE),
    (
        "UserErrorRpCollectionLimitReached UserErrorBcmPremiumStorageQuotaError",
        "Azure has reached its limit of snapshots of these disks: delete old restore points or "
        "snapshots, or keep instant restore points for fewer days.",
    ),
    (
        "UserErrorKeyvaultPermissionsNotConfigured",
        "Permit Azure Backup to read the key vault of the encrypted VM (backup, get and list of "
        "keys and secrets).",
    ),
    (
        "UserErrorUnsupportedDiskSize",
        "Azure Backup does not support a disk of this VM: change the disk, or leave it out with "
        "include_disk_luns or exclude_disk_luns.",
    ),
    (
        "UserErrorCrpReportedUserError",
        "Azure's compute service refused the operation: find its reason in the VM's activity log.",
    ),
)

SERVER_ERROR = (
    "Run the task again in a few minutes. If the error persists, give Microsoft's support the "
    "correlation ID."
)
BY_STATUS: dict[int, str] = {
    401: "Check the credentials, and that their tenant is that of the subscription.",
    403: "Give these credentials a role that permits the operation, such as Backup Contributor.",
    404: "Check subscription, resource group, vault and name.",
    407: "Set the user and password of the proxy in HTTPS_PROXY.",
    409: WAIT,
    412: CHANGED,
    429: "Run the task again later, with fewer tasks at the same time.",
}
OTHER_STATUS = "Correct what the message names, then run the task again."
