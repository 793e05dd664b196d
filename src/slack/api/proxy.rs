//! The HTTP proxy on the way to Slack, for errors: a connection that fails is said with what it was to go through.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use crate::slack::error::code;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Way {
    host: String,
    /// Host and port, without user and password.
    proxy: Option<String>,
    /// The proxy makes a tunnel, or each request itself.
    tunnel: bool,
}

impl Way {
    /// The way that reqwest takes to `base` with this environment.
    pub(super) fn to(base: &Url) -> Self {
        Self::by(&Matcher::from_system(), base)
    }

    /// A way without a proxy.
    pub(super) fn directly_to(base: &Url) -> Self {
        Self { host: base.host_str().unwrap_or_default().to_owned(), proxy: None, tunnel: false }
    }

    fn by(matcher: &Matcher, base: &Url) -> Self {
        let intercept = base.as_str().parse().ok().and_then(|uri| matcher.intercept(&uri));
        let proxy = intercept.and_then(|proxy| {
            let (host, port) = (proxy.uri().host()?, proxy.uri().port());
            Some(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        });
        Self { proxy, tunnel: base.scheme() == "https", ..Self::directly_to(base) }
    }

    /// Code and words for a connection that could not be made; `causes` are those of the error, outermost first.
    pub(super) fn unconnected(&self, causes: &[String]) -> (&'static str, String) {
        let host = &self.host;
        let known = |cause: &&String| !cause.starts_with("client error");
        let reason = causes.iter().filter(known).map(String::as_str).collect::<Vec<_>>().join(": ");
        let Some(proxy) = &self.proxy else {
            return (code::CONNECT_FAILED, format!("cannot connect to {host}: {reason}"));
        };
        let of_tunnel = causes.iter().find_map(|cause| cause.strip_prefix("tunnel error: "));
        let answer = match (of_tunnel, self.tunnel) {
            (None, true) => {
                let message = format!("cannot connect to {host} by way of the HTTP proxy at {proxy}: {reason}");
                return (code::CONNECT_FAILED, message);
            }
            (Some("proxy authorization required"), _) => "demands a user and a password".to_owned(),
            (Some("unsuccessful"), _) => format!("refuses to connect to {host}"),
            _ => {
                let innermost = causes.last().map(String::as_str).unwrap_or_default();
                format!("cannot be reached: {}", innermost.trim_start_matches("tunnel error: "))
            }
        };
        (code::PROXY_FAILED, format!("cannot connect to {host}: the HTTP proxy at {proxy} {answer}"))
    }
}

#[cfg(test)]
mod tests {
    use crate::slack::api::proxy::*;

    fn way(base: &str) -> Way {
        let matcher = Matcher::builder().all("http://user:hunter2@proxy.example:3128").no("internal.example").build();
        Way::by(&matcher, &base.parse().unwrap())
    }

    fn said(way: &Way, causes: &[&str]) -> (&'static str, String) {
        way.unconnected(&causes.iter().map(|&cause| cause.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_proxy_that_does_not_answer_is_named_without_its_password() {
        let refused = "Connection refused (os error 111)";
        for (base, causes) in [
            (
                "https://slack.com/api/",
                vec!["client error (Connect)", "tunnel error: failed to create underlying connection", refused],
            ),
            ("http://slack.com/api/", vec!["client error (Connect)", "tcp connect error", refused]),
        ] {
            let (code, text) = said(&way(base), &causes);
            assert_eq!(code, code::PROXY_FAILED);
            let expected = format!(
                "cannot connect to slack.com: the HTTP proxy at proxy.example:3128 cannot be reached: {refused}"
            );
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_proxy_that_refuses_is_not_said_to_be_away() {
        for (cause, words) in [
            ("tunnel error: proxy authorization required", "demands a user and a password"),
            ("tunnel error: unsuccessful", "refuses to connect to slack.com"),
        ] {
            let (code, text) = said(&way("https://slack.com/api/"), &["client error (Connect)", cause]);
            assert_eq!(code, code::PROXY_FAILED);
            assert!(text.ends_with(&format!("the HTTP proxy at proxy.example:3128 {words}")), "{text}");
        }
    }

    #[test]
    fn what_fails_behind_the_proxy_or_without_one_is_not_the_proxys_fault() {
        let causes = ["client error (Connect)", "invalid peer certificate: UnknownIssuer"];
        let (code, text) = said(&way("https://slack.com/api/"), &causes);
        assert_eq!(code, code::CONNECT_FAILED);
        assert!(text.contains("by way of the HTTP proxy at proxy.example:3128: invalid peer certificate"), "{text}");
        let (code, text) = said(&way("https://internal.example/api/"), &causes);
        let expected = "cannot connect to internal.example: invalid peer certificate: UnknownIssuer";
        assert_eq!((code, text.as_str()), (code::CONNECT_FAILED, expected));
    }
}
