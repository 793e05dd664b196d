//! The worker's health: facts about its parts, and the status that they make.

pub mod condition_reason;
pub mod conditions;
pub mod report;
pub mod status;
pub mod undelivered;
