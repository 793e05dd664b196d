//! The listener. Connections are served by hand, so that one can be closed without an answer.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handle::Handle;
use super::http;
use super::workspace::Workspace;

/// A running simulated Slack. Dropping it ends it.
pub struct Server {
    handle: Handle,
    address: SocketAddr,
    tasks: TaskTracker,
}

impl Server {
    /// Starts on a free port of 127.0.0.1.
    pub async fn start(workspace: Workspace) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), workspace).await
    }

    /// Starts on the given address.
    pub async fn start_at(address: SocketAddr, workspace: Workspace) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let handle = Handle::new(workspace.world);
        // Set once, before anybody can ask.
        let _ = handle.0.base.set(format!("http://{address}"));
        let tasks = TaskTracker::new();
        tasks.spawn(accept(listener, handle.clone(), tasks.clone()));
        Ok(Self { handle, address, tasks })
    }

    /// Base URL of the Web API: `http://127.0.0.1:PORT/api/`.
    pub fn url(&self) -> String {
        format!("http://{}/api/", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// In-process access.
    pub fn workspace(&self) -> &Handle {
        &self.handle
    }

    /// Ends all connections and waits for them. Sockets of Socket Mode that are open now count as violations, because a client closes
    /// them first.
    pub async fn shutdown(&self) {
        self.handle.note_loose_ends();
        self.handle.0.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// See [`Handle::assert_no_violations`].
    ///
    /// # Panics
    /// When there are violations.
    pub fn assert_no_violations(&self) {
        self.handle.assert_no_violations();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.handle.0.stop.cancel();
        self.tasks.close();
    }
}

async fn accept(listener: TcpListener, handle: Handle, tasks: TaskTracker) {
    let stop = handle.0.stop.clone();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) => drop(tasks.spawn(serve(stream, handle.clone()))),
            // Out of file descriptors, most likely: some will come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// What a handler can do to the connection that its request came over.
#[derive(Clone)]
pub(super) struct Connection(Arc<State>);

struct State {
    abort: CancellationToken,
    served: AtomicU32,
    busy: AtomicU32,
    changed: Notify,
}

impl Connection {
    pub(super) fn new() -> Self {
        Self(Arc::new(State {
            abort: CancellationToken::new(),
            served: AtomicU32::new(0),
            busy: AtomicU32::new(0),
            changed: Notify::new(),
        }))
    }

    /// Closes the connection at once; whoever waits for an answer gets none.
    pub(super) async fn abort<T>(&self) -> T {
        self.0.abort.cancel();
        std::future::pending().await
    }

    /// Counts a request that is being served, until the guard is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn idle(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed) == 0
    }
}

/// See [`Connection::begin`].
pub(super) struct Busy(Connection);

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.busy.fetch_sub(1, Ordering::Relaxed);
        state.served.fetch_add(1, Ordering::Relaxed);
        state.changed.notify_one();
    }
}

async fn serve(stream: TcpStream, handle: Handle) {
    // Answers are small; waiting for more would only add latency.
    let _ = stream.set_nodelay(true);
    let connection = Connection::new();
    let stop = handle.0.stop.clone();
    let service = TowerToHyperService::new(http::router(handle.clone(), connection.clone()));
    let server = auto::Builder::new(TokioExecutor::new());
    let serving = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::select! {
        // An error here is the client's going away.
        _ = serving => {}
        () = stop.cancelled() => {}
        () = connection.0.abort.cancelled() => {}
        () = outlived(&handle, &connection) => {}
    }
}

/// Returns when the settings want this keep-alive connection closed without notice.
async fn outlived(handle: &Handle, connection: &Connection) {
    /// Time for the last answer to leave.
    const LEAVING: Duration = Duration::from_millis(20);
    loop {
        connection.0.changed.notified().await;
        let (most, idle) = handle.read(|w| (w.settings.requests_per_connection, w.settings.idle_connection));
        let served = connection.0.served.load(Ordering::Relaxed);
        let wait = if most.is_some_and(|most| served >= most) { Some(LEAVING) } else { idle };
        let Some(wait) = wait else { continue };
        tokio::time::sleep(wait).await;
        if connection.idle() && connection.0.served.load(Ordering::Relaxed) == served {
            return;
        }
        connection.0.changed.notify_one();
    }
}
