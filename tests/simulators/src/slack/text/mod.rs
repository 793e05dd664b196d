//! What a client makes of message text: who is pinged, what is linked (Slack docs: formatting message text).

mod effects;
mod scan;

pub use self::effects::{Effects, Link, Ping};

pub(super) use self::scan::{as_stored, rich_text_elements};
