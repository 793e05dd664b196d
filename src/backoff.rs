//! Jittered exponential backoff; pure.
