//! The words that appear as `reason` in conditions and events. They are part of the contract: alerts and scripts match them.

/// Reasons of `Ready`, `Reconciling` and `Stalled`, which the controller writes.
pub mod controller {
    /// A worker runs this generation's configuration, and all of it works.
    pub const WORKING: &str = "Working";
    /// The worker has not reported yet.
    pub const STARTING: &str = "Starting";
    /// A worker of an earlier configuration is being replaced.
    pub const ROLLING_OUT: &str = "RollingOut";
    /// `spec.suspend` is set.
    pub const SUSPENDED: &str = "Suspended";
    /// The worker runs but does not report any more.
    pub const WORKER_SILENT: &str = "WorkerSilent";
    /// The spec cannot work as it is.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// An object in the way belongs to somebody else.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// The Kubernetes API refused or failed.
    pub const APPLY_FAILED: &str = "ApplyFailed";
    /// The worker's image cannot be pulled.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// A container cannot be made from the pod's settings, such as a missing Secret of `workload.env`.
    pub const CONTAINER_CONFIG_ERROR: &str = "ContainerConfigError";
    /// No node takes the pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// The worker ends soon after each start.
    pub const CRASH_LOOP: &str = "CrashLoop";
    /// Kubernetes refuses to make the pods (quota, admission policy).
    pub const POD_REFUSED: &str = "PodRefused";
    /// Pods are made and start, but none becomes ready in time.
    pub const NOT_PROGRESSING: &str = "NotProgressing";
    /// The Deployment's rollout is paused, so that no worker of this configuration is started.
    pub const DEPLOYMENT_PAUSED: &str = "DeploymentPaused";
    /// The definition of `SlackAccessPlugin` lacks fields of the status that this operator writes.
    pub const DEFINITION_OUTDATED: &str = "DefinitionOutdated";
    /// Requests came in that reach nobody; of events only.
    pub const UNROUTED: &str = "Unrouted";
    /// Nothing is under way, or nothing stands in the way; of `Reconciling=False` and `Stalled=False`.
    pub const NONE: &str = "None";
}

/// Reasons of the conditions that the worker writes.
pub mod worker {
    /// The part works.
    pub const OK: &str = "OK";
    /// Not tried yet, or something else has to work first.
    pub const PENDING: &str = "Pending";

    // IdentityValid

    /// The file of the identity is not there: no such Secret, or no such key in it.
    pub const IDENTITY_MISSING: &str = "IdentityMissing";
    /// The file is there and is no identity.
    pub const IDENTITY_MALFORMED: &str = "IdentityMalformed";
    /// The identity's time is over.
    pub const IDENTITY_EXPIRED: &str = "IdentityExpired";
    /// The identity works but ends soon, and its renewal is overdue.
    pub const IDENTITY_EXPIRES_SOON: &str = "IdentityExpiresSoon";

    // IdentityValid, of a worker that joins Teleport with its ServiceAccount

    /// The file of the ServiceAccount token is not there, or is no such token.
    pub const TOKEN_FILE_MISSING: &str = "TokenFileMissing";
    /// Nothing to join through answers.
    pub const JOIN_UNREACHABLE: &str = "JoinUnreachable";
    /// What answers is not trusted.
    pub const JOIN_UNTRUSTED: &str = "JoinUntrusted";
    /// Teleport has no such token resource, or its time is over.
    pub const JOIN_TOKEN_MISSING: &str = "JoinTokenMissing";
    /// The ServiceAccount token is for another audience than the cluster.
    pub const JOIN_AUDIENCE_WRONG: &str = "JoinAudienceWrong";
    /// No rule of the token resource allows the ServiceAccount.
    pub const JOIN_NOT_ALLOWED: &str = "JoinNotAllowed";
    /// The token resource does not hold the key that signed the ServiceAccount token.
    pub const JOIN_KEY_UNKNOWN: &str = "JoinKeyUnknown";
    /// The role does not exist, or the bot may not take it on.
    pub const JOIN_ROLE_MISSING: &str = "JoinRoleMissing";
    /// Teleport refuses the join for another reason.
    pub const JOIN_REFUSED: &str = "JoinRefused";
    /// An administrator's lock is in force.
    pub const IDENTITY_LOCKED: &str = "IdentityLocked";
    /// The identity works, but joining again fails.
    pub const RENEWAL_FAILING: &str = "RenewalFailing";

    // TeleportConnected and SlackConnected

    /// The file of the CA bundle is not there: no such ConfigMap or Secret, or no such key in it.
    pub const CA_BUNDLE_MISSING: &str = "CABundleMissing";
    /// The file is there and holds no certificates.
    pub const CA_BUNDLE_MALFORMED: &str = "CABundleMalformed";

    // TeleportConnected

    /// Nothing answers at the address.
    pub const TELEPORT_UNREACHABLE: &str = "TeleportUnreachable";
    /// Teleport answers with a certificate that the identity or the CA bundle does not vouch for.
    pub const TELEPORT_UNTRUSTED: &str = "TeleportUntrusted";
    /// Teleport refuses the identity.
    pub const IDENTITY_REFUSED: &str = "IdentityRefused";
    /// The identity's roles lack a permission.
    pub const PERMISSION_MISSING: &str = "PermissionMissing";

    // SlackConnected

    /// The file of the token is not there: no such Secret, or no such key in it.
    pub const TOKEN_MISSING: &str = "TokenMissing";
    /// The file is there and holds no bot token.
    pub const TOKEN_MALFORMED: &str = "TokenMalformed";
    /// Slack does not accept the token (revoked, of another workspace, account inactive).
    pub const TOKEN_REFUSED: &str = "TokenRefused";
    /// The token lacks a scope.
    pub const SCOPE_MISSING: &str = "ScopeMissing";
    /// Slack's API does not answer, or with errors of its own.
    pub const SLACK_UNREACHABLE: &str = "SlackUnreachable";

    // RecipientsResolved

    /// At least one recipient does not exist or cannot be written to.
    pub const RECIPIENT_FAILED: &str = "RecipientFailed";
}
