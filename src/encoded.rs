//! Content that was encoded in base64 once more than needed: the commonest mistake with Secrets, whose `data` is encoded, and
//! whose `stringData` is not. Pure.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Some leave the padding away.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Nobody encodes by mistake more often.
const MOST: usize = 3;

/// Whether `content` is in base64, once or several times, and holds what `is_meant` recognises.
pub(crate) fn hides(content: &[u8], is_meant: impl Fn(&[u8]) -> bool) -> bool {
    std::iter::successors(decoded(content), |content| decoded(content)).take(MOST).any(|content| is_meant(&content))
}

/// Programs break the lines of what they encode.
fn decoded(content: &[u8]) -> Option<Vec<u8>> {
    let content: Vec<u8> = content.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64.decode(content).ok().filter(|decoded| !decoded.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_recognised_however_often_and_however_it_is_laid_out() {
        let is_meant = |content: &[u8]| content.starts_with(b"needle");
        let once = BASE64.encode("needle and thread\n");
        let twice = BASE64.encode(&once);
        for text in [&once, &twice, &format!("{}\n{}\n", &once[..8], &once[8..]), once.trim_end_matches('=')] {
            assert!(hides(text.as_bytes(), is_meant), "{text}");
        }
        for text in ["", "needle", "%%%", &BASE64.encode("thread")] {
            assert!(!hides(text.as_bytes(), is_meant), "{text}");
        }
    }
}
