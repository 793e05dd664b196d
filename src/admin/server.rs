//! The server of the endpoints: bounded in connections, in the size of a request and in time.
//!
//! It has a thread of its own: `/livez` answers, and says what is stuck, while the work's thread does not come round.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::admin::access::Channel;
use crate::admin::connections::{Connections, Id};
use crate::admin::tls::Certificates;
use crate::descriptors;

/// Open connections at a time: kubelet and Prometheus need a handful.
const CONNECTIONS: usize = 64;
/// From the connection to the end of its only answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a request's head; a Kubernetes token takes one or two thousand.
const HEAD_LIMIT: usize = 16 * 1024;
/// Bytes that the kernel keeps of what a connection sent and was not read yet; they count towards the container's memory.
const RECEIVE_BUFFER: u32 = 16 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 256;
/// After a failure to accept that does not pass at once.
const PAUSE: Duration = Duration::from_millis(50);
/// How long open connections may go on when the process ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// The endpoints cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} for /livez, /readyz and /metrics: {source}; choose another HOST:PORT with --diag-addr"
)]
pub struct BindError {
    address: String,
    source: io::Error,
}

/// A bound address that serves nothing yet: what can fail at start has happened.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    ended: oneshot::Receiver<()>,
}

impl Server {
    /// Waits until the server has ended.
    pub async fn ended(self) {
        // An error says that the thread is gone.
        let _ = self.ended.await;
    }
}

impl Listener {
    /// Binds `HOST:PORT`, or `:PORT` for all addresses of the machine, as Teleport's own daemons take it.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        let bound = match address.strip_prefix(':') {
            None => listen(address).await,
            Some(port) => match listen(&format!("[::]:{port}")).await {
                // A machine without IPv6.
                Err(_) => listen(&format!("0.0.0.0:{port}")).await,
                bound => bound,
            },
        };
        // The server's thread takes it up in a runtime of its own.
        match bound.and_then(TcpListener::into_std) {
            Ok(listener) => Ok(Self { listener }),
            Err(source) => Err(BindError { address: address.to_owned(), source }),
        }
    }

    /// The address with the port that port 0 became.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves on a thread of its own until told to stop. Connections may be encrypted if there are certificates.
    pub fn serve(
        self,
        router: Router,
        certificates: Option<Certificates>,
        stop: CancellationToken,
    ) -> io::Result<Server> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, ended) = oneshot::channel();
        let listener = {
            let _in_runtime = runtime.enter();
            TcpListener::from_std(self.listener)?
        };
        let service = Service { router, certificates };
        thread::Builder::new().name("diag".to_owned()).spawn(move || {
            runtime.block_on(accept(listener, service, stop));
            let _ = sender.send(());
        })?;
        Ok(Server { ended })
    }
}

/// Listens on the first address of the name that can be bound.
async fn listen(address: &str) -> io::Result<TcpListener> {
    let mut failure = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in tokio::net::lookup_host(address).await? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted connections inherit it.
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What a connection is served with.
#[derive(Clone)]
struct Service {
    router: Router,
    certificates: Option<Certificates>,
}

/// The open connections and their tasks.
struct Open {
    connections: Connections,
    tasks: JoinSet<Id>,
    handles: HashMap<Id, AbortHandle>,
}

impl Open {
    fn admit(&mut self, stream: TcpStream, address: SocketAddr, service: Service) {
        let (id, evicted) = self.connections.admit(address.ip());
        if let Some(evicted) = evicted {
            self.close(evicted);
        }
        let task = self.tasks.spawn(async move {
            let _ = timeout(DEADLINE, serve(stream, service)).await;
            id
        });
        self.handles.insert(id, task);
    }

    fn close(&mut self, id: Id) {
        if let Some(handle) = self.handles.remove(&id) {
            handle.abort();
        }
    }

    fn ended(&mut self, id: Id) {
        self.connections.ended(id);
        self.handles.remove(&id);
    }

    /// Frees a descriptor for the connection that waits to be accepted; false if there is none to free.
    fn free_descriptor(&mut self) -> bool {
        let evicted = self.connections.evict();
        if let Some(id) = evicted {
            self.close(id);
        }
        evicted.is_some()
    }
}

async fn accept(listener: TcpListener, service: Service, stop: CancellationToken) {
    let mut open =
        Open { connections: Connections::up_to(CONNECTIONS), tasks: JoinSet::new(), handles: HashMap::new() };
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = open.tasks.join_next() => {
                // Of one that was closed for another, nothing is left to note.
                if let Ok(id) = ended {
                    open.ended(id);
                }
                continue;
            }
            accepted = accept_one(&listener) => accepted,
        };
        match accepted {
            Ok((stream, address)) => open.admit(stream, address, service.clone()),
            Err(error) if descriptors::are_exhausted(&error) && open.free_descriptor() => {}
            Err(_) => sleep(PAUSE).await,
        }
        // What a probe asks is there already when its connection is accepted: it is answered before the next connection comes in.
        yield_now().await;
    }
    drop(listener);
    let _ = timeout(FAREWELL, async { while open.tasks.join_next().await.is_some() {} }).await;
}

/// Accepts a connection, with a descriptor of the reserve if there is no other.
async fn accept_one(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Err(error) if descriptors::are_exhausted(&error) => {
            poll_fn(|context| descriptors::with_reserve(|| listener.poll_accept(context))).await
        }
        accepted => accepted,
    }
}

/// Serves one request.
async fn serve(stream: TcpStream, service: Service) -> io::Result<()> {
    let Service { router, certificates } = service;
    if let Some(certificates) = certificates
        && begins_handshake(&stream).await?
    {
        let stream = certificates.acceptor().accept(stream).await?;
        return answer(stream, router, Channel::Encrypted).await;
    }
    answer(stream, router, Channel::Plain).await
}

/// Whether the client speaks TLS: no HTTP request begins with this byte (RFC 8446, 5.1).
async fn begins_handshake(stream: &TcpStream) -> io::Result<bool> {
    const HANDSHAKE: u8 = 22;
    let mut first = [0];
    Ok(stream.peek(&mut first).await? == 1 && first == [HANDSHAKE])
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    channel: Channel,
) -> io::Result<()> {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(channel);
        router.clone().oneshot(request)
    });
    let mut server = http1::Builder::new();
    server.keep_alive(false).max_buf_size(HEAD_LIMIT);
    server.serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;
    use crate::admin::access::Access;
    use crate::admin::{Health, router};
    use crate::metrics::Metrics;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A server, its address, and what stops it.
    async fn start() -> (Server, SocketAddr, CancellationToken) {
        let listener = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let router = router(Health::default(), Metrics::new(), Access::default());
        (listener.serve(router, None, stop.clone()).unwrap(), address, stop)
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What comes until the server closes the connection.
    fn rest(mut stream: &TcpStream) -> String {
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }

    fn ask(address: SocketAddr) -> String {
        let mut stream = connect(address);
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        rest(&stream)
    }

    /// The test's own thread does not come round meanwhile.
    #[tokio::test]
    async fn the_server_answers_while_the_works_thread_is_busy() {
        let (server, address, stop) = start().await;
        assert!(ask(address).starts_with("HTTP/1.1 200 "));
        stop.cancel();
        server.ended().await;
        assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
    }

    #[tokio::test]
    async fn a_silent_connection_makes_room_for_another() {
        let (_server, address, stop) = start().await;
        let silent: Vec<_> = (0..CONNECTIONS).map(|_| connect(address)).collect();
        assert!(ask(address).starts_with("HTTP/1.1 200 "));
        let oldest = silent.first().unwrap();
        oldest.set_read_timeout(Some(DEADLINE / 2)).unwrap();
        assert_eq!((&*oldest).read(&mut [0]).unwrap_or(0), 0, "it was closed long before its deadline");
        stop.cancel();
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_is_closed_in_time() {
        let (_server, address, stop) = start().await;
        let started = std::time::Instant::now();
        assert_eq!(rest(&connect(address)), "");
        assert!((DEADLINE..PATIENCE).contains(&started.elapsed()), "{:?}", started.elapsed());
        stop.cancel();
    }

    #[tokio::test]
    async fn a_request_without_end_is_refused_and_not_kept() {
        let (_server, address, stop) = start().await;
        let mut stream = connect(address);
        stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        let lines = (0..).take_while(|_| stream.write_all(line.as_bytes()).is_ok()).take(4096).count();
        assert!(lines < 4096, "a header of {lines} kB was read");
        stop.cancel();
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_in_one_line() {
        let first = Listener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap().to_string();
        let error = Listener::bind(&address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address} ")), "{error}");
        assert!(!error.contains('\n'));
    }

    #[tokio::test]
    async fn a_port_alone_means_every_address() {
        let listener = Listener::bind(":0").await.unwrap();
        assert!(listener.local_addr().unwrap().ip().is_unspecified());
        assert!(Listener::bind(":http?").await.is_err());
    }
}
