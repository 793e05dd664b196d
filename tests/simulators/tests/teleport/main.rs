//! The simulated Teleport over real gRPC, as a client meets it.

mod basics;
#[cfg(test)]
mod support;
