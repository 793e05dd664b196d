//! The simulators as servers of their own.

pub(crate) mod teleport;
