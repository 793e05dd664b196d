//! Which form of the join a server speaks; pure.
//!
//! The endpoints by release, from Teleport's source and from tries on 14.2.3: the HTTP endpoint of Auth ends with 17, that of the
//! Proxy with 18; gRPC `RegisterUsingToken` begins with 17; the stream `teleport.join.v1.JoinService/Join` takes ServiceAccount
//! tokens from 18.5 on.

use std::fmt;

/// What answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// A Proxy's web port.
    Proxy,
    /// An Auth server.
    Auth,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proxy => "Proxy",
            Self::Auth => "Auth Service",
        })
    }
}

/// One form of the join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One HTTP request.
    Http,
    /// gRPC `proto.JoinService/RegisterUsingToken`.
    Register,
    /// gRPC `teleport.join.v1.JoinService/Join`.
    Stream,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "by HTTP",
            Self::Register => "by RegisterUsingToken",
            Self::Stream => "by the join stream",
        })
    }
}

/// The forms to try on a server of this release, the likeliest first. The next one is tried when a server does not know a form.
pub(super) fn forms(service: Service, version: &str) -> &'static [Form] {
    let release = release(version);
    match service {
        Service::Proxy if release.is_some_and(|release| release >= (19, 0)) => &[Form::Stream, Form::Http],
        Service::Proxy => &[Form::Http, Form::Stream],
        Service::Auth => match release {
            Some(release) if release < (17, 0) => &[Form::Http],
            Some(release) if release < (18, 5) => &[Form::Register, Form::Http],
            _ => &[Form::Stream, Form::Register, Form::Http],
        },
    }
}

/// Major and minor number of a version such as `18.5.0-dev.1`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_is_asked_in_its_own_form_first() {
        use Form::{Http, Register, Stream};
        use Service::{Auth, Proxy};
        for (service, version, expected) in [
            (Proxy, "14.2.3", &[Http, Stream][..]),
            (Proxy, "18.9.0", &[Http, Stream]),
            (Proxy, "19.0.0-alpha.1", &[Stream, Http]),
            (Proxy, "", &[Http, Stream]),
            (Auth, "14.2.3", &[Http]),
            (Auth, "16.5.12", &[Http]),
            (Auth, "17.0.0", &[Register, Http]),
            (Auth, "v18.4.9", &[Register, Http]),
            (Auth, "18.5.0-dev", &[Stream, Register, Http]),
            (Auth, "nonsense", &[Stream, Register, Http]),
        ] {
            assert_eq!(forms(service, version), expected, "{service} {version}");
        }
    }
}
