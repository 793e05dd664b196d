//! Teleport access requests in Slack: a Kubernetes operator, and a drop-in for the `teleport-slack` plugin.
//!
//! ```text
//! SlackAccessPlugin ─▶ controller: gather → validate → build → apply → status ─▶ Deployment, ConfigMap, …
//!                                     (pure)     (pure)                              │ mounts Secrets, never reads them
//!                                                                                    ▼
//! Teleport Auth ─▶ teleport::watch ─▶ worker: one task per request id: observe → decide (pure) → act ─▶ slack::client
//!    ▲                                                                     │
//!    └────────────── plugin data (compare-and-swap) ◀──────────────────────┘
//! ```
//!
//! `teleport` and `slack` do not know each other; `controller` knows `crd` and `worker::config` only. Files that decide
//! (`validate`, `build`, `decide`, `message`, `backoff`) are pure: no client and no runtime.

pub mod admin;
pub mod backoff;
mod cause;
pub mod cli;
pub mod controller;
pub mod crd;
mod encoded;
pub mod files;
pub mod metrics;
pub mod probe;
pub mod slack;
pub mod telemetry;
pub mod teleport;
pub mod worker;
