//! The simulated Teleport cluster.
