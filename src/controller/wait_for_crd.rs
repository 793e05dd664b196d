//! Waits until the API server knows our kind. Restarting would not make a missing definition appear, so the controller waits and
//! says so on `/readyz`.

use std::time::Duration;

use kube::{Client, Resource as _};

use crate::crd::SlackAccessPlugin;

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Returns once the definition is served. Needs no permission: every account may discover.
pub(super) async fn wait_for_definition(client: &Client) {
    let version = SlackAccessPlugin::api_version(&());
    let mut told = String::new();
    loop {
        let problem = match client.list_api_group_resources(&version).await {
            Ok(list) if list.resources.iter().any(|resource| resource.kind == SlackAccessPlugin::kind(&())) => return,
            Ok(_) => "the definition of SlackAccessPlugin is not installed".to_owned(),
            Err(kube::Error::Api(status)) if status.code == 404 => {
                "the definition of SlackAccessPlugin is not installed".to_owned()
            }
            Err(error) => format!("the Kubernetes API cannot be asked: {error}"),
        };
        // Once for each problem, not once for each look.
        if told != problem {
            tracing::warn!(
                problem,
                "Waiting for the definition of SlackAccessPlugin; install crds/slackaccessplugins.yaml"
            );
            told = problem;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
