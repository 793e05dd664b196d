//! Plugin data of a whole cluster, record by record as it arrives.
//!
//! `GetPluginData` answers with every plugin's data of every request in one message without pages. tonic would hold that
//! message whole before it decodes the first byte, so this call is made on the channel itself: a record is decoded when its
//! last byte is there, and dropped but for this plugin's entry. Memory is bounded by one record, whatever the cluster holds.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost::encoding::{WireType, decode_varint};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service as _, ServiceExt as _};

use crate::teleport::pb::types;

/// The call.
const PATH: &str = "/proto.AuthService/GetPluginData";
/// gRPC's prefix of a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Longer than a record can be: Teleport refuses those of more than 1,000,000 bytes (`MaxResourceSize`).
const LONGEST_RECORD: usize = 4 * 1024 * 1024;
/// A tag and a length take at most this many bytes.
const LONGEST_HEAD: usize = 20;
/// The field of `proto.PluginDataSeq` that holds the records.
const RECORDS: u64 = 1;

/// Reads all records that the filter selects, and gives each to `take`.
pub(super) async fn read(
    mut channel: Channel,
    filter: types::PluginDataFilter,
    deadline: Duration,
    mut take: impl FnMut(types::PluginDataV3),
) -> Result<(), Status> {
    let broken = |error: tonic::transport::Error| Status::from_error(Box::new(error));
    let answer = channel.ready().await.map_err(broken)?.call(request(&filter, deadline)?).await.map_err(broken)?;
    let (head, mut body) = answer.into_parts();
    // An answer that is an error may have no body.
    ended(&head.headers)?;
    let mut records = Records::default();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => {
                records.push(&data);
                while let Some(record) = records.next()? {
                    take(record);
                }
            }
            Err(rest) => {
                if let Ok(trailers) = rest.into_trailers() {
                    ended(&trailers)?;
                }
            }
        }
    }
    records.end()
}

fn request(filter: &types::PluginDataFilter, deadline: Duration) -> Result<http::Request<Body>, Status> {
    let message = filter.encode_to_vec();
    let length = u32::try_from(message.len()).map_err(|_| Status::invalid_argument("the filter is too long"))?;
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(length);
    framed.put_slice(&message);
    let mut request = http::Request::new(Body::new(Full::new(framed.freeze())));
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = http::Uri::from_static(PATH);
    let headers = request.headers_mut();
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let timeout = HeaderValue::try_from(format!("{}S", deadline.as_secs()));
    headers.insert("grpc-timeout", timeout.map_err(|_| Status::internal("no header"))?);
    Ok(request)
}

/// The error that the headers or trailers hold, if so.
fn ended(headers: &http::HeaderMap) -> Result<(), Status> {
    Status::from_header_map(headers).filter(|status| status.code() != Code::Ok).map_or(Ok(()), Err)
}

/// The records in one gRPC message of the type `proto.PluginDataSeq`, from bytes as they arrive.
#[derive(Default)]
struct Records {
    buffer: BytesMut,
    /// How much of the message has not been read yet; `None` before its prefix.
    left: Option<usize>,
    /// How much of a field of another number is still to be skipped.
    skip: usize,
}

impl Records {
    fn push(&mut self, data: &Bytes) {
        self.buffer.extend_from_slice(data);
    }

    /// The next record that is there whole.
    fn next(&mut self) -> Result<Option<types::PluginDataV3>, Status> {
        loop {
            let skipped = self.skip.min(self.buffer.len());
            self.consume(skipped);
            self.skip -= skipped;
            let Some(left) = self.left else {
                if !self.read_prefix()? {
                    return Ok(None);
                }
                continue;
            };
            if self.skip > 0 || left == 0 {
                return Ok(None);
            }
            let Some(Field { number, head, length }) = self.field(left)? else { return Ok(None) };
            if number != RECORDS {
                self.consume(head);
                self.skip = length;
                continue;
            }
            if length > LONGEST_RECORD {
                return Err(Status::out_of_range(format!("a record of plugin data has {length} bytes")));
            }
            if self.buffer.len() < head + length {
                self.buffer.reserve(head + length - self.buffer.len());
                return Ok(None);
            }
            self.consume(head);
            let record = self.buffer.split_to(length).freeze();
            self.left = self.left.map(|left| left - length);
            return types::PluginDataV3::decode(record).map(Some).map_err(|_| malformed());
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }

    fn read_prefix(&mut self) -> Result<bool, Status> {
        let Some(mut prefix) = self.buffer.get(..PREFIX) else { return Ok(false) };
        if prefix.get_u8() != 0 {
            return Err(Status::internal("the answer is compressed, which was not asked for"));
        }
        self.left = Some(usize::try_from(prefix.get_u32()).map_err(|_| malformed())?);
        self.buffer.advance(PREFIX);
        Ok(true)
    }

    /// The field at the beginning of the buffer; `None` while its head is not there whole.
    fn field(&self, left: usize) -> Result<Option<Field>, Status> {
        let mut rest = self.buffer.get(..self.buffer.len().min(left)).unwrap_or_default();
        let available = rest.len();
        let is_whole = available >= LONGEST_HEAD.min(left);
        let read = |rest: &mut &[u8]| match decode_varint(rest) {
            Ok(value) => Ok(Some(value)),
            Err(_) if is_whole => Err(malformed()),
            Err(_) => Ok(None),
        };
        let Some(tag) = read(&mut rest)? else { return Ok(None) };
        let after_tag = available - rest.len();
        let wire_type = WireType::try_from(tag & 7).map_err(|_| malformed())?;
        let length = match wire_type {
            WireType::Varint => match read(&mut rest)? {
                Some(_) => available - rest.len() - after_tag,
                None => return Ok(None),
            },
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => match read(&mut rest)? {
                Some(length) => usize::try_from(length).map_err(|_| malformed())?,
                None => return Ok(None),
            },
            WireType::StartGroup | WireType::EndGroup => return Err(malformed()),
        };
        let head = if wire_type == WireType::LengthDelimited { available - rest.len() } else { after_tag };
        if head.checked_add(length).is_none_or(|end| end > left) {
            return Err(malformed());
        }
        Ok(Some(Field { number: tag >> 3, head, length }))
    }

    /// Whether the message was there whole.
    fn end(&self) -> Result<(), Status> {
        if self.left == Some(0) { Ok(()) } else { Err(Status::unavailable("the answer was cut off")) }
    }
}

/// One field of a message.
struct Field {
    number: u64,
    /// The length of its tag, and of its length where it has one.
    head: usize,
    /// The length of what follows.
    length: usize,
}

fn malformed() -> Status {
    Status::internal("the answer is no list of plugin data")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teleport::pb::proto;

    fn record(name: &str, bytes: usize) -> types::PluginDataV3 {
        let data = [("key".to_owned(), "x".repeat(bytes))].into();
        let entries = [("other".to_owned(), types::PluginDataEntry { data })].into();
        types::PluginDataV3 {
            metadata: Some(types::Metadata { name: name.to_owned(), ..Default::default() }),
            spec: Some(types::PluginDataSpecV3 { entries }),
            ..Default::default()
        }
    }

    fn framed(message: &[u8]) -> Bytes {
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(message.len()).unwrap());
        framed.put_slice(message);
        framed.freeze()
    }

    /// The names that are read from pieces of `size` bytes.
    fn names(body: &Bytes, size: usize) -> Vec<String> {
        let (mut records, mut names) = (Records::default(), Vec::new());
        for piece in body.chunks(size) {
            records.push(&Bytes::copy_from_slice(piece));
            while let Some(record) = records.next().unwrap() {
                names.push(record.metadata.unwrap().name);
            }
        }
        records.end().unwrap();
        names
    }

    #[test]
    fn records_are_read_however_the_bytes_arrive() {
        let sequence =
            proto::PluginDataSeq { plugin_data: vec![record("a", 300), record("b", 0), record("c", 70_000)] };
        let body = framed(&sequence.encode_to_vec());
        for size in [1, 2, 7, 100, 16_384, body.len()] {
            assert_eq!(names(&body, size), ["a", "b", "c"], "{size}");
        }
        assert_eq!(names(&framed(&[]), 1), [""; 0]);
    }

    #[test]
    fn fields_of_newer_servers_are_skipped() {
        let mut message = BytesMut::new();
        message.put_slice(&[2 << 3, 0x80, 1]); // a number
        message.put_slice(&[(3 << 3) | 1, 1, 2, 3, 4, 5, 6, 7, 8]); // eight bytes
        message.put_slice(&[(4 << 3) | 5, 1, 2, 3, 4]); // four bytes
        message.put_slice(&[(5 << 3) | 2, 3, 1, 2, 3]); // a string
        message.put_slice(&proto::PluginDataSeq { plugin_data: vec![record("a", 3)] }.encode_to_vec());
        message.put_slice(&[2 << 3, 1]);
        let body = framed(&message);
        for size in [1, 3, body.len()] {
            assert_eq!(names(&body, size), ["a"], "{size}");
        }
    }

    #[test]
    fn memory_is_bounded_by_one_record_whatever_the_cluster_holds() {
        const RECORD: usize = 500_000;
        const PIECE: usize = 16_384;
        let element = proto::PluginDataSeq { plugin_data: vec![record("a", RECORD)] }.encode_to_vec();
        let total = element.len() * 140;
        let mut records = Records::default();
        let mut prefix = vec![0];
        prefix.extend(u32::try_from(total).unwrap().to_be_bytes());
        records.push(&Bytes::from(prefix));
        let (mut count, mut most) = (0, 0);
        for _ in 0..140 {
            for piece in element.chunks(PIECE) {
                records.push(&Bytes::copy_from_slice(piece));
                most = most.max(records.buffer.len()).max(records.buffer.capacity());
                while records.next().unwrap().is_some() {
                    count += 1;
                }
            }
        }
        records.end().unwrap();
        assert_eq!(count, 140, "of {} MiB", total / 1024 / 1024);
        assert!(most < 3 * RECORD, "{most} bytes");
    }

    #[test]
    fn an_answer_that_is_cut_off_or_malformed_is_an_error() {
        let body = framed(&proto::PluginDataSeq { plugin_data: vec![record("a", 300)] }.encode_to_vec());
        let mut records = Records::default();
        records.push(&body.slice(..body.len() - 1));
        assert!(records.next().unwrap().is_none());
        assert_eq!(records.end().unwrap_err().code(), Code::Unavailable);
        for wrong in [&[0xff; 30][..], &[0x0a, 0x7f, 1], &[0x0b]] {
            let mut records = Records::default();
            records.push(&framed(wrong));
            assert!(records.next().is_err(), "{wrong:?}");
        }
        let mut records = Records::default();
        records.push(&Bytes::from_static(&[0, 0x7f, 0xff, 0xff, 0xff, 0x0a, 0x80, 0x80, 0x80, 0x08]));
        records.push(&Bytes::from_static(&[0; LONGEST_HEAD]));
        assert_eq!(records.next().unwrap_err().code(), Code::OutOfRange);
    }
}
