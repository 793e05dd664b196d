//! Decides everything about one access request. Imports no client and no runtime: time and chance are parameters.

pub mod change;
pub mod claims;
pub mod decide;
pub mod dedup;
mod gojson;
pub mod listing;
pub mod official_format;
pub mod record;
pub mod sweep;
