//! The demo: a simulated Teleport, a simulated Slack, the real worker between them, and a page that shows all three.
//!
//! ```text
//! Cluster ◀── gRPC, mutual TLS ── worker (child process) ── HTTP ──▶ Workspace
//!    │                               │ log lines                        │
//!    └──────────────▶ events ◀───────┴──────────────────────────────────┘
//!                       │ server-sent events
//!                       ▼
//!                  the page ── /slack/_sim/…, /teleport/_sim/…, /demo/… ──▶ the same three
//! ```

mod assets;
mod calls;
mod controls;
mod credentials;
mod events;
mod files;
mod page;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::credentials::Credentials;
use self::files::Files;
use self::worker::Supervisor;
use crate::slack::{self, Limits, default_workspace};
use crate::teleport::cluster::StartError;
use crate::teleport::{Cluster, Config, ProxyConfig, Role};

/// What the demo is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the page is served.
    pub listen: SocketAddr,
    /// The program to demonstrate.
    pub worker: PathBuf,
    /// Whether the worker's log also goes to standard error.
    pub echo: bool,
}

/// Why the demo did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The page's address.
    #[error("cannot serve the page on {address}: {source}; choose another port: make demo PORT={other}")]
    Listen {
        /// As asked for.
        address: SocketAddr,
        /// A port that may be free.
        other: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The program is not there.
    #[error("no program at {}; build it with `cargo build`, or name it with --worker", .0.display())]
    NoWorker(PathBuf),
    /// The simulated Teleport.
    #[error("cannot start the simulated Teleport: {0}")]
    Teleport(#[from] StartError),
    /// The simulated Slack.
    #[error("cannot start the simulated Slack: {0}")]
    Slack(#[source] io::Error),
    /// The worker's files.
    #[error("cannot write the worker's files: {0}")]
    Files(#[source] io::Error),
}

/// What the page's routes share.
#[derive(Clone)]
struct Shared {
    slack: slack::Handle,
    teleport: Cluster,
    teleport_is_up: Arc<AtomicBool>,
    credentials: Credentials,
    worker: Supervisor,
    /// By which a page knows one run of the demo from the next.
    started: Timestamp,
    /// The page's own streams end with it.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Shared {
    async fn stop_teleport(&self) {
        self.teleport_is_up.store(false, Ordering::Relaxed);
        self.teleport.stop().await;
    }

    async fn resume_teleport(&self) -> io::Result<()> {
        self.teleport_is_up.store(true, Ordering::Relaxed);
        self.teleport.resume().await
    }
}

/// A running demo.
pub struct Demo {
    address: SocketAddr,
    slack: slack::Server,
    shared: Shared,
    // Removes the directory when it is dropped.
    _files: Files,
}

impl Demo {
    /// Starts everything; returns when the page is served and the worker is being started.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        let Settings { listen, worker, echo } = settings;
        if !worker.is_file() {
            return Err(Error::NoWorker(worker));
        }
        let listener = TcpListener::bind(listen).await.map_err(|source| {
            let other = listen.port().checked_add(1).unwrap_or(8080);
            Error::Listen { address: listen, other, source }
        })?;
        let address = listener.local_addr().map_err(Error::Slack)?;

        let slack = slack::Server::start(default_workspace().limits(Limits::lenient())).await.map_err(Error::Slack)?;
        let teleport = Cluster::start(cluster()).await?;
        let files = Files::write(&teleport, &slack.url()).map_err(Error::Files)?;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let shared = Shared {
            slack: slack.workspace().clone(),
            credentials: Credentials::new(slack.workspace().clone(), teleport.clone(), &files),
            teleport,
            teleport_is_up: Arc::new(AtomicBool::new(true)),
            worker: Supervisor::start(worker, files.configuration(), echo, &tasks),
            started: Timestamp::now(),
            stop,
            tasks,
        };
        greet(&shared.slack);
        shared.tasks.spawn(page::serve(listener, shared.clone(), files.identity()));
        Ok(Self { address, slack, shared, _files: files })
    }

    /// Where the page is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the worker politely, then everything else, and removes the files.
    pub async fn end(self) {
        self.shared.worker.end();
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.slack.shutdown().await;
    }
}

/// A cluster with one more role to ask for, a Proxy whose address looks like one, so that messages link to requests, and users who are
/// tied to people in Slack, so that these can review there.
fn cluster() -> Config {
    let proxy = ProxyConfig { public_addr: Some("teleport.example.com:443".to_owned()), ..ProxyConfig::default() };
    let mut config = Config { proxy: Some(proxy), ..Config::default() };
    config.roles.push(Role::new("editor"));
    let plugin = Role::access_plugin_with_review().allow("lock", &["list", "read"]);
    for user in &mut config.users {
        if user.name == "slack-plugin" {
            user.roles = vec![plugin.name.clone()];
        }
        if let Some(person) = default_workspace().person(&user.name) {
            user.traits.insert(files::SLACK_USER_ID.to_owned(), vec![person]);
        }
    }
    config.roles.push(plugin);
    config
}

/// So that the workspace does not look deserted. Nothing depends on it.
fn greet(slack: &slack::Handle) {
    let lines = [
        ("bob@example.com", "general", "Morning all. I am on call today :wave:"),
        ("alice@example.com", "general", "Good. An index is broken, I will need the `dba` role in a minute."),
    ];
    for (user, channel, text) in lines {
        if let Err(error) = slack.say(user, channel, text, None) {
            tracing::warn!("nobody greets: {error}");
        }
    }
}
