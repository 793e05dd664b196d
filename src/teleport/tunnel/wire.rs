//! SSH's data types (RFC 4251, section 5).

/// Bytes that do not decode: the peer's message or a file's key is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged ssh data")]
pub(crate) struct Damaged;

/// Takes values off the front of a message.
#[derive(Clone)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Damaged> {
        self.take(1)?.first().copied().ok_or(Damaged)
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, Damaged> {
        Ok(self.byte()? != 0)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damaged> {
        self.take(4)?.try_into().map(u32::from_be_bytes).map_err(|_| Damaged)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damaged> {
        self.take(8)?.try_into().map(u64::from_be_bytes).map_err(|_| Damaged)
    }

    pub(crate) fn string(&mut self) -> Result<&'a [u8], Damaged> {
        let length = usize::try_from(self.u32()?).map_err(|_| Damaged)?;
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Damaged> {
        std::str::from_utf8(self.string()?).map_err(|_| Damaged)
    }

    /// A positive multiple precision integer, without leading zeros.
    pub(crate) fn mpint(&mut self) -> Result<&'a [u8], Damaged> {
        let bytes = self.string()?;
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            return Err(Damaged); // negative
        }
        Ok(without_leading_zeros(bytes))
    }

    /// A comma separated list of names.
    pub(crate) fn names(&mut self) -> Result<Vec<&'a str>, Damaged> {
        Ok(self.text()?.split(',').filter(|name| !name.is_empty()).collect())
    }

    pub(crate) fn finish(self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged) }
    }
}

/// Appends values to a message.
#[derive(Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A message starts with its number.
    pub(crate) fn message(number: u8) -> Self {
        Self(vec![number])
    }

    pub(crate) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn boolean(self, value: bool) -> Self {
        self.byte(u8::from(value))
    }

    pub(crate) fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// Strings of 4 GiB and more do not occur here.
    pub(crate) fn string(self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX)).raw(bytes)
    }

    /// A positive integer from its big-endian bytes.
    pub(crate) fn mpint(self, bytes: &[u8]) -> Self {
        let bytes = without_leading_zeros(bytes);
        if bytes.first().is_some_and(|first| first & 0x80 != 0) {
            let mut padded = Vec::with_capacity(bytes.len() + 1);
            padded.push(0);
            padded.extend_from_slice(bytes);
            self.string(padded)
        } else {
            self.string(bytes)
        }
    }

    pub(crate) fn names(self, names: &[&str]) -> Self {
        self.string(names.join(","))
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::teleport::tunnel::wire::*;

    #[test]
    fn integers_are_written_with_the_shortest_form_and_stay_positive() {
        // The examples of RFC 4251, section 5.
        assert_eq!(Writer::default().mpint(&[0]).done(), [0, 0, 0, 0]);
        assert_eq!(Writer::default().mpint(&[0, 0x80]).done(), [0, 0, 0, 2, 0, 0x80]);
        assert_eq!(Writer::default().mpint(&[0x09, 0xa3, 0x78]).done(), [0, 0, 0, 3, 0x09, 0xa3, 0x78]);
        assert_eq!(Reader::new(&[0, 0, 0, 2, 0, 0x80]).mpint().unwrap(), [0x80]);
        assert_eq!(Reader::new(&[0, 0, 0, 1, 0x80]).mpint(), Err(Damaged), "negative");
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Reader::new(&[0, 0, 0, 9, 1]).string(), Err(Damaged));
        assert_eq!(Reader::new(&[0, 0]).u32(), Err(Damaged));
        assert_eq!(Reader::new(&[255, 255, 255, 255]).string(), Err(Damaged));
    }
}
