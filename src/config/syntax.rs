//! The forms that a setting's text can have; pure.

use std::net::Ipv6Addr;

/// An empty string means the same as no setting, as in the official plugin.
pub(super) fn given(setting: Option<String>) -> Option<String> {
    setting.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// `HOST:PORT`, with an IPv6 address in brackets.
pub(super) fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare_colon = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        !host.is_empty() && !bare_colon && !host.contains(['/', ' ', '@']) && port.parse::<u16>().is_ok()
    })
}

/// The address as it has to be written, where `text` is an IPv6 address without brackets, with or without a port.
///
/// `fd00::1:443` can be read both ways; a port that Teleport uses decides for the port.
pub(super) fn with_brackets(text: &str) -> Option<String> {
    const PORTS: [&str; 4] = ["443", "3024", "3025", "3080"];
    let is_ipv6 = |text: &str| text.parse::<Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        Some((host, port))
            if is_ipv6(host) && (PORTS.contains(&port) || !is_ipv6(text)) && port.parse::<u16>().is_ok() =>
        {
            Some(format!("[{host}]:{port}"))
        }
        _ => is_ipv6(text.trim_matches(['[', ']'])).then(|| format!("[{}]:443", text.trim_matches(['[', ']']))),
    }
}

/// Something that the system may take for a path: one line, and not longer than Linux' limit for paths.
pub(super) fn is_path(text: &str) -> bool {
    const LONGEST: usize = 4096;
    text.len() <= LONGEST && !text.contains(char::is_control) && !text.contains("-----BEGIN")
}

/// Go's `time.ParseDuration`, which reads this key in the official plugin: `1m`, `1h30m`, `1.5s`.
pub(super) fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit_length = number.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(number.len());
        let (unit, next) = number.split_at(unit_length);
        let digits = rest.strip_suffix(number).unwrap_or_default();
        if digits.parse::<f64>().is_err() || !matches!(unit, "ns" | "us" | "µs" | "ms" | "s" | "m" | "h") {
            return false;
        }
        rest = next;
    }
    !text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_is_shown_with_its_brackets() {
        for (text, expected) in [
            ("fd00::1:443", Some("[fd00::1]:443")),
            ("::1:3025", Some("[::1]:3025")),
            ("2001:db8:0:0:0:0:0:1:3080", Some("[2001:db8:0:0:0:0:0:1]:3080")),
            ("2001:db8::1", Some("[2001:db8::1]:443")),
            ("[2001:db8::1]", Some("[2001:db8::1]:443")),
            ("teleport.example.com", None),
            ("a:b:c", None),
            ("10.0.0.1:443", None),
        ] {
            assert_eq!(with_brackets(text).as_deref(), expected, "{text}");
        }
    }
}
