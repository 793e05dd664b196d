//! Objects for the tests of the pure steps, made from YAML as a user would write it.

use crate::crd::SlackAccessPlugin;

/// An object in namespace `teleport` with this `spec` (YAML, not indented).
pub(crate) fn plugin(spec: &str) -> SlackAccessPlugin {
    let indented = spec.replace('\n', "\n  ");
    serde_saphyr::from_str(&format!(
        "apiVersion: slackaccess.dev/v1alpha1\nkind: SlackAccessPlugin\n\
         metadata: {{name: slack, namespace: teleport, uid: 11111111-2222-3333-4444-555555555555, generation: 3}}\n\
         spec:\n  {indented}"
    ))
    .unwrap()
}

/// The least that a user has to write, and `more` beside it.
pub(crate) fn minimal_with(more: &str) -> SlackAccessPlugin {
    plugin(&format!(
        "teleport: {{address: 'teleport.example.com:443', identity: {{secretRef: {{name: teleport-slack-identity}}}}}}\n\
         slack: {{token: {{secretRef: {{name: slack-bot-token}}}}}}\n\
         roleToRecipients: {{'*': [access-requests]}}\n{more}"
    ))
}

/// The least that a user has to write.
pub(crate) fn minimal() -> SlackAccessPlugin {
    minimal_with("")
}
