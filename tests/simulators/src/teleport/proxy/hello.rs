//! Looks at a TLS client's first words without answering them, so that the connection can still go anywhere.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The application protocols that a client offers, in its order, and everything that it has sent so far.
pub(super) struct Hello {
    pub(super) protocols: Vec<String>,
    pub(super) bytes: BytesMut,
}

/// Reads until the client's hello is complete.
pub(super) async fn read<I: AsyncRead + Unpin>(io: &mut I) -> io::Result<Hello> {
    let mut acceptor = Acceptor::default();
    let mut bytes = BytesMut::with_capacity(4096);
    let mut fed = 0;
    loop {
        if io.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fresh = bytes.get(fed..).unwrap_or_default();
        while !fresh.is_empty() {
            fed += acceptor.read_tls(&mut fresh)?;
            let accepted = acceptor.accept().map_err(|(error, _)| io::Error::other(error))?;
            if let Some(accepted) = accepted {
                let hello = accepted.client_hello();
                let protocols =
                    hello.alpn().into_iter().flatten().map(|name| String::from_utf8_lossy(name).into_owned());
                return Ok(Hello { protocols: protocols.collect(), bytes });
            }
        }
    }
}

/// A stream whose first bytes have been read already.
pub(super) struct Rewound<I> {
    pub(super) first: BytesMut,
    pub(super) io: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.first.len().min(buf.remaining());
        buf.put_slice(self.first.get(..count).unwrap_or_default());
        self.first.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    /// Passed on, because rustls has one write for an answer and the alert after it.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
