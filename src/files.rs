//! Files that change under us: credentials and configuration, re-read by content.
