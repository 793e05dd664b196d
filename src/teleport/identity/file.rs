//! Takes the text of an identity file apart. Pure; knows the layout, not the meaning of the pieces.
//!
//! Layout and tolerance as in Teleport's `api/identityfile`: line based; the first PEM block is the private key, the
//! second the client certificate, all further ones are certificate authorities; SSH lines may stand anywhere between.

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::encoded;
use crate::teleport::identity::error::Problem;

/// Room for a PEM block, in bytes: twice an RSA key of 4096 bits.
const BLOCK: usize = 8 * 1024;

/// The pieces of an identity file, as text.
#[derive(Default)]
pub(super) struct Pieces {
    /// PEM of the private key.
    pub(super) key: Option<Zeroizing<String>>,
    /// PEM of the client certificate.
    pub(super) certificate: Option<String>,
    /// PEM of each certificate authority.
    pub(super) authorities: Vec<String>,
    /// The SSH user certificate, one `authorized_keys` line.
    pub(super) ssh_certificate: Option<String>,
    /// SSH host authorities, one `known_hosts` line each.
    pub(super) ssh_authorities: Vec<String>,
}

/// Splits the text of an identity file.
pub(super) fn split(content: &[u8]) -> Result<Pieces, Problem> {
    if let Some(problem) = container(content) {
        return Err(problem);
    }
    let text = text(content);
    let mut pieces = Pieces::default();
    let mut blocks = 0;
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("-----BEGIN") {
            let block = block(line, &mut lines)?;
            match blocks {
                0 => pieces.key = Some(block.into()),
                1 => pieces.certificate = Some(block),
                _ => pieces.authorities.push(block),
            }
            blocks += 1;
        } else if line.starts_with("@cert-authority") {
            pieces.ssh_authorities.push(line.to_owned());
        } else if is_ssh_certificate(line) {
            pieces.ssh_certificate = Some(line.to_owned());
        }
    }
    Ok(pieces)
}

/// What is wrong with content in which something is `missing`.
pub(super) fn problem(content: &[u8], missing: Problem) -> Problem {
    let has_pem = |content: &[u8]| String::from_utf8_lossy(content).contains("-----BEGIN");
    if encoded::hides(content, has_pem) { Problem::Encoded } else { missing }
}

/// What the whole file is, where it is not the text that belongs there.
pub(super) fn container(content: &[u8]) -> Option<Problem> {
    /// Where a tar archive has its mark, and the mark (POSIX.1-1988).
    const TAR: (usize, &[u8]) = (257, b"ustar");
    const GZIP: &[u8] = &[0x1f, 0x8b];
    let is_tar = content.get(TAR.0..).is_some_and(|rest| rest.starts_with(TAR.1));
    if is_tar || content.starts_with(GZIP) {
        return Some(Problem::Archive);
    }
    let marked = content.starts_with(&[0xff, 0xfe]) || content.starts_with(&[0xfe, 0xff]);
    // Without a mark: every other byte of ASCII text is zero.
    let wide = matches!(content, [0, high, 0, _, ..] | [high, 0, _, 0, ..] if *high != 0);
    (marked || wide).then_some(Problem::Utf16)
}

/// All PEM blocks of a file, in order.
pub(super) fn blocks(content: &[u8]) -> Result<Vec<String>, Problem> {
    if let Some(problem) = container(content) {
        return Err(problem);
    }
    let text = text(content);
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line.starts_with("-----BEGIN") {
            found.push(block(line, &mut lines)?);
        }
    }
    Ok(found)
}

/// The content without the byte order mark that some shells and editors put in front.
fn text(content: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content))
}

/// What stands between `-----BEGIN ` and `-----`.
pub(super) fn label(block: &str) -> &str {
    block.lines().next().unwrap_or_default().trim_start_matches("-----BEGIN").trim_end_matches('-').trim()
}

fn block<'a>(begin: &str, lines: &mut impl Iterator<Item = &'a str>) -> Result<String, Problem> {
    // It may hold a key: a buffer that grew would leave copies behind that nothing overwrites.
    let mut block = String::with_capacity(BLOCK);
    block.push_str(begin);
    block.push('\n');
    for line in lines {
        block.push_str(line);
        block.push('\n');
        if line.starts_with("-----END") {
            return Ok(block);
        }
    }
    Err(Problem::UnterminatedPem)
}

/// Whether the line starts with a type such as `ssh-rsa-cert-v01@openssh.com`.
fn is_ssh_certificate(line: &str) -> bool {
    let kind = line.split_ascii_whitespace().next().unwrap_or_default();
    kind.strip_suffix("@openssh.com").and_then(|kind| kind.rsplit_once("-cert-v")).is_some_and(
        |(algorithm, version)| {
            version.len() == 2
                && version.bytes().all(|byte| byte.is_ascii_digit())
                && !algorithm.is_empty()
                && algorithm.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pem(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn pem_blocks_are_told_apart_by_their_order_and_ssh_lines_may_stand_anywhere() {
        let text = [
            "@cert-authority a,*.a ssh-rsa AAAA type=host\n".to_owned(),
            pem("RSA PRIVATE KEY", "k"),
            "some note\n".to_owned(),
            pem("CERTIFICATE", "leaf"),
            pem("CERTIFICATE", "ca1"),
            "ssh-rsa-cert-v01@openssh.com first\n".to_owned(),
            pem("CERTIFICATE", "ca2"),
            "ecdsa-sha2-nistp256-cert-v01@openssh.com second\n".to_owned(),
        ]
        .concat();
        let pieces = split(text.as_bytes()).unwrap();
        assert_eq!(label(&pieces.key.unwrap()), "RSA PRIVATE KEY");
        assert!(pieces.certificate.unwrap().contains("leaf"));
        assert_eq!(pieces.authorities.len(), 2);
        assert_eq!(pieces.ssh_authorities.len(), 1);
        assert_eq!(
            pieces.ssh_certificate.unwrap(),
            "ecdsa-sha2-nistp256-cert-v01@openssh.com second",
            "the last one wins"
        );
    }

    #[test]
    fn carriage_returns_and_trailing_spaces_do_not_matter() {
        let text = pem("PRIVATE KEY", "k").replace('\n', " \t\r\n");
        assert_eq!(*split(text.as_bytes()).unwrap().key.unwrap(), pem("PRIVATE KEY", "k"));
    }

    #[test]
    fn a_byte_order_mark_does_not_hide_the_key() {
        let text = format!("\u{feff}{}", pem("PRIVATE KEY", "k"));
        assert_eq!(*split(text.as_bytes()).unwrap().key.unwrap(), pem("PRIVATE KEY", "k"));
        assert_eq!(blocks(text.as_bytes()).unwrap().len(), 1);
    }

    #[test]
    fn lines_of_a_log_around_an_identity_do_not_matter() {
        let text = format!("INFO signing\r\n{}The credentials have been written\r\n", pem("PRIVATE KEY", "k"));
        assert_eq!(*split(text.as_bytes()).unwrap().key.unwrap(), pem("PRIVATE KEY", "k"));
    }

    #[test]
    fn an_archive_and_wide_text_are_told_from_an_identity() {
        let text = pem("PRIVATE KEY", "k");
        let mut tar = vec![0; 512];
        tar[..8].copy_from_slice(b"auth.pem");
        tar[257..262].copy_from_slice(b"ustar");
        tar.extend(text.bytes());
        assert!(matches!(container(&tar), Some(Problem::Archive)));
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for wide in [little.clone(), big.clone(), [vec![0xff, 0xfe], little].concat(), [vec![0xfe, 0xff], big].concat()]
        {
            assert!(matches!(container(&wide), Some(Problem::Utf16)), "{wide:?}");
        }
        assert!(container(text.as_bytes()).is_none());
        assert!(container(b"\xef\xbb\xbf-----BEGIN").is_none());
        assert!(container(b"").is_none());
    }

    #[test]
    fn a_block_cut_short_is_refused() {
        assert!(matches!(split(b"-----BEGIN CERTIFICATE-----\nabc\n"), Err(Problem::UnterminatedPem)));
    }

    #[test]
    fn only_certificate_types_are_taken_for_the_ssh_certificate() {
        assert!(is_ssh_certificate("ssh-ed25519-cert-v01@openssh.com AAAA"));
        for line in
            ["ssh-ed25519 AAAA", "", "-cert-v01@openssh.com A", "SSH-rsa-cert-v01@openssh.com", "a-cert-v1@openssh.com"]
        {
            assert!(!is_ssh_certificate(line), "{line}");
        }
    }
}
