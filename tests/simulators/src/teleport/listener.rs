//! A server that can go away and come back on the same address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One run of a server, from start to stop.
struct Run {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts one run on a listener; the token ends it.
pub(crate) type Start = Box<dyn Fn(TcpListener, CancellationToken) -> JoinHandle<()> + Send + Sync>;

/// An address that is taken, though nothing listens on it yet.
pub(crate) struct Reserved {
    pub(crate) address: SocketAddr,
    socket: TcpSocket,
}

impl Reserved {
    /// Serves on the address.
    pub(crate) async fn start(self, start: Start) -> io::Result<Restartable> {
        let all = CancellationToken::new();
        let server = Restartable {
            address: self.address,
            start: Arc::new(start),
            run: Arc::default(),
            all: all.clone(),
            _held: Arc::new((self.socket, all.drop_guard())),
        };
        server.resume().await?;
        Ok(server)
    }
}

/// A server on an address that stays reserved while nothing listens on it.
#[derive(Clone)]
pub(crate) struct Restartable {
    pub(crate) address: SocketAddr,
    start: Arc<Start>,
    run: Arc<Mutex<Option<Run>>>,
    all: CancellationToken,
    _held: Arc<(TcpSocket, DropGuard)>,
}

impl Restartable {
    /// Takes an address: `host:port`, port 0 for a free one.
    pub(crate) async fn reserve(address: &str) -> io::Result<Reserved> {
        let wanted = tokio::net::lookup_host(address).await?.next();
        let wanted = wanted.ok_or_else(|| io::Error::other(format!("{address}: no such host")))?;
        let socket = bind(wanted)?;
        Ok(Reserved { address: socket.local_addr()?, socket })
    }

    /// Listens again; nothing happens when it does already.
    pub(crate) async fn resume(&self) -> io::Result<()> {
        let mut run = self.run.lock().await;
        if run.is_none() {
            let stop = self.all.child_token();
            let task = (self.start)(bind(self.address)?.listen(1024)?, stop.clone());
            *run = Some(Run { stop, task });
        }
        Ok(())
    }

    /// Breaks all connections and refuses new ones.
    pub(crate) async fn stop(&self) {
        if let Some(Run { stop, task }) = self.run.lock().await.take() {
            stop.cancel();
            // A run that panicked is gone all the same.
            let _ = task.await;
        }
    }
}

/// A socket on an address that may be reserved, or may just have been left, by ourselves.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
