//! Which of the reviewers that a requester suggests are told; pure.
//!
//! What a requester writes is not trusted: without bounds one request could send messages to a whole company.

use crate::config::recipient::Recipient;

/// Suggested reviewers of one request that are told, unless the configuration says otherwise.
pub const DEFAULT_MAX: u32 = 20;

/// Bounds for suggested reviewers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuggestedReviewers {
    /// At most so many of one request; none at all with 0.
    pub max: u32,
    /// Only those whose address is in one of these domains, in lower case; any if it is empty.
    pub allowed_domains: Vec<String>,
}

/// What [`SuggestedReviewers::admit`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// Who is told.
    pub reviewers: Vec<Recipient>,
    /// How many were left out because their domain is not allowed.
    pub of_other_domains: usize,
    /// How many were left out because there were too many.
    pub beyond_max: usize,
}

impl Default for SuggestedReviewers {
    fn default() -> Self {
        Self { max: DEFAULT_MAX, allowed_domains: Vec::new() }
    }
}

impl SuggestedReviewers {
    /// Whom to tell of those that a request suggests.
    pub fn admit(&self, suggested: Vec<Recipient>) -> Admitted {
        let count = suggested.len();
        let mut reviewers = suggested;
        reviewers.retain(|reviewer| self.is_allowed(reviewer));
        let allowed = reviewers.len();
        reviewers.truncate(usize::try_from(self.max).unwrap_or(usize::MAX));
        Admitted { of_other_domains: count - allowed, beyond_max: allowed - reviewers.len(), reviewers }
    }

    fn is_allowed(&self, reviewer: &Recipient) -> bool {
        let domain = match reviewer {
            Recipient::Email(address) => address.rsplit_once('@').map(|(_, domain)| domain),
            _ => None,
        };
        self.allowed_domains.is_empty()
            || domain.is_some_and(|domain| self.allowed_domains.iter().any(|one| one == domain))
    }
}

/// A domain in its normal form; none if it is no domain, such as an address or a pattern.
pub fn parse_domain(text: &str) -> Option<String> {
    let domain = text.trim().to_lowercase();
    let is_label = |label: &str| !label.is_empty() && label.chars().all(|c| c.is_alphanumeric() || c == '-');
    domain.split('.').all(is_label).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggested(addresses: &[&str]) -> Vec<Recipient> {
        addresses.iter().filter_map(|address| Recipient::parse(address)).collect()
    }

    #[test]
    fn no_more_are_told_than_the_setting_says() {
        let bounds = SuggestedReviewers { max: 2, ..SuggestedReviewers::default() };
        let admitted = bounds.admit(suggested(&["a@x.org", "b@x.org", "c@x.org"]));
        assert_eq!(
            admitted,
            Admitted { reviewers: suggested(&["a@x.org", "b@x.org"]), beyond_max: 1, of_other_domains: 0 }
        );
        assert_eq!(SuggestedReviewers::default().max, 20);
        let nobody = SuggestedReviewers { max: 0, ..SuggestedReviewers::default() };
        assert_eq!(nobody.admit(suggested(&["a@x.org"])).beyond_max, 1);
    }

    #[test]
    fn only_allowed_domains_are_told_and_others_do_not_use_the_places_up() {
        let bounds = SuggestedReviewers { max: 1, allowed_domains: vec!["x.org".to_owned()] };
        let admitted = bounds.admit(suggested(&["a@evil.org", "b@sub.x.org", "C@X.org"]));
        assert_eq!(admitted, Admitted { reviewers: suggested(&["c@x.org"]), beyond_max: 0, of_other_domains: 2 });
    }

    #[test]
    fn a_domain_is_neither_an_address_nor_a_pattern() {
        assert_eq!(parse_domain(" Example.COM "), Some("example.com".to_owned()));
        for text in ["", "@example.com", "a@example.com", "*.example.com", "example..com", "example.com."] {
            assert_eq!(parse_domain(text), None, "{text:?}");
        }
    }
}
