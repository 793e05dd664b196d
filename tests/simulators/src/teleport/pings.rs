//! Keepalive enforcement, as gRPC servers written in Go do it: too many pings in a row, closer together than allowed,
//! end the connection. hyper and h2 answer pings silently, so they are counted on the decrypted bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::journal::Journal;

const PREFACE: usize = 24;
const HEADER: usize = 9;
const PING: u8 = 6;
const ACK: u8 = 1;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
/// More than this many pings that come too early end the connection. Source: grpc-go.
const STRIKES: u32 = 2;

/// Follows the frames in one direction of an HTTP/2 connection.
struct Frames {
    /// Bytes until the next frame header.
    skip: usize,
    header: Vec<u8>,
}

impl Frames {
    fn new(skip: usize) -> Self {
        Self { skip, header: Vec::with_capacity(HEADER) }
    }

    /// Whether the next byte begins a frame.
    fn at_boundary(&self) -> bool {
        self.skip == 0 && self.header.is_empty()
    }

    /// Calls `seen` with type and flags of each frame whose header is complete.
    fn feed(&mut self, mut bytes: &[u8], mut seen: impl FnMut(u8, u8)) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let wanted = (HEADER - self.header.len()).min(bytes.len());
            if self.skip > 0 || wanted == 0 {
                continue;
            }
            let (head, rest) = bytes.split_at(wanted);
            self.header.extend_from_slice(head);
            bytes = rest;
            if let [a, b, c, kind, flags, ..] = *self.header.as_slice()
                && self.header.len() == HEADER
            {
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.header.clear();
                seen(kind, flags);
            }
        }
    }

    /// How many of `bytes` belong to the frame under way.
    fn rest_of_frame(&self, bytes: &[u8]) -> usize {
        if self.header.is_empty() { self.skip.min(bytes.len()) } else { bytes.len() }
    }
}

/// Counts pings.
struct Strikes {
    min_time: Duration,
    last: Option<Instant>,
    count: u32,
}

impl Strikes {
    /// Data or headers sent by the server make up for pings.
    fn forgive(&mut self) {
        self.count = 0;
        self.last = None;
    }

    /// Whether this ping came too early.
    fn ping(&mut self, now: Instant) -> bool {
        let early = self.last.is_some_and(|last| now.duration_since(last) < self.min_time);
        self.last = Some(now);
        self.count += u32::from(early);
        early
    }

    fn are_out(&self) -> bool {
        self.count > STRIKES
    }
}

/// A connection whose pings are counted.
pub(crate) struct Counted<I> {
    io: I,
    incoming: Frames,
    outgoing: Frames,
    strikes: Strikes,
    /// What is left of the farewell to a client that pinged too often.
    farewell: Option<Vec<u8>>,
    journal: Journal,
    user: String,
}

impl<I> Counted<I> {
    pub(crate) fn new(io: I, min_time: Duration, journal: Journal, user: String) -> Self {
        Self {
            io,
            incoming: Frames::new(PREFACE),
            outgoing: Frames::new(0),
            strikes: Strikes { min_time, last: None, count: 0 },
            farewell: None,
            journal,
            user,
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let (strikes, journal, user) = (&mut self.strikes, &self.journal, &self.user);
        self.incoming.feed(bytes, |kind, flags| {
            if kind == PING && flags & ACK == 0 && strikes.ping(Instant::now()) {
                let allowed = strikes.min_time;
                journal.violation(user, "connection", format!("pinged again before {allowed:?} had passed"));
            }
        });
        if self.strikes.are_out() && self.farewell.is_none() {
            self.farewell = Some(goaway());
        }
    }
}

/// A GOAWAY frame: last stream unknown, `ENHANCE_YOUR_CALM`, `too_many_pings`.
fn goaway() -> Vec<u8> {
    const REASON: &[u8] = b"too_many_pings";
    let mut frame = vec![0, 0, 22, 7, 0, 0, 0, 0, 0];
    frame.extend_from_slice(&0x7fff_ffff_u32.to_be_bytes());
    frame.extend_from_slice(&0xb_u32.to_be_bytes());
    frame.extend_from_slice(REASON);
    frame
}

impl<I: AsyncRead + Unpin> AsyncRead for Counted<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let bytes = buf.filled().get(before..).unwrap_or_default();
        self.received(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Counted<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let mut allowed = bytes;
        if let Some(farewell) = &mut this.farewell {
            if this.outgoing.at_boundary() {
                while !farewell.is_empty() {
                    let written = ready!(Pin::new(&mut this.io).poll_write(cx, farewell))?;
                    farewell.drain(..written);
                }
                ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
                return Poll::Ready(Err(io::Error::other("too many pings from the client")));
            }
            let rest = this.outgoing.rest_of_frame(bytes);
            allowed = bytes.get(..rest).unwrap_or_default();
        }
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, allowed))?;
        let strikes = &mut this.strikes;
        this.outgoing.feed(allowed.get(..written).unwrap_or_default(), |kind, _| {
            if kind == DATA || kind == HEADERS {
                strikes.forgive();
            }
        });
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let mut bytes = vec![0_u8; PREFACE];
        bytes.extend([0, 0, 2, DATA, 0, 0, 0, 0, 1, 9, 9]);
        bytes.extend([0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        for size in 1..bytes.len() {
            let mut frames = Frames::new(PREFACE);
            let mut seen = Vec::new();
            for part in bytes.chunks(size) {
                frames.feed(part, |kind, _| seen.push(kind));
            }
            assert_eq!(seen, [DATA, PING], "cut every {size} bytes");
            assert!(frames.at_boundary());
        }
    }

    #[tokio::test]
    async fn the_farewell_names_the_reason_and_ends_the_connection() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (near, mut far) = tokio::io::duplex(4096);
        let journal = Journal::default();
        let mut counted = Counted::new(near, Duration::from_mins(1), journal.clone(), "a".to_owned());
        let mut sent = vec![0; PREFACE];
        for _ in 0..4 {
            sent.extend([0, 0, 8, PING, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        far.write_all(&sent).await.unwrap();
        counted.read_exact(&mut vec![0; sent.len()]).await.unwrap();
        counted.write_all(&[0; 17]).await.unwrap_err();
        let mut received = Vec::new();
        far.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, goaway());
        assert!(received.ends_with(b"\0\0\0\x0btoo_many_pings"));
        assert_eq!(journal.violations().len(), 3);
    }

    #[test]
    fn three_early_pings_in_a_row_are_too_many_and_an_answer_forgives_them() {
        let start = Instant::now();
        let mut strikes = Strikes { min_time: Duration::from_mins(1), last: None, count: 0 };
        let pings = |strikes: &mut Strikes| (0..4).map(|_| strikes.ping(start)).filter(|early| *early).count();
        assert_eq!(pings(&mut strikes), 3);
        assert!(strikes.are_out());
        strikes.forgive();
        assert!(!strikes.ping(start));
        assert!(!strikes.are_out());
        assert!(!strikes.ping(start + Duration::from_mins(1)));
    }
}
