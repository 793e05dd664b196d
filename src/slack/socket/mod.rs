//! Socket Mode: the connections over which Slack tells of clicks.
//!
//! `machine` decides when to connect, ping, replace and give up; `frame` reads what Slack sends: both pure. `driver` holds the
//! sockets. Sources: Slack's docs "Using Socket Mode" and the behaviour of its SDKs: an envelope is answered within 3 s on the
//! connection that delivered it and is not sent again; a connection lives about 5 hours and is announced to end 10 s before; a client
//! that vanishes without Close may stay registered and receive clicks that are lost.

mod driver;
pub mod frame;
pub mod machine;

pub use crate::slack::socket::driver::{Event, Responder, run};
pub use crate::slack::socket::machine::State;

use crate::slack::error::Error;

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Slack refused the call or could not be reached.
    Call(Box<Error>),
    /// Socket Mode is switched off for the app.
    Disabled,
    /// The app has as many connections as it may have.
    TooMany,
    /// Slack said nothing for too long, at the start or later.
    Silent,
    /// The connection ended without an announcement.
    Lost,
}
