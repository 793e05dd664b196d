//! SSH's data types (RFC 4251, section 5).

/// The message ends before its fields do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an SSH message ends before its fields do")]
pub(super) struct TooShort;

/// Reads fields off the front of a message.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], TooShort> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(TooShort)?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), TooShort> {
        self.take(count).map(drop)
    }

    pub(super) fn byte(&mut self) -> Result<u8, TooShort> {
        self.take(1)?.first().copied().ok_or(TooShort)
    }

    pub(super) fn boolean(&mut self) -> Result<bool, TooShort> {
        Ok(self.byte()? != 0)
    }

    pub(super) fn number(&mut self) -> Result<u32, TooShort> {
        let bytes = self.take(4)?.try_into().map_err(|_| TooShort)?;
        Ok(u32::from_be_bytes(bytes))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], TooShort> {
        let length = self.number()?;
        self.take(length as usize)
    }

    /// Text; what is not UTF-8 is replaced.
    pub(super) fn text(&mut self) -> Result<String, TooShort> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}

/// Builds a message.
#[derive(Clone, Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// A message of this number.
    pub(super) fn message(number: u8) -> Self {
        Self(vec![number])
    }

    pub(super) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn number(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(super) fn raw(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(value);
        self
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        self.number(u32::try_from(value.len()).unwrap_or(u32::MAX)).raw(value)
    }

    /// A positive number of any size, given as big-endian bytes.
    pub(super) fn big_number(self, value: &[u8]) -> Self {
        let start = value.iter().position(|byte| *byte != 0).unwrap_or(value.len());
        let digits = value.get(start..).unwrap_or_default();
        let mut padded = Vec::with_capacity(digits.len() + 1);
        if digits.first().is_some_and(|first| first & 0x80 != 0) {
            padded.push(0);
        }
        padded.extend_from_slice(digits);
        self.bytes(&padded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_numbers_are_minimal_and_positive() {
        assert_eq!(Writer::default().big_number(&[0, 0]).0, [0, 0, 0, 0]);
        assert_eq!(Writer::default().big_number(&[0, 0x80]).0, [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(Writer::default().big_number(&[0x7f]).0, [0, 0, 0, 1, 0x7f]);
    }

    #[test]
    fn a_message_that_ends_early_is_an_error() {
        assert_eq!(Reader(&[0, 0, 0, 9, 1]).bytes(), Err(TooShort));
        assert_eq!(Reader(&[0, 0, 0, 1, 7]).bytes(), Ok(&[7][..]));
    }
}
