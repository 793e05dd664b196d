//! A server that can go away and come back on the same address.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Mutex,
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::server::{bind, reserve};

/// One run of a server, from start to stop.
struct Run {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Starts one run on a listener; the token ends it.
type Start = Box<dyn Fn(TcpListener, CancellationToken) -> JoinHandle<()> + Send + Sync>;

/// The address stays reserved while nothing listens on it.
#[derive(Clone)]
pub(crate) struct Restartable {
    pub(crate) address: SocketAddr,
    start: Arc<Start>,
    run: Arc<Mutex<Option<Run>>>,
    all: CancellationToken,
    _held: Arc<(TcpSocket, DropGuard)>,
}

impl Restartable {
    pub(crate) async fn start(address: &str, start: Start) -> io::Result<Self> {
        let wanted = tokio::net::lookup_host(address).await?.next();
        let wanted = wanted.ok_or_else(|| io::Error::other(format!("{address}: no such host")))?;
        let reserved = reserve(wanted)?;
        let all = CancellationToken::new();
        let server = Self {
            address: reserved.local_addr()?,
            start: Arc::new(start),
            run: Arc::default(),
            all: all.clone(),
            _held: Arc::new((reserved, all.drop_guard())),
        };
        server.resume().await?;
        Ok(server)
    }

    /// Listens again; nothing happens when it does already.
    pub(crate) async fn resume(&self) -> io::Result<()> {
        let mut run = self.run.lock().await;
        if run.is_none() {
            let stop = self.all.child_token();
            let task = (self.start)(bind(self.address)?, stop.clone());
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
