//! The controller: reconciles `SlackAccessPlugin` objects into workloads.

pub mod build;
pub mod error;
#[cfg(test)]
mod fixtures;
pub mod apply;
pub mod diagnose;
pub mod gather;
pub mod memory;
pub mod plan;
pub mod status;
pub mod validate;
