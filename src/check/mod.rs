//! Tries a configuration against the real Teleport and Slack.
//!
//! ```text
//! source: file or object ─▶ probe: asks Teleport and Slack ─▶ Facts ─▶ judge (pure) ─▶ Report
//! ```

pub mod facts;
pub mod finding;
pub mod judge;
mod probe;
mod send_test;
mod source;

use std::path::PathBuf;

use crate::check::facts::Lookup;
use crate::check::finding::{Finding, Part, Report};
use crate::check::judge::{Imagined, explain, judge};
use crate::check::source::Materials;
use crate::config::{self, Environment, Wildcard};

/// Where the configuration is.
#[derive(Clone, Debug)]
pub enum Where {
    /// A file: the official plugin's, or a worker's.
    File(PathBuf),
    /// A `SlackAccessPlugin` of the cluster that the kubeconfig, or the pod, belongs to.
    Object {
        /// Its name.
        name: String,
        /// Its namespace; the context's own when absent.
        namespace: Option<String>,
    },
}

/// What to try.
#[derive(Clone)]
pub struct Options {
    /// Where the configuration is.
    pub source: Where,
    /// What takes the place of the file's settings.
    pub environment: Environment,
    /// Post a message to each recipient, and remove it.
    pub send_test: bool,
    /// A request to route.
    pub imagined: Option<Imagined>,
}

/// Tries everything and reports. What cannot even be begun is a finding too.
pub async fn run(options: Options) -> Report {
    let loaded = match &options.source {
        Where::File(path) => config::Config::load(path, Wildcard::Optional, &options.environment)
            .map(Materials::of_files)
            .map_err(|error| match error {
                config::Error::Invalid(problem) => Finding::failure(
                    Part::Configuration,
                    format!("{}: {}", problem.place, problem.what),
                    problem.remedy,
                ),
                unreadable @ config::Error::Unreadable { .. } => {
                    Finding::failure_line(Part::Configuration, &unreadable.to_string())
                }
            }),
        Where::Object { name, namespace } => Materials::of_object(name, namespace.as_deref()).await,
    };
    let materials = match loaded {
        Ok(materials) => materials,
        Err(finding) => return Report::new(vec![finding]),
    };
    let (facts, slack) = probe::probe(&materials).await;
    let mut findings = judge(&facts);
    findings.extend(materials.status.iter().cloned());
    if let Some(imagined) = &options.imagined {
        findings.extend(explain(&facts.tried.routes, imagined));
    }
    if let (true, Some(client), Some(found)) = (options.send_test, slack, &facts.slack)
        && found.account.is_ok()
    {
        let places = found.recipients.iter().filter_map(|(recipient, lookup)| {
            let channel = match lookup {
                Lookup::Channel(info) => info.id.clone(),
                Lookup::Person(id) => id.to_string(),
                Lookup::AsItIs | Lookup::NotListed => recipient.to_string(),
                Lookup::Refused(_) => return None,
            };
            Some((recipient.to_string(), channel))
        });
        findings.extend(send_test::send(&client, places.collect()).await);
    }
    Report::new(findings)
}
