//! The Teleport ⇄ Slack loop.
//!
//! ```text
//! session ─ connects, watches, lists again ─▶ dispatch ─ one task per request id ─▶ request: observe → decide → act
//!    ▲                                                                               │
//!    └─ reload: new identity, token, configuration                                   └▶ plugin data, Slack
//! ```

mod board;
pub mod config;
mod context;
pub mod decide;
mod dispatch;
mod gojson;
mod messages;
pub mod recipients;
pub mod record;
mod request;
mod resync;
mod roles;
mod session;
