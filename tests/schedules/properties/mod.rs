//! What has to be true of every world: one property a file. Each judges by what Slack and Teleport hold, never by what a
//! machine believes.

pub mod f1_as_expected;
pub mod f2_record_agrees;
pub mod f3_nothing_left;
pub mod f4_doubles_counted;
pub mod f5_unreachable_named;
pub mod f6_fresh_request;
pub mod s10_never_backwards;
pub mod s1_one_message;
pub mod s2_claimed_first;
pub mod s3_claims_respected;
pub mod s4_record_grows;
pub mod s5_not_after_the_end;
pub mod s6_pauses_kept;
pub mod s7_calls_in_order;
pub mod s8_always_woken;
pub mod s9_no_busy_loop;
#[cfg(test)]
pub mod testing;

use std::fmt;

use crate::history::History;
use crate::plan::Ms;

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The property's name.
    pub property: &'static str,
    pub at: Ms,
    pub request: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = self.request.map(|request| format!(" of request {request}")).unwrap_or_default();
        write!(f, "{} at {} ms{request}: {}", self.property, self.at, self.what)
    }
}

/// Judges a world. The first violation comes first.
pub fn check(history: &History) -> Vec<Violation> {
    const ALL: [fn(&History) -> Vec<Violation>; 16] = [
        s1_one_message::check,
        s2_claimed_first::check,
        s3_claims_respected::check,
        s4_record_grows::check,
        s5_not_after_the_end::check,
        s6_pauses_kept::check,
        s7_calls_in_order::check,
        s8_always_woken::check,
        s9_no_busy_loop::check,
        s10_never_backwards::check,
        f1_as_expected::check,
        f2_record_agrees::check,
        f3_nothing_left::check,
        f4_doubles_counted::check,
        f5_unreachable_named::check,
        f6_fresh_request::check,
    ];
    if history.is_endless {
        return f3_nothing_left::check(history);
    }
    let mut violations: Vec<_> = ALL.iter().flat_map(|check| check(history)).collect();
    violations.sort_by_key(|violation| violation.at);
    violations
}
