//! Logging: structured, as text or JSON.
