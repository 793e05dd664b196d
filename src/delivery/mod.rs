//! Decides everything about one access request. Imports no client and no runtime: time and chance are parameters.
//!
//! [`machine`] is told what was seen and how effects ended ([`input`]) and says what to do ([`effect`]). [`decide`] is its
//! pure heart, [`record`] what it remembers in Teleport, in a form that the official plugin reads ([`official_format`]).

pub mod change;
pub mod claims;
pub mod decide;
pub mod effect;
mod gojson;
pub mod input;
pub mod listing;
pub mod machine;
pub mod official_format;
pub mod record;
pub mod retry;
pub mod state;
pub mod sweep;
#[cfg(test)]
pub(crate) mod testing;
