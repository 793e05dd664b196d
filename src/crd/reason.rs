//! The words that appear as `reason` in conditions and events. They are part of the contract: alerts and scripts match them.

use std::fmt;

/// Which credential a reason is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The Teleport identity.
    Identity,
    /// The Slack token.
    Token,
}

/// One table: variant, word, meaning.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+) => {
        /// Why a condition has its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The word in the condition.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

reasons! {
    // Ready, Reconciling and Stalled, which the controller writes

    /// A worker runs this generation's configuration, and all of it works.
    Working = "Working",
    /// The worker has not reported yet.
    Starting = "Starting",
    /// A worker of an earlier configuration is being replaced.
    RollingOut = "RollingOut",
    /// `spec.suspend` is set.
    Suspended = "Suspended",
    /// The worker runs but does not report any more.
    WorkerSilent = "WorkerSilent",
    /// The spec cannot work as it is.
    InvalidSpec = "InvalidSpec",
    /// The spec asks for something that the operator's policy does not allow.
    PolicyRefused = "PolicyRefused",
    /// An object in the way belongs to another owner.
    NameTaken = "NameTaken",
    /// The Kubernetes API refused or failed.
    ApplyFailed = "ApplyFailed",
    /// The worker's image cannot be pulled.
    ImagePullFailed = "ImagePullFailed",
    /// A container cannot be made from the pod's settings.
    ContainerConfigError = "ContainerConfigError",
    /// No node takes the pod.
    Unschedulable = "Unschedulable",
    /// The worker ends soon after each start.
    CrashLoop = "CrashLoop",
    /// Kubernetes refuses to make the pods (quota, admission policy).
    PodRefused = "PodRefused",
    /// Pods are made and start, but none becomes ready in time.
    NotProgressing = "NotProgressing",
    /// The Deployment's rollout is paused, so that no worker of this configuration is started.
    DeploymentPaused = "DeploymentPaused",
    /// The definition of `SlackAccessPlugin` lacks fields of the status that this operator writes.
    DefinitionOutdated = "DefinitionOutdated",
    /// Requests came in that reach no recipient; of events only.
    Unrouted = "Unrouted",
    /// Others put something into the worker's pods; of `WorkloadModified` only.
    ForeignSettings = "ForeignSettings",
    /// Nothing is under way, or nothing stands in the way; of `Reconciling=False` and `Stalled=False`.
    None = "None",

    // Every condition that the worker writes

    /// The part works.
    Ok = "OK",
    /// Not tried yet, or another part has to work first.
    Pending = "Pending",

    // IdentityValid

    /// The file of the identity is not there: no such Secret, or no such key in it.
    IdentityMissing = "IdentityMissing",
    /// The file is there and is no identity.
    IdentityMalformed = "IdentityMalformed",
    /// The identity's time is over.
    IdentityExpired = "IdentityExpired",
    /// The identity works but ends soon, and its renewal is overdue.
    IdentityExpiresSoon = "IdentityExpiresSoon",
    /// The new identity is of another Teleport user than the one in use.
    IdentityUserChanged = "IdentityUserChanged",

    // IdentityValid, of a worker that joins Teleport with its ServiceAccount

    /// The file of the ServiceAccount token is not there, or is no such token.
    TokenFileMissing = "TokenFileMissing",
    /// Nothing to join through answers.
    JoinUnreachable = "JoinUnreachable",
    /// What answers is not trusted.
    JoinUntrusted = "JoinUntrusted",
    /// Teleport has no such token resource, or its time is over.
    JoinTokenMissing = "JoinTokenMissing",
    /// The ServiceAccount token is for another audience than the cluster.
    JoinAudienceWrong = "JoinAudienceWrong",
    /// No rule of the token resource allows the ServiceAccount.
    JoinNotAllowed = "JoinNotAllowed",
    /// The token resource does not hold the key that signed the ServiceAccount token.
    JoinKeyUnknown = "JoinKeyUnknown",
    /// The role does not exist, or the bot may not take it on.
    JoinRoleMissing = "JoinRoleMissing",
    /// Teleport refuses the join for another reason.
    JoinRefused = "JoinRefused",
    /// An administrator's lock is in force.
    IdentityLocked = "IdentityLocked",
    /// The identity works, but joining again fails.
    RenewalFailing = "RenewalFailing",

    // TeleportConnected and SlackConnected

    /// The file of the CA bundle is not there: no such ConfigMap or Secret, or no such key in it.
    CaBundleMissing = "CABundleMissing",
    /// The file is there and holds no certificates.
    CaBundleMalformed = "CABundleMalformed",

    // TeleportConnected

    /// Nothing answers at the address.
    TeleportUnreachable = "TeleportUnreachable",
    /// Teleport answers with a certificate that the identity or the CA bundle does not vouch for.
    TeleportUntrusted = "TeleportUntrusted",
    /// Teleport refuses the identity.
    IdentityRefused = "IdentityRefused",
    /// The identity's roles lack a permission.
    PermissionMissing = "PermissionMissing",
    /// Another object or program keeps records under the same plugin name on the same Teleport cluster.
    PluginNameShared = "PluginNameShared",

    // SlackConnected

    /// The file of the token is not there: no such Secret, or no such key in it.
    TokenMissing = "TokenMissing",
    /// The file is there and holds no bot token.
    TokenMalformed = "TokenMalformed",
    /// Slack does not accept the token (revoked, of another workspace, account inactive).
    TokenRefused = "TokenRefused",
    /// The new token is of another workspace than the one in use.
    WorkspaceChanged = "WorkspaceChanged",
    /// The token lacks a scope.
    ScopeMissing = "ScopeMissing",
    /// Slack's API does not answer, or with errors of its own.
    SlackUnreachable = "SlackUnreachable",

    // RecipientsResolved

    /// At least one recipient does not exist or cannot be written to.
    RecipientFailed = "RecipientFailed",
    /// A channel that is configured by its name has another name now: messages still go to it.
    ChannelMoved = "ChannelMoved",

    // ReviewEnabled

    /// The cluster has no reviews of access requests: an edition without them.
    ReviewsUnsupported = "ReviewsUnsupported",
    /// The server is older than reviews that a plugin submits.
    TeleportTooOld = "TeleportTooOld",
    /// The plugin's role may not submit reviews, or not look up who clicked.
    ReviewPermissionMissing = "ReviewPermissionMissing",

    // ReviewConnected

    /// The file of the app-level token is not there: no such Secret, or no such key in it.
    AppTokenMissing = "AppTokenMissing",
    /// The file is there and holds no app-level token.
    AppTokenMalformed = "AppTokenMalformed",
    /// Slack does not accept the app-level token.
    AppTokenRefused = "AppTokenRefused",
    /// Socket Mode is switched off for the app.
    SocketModeDisabled = "SocketModeDisabled",
    /// The app has as many connections as Slack permits.
    TooManyConnections = "TooManyConnections",
    /// The two tokens belong to different apps.
    AppMismatch = "AppMismatch",

    // Delivering

    /// A message has been waiting for longer than a minute.
    Delayed = "Delayed",
}

impl Reason {
    /// The reason that a condition's word stands for; `None` for a word of another release.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
    }

    /// Whether waiting cannot heal it: a person has to change something.
    #[must_use]
    pub const fn needs_person(self) -> bool {
        matches!(
            self,
            Self::IdentityMalformed
                | Self::IdentityExpired
                | Self::IdentityRefused
                | Self::IdentityUserChanged
                | Self::JoinUntrusted
                | Self::JoinAudienceWrong
                | Self::JoinNotAllowed
                | Self::JoinKeyUnknown
                | Self::JoinRoleMissing
                | Self::JoinRefused
                | Self::TeleportUntrusted
                | Self::CaBundleMalformed
                | Self::PermissionMissing
                | Self::PluginNameShared
                | Self::TokenMalformed
                | Self::TokenRefused
                | Self::WorkspaceChanged
                | Self::ScopeMissing
                | Self::RecipientFailed
                | Self::ReviewsUnsupported
                | Self::TeleportTooOld
                | Self::ReviewPermissionMissing
                | Self::AppTokenMalformed
                | Self::AppTokenRefused
                | Self::SocketModeDisabled
                | Self::AppMismatch
        )
    }

    /// Whether a changed Secret or ConfigMap would heal it: its node should look for one soon.
    #[must_use]
    pub const fn healed_by_secret(self) -> bool {
        matches!(
            self,
            Self::IdentityMissing
                | Self::TeleportUntrusted
                | Self::CaBundleMissing
                | Self::CaBundleMalformed
                | Self::TokenMissing
                | Self::AppTokenMissing
                | Self::AppTokenMalformed
                | Self::AppTokenRefused
                | Self::AppMismatch
        ) || self.credential().is_some()
    }

    /// The credential that is there and has to be changed.
    #[must_use]
    pub const fn credential(self) -> Option<Credential> {
        match self {
            Self::IdentityMalformed | Self::IdentityExpired | Self::IdentityRefused | Self::IdentityUserChanged => {
                Some(Credential::Identity)
            }
            Self::TokenMalformed | Self::TokenRefused | Self::WorkspaceChanged => Some(Credential::Token),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// For comparing a reason with a condition's word.
impl PartialEq<Reason> for String {
    fn eq(&self, other: &Reason) -> bool {
        self == other.as_str()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_word_is_unique_and_what_kubernetes_takes_as_a_reason() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for word in words {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphanumeric()), "{word}");
        }
    }

    #[test]
    fn a_word_is_read_back_as_its_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(*reason));
        }
        assert_eq!(Reason::parse("OfAnotherRelease"), None);
    }
}
