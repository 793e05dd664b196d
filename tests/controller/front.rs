//! What stands before the API server: a balancer whose connections come about, and lead nowhere while the API server is away.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards connections while it is open.
pub struct Front {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
}

impl Front {
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(forward(stream, port, is_open.clone()));
            }
        });
        Self { address, open }
    }

    /// Ends every connection; new ones come about and stay silent.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Forwards new connections. Those that were silent stay so: nothing behind them knows of them.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn forward(mut stream: TcpStream, port: u16, mut is_open: watch::Receiver<bool>) {
    if !*is_open.borrow_and_update() {
        // The client gives up.
        let _ = stream.readable().await;
        std::future::pending::<()>().await;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut stream, &mut server) => {}
        _ = is_open.wait_for(|open| !open) => {}
    }
}
