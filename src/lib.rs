//! Teleport access requests in Slack: a Kubernetes operator, and a drop-in for the `teleport-slack` plugin.
//!
//! ```text
//! SlackAccessPlugin ─▶ controller: cache → validate → resources → apply → status ─▶ Deployment, ConfigMap, …
//!                                     (pure)     (pure)                              │ mounts Secrets, never reads them
//!                                                                                    ▼
//! Teleport Auth ─▶ teleport::watch ─▶ worker: one task per request id ⇄ delivery::machine (pure) ─▶ slack::api
//!    ▲                                                   │
//!    └──────── plugin data (compare-and-swap) ◀──────────┘
//! ```
//!
//! `teleport` and `slack` do not know each other; `controller` knows `crd` and `config`, not `worker`. What decides is pure:
//! `delivery` imports no client and no runtime.

pub mod access_request;
pub mod admin;
pub mod backoff;
mod cause;
pub mod check;
pub mod cli;
pub mod config;
pub mod controller;
pub mod convert;
pub mod crd;
pub mod delivery;
mod descriptors;
mod encoded;
pub mod file_watch;
pub mod hardening;
pub mod join_resources;
pub mod metrics;
pub mod probe;
pub mod review;
pub mod slack;
pub mod telemetry;
pub mod teleport;
pub mod ttl_cache;
pub mod worker;
