//! The simulated Teleport cluster: an Auth server whose clients cannot tell it from a real one, until it is told to fail.
//!
//! ```text
//! Cluster (handle) ─▶ State ─▶ Watchers ─▶ WatchEvents
//!    │                  ▲
//!    │ sign             │ read, write
//!    ▼                  │
//! Authorities ─▶ server: TLS → pings → Gate → service: call (fault, journal) → method
//! ```
//!
//! Pure: `review`, `plugin_data`, `catalog`. Everything that a client can see of Teleport's own behaviour follows version 14.2.3
//! and Teleport's public API; newer behaviour is switched on by [`config::ServerVersion`].

pub(crate) mod access;
pub mod authority;
pub mod catalog;
pub mod clock;
pub mod cluster;
pub mod config;
pub(crate) mod connection;
pub mod control;
pub(crate) mod core;
pub(crate) mod creation;
pub mod error;
pub mod fitness;
pub mod identity;
pub mod join;
pub mod journal;
pub mod keys;
pub(crate) mod listener;
pub mod pb;
pub(crate) mod pings;
pub mod plugin_data;
pub(crate) mod proxy;
pub mod requests;
pub mod resources;
pub(crate) mod review;
pub mod role;
pub mod server;
pub(crate) mod service;
pub mod snapshot;
pub(crate) mod ssh;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod watch;
pub(crate) mod x509;

pub use cluster::Cluster;
pub use config::{Config, Edition, ProxyConfig, ServerVersion};
pub use identity::{Identity, IdentityRequest, Validity};
pub use join::JoinToken;
pub use keys::KeyAlgorithm;
pub use requests::{NewRequest, NewReview};
pub use role::{Role, Rule, User};
