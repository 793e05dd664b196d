//! What is measured: one file per figure.

mod auth_restart;
mod burst;
mod down;
mod killed;
mod single;
mod size;
mod slack_errors;
mod start;
mod thousand;

use std::fmt;

use clap::ValueEnum;

use crate::Failure;
use crate::plugin::Side;
use crate::requests::Watcher;
use crate::slack::{Outcome, Slack};
use crate::table::{Limit, Measured, Unit};

/// Everything that can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Figure {
    Size,
    Start,
    Thousand,
    Single,
    SlowSlack,
    Burst,
    Down,
    Killed,
    SlackErrors,
    AuthRestart,
}

impl Figure {
    pub(crate) const ALL: [Self; 10] = [
        Self::Size,
        Self::Start,
        Self::Thousand,
        Self::Single,
        Self::SlowSlack,
        Self::Burst,
        Self::Down,
        Self::Killed,
        Self::SlackErrors,
        Self::AuthRestart,
    ];

    /// Measures one side, on a cluster and a workspace of its own.
    pub(crate) async fn measure(self, side: &Side) -> Result<Vec<Measured>, Failure> {
        match self {
            Self::Size => size::measure(side),
            Self::Start => start::measure(side).await,
            Self::Thousand => thousand::measure(side).await,
            Self::Single => single::measure(side).await,
            Self::SlowSlack => single::measure_slow(side).await,
            Self::Burst => burst::measure(side).await,
            Self::Down => down::measure(side).await,
            Self::Killed => killed::measure(side).await,
            Self::SlackErrors => slack_errors::measure(side).await,
            Self::AuthRestart => auth_restart::measure(side).await,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size of the binary",
            Self::Start => "time to ready",
            Self::Thousand => "1,000 notifications",
            Self::Single => "200 notifications, one at a time",
            Self::SlowSlack => "the same, Slack takes 100 ms a call",
            Self::Burst => "a burst of 500 at one message a second",
            Self::Down => "20 requests while down",
            Self::Killed => "killed in a burst of 500",
            Self::SlackErrors => "Slack answers 500 for 10 s",
            Self::AuthRestart => "Auth restarted",
        })
    }
}

/// The rows of a figure that is about losing nothing and saying nothing twice.
fn losses(lost: &'static str, doubled: &'static str, outcome: &Outcome) -> Vec<Measured> {
    vec![count(lost, outcome.lost), count(doubled, outcome.doubled)]
}

/// A number that should be 0.
fn count(name: &'static str, value: usize) -> Measured {
    let value = u32::try_from(value).map_or(f64::MAX, f64::from);
    Measured { name, unit: Unit::Count, limit: Limit::None, value }
}

/// The median and the tail of the time from the event to the message.
fn latencies(names: [&'static str; 3], watcher: &Watcher, slack: &Slack) -> Vec<Measured> {
    let stored = slack.stored();
    let mut latencies: Vec<f64> = watcher
        .seen()
        .iter()
        .filter_map(|(id, seen)| {
            // The plugin may see the event before the watcher does.
            let micros = stored.get(id)?.saturating_sub(*seen);
            Some(f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1_000.0)
        })
        .collect();
    latencies.sort_by(f64::total_cmp);
    let at = |per_cent: usize| {
        let index = (latencies.len() * per_cent).div_ceil(100).saturating_sub(1);
        latencies.get(index).copied().unwrap_or(f64::NAN)
    };
    // The middle one is shown for its shape only.
    let rows = names.into_iter().zip([(50, Limit::OnePartIn(2.0)), (95, Limit::Any), (99, Limit::OnePartIn(2.0))]);
    rows.map(|(name, (per_cent, limit))| Measured { name, unit: Unit::Milliseconds, limit, value: at(per_cent) })
        .collect()
}
