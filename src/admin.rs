//! The HTTP endpoints of a running process: `/livez`, `/readyz`, `/metrics`.
